#pragma once
#include "hessay/context.hpp"
#include "hessay/view.hpp"

#include <vector>

namespace hessay {

/// The dense steps every algorithm is written over; a device is one definition of these. T is float or double.
enum class Transpose { no, yes };

/// C <- alpha op(A) op(B) + beta C.  Throws ShapeError when the shapes do not fit.
template <class T>
void gemm(Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
          MatrixView<T> c);

/// Upper triangle of C <- X X' + beta C, or of X' X + beta C with trans = yes. The lower one is left as it is.
template <class T>
void syrk(Transpose trans, MatrixView<const T> x, T beta, MatrixView<T> c);

/// The upper triangle of a square matrix copied to the lower one.
void mirror_upper(MatrixView<double> a);

/// gram <- X' X in double, whatever T is: row panels are widened before they are multiplied, so the result carries the
/// rounding of double. X (n, m); gram (m, m), both triangles written. Polls between panels.
template <class T>
void gram(Context& ctx, MatrixView<const T> x, MatrixView<double> gram);

/// gram <- X X' in double; X (m, d) with m the short side; gram (m, m).
template <class T>
void outer_gram(Context& ctx, MatrixView<const T> x, MatrixView<double> gram);

/// Eigenvalues of a symmetric matrix, ascending, and its eigenvectors as columns in place of a. Always on the host.
/// Throws NonFinite when a holds NaN or Inf.
std::vector<double> symmetric_eigen(Context& ctx, MatrixView<double> a);
/// The eigenvalues alone, ascending; A is overwritten.
std::vector<double> symmetric_eigenvalues(Context& ctx, MatrixView<double> a);

/// X (n, m), n >= m, becomes Q of its thin QR decomposition X = Q R; r (m, m) upper triangular.
template <class T>
void householder_qr(Context& ctx, MatrixView<T> x, MatrixView<T> r);

/// out (n, m) <- X' for X (m, n), in square tiles so that neither side is read against the grain.
template <class T>
void transpose(MatrixView<const T> x, MatrixView<T> out);

/// Euclidean norm of n numbers, accumulated in double.
template <class T>
double norm(const T* x, Index n);

/// Fills X with independent N(0, 1) numbers: element number i of the stream is the same on every device.
template <class T>
void gaussian_fill(Context& ctx, MatrixView<T> x);

/// True when no element is NaN or Inf.
template <class T>
bool all_finite(MatrixView<const T> x);

} // namespace hessay

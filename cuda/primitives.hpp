#pragma once
#include "context.hpp"
#include "hessay/primitives.hpp"

namespace hessay::cuda {

/// The dense steps over cuBLAS, named as in hessay/primitives.hpp. T is float or double. One handle a device and host
/// thread; products of float are made in float, never in TF32; cuBLAS takes its scratch from the context, so the same
/// call gives the same bits and can be captured in a graph.

/// Doubles of scratch that every routine here takes for cuBLAS itself: 32 MiB, what NVIDIA advises from sm_90 on.
constexpr Index kBlasScratch = Index(32) << 17;

/// C <- alpha op(A) op(B) + beta C.  Throws ShapeError, ValueError (a dimension beyond 32 bits), DeviceError.
template <class T>
void gemm(CudaContext& ctx, Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a, MatrixView<const T> b,
          T beta, MatrixView<T> c);

/// Doubles of scratch that gram takes for X (n, m).
Index gram_scratch(Index n, Index m, bool single);

/// gram <- X' X in double, whatever T is: row panels are widened before they are multiplied. X (n, m); gram (m, m),
/// both triangles written.
template <class T>
void gram(CudaContext& ctx, MatrixView<const T> x, MatrixView<double> gram);

/// X <- X R^-1 for an upper triangular R (m, m), X (n, m): with the Cholesky factor R of gram(X), found on the host,
/// one half of CholeskyQR2. Source: Fukaya et al. 2014, ScalA '14, algorithm 2.
template <class T>
void solve_upper(CudaContext& ctx, MatrixView<const T> r, MatrixView<T> x);

} // namespace hessay::cuda

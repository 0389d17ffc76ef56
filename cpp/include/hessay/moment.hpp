#pragma once
#include "hessay/context.hpp"
#include "hessay/view.hpp"

#include <vector>

namespace hessay {

/// What averaged products need of a factor B = rows' lift': its second moment M = (1 / n) rows rows', (m, m), with
/// which H = lift M lift'. M is summed over chunks of rows, which need not be kept.

/// moment (m, m) += rows rows', both triangles; rows (m, any number); moment symmetric.
/// Doubles are summed in double. Floats are multiplied in float, panels of 256 rows at a time, and the panels added in
/// double: the error of an element is at most 256 eps |a||b| of a panel and 1e-7 of the largest element in practice,
/// below the rounding the rows carry themselves. Panels whose squares leave float's range are widened first.
template <class T>
void moment_add(Context& ctx, MatrixView<const T> rows, MatrixView<double> moment);

/// out (d, k) <- lift M lift' V; lift (d, m), data null for the identity; V (d, k).
template <class T>
void moment_apply(Context& ctx, MatrixView<const double> moment, MatrixView<const T> lift, MatrixView<const T> v,
                  MatrixView<T> out);

/// dense (d, d) <- lift M lift', symmetric to the last bit. Computed in T: with floats to about 1e-6 of max |H|.
template <class T>
void moment_dense(Context& ctx, MatrixView<const double> moment, MatrixView<const T> lift, MatrixView<double> dense);

/// Eigenpairs of a positive semidefinite H.
struct FactorSpectrum {
    std::vector<double> values;  ///< descending, >= 0
    std::vector<double> vectors; ///< (d, values.size()), column-major, orthonormal
};

/// The count largest eigenpairs of lift M lift' in double, count in [0, min(d, m)]; all of them with count < 0.
/// Throws ValueError, and NonFinite when M holds NaN or Inf.
template <class T>
FactorSpectrum moment_eigen(Context& ctx, MatrixView<const double> moment, MatrixView<const T> lift, Index count);

/// The count last columns of eigenvectors in ascending order, largest first, negative rounding raised to zero.
FactorSpectrum take_largest(const std::vector<double>& ascending, MatrixView<const double> vectors, Index count);

/// Eigenpairs of Q S Q' from those of S, Q (d, m) orthonormal.
FactorSpectrum lifted(MatrixView<const double> basis, const FactorSpectrum& small);

/// x in double, in scratch memory.
template <class T>
MatrixView<double> widened(Context& ctx, MatrixView<const T> x);

} // namespace hessay

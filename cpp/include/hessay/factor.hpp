#pragma once
#include "hessay/context.hpp"
#include "hessay/moment.hpp"
#include "hessay/operator.hpp"
#include "hessay/view.hpp"

namespace hessay {

/// H = (1 / n) B'B, held as B' and, where that is narrower, with the first layer factored out: B = rows' lift'.
/// Exact for piecewise-linear networks, where the input Hessian is J'SJ; the Gauss-Newton part for others.
template <class T>
struct Factor {
    MatrixView<const T> rows; ///< (m, n r): column i r + j is row j of sample i, not owned
    MatrixView<const T> lift; ///< (d, m), the first layer transposed, not owned; data null: m = d
    Index samples = 0;        ///< n, > 0

    Index size() const { return lift.data ? lift.rows : rows.rows; }
    Index rank_per_sample() const { return rows.cols / samples; }
    /// Throws ShapeError when the parts do not fit.
    void check() const;
};

/// out (d, k) <- H V, averaged over the samples; V (d, k). Panels of B are shared out over ctx.threads().
template <class T>
void factor_apply(Context& ctx, const Factor<T>& factor, MatrixView<const T> v, MatrixView<T> out);

/// out <- H_i V_i per sample. V and out are C-contiguous (n, d, k) arrays seen as (k, n d) matrices. A lift suits where
/// it is about as narrow as a sample's rows are many; elsewhere multiply the rows out before. Samples are shared out
/// over ctx.threads().
template <class T>
void factor_apply_per_sample(Context& ctx, const Factor<T>& factor, MatrixView<const T> v, MatrixView<T> out);

/// dense (d, d) <- H, through the second moment of the rows: see moment_add and moment_dense for its accuracy.
template <class T>
void factor_dense(Context& ctx, const Factor<T>& factor, MatrixView<double> dense);

/// The eigenpairs of H in double, through the smallest of the Gram matrices of B: all min(d, m, n r) with count < 0,
/// otherwise the count largest. Gram matrices are summed in double, so that small eigenvalues keep their digits.
template <class T>
FactorSpectrum factor_eigen(Context& ctx, const Factor<T>& factor, Index count);

/// H as an operator for block_lanczos. The factor's memory must outlive it.
template <class T>
LinearOperator<T> factor_operator(const Factor<T>& factor);

} // namespace hessay

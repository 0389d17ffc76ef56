#pragma once
#include "hessay/context.hpp"
#include "hessay/operator.hpp"
#include "hessay/view.hpp"

#include <vector>

namespace hessay {

/// The curvature S of the loss on the logits z of one sample, C x C, positive semidefinite; p = softmax(z).
enum class Curvature {
    labels,   ///< diag(p) - pp': cross-entropy; the labels do not enter. Vanishes for confident models
    softened, ///< (diag(q) - qq') / s^2 with q = softmax(z / s): cross-entropy of the rescaled logits
    uniform,  ///< I - 11'/C: the plain second moment of the centred logit Jacobian, never saturates
    margin    ///< (e_c - e_y)(e_c - e_y)' with y the predicted class; zero where y = c
};

/// Rows per sample of the closed-form root F of S: C - 1, or 1 for margin.
Index curvature_rank(Curvature kind, Index n_classes);

/// root[:, i r + j] <- row j of F_i, where F_i' F_i = S_i.
/// logits (C, n); root (C, n r); scale > 0, the unit the logits are divided by (softened only); target in [0, C)
/// (margin only).
/// diag(p) - pp' = L D L' with L_ij = -p_i / q_j below a unit diagonal and D_j = p_j q_j / q_(j-1), q_j the tail sum
/// of p beyond j (Tanabe & Sagae 1992, J. R. Stat. Soc. B 54, 211): no cancellation, no iteration.
/// Throws ShapeError, ValueError, and NonFinite when a logit is NaN or Inf.
template <class T>
void curvature_root(Curvature kind, MatrixView<const T> logits, double scale, Index target, MatrixView<T> root);

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

/// out (d, k) <- H V, averaged over the samples; V (d, k).
template <class T>
void factor_apply(Context& ctx, const Factor<T>& factor, MatrixView<const T> v, MatrixView<T> out);

/// out <- H_i V_i per sample. V and out are C-contiguous (n, d, k) arrays seen as (k, n d) matrices.
template <class T>
void factor_apply_per_sample(Context& ctx, const Factor<T>& factor, MatrixView<const T> v, MatrixView<T> out);

/// dense (d, d) <- H, accumulated in double.
template <class T>
void factor_dense(Context& ctx, const Factor<T>& factor, MatrixView<double> dense);

/// All non-trivial eigenpairs of H in double, through the smallest of the Gram matrices of B. With count < 0 all
/// min(d, m, n r) are returned, otherwise the count largest.
struct FactorSpectrum {
    std::vector<double> values;  ///< descending, >= 0
    std::vector<double> vectors; ///< (d, values.size()), column-major, orthonormal
};
template <class T>
FactorSpectrum factor_eigen(Context& ctx, const Factor<T>& factor, Index count);

/// H as an operator for block_lanczos. The factor's memory must outlive it.
template <class T>
LinearOperator<T> factor_operator(const Factor<T>& factor);

} // namespace hessay

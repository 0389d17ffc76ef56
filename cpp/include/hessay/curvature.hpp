#pragma once
#include "hessay/context.hpp"
#include "hessay/view.hpp"

namespace hessay {

/// The curvature S of the loss on the logits z of one sample, C x C, positive semidefinite; p = softmax(z).
enum class Curvature {
    labels,   ///< diag(p) - pp': cross-entropy; the labels do not enter. Vanishes for confident models
    softened, ///< (diag(q) - qq') / s^2 with q = softmax(z / s): cross-entropy of the rescaled logits
    uniform,  ///< I - 11'/C: the plain second moment of the centred logit Jacobian, never saturates
    margin,   ///< (e_c - e_y)(e_c - e_y)' with y the predicted class; zero where y = c
    mse,      ///< 2 I / C: the mean over the outputs of the squared error
    logistic  ///< diag(q (1 - q)) / C with q_c = 1 / (1 + exp(-z_c)): the mean of the binary cross-entropies
};

/// Rows per sample of the closed-form root F of S: C - 1, 1 for margin, C for mse and logistic.
Index curvature_rank(Curvature kind, Index n_classes);

/// root[:, i r + j] <- row j of F_i, where F_i' F_i = S_i.
/// logits (C, n); root (C, n r); scale > 0, the unit the logits are divided by (softened only); target in [0, C)
/// (margin only). C >= 2, or 1 for mse and logistic.
/// diag(p) - pp' = L D L' with L_ij = -p_i / q_j below a unit diagonal and D_j = p_j q_j / q_(j-1), q_j the tail sum
/// of p beyond j (Tanabe & Sagae 1992, J. R. Stat. Soc. B 54, 211): no cancellation, no iteration.
/// Throws ShapeError, ValueError, and NonFinite when a logit is NaN or Inf.
template <class T>
void curvature_root(Curvature kind, MatrixView<const T> logits, double scale, Index target, MatrixView<T> root);

/// cotangents[:, i s + j] <- G_i' w, w ~ N(0, I / s), where G_i' G_i = S_i: s random rows a sample in the place of all,
/// with E[sum_j g_j g_j'] = S_i. For S = diag(p) - pp', G = diag(sqrt p)(I - 1p'), G'w = sqrt(p) w - p (sqrt(p)'w).
/// logits (C, n); cotangents (C, n s), s >= 1; scale as in curvature_root. Sample first + i of the probe has a stream
/// of random numbers of its own, keyed by ctx.seed(): its rows do not depend on the chunk it comes in. Throws as
/// curvature_root does; ValueError for margin, whose one row needs no sketch, and for first < 0.
template <class T>
void curvature_sketch(Context& ctx, Curvature kind, MatrixView<const T> logits, double scale, Index first,
                      MatrixView<T> cotangents);

} // namespace hessay

#pragma once
#include "hessay/context.hpp"
#include "hessay/loss.hpp"
#include "hessay/network.hpp"

#include <vector>

namespace hessay {

/// The loss of a network, linearised once at its samples: what every later Hessian-vector product shares.
///
/// With a_l = W_l y_(l-1) + b_l, y_l = act_l(a_l) and g_l = dL/dy_l, a product H v is one tangent forward and one
/// tangent backward pass,
///     a'_1 = W_1 v,   y'_l = act'(a_l) a'_l,   a'_(l+1) = W_(l+1) y'_l,
///     g'_L = S y'_L,  d'_l = act'(a_l) g'_l + g_l act''(a_l) a'_l,   g'_(l-1) = W_l' d'_l,   H v = W_1' d'_1,
/// so only act'(a_l), g_l act''(a_l) and the loss's state are kept. Skip connections add to a' on the way forward and
/// to g' on the way back. Tiles of samples are shared out over ctx.threads(). The network's weights are not copied and
/// must outlive it. Source: Pearlmutter 1994, Neural Comput. 6, 147, taken with respect to the input.
template <class T>
class LossHessian {
  public:
    /// x (d, n); targets (C, n), what the loss compares the logits with; scale > 0 divides the logits (cross-entropy).
    /// Throws ShapeError, ValueError, NonFinite (a pre-activation: layer and sample are named).
    LossHessian(Context& ctx, const Network<T>& net, MatrixView<const T> x, MatrixView<const T> targets, Loss loss,
                double scale);

    Index size() const { return net_.inputs(); }
    Index samples() const { return samples_; }
    /// Bytes kept between products: act' and g act'' where they are not constant, and the loss's state.
    std::size_t bytes() const;
    /// Bytes of scratch a product of k columns takes on one thread; per sample another d columns of input.
    std::size_t product_bytes(Index k) const;

    /// out (d, k) <- H V, the mean over the samples. The first layer meets the shared directions once, and the last
    /// product with W_1' follows the sum over the samples.
    void apply(Context& ctx, MatrixView<const T> v, MatrixView<T> out) const;

    /// out (d, d) <- H, symmetrised: min(d, h_1) products seen from the first pre-activation, then W_1' M W_1.
    void dense(Context& ctx, MatrixView<double> out) const;

    /// out <- H_i V_i. V and out are C-contiguous (n, d, k) arrays seen as (k, n d) matrices.
    void apply_per_sample(Context& ctx, MatrixView<const T> v, MatrixView<T> out) const;

  private:
    struct Kept {
        std::vector<T> slope;     // (h, n): act'(a_l); empty where act' = 1
        std::vector<T> curvature; // (h, n): g_l act''(a_l); empty where act'' = 0
    };

    void linearise_tile(Context& ctx, MatrixView<const T> x, MatrixView<const T> targets, Index first);
    void apply_narrow(Context& ctx, MatrixView<const T> pushed, MatrixView<T> mean) const;
    void tangent_sweeps(Context& ctx, Index first, Index per_sample, const std::vector<MatrixView<T>>& values) const;
    MatrixView<T> slope(std::size_t layer, Index first, Index count) const;
    MatrixView<T> curvature(std::size_t layer, Index first, Index count) const;
    bool smooth(std::size_t layer) const { return !kept_[layer].curvature.empty(); }

    Network<T> net_;
    Loss loss_;
    double scale_;
    Index samples_ = 0;
    std::vector<Kept> kept_;
    std::vector<T> state_;                // (C, n): see loss_linearise
    std::vector<double> first_curvature_; // (h_1): mean over the samples of g_1 act''(a_1)
};

} // namespace hessay

#pragma once
#include "hessay/context.hpp"
#include "hessay/elementwise.hpp"
#include "hessay/view.hpp"

#include <vector>

namespace hessay {

/// act(W a + b). weight is W' as a view, (inputs, outputs): a torch weight (outputs, inputs) needs no copy.
template <class T>
struct Layer {
    MatrixView<const T> weight; ///< (inputs, outputs), not owned
    const T* bias = nullptr;    ///< (outputs), not owned; null for none
    Activation activation = Activation::identity;
    T parameter = 0; ///< see activation_value
};

/// A chain of linear layers with element-wise activations: z = f(x), one column per sample.
template <class T>
struct Network {
    std::vector<Layer<T>> layers;

    Index inputs() const { return layers.front().weight.rows; }
    Index outputs() const { return layers.back().weight.cols; }
    Index first_width() const { return layers.front().weight.cols; }
    /// Throws ShapeError when the network is empty or two layers do not fit.
    void check() const;
};

/// logits (C, n) <- f(x), x (d, n).
template <class T>
void forward(Context& ctx, const Network<T>& net, MatrixView<const T> x, MatrixView<T> logits);

/// Pulls cotangents on the logits back to the first layer's pre-activation, where the Jacobian is still narrow:
/// rows[:, i r + j] <- (dz/da1)' cotangents[:, i r + j] for sample i, so that J'c = W1' rows.
/// x (d, n); cotangents (C, n r); rows (h1, n r).
template <class T>
void pull_back(Context& ctx, const Network<T>& net, MatrixView<const T> x, MatrixView<const T> cotangents,
               MatrixView<T> rows);

/// sum[:, c + C g] <- sum over the samples of group g of the gradient of logit c: the class-pair Jacobians.
/// group (n), each in [0, n_groups); sum (d, C n_groups).
/// Throws ValueError when a group is out of range.
template <class T>
void grouped_jacobian(Context& ctx, const Network<T>& net, MatrixView<const T> x, const std::int64_t* group,
                      Index n_groups, MatrixView<T> sum);

} // namespace hessay

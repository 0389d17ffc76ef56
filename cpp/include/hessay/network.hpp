#pragma once
#include "hessay/context.hpp"
#include "hessay/elementwise.hpp"
#include "hessay/view.hpp"

#include <vector>

namespace hessay {

/// One step of a layer program: a_l = W value[input] + b + value[skip], value[l + 1] = act(a_l).
/// weight is W' as a view, (inputs, outputs): a torch weight (outputs, inputs) needs no copy.
template <class T>
struct Layer {
    MatrixView<const T> weight; ///< (inputs, outputs), not owned; data null: the identity
    const T* bias = nullptr;    ///< (outputs), not owned; null for none
    Activation activation = Activation::identity;
    T parameter = 0; ///< see activation_value
    Index input = 0; ///< number of the value it reads
    Index skip = -1; ///< number of a value that is added, as residual connections do; -1 for none

    Index width() const { return weight.cols; }
};

/// A network as straight-line code: value 0 is the input, layer l computes value l + 1, the last value is the logits
/// z = f(x); one column per sample. Only layer 0 reads the input: derivatives are taken at its pre-activation, where
/// all samples share one linear map, and W_1 comes last.
template <class T>
struct Network {
    std::vector<Layer<T>> layers;

    Index inputs() const { return layers.front().weight.rows; }
    Index outputs() const { return layers.back().width(); }
    Index first_width() const { return layers.front().width(); }
    /// Width of value v > 0.
    Index width(Index v) const { return layers[static_cast<std::size_t>(v - 1)].width(); }
    /// Throws ShapeError when the network is empty, two layers do not fit, or a layer reads a value that is not there.
    void check() const;
};

/// c <- W x + beta c, and c <- W' x + beta c, for the layer's W; the identity costs a copy.
template <class T>
void multiply(const Layer<T>& layer, MatrixView<const T> x, T beta, MatrixView<T> c);
template <class T>
void multiply_transposed(const Layer<T>& layer, MatrixView<const T> x, T beta, MatrixView<T> c);

/// target <- source, or target += source: what a second reader of a value sends back to it.
template <class T>
void accumulate(MatrixView<const T> source, bool add, MatrixView<T> target);

/// logits (C, n) <- f(x), x (d, n).
template <class T>
void forward(Context& ctx, const Network<T>& net, MatrixView<const T> x, MatrixView<T> logits);

/// Pulls cotangents on the logits back to the first layer's pre-activation, where the Jacobian is still narrow:
/// rows[:, i r + j] <- (dz/da1)' cotangents[:, i r + j] for sample i, so that J'c = W1' rows.
/// x (d, n); cotangents (C, n r); rows (h1, n r). Samples are shared out over ctx.threads().
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

#pragma once
#include "hessay/network.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

// The two sweeps over a layer program that every derivative is made of. Values are buffers of one tile of samples,
// values[v] (width of v, columns) for v >= 1; values[0] is not used.
namespace hessay {

template <class T>
using Values = std::vector<MatrixView<T>>;

template <class T>
Values<T> scratch_values(Context& ctx, const Network<T>& net, Index columns)
{
    Values<T> values(net.layers.size() + 1);
    for (std::size_t v = 1; v < values.size(); ++v) values[v] = ctx.scratch<T>(net.layers[v - 1].width(), columns);
    return values;
}

/// values[l + 1] <- step(l, W_l values[input] + values[skip]) for the layers from first on; x stands for value 0.
template <class T, class Step>
void sweep_forward(const Network<T>& net, std::size_t first, MatrixView<const T> x, const Values<T>& values, Step step)
{
    for (std::size_t l = first; l < net.layers.size(); ++l) {
        const Layer<T>& layer = net.layers[l];
        const MatrixView<T> out = values[l + 1];
        const bool skips = layer.skip >= 0;
        if (skips) accumulate<T>(values[static_cast<std::size_t>(layer.skip)], false, out);
        multiply<T>(layer, layer.input == 0 ? x : values[static_cast<std::size_t>(layer.input)], T(skips), out);
        step(l, out);
    }
}

/// With cotangents of the logits in values.back(): step(l, values[l + 1]) turns the cotangent of value l + 1 into that
/// of the pre-activation a_l, which is sent on to the values that a_l was made of. Ends with the cotangent of value 1
/// in values[1]; a value nobody reads has cotangent zero.
template <class T, class Step>
void sweep_backward(const Network<T>& net, const Values<T>& values, Step step)
{
    std::vector<bool> reached(values.size(), false);
    reached.back() = true;
    const auto send = [&](Index v, auto add) {
        const auto target = static_cast<std::size_t>(v);
        add(bool(reached[target]), values[target]);
        reached[target] = true;
    };
    for (std::size_t l = net.layers.size(); l-- > 1;) {
        const Layer<T>& layer = net.layers[l];
        if (!reached[l + 1]) continue;
        const MatrixView<T> d = values[l + 1];
        step(l, d);
        if (layer.skip >= 0) send(layer.skip, [&](bool more, MatrixView<T> target) { accumulate<T>(d, more, target); });
        send(layer.input, [&](bool more, MatrixView<T> target) { multiply_transposed<T>(layer, d, T(more), target); });
    }
    if (!reached[1])
        for (Index j = 0; j < values[1].cols; ++j) std::fill_n(values[1].column(j), values[1].rows, T(0));
}

/// Calls body(std::integral_constant<Activation, act>): inside, the formulas of one activation are inlined alone.
template <class Body>
void for_activation(Activation act, Body body)
{
    const auto call = [&](auto which) {
        if (act == which.value) body(which);
    };
    call(std::integral_constant<Activation, Activation::identity>{});
    call(std::integral_constant<Activation, Activation::relu>{});
    call(std::integral_constant<Activation, Activation::leaky_relu>{});
    call(std::integral_constant<Activation, Activation::gelu>{});
    call(std::integral_constant<Activation, Activation::gelu_tanh>{});
    call(std::integral_constant<Activation, Activation::silu>{});
    call(std::integral_constant<Activation, Activation::tanh>{});
    call(std::integral_constant<Activation, Activation::sigmoid>{});
    call(std::integral_constant<Activation, Activation::softplus>{});
    call(std::integral_constant<Activation, Activation::elu>{});
}

/// Which derivatives of an activation a sweep wants to keep, each (width, n); data null: not wanted.
template <class T>
struct Derivatives {
    MatrixView<T> slope, curvature;
};

/// y <- act(y + bias), with act' and act'' kept where wanted. Returns the first column that is not finite before the
/// activation, or -1.
template <class T>
Index activate(const Layer<T>& layer, MatrixView<T> y, const Derivatives<T>& keep)
{
    Index bad = -1;
    for_activation(layer.activation, [&](auto act) {
        for (Index j = 0; j < y.cols; ++j) {
            T* column = y.column(j);
            if (layer.bias)
                for (Index i = 0; i < y.rows; ++i) column[i] += layer.bias[i];
            bool finite = true;
            for (Index i = 0; i < y.rows; ++i) finite = finite && std::isfinite(column[i]);
            if (!finite && bad < 0) bad = j;
            T *slope = keep.slope.data ? keep.slope.column(j) : nullptr, *curvature = nullptr;
            if (keep.curvature.data) curvature = keep.curvature.column(j);
            for (Index i = 0; i < y.rows; ++i) {
                const T a = column[i];
                column[i] = activation_value(act.value, layer.parameter, a);
                if (slope) slope[i] = activation_slope(act.value, layer.parameter, a);
                if (curvature) curvature[i] = activation_curvature(act.value, layer.parameter, a);
            }
        }
    });
    return bad;
}

/// block[:, i per_sample + j] *= factor[:, i]
template <class T>
void scale_by_sample(MatrixView<const T> factor, Index per_sample, MatrixView<T> block)
{
    for (Index j = 0; j < block.cols; ++j) {
        const T* f = factor.column(j / per_sample);
        T* column = block.column(j);
        for (Index i = 0; i < block.rows; ++i) column[i] *= f[i];
    }
}

} // namespace hessay

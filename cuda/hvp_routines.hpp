#pragma once
#include "hessay/network.hpp"
#include "hessay/primitives.hpp"
#include "network_bodies.hpp"
#include "routines.hpp"
#include "scratch.hpp"

#include <vector>

// The products of hessay/hvp.hpp on a device: the same passes in the same order, over batched GEMMs and the bodies
// here. Written once for CudaContext, for HostLoops (tests) and for ScratchCounter. No routine waits for the device.
namespace hessay::cuda {

/// What linearise leaves for products. All memory is the caller's.
template <class T>
struct LinearisedLoss {
    struct Kept {
        MatrixView<T> slope;     // (h, n): act'(a_l); no memory where act' = 1
        MatrixView<T> curvature; // (h, n): g_l act''(a_l); no memory where act'' = 0
    };

    Network<T> net; // weights and biases on the device
    Loss loss = Loss::cross_entropy;
    double scale = 1; // divides the logits of cross-entropy
    Index samples = 0;
    std::vector<Kept> kept;             // of every layer
    MatrixView<T> state;                // (C, n); no memory for Loss::mse
    MatrixView<double> first_curvature; // (h_1, 1): sum over the samples of g_1 act''(a_1); no memory where that is 0

    bool smooth(std::size_t layer) const { return kept[layer].curvature.data != nullptr; }
    MatrixView<T> slope(std::size_t layer, Index first, Index count) const
    {
        const auto& all = kept[layer].slope;
        return all.data ? all.columns(first, count) : all;
    }
    MatrixView<T> curvature(std::size_t layer, Index first, Index count) const
    {
        const auto& all = kept[layer].curvature;
        return all.data ? all.columns(first, count) : all;
    }
};

template <class T>
using Values = std::vector<MatrixView<T>>; // values[v] (width of v, columns) for v >= 1

template <class T, class Device>
Values<T> scratch_values(Device& device, const Network<T>& net, Index columns)
{
    Values<T> values(net.layers.size() + 1);
    for (std::size_t v = 1; v < values.size(); ++v)
        values[v] = scratch_of<T>(device, net.layers[v - 1].width(), columns);
    return values;
}

/// c <- W x + beta c for the layer's W, beta 0 or 1; the identity costs a copy.
template <class T, class Device>
void multiply(Device& device, const Layer<T>& layer, MatrixView<const T> x, bool add, MatrixView<T> c)
{
    if (layer.weight.data)
        device.template product<T>(Transpose::yes, Transpose::no, T(1), layer.weight, x, T(add), c);
    else
        device.columns(Accumulate<T>{x, add, c});
}

/// c <- W' x + beta c
template <class T, class Device>
void multiply_transposed(Device& device, const Layer<T>& layer, MatrixView<const T> x, bool add, MatrixView<T> c)
{
    if (layer.weight.data)
        device.template product<T>(Transpose::no, Transpose::no, T(1), layer.weight, x, T(add), c);
    else
        device.columns(Accumulate<T>{x, add, c});
}

/// values[l + 1] <- step(l, W_l values[input] + values[skip]) for the layers from first on; x stands for value 0.
template <class T, class Device, class Step>
void sweep_forward(Device& device, const Network<T>& net, std::size_t first, MatrixView<const T> x,
                   const Values<T>& values, Step step)
{
    for (std::size_t l = first; l < net.layers.size(); ++l) {
        const Layer<T>& layer = net.layers[l];
        const MatrixView<T> out = values[l + 1];
        const bool skips = layer.skip >= 0;
        if (skips) device.columns(Accumulate<T>{values[static_cast<std::size_t>(layer.skip)], false, out});
        const auto input = layer.input == 0 ? x : MatrixView<const T>(values[static_cast<std::size_t>(layer.input)]);
        multiply<T>(device, layer, input, skips, out);
        step(l, out);
    }
}

/// From cotangents of the logits in values.back() to the cotangent of value 1: see cpp/src/passes.hpp.
template <class T, class Device, class Step>
void sweep_backward(Device& device, const Network<T>& net, const Values<T>& values, Step step)
{
    std::vector<bool> reached(values.size(), false);
    reached.back() = true;
    for (std::size_t l = net.layers.size(); l-- > 1;) {
        const Layer<T>& layer = net.layers[l];
        if (!reached[l + 1]) continue;
        const MatrixView<T> d = values[l + 1];
        step(l, d);
        if (layer.skip >= 0) {
            const auto target = static_cast<std::size_t>(layer.skip);
            device.columns(Accumulate<T>{d, bool(reached[target]), values[target]});
            reached[target] = true;
        }
        const auto target = static_cast<std::size_t>(layer.input);
        multiply_transposed<T>(device, layer, d, reached[target], values[target]);
        reached[target] = true;
    }
    if (!reached[1]) device.columns(Rescale<T>{T(0), values[1]});
}

/// Fills kept, state and first_curvature of out at x (d, n) with targets (C, n), `tile` samples at a time.
/// largest (n, layers): the largest magnitude of each sample's pre-activations. One that is not finite, which the
/// caller looks for, makes the rest meaningless.
template <class T, class Device>
void linearise(Device& device, const LinearisedLoss<T>& out, MatrixView<const T> x, MatrixView<const T> targets,
               Index tile, MatrixView<double> largest)
{
    const auto& layers = out.net.layers;
    require<ShapeError>(x.rows == out.net.inputs() && x.cols == out.samples && targets.rows == out.net.outputs() &&
                            targets.cols == out.samples && largest.rows == out.samples &&
                            largest.cols == static_cast<Index>(layers.size()),
                        "inputs (", x.cols, ", ", x.rows, ") and targets (", targets.cols, ", ", targets.rows,
                        ") do not fit the network");
    require(tile >= 1, "a tile must hold at least one sample, got ", tile);
    for (Index first = 0; first < out.samples; first += tile) {
        const ScratchScope<Device> scope(device);
        const Index count = std::min(tile, out.samples - first);
        const auto values = scratch_values<T>(device, out.net, count);
        sweep_forward<T>(device, out.net, 0, x.columns(first, count), values, [&](std::size_t l, MatrixView<T> y) {
            const ScratchScope<Device> inner(device);
            if (layers[l].bias) device.columns(AddBias<T>{layers[l].bias, y});
            reduce_columns<Device, T>(device, Column::largest_magnitude, y, nullptr,
                                      largest.column(static_cast<Index>(l)) + first);
            activate<Device, T>(device, layers[l].activation, static_cast<double>(layers[l].parameter), y,
                                out.slope(l, first, count), out.curvature(l, first, count));
        });
        const auto state = out.state.data ? out.state.columns(first, count) : out.state;
        device.each(LossLinearise<T>{out.loss, out.scale, targets.columns(first, count), state, values.back()});
        const auto step = [&](std::size_t l, MatrixView<T> g) { // act'' <- g act'', g <- act' g
            if (out.smooth(l)) device.columns(ScaleBySample<T>{g, 1, out.curvature(l, first, count), {}});
            if (out.kept[l].slope.data) device.columns(ScaleBySample<T>{out.slope(l, first, count), 1, g, {}});
        };
        sweep_backward<T>(device, out.net, values, step);
        step(0, values[1]);
    }
    if (!out.first_curvature.data) return;
    device.columns(Rescale<double>{0, out.first_curvature});
    const ScratchScope<Device> scope(device);
    reduce_shared<Device, T>(device, {}, out.kept[0].curvature, out.first_curvature);
}

/// u <- S u at the samples from first on, u (C, count k).
template <class T, class Device>
void loss_curvature(Device& device, const LinearisedLoss<T>& at, Index first, Index per_sample, MatrixView<T> u)
{
    const Index count = u.cols / per_sample;
    if (at.loss == Loss::mse)
        device.columns(Rescale<T>{T(2) / static_cast<T>(u.rows), u});
    else if (at.loss == Loss::logistic)
        scale_by_sample<Device, T>(device, at.state.columns(first, count), per_sample, u, {});
    else
        cross_entropy_curvature<Device, T>(device, at.state.columns(first, count), per_sample, at.scale, u);
}

/// From value 1's tangents in values[1] to its cotangents there, for the samples from first on.
template <class T, class Device>
void tangent_sweeps(Device& device, const LinearisedLoss<T>& at, Index first, Index per_sample, const Values<T>& values)
{
    const Index columns = values[1].cols, count = columns / per_sample;
    std::vector<MatrixView<T>> tangents(at.net.layers.size()); // a'_l where act'' needs it later
    sweep_forward<T>(device, at.net, 1, {}, values, [&](std::size_t l, MatrixView<T> a) {
        if (!at.kept[l].slope.data) return;
        if (at.smooth(l)) tangents[l] = scratch_of<T>(device, a.rows, columns);
        scale_by_sample<Device, T>(device, at.slope(l, first, count), per_sample, a, tangents[l]);
    });
    loss_curvature<T>(device, at, first, per_sample, values.back());
    sweep_backward<T>(device, at.net, values, [&](std::size_t l, MatrixView<T> g) {
        if (at.smooth(l))
            tangent_backward_step<Device, T>(device, at.slope(l, first, count), at.curvature(l, first, count),
                                             tangents[l], per_sample, g);
        else if (at.kept[l].slope.data)
            scale_by_sample<Device, T>(device, at.slope(l, first, count), per_sample, g, {});
    });
}

/// out (d, k) <- H V, the mean over the samples, `tile` samples at a time: see LossHessian::apply.
template <class T, class Device>
void hessian_apply(Device& device, const LinearisedLoss<T>& at, Index tile, MatrixView<const T> v, MatrixView<T> out)
{
    const Index k = v.cols, d = at.net.inputs(), h = at.net.first_width();
    require<ShapeError>(v.rows == d && out.rows == d && out.cols == k, "directions must be (", d, ", k), got (", v.rows,
                        ", ", k, ")");
    require(tile >= 1, "a tile must hold at least one sample, got ", tile);
    if (k == 0) return;
    const ScratchScope<Device> scope(device);
    const Layer<T>& layer = at.net.layers.front();
    const auto pushed = scratch_of<T>(device, h, k), mean = scratch_of<T>(device, h, k);
    const auto sums = scratch_of<double>(device, h, k);
    multiply<T>(device, layer, v, false, pushed);
    device.columns(Rescale<double>{0, sums});
    for (Index first = 0; first < at.samples; first += tile) {
        const ScratchScope<Device> inner(device);
        const Index count = std::min(tile, at.samples - first);
        const auto values = scratch_values<T>(device, at.net, count * k);
        expand_shared<Device, T>(device, at.slope(0, first, count), pushed, values[1]);
        tangent_sweeps<T>(device, at, first, k, values);
        reduce_shared<Device, T>(device, at.slope(0, first, count), values[1], sums);
    }
    device.columns(MeanOverSamples<T>{1.0 / static_cast<double>(at.samples), sums, at.first_curvature, pushed, mean});
    multiply_transposed<T>(device, layer, mean, false, out);
}

/// out[:, i k + j] <- H_i v[:, i k + j] for the samples i, both (d, n k), `tile` samples at a time.
template <class T, class Device>
void hessian_apply_per_sample(Device& device, const LinearisedLoss<T>& at, Index tile, MatrixView<const T> v,
                              MatrixView<T> out)
{
    const Index n = at.samples, d = at.net.inputs(), k = v.cols / n;
    require<ShapeError>(v.rows == d && v.cols == n * k && out.rows == d && out.cols == v.cols, "directions must be (",
                        d, ", ", n, " k), got (", v.rows, ", ", v.cols, ")");
    require(tile >= 1, "a tile must hold at least one sample, got ", tile);
    if (k == 0) return;
    const Layer<T>& layer = at.net.layers.front();
    for (Index first = 0; first < n; first += tile) {
        const ScratchScope<Device> scope(device);
        const Index count = std::min(tile, n - first);
        const auto slope = at.slope(0, first, count), curvature = at.curvature(0, first, count);
        const auto values = scratch_values<T>(device, at.net, count * k);
        multiply<T>(device, layer, v.columns(first * k, count * k), false, values[1]);
        MatrixView<T> tangent;
        if (at.smooth(0)) tangent = scratch_of<T>(device, layer.width(), count * k);
        if (slope.data) scale_by_sample<Device, T>(device, slope, k, values[1], tangent);
        tangent_sweeps<T>(device, at, first, k, values);
        if (at.smooth(0))
            tangent_backward_step<Device, T>(device, slope, curvature, tangent, k, values[1]);
        else if (slope.data)
            scale_by_sample<Device, T>(device, slope, k, values[1], {});
        multiply_transposed<T>(device, layer, values[1], false, out.columns(first * k, count * k));
    }
}

} // namespace hessay::cuda

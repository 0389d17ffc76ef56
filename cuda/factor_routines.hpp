#pragma once
#include "factor_bodies.hpp"
#include "hvp_routines.hpp"

// The factor of hessay/factor.hpp on a device: B with H = B'B / n, set up by one pass through the layers and back, and
// products with it. Written once for CudaContext, for HostLoops (tests) and for ScratchCounter. No routine waits for
// the device.
namespace hessay::cuda {

constexpr Index kDenseColumns = 4096; // of B', widened to double at a time

/// How the rows of B are made. Memory of the network is the caller's.
template <class T>
struct FactorPlan {
    Network<T> net; // weights and biases on the device
    Curvature kind = Curvature::labels;
    double scale = 1;    // divides the logits when softened
    Index target = 0;    // class of the margin
    bool lifted = false; // the first layer is kept apart: rows have its width, not that of the input

    Index rank() const { return kind == Curvature::margin ? 1 : net.outputs() - (separate() ? 0 : 1); }
    bool separate() const { return kind == Curvature::mse || kind == Curvature::logistic; }
    bool multiplied_out() const { return !lifted && net.layers.front().weight.data; }
    Index row_length() const { return multiplied_out() ? net.inputs() : net.first_width(); }
};

/// root (C, n r) <- the closed-form root of every sample's curvature, from logits (C, n): see curvature_root of the
/// core. A logit that is not finite makes the sample's rows meaningless; the caller looks for it.
template <class T, class Device>
void curvature_root(Device& device, const FactorPlan<T>& plan, MatrixView<const T> logits, MatrixView<T> root)
{
    const Index classes = logits.rows, n = logits.cols, rank = plan.rank();
    require<ShapeError>(classes >= (plan.separate() ? 1 : 2), "the model must have at least two logits, got ", classes);
    require<ShapeError>(root.rows == classes && root.cols == n * rank, "root must be (", classes, ", ", n * rank, ")");
    require(std::isfinite(plan.scale) && plan.scale > 0, "the logit scale must be positive and finite, got ",
            plan.scale);
    require(plan.kind != Curvature::margin || (plan.target >= 0 && plan.target < classes),
            "the margin's class must lie in [0, ", classes, "), got ", plan.target);
    require_countable(root.cols);
    const ScratchScope<Device> scope(device);
    const auto share = device.scratch(classes, n), tail = device.scratch(classes, n);
    const double unit = plan.kind == Curvature::softened ? plan.scale : 1.0;
    device.each(LogitShares<T>{plan.kind, unit, logits, share, tail});
    const double weight = plan.kind == Curvature::uniform ? std::sqrt(static_cast<double>(classes)) : 1.0 / unit;
    device.columns(CurvatureRoot<T>{plan.kind, weight, plan.target, rank, share, tail, root});
}

/// rows (m, n r) <- B': column i r + j is row j of sample i, at x (d, n), `tile` samples at a time.
/// largest (n, layers): the largest magnitude of each sample's pre-activations. One that is not finite, which the
/// caller looks for, makes the rest meaningless.
template <class T, class Device>
void factor_rows(Device& device, const FactorPlan<T>& plan, MatrixView<const T> x, Index tile, MatrixView<T> rows,
                 MatrixView<double> largest)
{
    const auto& layers = plan.net.layers;
    const Index n = x.cols, rank = plan.rank();
    require<ShapeError>(x.rows == plan.net.inputs() && rows.rows == plan.row_length() && rows.cols == n * rank &&
                            largest.rows == n && largest.cols == static_cast<Index>(layers.size()),
                        "inputs (", x.cols, ", ", x.rows, ") do not fit the network or its rows (", rows.cols, ", ",
                        rows.rows, ")");
    require(tile >= 1, "a tile must hold at least one sample, got ", tile);
    for (Index first = 0; first < n; first += tile) {
        const ScratchScope<Device> scope(device);
        const Index count = std::min(tile, n - first);
        std::vector<MatrixView<T>> slopes(layers.size());
        for (std::size_t l = 0; l < layers.size(); ++l)
            if (layers[l].activation != Activation::identity)
                slopes[l] = scratch_of<T>(device, layers[l].width(), count);
        Values<T> back(layers.size() + 1);
        const auto result = rows.columns(first * rank, count * rank);
        for (std::size_t v = 1; v < back.size(); ++v)
            back[v] =
                v > 1 || plan.multiplied_out() ? scratch_of<T>(device, layers[v - 1].width(), count * rank) : result;
        {
            const ScratchScope<Device> inner(device);
            const auto values = scratch_values<T>(device, plan.net, count);
            sweep_forward<T>(device, plan.net, 0, x.columns(first, count), values, [&](std::size_t l, MatrixView<T> y) {
                const ScratchScope<Device> partial(device);
                if (layers[l].bias) device.columns(AddBias<T>{layers[l].bias, y});
                reduce_columns<Device, T>(device, Column::largest_magnitude, y, nullptr,
                                          largest.column(static_cast<Index>(l)) + first);
                activate<Device, T>(device, layers[l].activation, static_cast<double>(layers[l].parameter), y,
                                    slopes[l], {});
            });
            curvature_root<T>(device, plan, values.back(), back.back());
        }
        const auto step = [&](std::size_t l, MatrixView<T> g) {
            if (slopes[l].data) scale_by_sample<Device, T>(device, slopes[l], rank, g, {});
        };
        sweep_backward<T>(device, plan.net, back, step);
        step(0, back[1]);
        if (plan.multiplied_out()) multiply_transposed<T>(device, layers.front(), back[1], false, result);
    }
}

/// out (d, k) <- H V = rows rows' V / n, or lift rows rows' lift' V / n where lift has memory: see hessay/factor.hpp.
/// rows (m, n r), lift (d, m).
template <class T, class Device>
void factor_apply(Device& device, MatrixView<const T> rows, MatrixView<const T> lift, Index samples,
                  MatrixView<const T> v, MatrixView<T> out)
{
    const Index d = lift.data ? lift.rows : rows.rows, k = v.cols;
    require<ShapeError>((!lift.data || lift.cols == rows.rows) && v.rows == d && out.rows == d && out.cols == k,
                        "directions must be (", d, ", k), got (", v.rows, ", ", k, ")");
    require(samples >= 1, "a factor belongs to at least one sample, got ", samples);
    if (k == 0) return;
    constexpr auto kNo = Transpose::no, kYes = Transpose::yes;
    const T weight = static_cast<T>(1.0 / static_cast<double>(samples));
    const ScratchScope<Device> scope(device);
    const auto along = scratch_of<T>(device, rows.cols, k);
    if (!lift.data) {
        device.template product<T>(kYes, kNo, T(1), rows, v, T(0), along);
        device.template product<T>(kNo, kNo, weight, rows, along, T(0), out);
        return;
    }
    const auto narrow = scratch_of<T>(device, rows.rows, k);
    device.template product<T>(kYes, kNo, T(1), lift, v, T(0), narrow);
    device.template product<T>(kYes, kNo, T(1), rows, narrow, T(0), along);
    device.template product<T>(kNo, kNo, weight, rows, along, T(0), narrow);
    device.template product<T>(kNo, kNo, T(1), lift, narrow, T(0), out);
}

/// out[:, i k + j] <- H_i v[:, i k + j] for the samples i, both (d, n k), `tile` samples at a time. rows and lift as
/// for factor_apply. The lift meets a tile's directions in one product, a sample's own rows are a batch of small ones.
template <class T, class Device>
void factor_apply_per_sample(Device& device, MatrixView<const T> rows, MatrixView<const T> lift, Index samples,
                             Index tile, MatrixView<const T> v, MatrixView<T> out)
{
    require(samples >= 1 && tile >= 1, "a factor belongs to at least one sample and a tile holds one, got ", samples,
            " and ", tile);
    const Index n = samples, d = lift.data ? lift.rows : rows.rows, k = v.cols / n, rank = rows.cols / n;
    require<ShapeError>((!lift.data || lift.cols == rows.rows) && rows.cols == n * rank && v.rows == d &&
                            v.cols == n * k && out.rows == d && out.cols == v.cols,
                        "directions must be (", d, ", ", n, " k), got (", v.rows, ", ", v.cols, ")");
    if (k == 0) return;
    constexpr auto kNo = Transpose::no, kYes = Transpose::yes;
    for (Index first = 0; first < n; first += tile) {
        const ScratchScope<Device> scope(device);
        const Index count = std::min(tile, n - first), width = count * k;
        const auto own = rows.columns(first * rank, count * rank);
        const auto directions = v.columns(first * k, width);
        const auto result = out.columns(first * k, width);
        const auto along = scratch_of<T>(device, rank, width);
        if (!lift.data) {
            device.template products<T>(count, kYes, kNo, T(1), own, directions, T(0), along);
            device.template products<T>(count, kNo, kNo, T(1), own, along, T(0), result);
            continue;
        }
        const auto narrow = scratch_of<T>(device, rows.rows, width);
        device.template product<T>(kYes, kNo, T(1), lift, directions, T(0), narrow);
        device.template products<T>(count, kYes, kNo, T(1), own, narrow, T(0), along);
        device.template products<T>(count, kNo, kNo, T(1), own, along, T(0), narrow);
        device.template product<T>(kNo, kNo, T(1), lift, narrow, T(0), result);
    }
}

// x in double, in scratch; x itself where it is double already.
template <class T, class Device>
MatrixView<const double> widened(Device& device, MatrixView<const T> x)
{
    if constexpr (std::is_same_v<T, double>) {
        return x;
    } else {
        const auto wide = device.scratch(x.rows, x.cols);
        device.columns(Widen<T>{x, wide});
        return wide;
    }
}

/// dense (d, d) <- H in double, symmetric to the last bit: the Gram matrix of the rows, panels of them widened before
/// they are multiplied, between two products with the lift. Scratch grows with m^2 and d m: for small d.
template <class T, class Device>
void factor_dense(Device& device, MatrixView<const T> rows, MatrixView<const T> lift, Index samples,
                  MatrixView<double> dense)
{
    const Index m = rows.rows, d = lift.data ? lift.rows : m;
    require<ShapeError>((!lift.data || lift.cols == m) && dense.rows == d && dense.cols == d, "dense must be (", d,
                        ", ", d, "), got (", dense.rows, ", ", dense.cols, ")");
    require(samples >= 1, "a factor belongs to at least one sample, got ", samples);
    constexpr auto kNo = Transpose::no, kYes = Transpose::yes;
    const ScratchScope<Device> scope(device);
    const double weight = 1.0 / static_cast<double>(samples);
    const auto moment = lift.data ? device.scratch(m, m) : dense;
    device.columns(Rescale<double>{0, moment});
    for (Index first = 0; first < rows.cols; first += kDenseColumns) {
        const ScratchScope<Device> inner(device);
        const auto wide = widened<T>(device, rows.columns(first, std::min(kDenseColumns, rows.cols - first)));
        device.template product<double>(kNo, kYes, weight, wide, wide, 1.0, moment);
    }
    if (lift.data) {
        const auto wide = widened<T>(device, lift);
        const auto half = device.scratch(d, m);
        device.template product<double>(kNo, kNo, 1.0, wide, moment, 0.0, half);
        device.template product<double>(kNo, kYes, 1.0, half, wide, 0.0, dense);
    }
    device.columns(MirrorUpper{dense});
}

} // namespace hessay::cuda

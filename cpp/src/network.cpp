#include "hessay/network.hpp"

#include "hessay/error.hpp"
#include "hessay/primitives.hpp"

#include <algorithm>

namespace hessay {

namespace {

constexpr Index kTileColumns = 1024; // rows of GEMM work per tile: 256 to 2048 are equally fast, less wastes packing

// One tile of samples, linearised: what the backward pass needs of the forward pass.
template <class T>
struct Tile {
    std::vector<MatrixView<T>> slopes; // per layer (outputs, n): act'(pre-activation)
    MatrixView<T> output;              // (C, n)
};

template <class T>
Tile<T> linearise(Context& ctx, const Network<T>& net, MatrixView<const T> x, bool keep_slopes)
{
    Tile<T> tile;
    MatrixView<const T> input = x;
    for (const Layer<T>& layer : net.layers) {
        const Index outputs = layer.weight.cols;
        const auto a = ctx.scratch<T>(outputs, x.cols);
        const auto slope = keep_slopes ? ctx.scratch<T>(outputs, x.cols) : MatrixView<T>{};
        gemm<T>(Transpose::yes, Transpose::no, T(1), layer.weight, input, T(0), a);
        for (Index j = 0; j < x.cols; ++j) {
            for (Index i = 0; i < outputs; ++i) {
                const T pre = a(i, j) + (layer.bias ? layer.bias[i] : T(0));
                a(i, j) = activation_value(layer.activation, layer.parameter, pre);
                if (keep_slopes) slope(i, j) = activation_slope(layer.activation, layer.parameter, pre);
            }
        }
        tile.slopes.push_back(slope);
        input = a;
        tile.output = a;
    }
    return tile;
}

// cotangents[:, i r + j] *= slope[:, i]
template <class T>
void apply_slopes(MatrixView<const T> slope, Index per_sample, MatrixView<T> cotangents)
{
    for (Index j = 0; j < cotangents.cols; ++j) {
        const T* s = slope.column(j / per_sample);
        T* column = cotangents.column(j);
        for (Index i = 0; i < cotangents.rows; ++i) column[i] *= s[i];
    }
}

// Backward through every layer but the first weight; returns (h1, columns) scratch.
template <class T>
MatrixView<T> backward(Context& ctx, const Network<T>& net, const Tile<T>& tile, MatrixView<const T> cotangents,
                       Index per_sample)
{
    const std::size_t last = net.layers.size() - 1;
    auto current = ctx.scratch<T>(cotangents.rows, cotangents.cols);
    for (Index j = 0; j < cotangents.cols; ++j) std::copy_n(cotangents.column(j), cotangents.rows, current.column(j));
    for (std::size_t l = last + 1; l-- > 0;) {
        if (net.layers[l].activation != Activation::identity) apply_slopes<T>(tile.slopes[l], per_sample, current);
        if (l == 0) break;
        const auto next = ctx.scratch<T>(net.layers[l].weight.rows, current.cols);
        gemm<T>(Transpose::no, Transpose::no, T(1), net.layers[l].weight, current, T(0), next);
        current = next;
    }
    return current;
}

template <class T>
Index checked_samples(const Network<T>& net, MatrixView<const T> x)
{
    net.check();
    require<ShapeError>(x.rows == net.inputs(), "the network takes ", net.inputs(), " inputs, got ", x.rows);
    return x.cols;
}

} // namespace

template <class T>
void Network<T>::check() const
{
    require<ShapeError>(!layers.empty(), "a network needs at least one layer");
    for (std::size_t l = 0; l < layers.size(); ++l) {
        require<ShapeError>(layers[l].weight.rows > 0 && layers[l].weight.cols > 0, "layer ", l, " is empty");
        require<ShapeError>(l == 0 || layers[l].weight.rows == layers[l - 1].weight.cols, "layer ", l, " takes ",
                            layers[l].weight.rows, " inputs, layer ", l - 1, " gives ",
                            l == 0 ? 0 : layers[l - 1].weight.cols);
    }
}

template <class T>
void forward(Context& ctx, const Network<T>& net, MatrixView<const T> x, MatrixView<T> logits)
{
    const Index n = checked_samples(net, x);
    require<ShapeError>(logits.rows == net.outputs() && logits.cols == n, "logits must be (", n, ", ", net.outputs(),
                        ")");
    for (Index first = 0; first < n; first += kTileColumns) {
        const Workspace::Scope scope(ctx.workspace());
        const Index count = std::min(kTileColumns, n - first);
        const Tile<T> tile = linearise<T>(ctx, net, x.columns(first, count), false);
        for (Index j = 0; j < count; ++j) std::copy_n(tile.output.column(j), logits.rows, logits.column(first + j));
        ctx.poll();
    }
}

template <class T>
void pull_back(Context& ctx, const Network<T>& net, MatrixView<const T> x, MatrixView<const T> cotangents,
               MatrixView<T> rows)
{
    const Index n = checked_samples(net, x);
    if (n == 0) return;
    const Index per_sample = cotangents.cols / n;
    require<ShapeError>(cotangents.rows == net.outputs() && per_sample * n == cotangents.cols,
                        "cotangents must be (n, r, ", net.outputs(), ") for n = ", n);
    require<ShapeError>(rows.rows == net.first_width() && rows.cols == cotangents.cols, "rows must be (n, r, ",
                        net.first_width(), ")");
    if (per_sample == 0) return;
    const Index step = std::max<Index>(1, kTileColumns / per_sample);
    for (Index first = 0; first < n; first += step) {
        const Workspace::Scope scope(ctx.workspace());
        const Index count = std::min(step, n - first);
        const Tile<T> tile = linearise<T>(ctx, net, x.columns(first, count), true);
        const auto pulled =
            backward<T>(ctx, net, tile, cotangents.columns(first * per_sample, count * per_sample), per_sample);
        for (Index j = 0; j < pulled.cols; ++j)
            std::copy_n(pulled.column(j), rows.rows, rows.column(first * per_sample + j));
        ctx.poll();
    }
}

template <class T>
void grouped_jacobian(Context& ctx, const Network<T>& net, MatrixView<const T> x, const std::int64_t* group,
                      Index n_groups, MatrixView<T> sum)
{
    const Index n = checked_samples(net, x), n_logits = net.outputs(), width = net.first_width();
    require<ShapeError>(sum.rows == net.inputs() && sum.cols == n_logits * n_groups, "sum must be (", n_groups, ", ",
                        n_logits, ", ", net.inputs(), ")");
    const Workspace::Scope scope(ctx.workspace());
    // Sums are taken where the Jacobian is narrow; one product with W1' follows for all groups together.
    const auto narrow = ctx.scratch<double>(width, n_logits * n_groups);
    std::fill_n(narrow.data, width * narrow.cols, 0.0);
    const Index step = std::max<Index>(1, kTileColumns / n_logits);
    const auto identity = ctx.scratch<T>(n_logits, n_logits * std::min(step, std::max<Index>(n, 1)));
    for (Index j = 0; j < identity.cols; ++j)
        for (Index i = 0; i < n_logits; ++i) identity(i, j) = j % n_logits == i ? T(1) : T(0);
    for (Index first = 0; first < n; first += step) {
        const Workspace::Scope tile_scope(ctx.workspace());
        const Index count = std::min(step, n - first);
        const Tile<T> tile = linearise<T>(ctx, net, x.columns(first, count), true);
        const auto rows = backward<T>(ctx, net, tile, identity.columns(0, count * n_logits), n_logits);
        for (Index j = 0; j < rows.cols; ++j) {
            const std::int64_t g = group[first + j / n_logits];
            require(g >= 0 && g < n_groups, "group ", g, " of sample ", first + j / n_logits, " is not in [0, ",
                    n_groups, ")");
            double* target = narrow.column(j % n_logits + n_logits * g);
            for (Index i = 0; i < width; ++i) target[i] += static_cast<double>(rows(i, j));
        }
        ctx.poll();
    }
    const auto rounded = ctx.scratch<T>(width, narrow.cols);
    for (Index i = 0; i < width * narrow.cols; ++i) rounded.data[i] = static_cast<T>(narrow.data[i]);
    gemm<T>(Transpose::no, Transpose::no, T(1), net.layers.front().weight, rounded, T(0), sum);
}

template struct Network<float>;
template struct Network<double>;
template void forward<float>(Context&, const Network<float>&, MatrixView<const float>, MatrixView<float>);
template void forward<double>(Context&, const Network<double>&, MatrixView<const double>, MatrixView<double>);
template void pull_back<float>(Context&, const Network<float>&, MatrixView<const float>, MatrixView<const float>,
                               MatrixView<float>);
template void pull_back<double>(Context&, const Network<double>&, MatrixView<const double>, MatrixView<const double>,
                                MatrixView<double>);
template void grouped_jacobian<float>(Context&, const Network<float>&, MatrixView<const float>, const std::int64_t*,
                                      Index, MatrixView<float>);
template void grouped_jacobian<double>(Context&, const Network<double>&, MatrixView<const double>, const std::int64_t*,
                                       Index, MatrixView<double>);

} // namespace hessay

#include "hessay/network.hpp"

#include "hessay/error.hpp"
#include "hessay/parallel.hpp"
#include "hessay/primitives.hpp"
#include "passes.hpp"

#include <algorithm>

namespace hessay {

namespace {

constexpr Index kTileColumns = 1024; // rows of GEMM work per tile: 256 to 2048 are equally fast, less wastes packing

// The cotangents of the first pre-activation for cotangents (C, count per_sample) of the logits of a tile of samples.
template <class T>
MatrixView<T> pulled(Context& ctx, const Network<T>& net, MatrixView<const T> x, MatrixView<const T> cotangents,
                     Index per_sample)
{
    std::vector<Derivatives<T>> kept(net.layers.size());
    for (std::size_t l = 0; l < kept.size(); ++l)
        if (net.layers[l].activation != Activation::identity)
            kept[l].slope = ctx.scratch<T>(net.layers[l].width(), x.cols);
    const auto primal = scratch_values<T>(ctx, net, x.cols);
    sweep_forward<T>(net, 0, x, primal,
                     [&](std::size_t l, MatrixView<T> y) { activate<T>(net.layers[l], y, kept[l]); });
    const auto values = scratch_values<T>(ctx, net, cotangents.cols);
    const auto step = [&](std::size_t l, MatrixView<T> d) {
        if (kept[l].slope.data) scale_by_sample<T>(kept[l].slope, per_sample, d);
    };
    accumulate<T>(cotangents, false, values.back());
    sweep_backward<T>(net, values, step);
    step(0, values[1]);
    return values[1];
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
        const Layer<T>& layer = layers[l];
        require<ShapeError>(layer.weight.rows > 0 && layer.width() > 0, "layer ", l, " is empty");
        require<ShapeError>(layer.weight.data || layer.weight.rows == layer.width(), "layer ", l,
                            " has no weight, but ", layer.weight.rows, " inputs and ", layer.width(), " outputs");
        require<ShapeError>(layer.input >= (l > 0) && layer.input <= static_cast<Index>(l), "layer ", l,
                            " reads value ", layer.input, "; layer 0 reads value 0, others a value from 1 to ", l);
        require<ShapeError>(layer.skip == -1 || (layer.skip > 0 && layer.skip <= static_cast<Index>(l)), "layer ", l,
                            " adds value ", layer.skip, ", which is not one from 1 to ", l);
        require<ShapeError>(l == 0 || layer.weight.rows == width(layer.input), "layer ", l, " takes ",
                            layer.weight.rows, " inputs, value ", layer.input, " has ",
                            l == 0 ? 0 : width(layer.input));
        require<ShapeError>(layer.skip == -1 || layer.width() == width(layer.skip), "layer ", l, " gives ",
                            layer.width(), " outputs and adds value ", layer.skip, ", which has another width");
    }
}

template <class T>
void multiply(const Layer<T>& layer, MatrixView<const T> x, T beta, MatrixView<T> c)
{
    if (layer.weight.data)
        gemm<T>(Transpose::yes, Transpose::no, T(1), layer.weight, x, beta, c);
    else
        accumulate<T>(x, beta != 0, c);
}

template <class T>
void multiply_transposed(const Layer<T>& layer, MatrixView<const T> x, T beta, MatrixView<T> c)
{
    if (layer.weight.data)
        gemm<T>(Transpose::no, Transpose::no, T(1), layer.weight, x, beta, c);
    else
        accumulate<T>(x, beta != 0, c);
}

template <class T>
void accumulate(MatrixView<const T> source, bool add, MatrixView<T> target)
{
    require<ShapeError>(source.rows == target.rows && source.cols == target.cols, "(", source.rows, ", ", source.cols,
                        ") cannot be added to (", target.rows, ", ", target.cols, ")");
    for (Index j = 0; j < target.cols; ++j) {
        if (add)
            for (Index i = 0; i < target.rows; ++i) target(i, j) += source(i, j);
        else
            std::copy_n(source.column(j), target.rows, target.column(j));
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
        const auto values = scratch_values<T>(ctx, net, count);
        sweep_forward<T>(net, 0, x.columns(first, count), values,
                         [&](std::size_t l, MatrixView<T> y) { activate<T>(net.layers[l], y, {}); });
        accumulate<T>(values.back(), false, logits.columns(first, count));
        ctx.poll();
    }
}

template <class T>
void pull_back(Context& ctx, const Network<T>& net, MatrixView<const T> x, MatrixView<const T> cotangents,
               MatrixView<T> rows)
{
    const Index n = checked_samples(net, x);
    if (n == 0) return;
    const Index r = cotangents.cols / n;
    require<ShapeError>(cotangents.rows == net.outputs() && r * n == cotangents.cols, "cotangents must be (n, r, ",
                        net.outputs(), ") for n = ", n);
    require<ShapeError>(rows.rows == net.first_width() && rows.cols == cotangents.cols, "rows must be (n, r, ",
                        net.first_width(), ")");
    if (r == 0) return;
    const Index step = std::max<Index>(1, kTileColumns / r), tiles = (n + step - 1) / step;
    parallel_ranges(ctx, tiles, [&](Context& own, Index, Index begin, Index end) {
        for (Index first = begin * step; first < std::min(n, end * step); first += step) {
            const Workspace::Scope scope(own.workspace());
            const Index count = std::min(step, n - first);
            const auto tile = pulled<T>(own, net, x.columns(first, count), cotangents.columns(first * r, count * r), r);
            accumulate<T>(tile, false, rows.columns(first * r, count * r));
            own.poll();
        }
    });
}

template <class T>
void grouped_jacobian(Context& ctx, const Network<T>& net, MatrixView<const T> x, const std::int64_t* group,
                      Index n_groups, MatrixView<T> sum)
{
    const Index n = checked_samples(net, x), n_logits = net.outputs(), width = net.first_width();
    require<ShapeError>(sum.rows == net.inputs() && sum.cols == n_logits * n_groups, "sum must be (", n_groups, ", ",
                        n_logits, ", ", net.inputs(), ")");
    for (Index i = 0; i < n; ++i)
        require(group[i] >= 0 && group[i] < n_groups, "group ", group[i], " of sample ", i, " is not in [0, ", n_groups,
                ")");
    const Workspace::Scope scope(ctx.workspace());
    // Sums are taken where the Jacobian is narrow; one product with W1' follows for all groups together.
    const Index columns = n_logits * n_groups, step = std::max<Index>(1, kTileColumns / n_logits);
    const Index tiles = (n + step - 1) / step, threads = thread_count(ctx, tiles);
    const auto narrow = ctx.scratch<double>(width, columns * threads);
    std::fill_n(narrow.data, width * narrow.cols, 0.0);
    const auto identity = ctx.scratch<T>(n_logits, n_logits * std::min(step, std::max<Index>(n, 1)));
    for (Index j = 0; j < identity.cols; ++j)
        for (Index i = 0; i < n_logits; ++i) identity(i, j) = j % n_logits == i ? T(1) : T(0);
    parallel_ranges(ctx, tiles, [&](Context& own, Index thread, Index begin, Index end) {
        const auto mine = narrow.columns(thread * columns, columns);
        for (Index first = begin * step; first < std::min(n, end * step); first += step) {
            const Workspace::Scope tile_scope(own.workspace());
            const Index count = std::min(step, n - first);
            const auto rows =
                pulled<T>(own, net, x.columns(first, count), identity.columns(0, count * n_logits), n_logits);
            for (Index j = 0; j < rows.cols; ++j) {
                double* target = mine.column(j % n_logits + n_logits * group[first + j / n_logits]);
                for (Index i = 0; i < width; ++i) target[i] += static_cast<double>(rows(i, j));
            }
            own.poll();
        }
    });
    const auto rounded = ctx.scratch<T>(width, columns);
    for (Index i = 0; i < width * columns; ++i) {
        double total = 0;
        for (Index t = 0; t < threads; ++t) total += narrow.data[i + t * width * columns];
        rounded.data[i] = static_cast<T>(total);
    }
    multiply_transposed<T>(net.layers.front(), rounded, T(0), sum);
}

template struct Network<float>;
template struct Network<double>;
template void multiply<float>(const Layer<float>&, MatrixView<const float>, float, MatrixView<float>);
template void multiply<double>(const Layer<double>&, MatrixView<const double>, double, MatrixView<double>);
template void multiply_transposed<float>(const Layer<float>&, MatrixView<const float>, float, MatrixView<float>);
template void multiply_transposed<double>(const Layer<double>&, MatrixView<const double>, double, MatrixView<double>);
template void accumulate<float>(MatrixView<const float>, bool, MatrixView<float>);
template void accumulate<double>(MatrixView<const double>, bool, MatrixView<double>);
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

#include "hessay/hvp.hpp"

#include "hessay/error.hpp"
#include "hessay/parallel.hpp"
#include "hessay/primitives.hpp"
#include "passes.hpp"
#include "tangents.hpp"

#include <algorithm>
#include <cmath>

namespace hessay {

namespace {

constexpr Index kTileColumns = 768; // measured flat from 256 to 2048 columns of GEMM work
constexpr Index kSetupColumns = 256;

} // namespace

template <class T>
LossHessian<T>::LossHessian(Context& ctx, const Network<T>& net, MatrixView<const T> x, MatrixView<const T> targets,
                            Loss loss, double scale)
    : net_(net), loss_(loss), scale_(scale), samples_(x.cols)
{
    net_.check();
    const Index n = samples_;
    require<ShapeError>(x.rows == net_.inputs() && n > 0, "the network takes ", net_.inputs(),
                        " inputs of at least one sample, got (", n, ", ", x.rows, ")");
    require<ShapeError>(targets.rows == net_.outputs() && targets.cols == n, "targets must be (", n, ", ",
                        net_.outputs(), "), got (", targets.cols, ", ", targets.rows, ")");
    require(std::isfinite(scale) && scale > 0, "the logit scale must be positive and finite, got ", scale);
    require<NonFinite>(all_finite<T>(targets), "the targets hold NaN or Inf");
    kept_.resize(net_.layers.size());
    for (std::size_t l = 0; l < kept_.size(); ++l) {
        const Activation act = net_.layers[l].activation;
        const auto size = static_cast<std::size_t>(net_.layers[l].width() * n);
        kept_[l].slope.resize(act == Activation::identity ? 0 : size);
        kept_[l].curvature.resize(is_piecewise_linear(act) ? 0 : size);
    }
    state_.resize(static_cast<std::size_t>(net_.outputs() * n));
    const Index tiles = (n + kSetupColumns - 1) / kSetupColumns;
    parallel_ranges(ctx, tiles, [&](Context& own, Index, Index begin, Index end) {
        for (Index first = begin * kSetupColumns; first < std::min(n, end * kSetupColumns); first += kSetupColumns) {
            const Index count = std::min(kSetupColumns, n - first);
            linearise_tile(own, x.columns(first, count), targets.columns(first, count), first);
            own.poll();
        }
    });
    if (!smooth(0)) return;
    first_curvature_.assign(static_cast<std::size_t>(net_.first_width()), 0.0);
    const auto each = curvature(0, 0, n);
    for (Index j = 0; j < n; ++j)
        for (Index i = 0; i < each.rows; ++i) first_curvature_[i] += static_cast<double>(each(i, j));
    for (double& c : first_curvature_) c /= static_cast<double>(n);
}

template <class T>
void LossHessian<T>::linearise_tile(Context& ctx, MatrixView<const T> x, MatrixView<const T> targets, Index first)
{
    const Workspace::Scope scope(ctx.workspace());
    const Index count = x.cols, n_classes = net_.outputs();
    const auto values = scratch_values<T>(ctx, net_, count);
    sweep_forward<T>(net_, 0, x, values, [&](std::size_t l, MatrixView<T> y) {
        const Index bad = activate<T>(net_.layers[l], y, {slope(l, first, count), curvature(l, first, count)});
        require<NonFinite>(bad < 0, "layer ", l, " is NaN or Inf at sample ", first + bad);
    });
    for (Index j = 0; j < count; ++j) { // the gradient takes the place of the logits
        T *z = values.back().column(j), *gradient = ctx.scratch<T>(n_classes, 1).data;
        loss_linearise<T>(loss_, z, targets.column(j), n_classes, scale_, state_.data() + (first + j) * n_classes,
                          gradient);
        std::copy_n(gradient, n_classes, z);
    }
    const auto step = [&](std::size_t l, MatrixView<T> g) { // act''(a_l) <- g_l act''(a_l), g_l <- act'(a_l) g_l
        if (smooth(l)) scale_by_sample<T>(g, 1, curvature(l, first, count));
        if (!kept_[l].slope.empty()) scale_by_sample<T>(slope(l, first, count), 1, g);
    };
    sweep_backward<T>(net_, values, step);
    step(0, values[1]);
}

template <class T>
MatrixView<T> LossHessian<T>::slope(std::size_t layer, Index first, Index count) const
{
    const Index h = net_.layers[layer].width();
    if (kept_[layer].slope.empty()) return {};
    return {const_cast<T*>(kept_[layer].slope.data()) + first * h, h, count, h};
}

template <class T>
MatrixView<T> LossHessian<T>::curvature(std::size_t layer, Index first, Index count) const
{
    const Index h = net_.layers[layer].width();
    if (kept_[layer].curvature.empty()) return {};
    return {const_cast<T*>(kept_[layer].curvature.data()) + first * h, h, count, h};
}

template <class T>
std::size_t LossHessian<T>::bytes() const
{
    std::size_t numbers = state_.size();
    for (const Kept& kept : kept_) numbers += kept.slope.size() + kept.curvature.size();
    return numbers * sizeof(T);
}

template <class T>
std::size_t LossHessian<T>::product_bytes(Index k) const
{
    const Index columns = std::min(std::max<Index>(1, kTileColumns / std::max<Index>(k, 1)), samples_) * k;
    Index rows = 0;
    for (std::size_t l = 0; l < kept_.size(); ++l) rows += net_.layers[l].width() * (1 + (l > 0 && smooth(l)));
    return static_cast<std::size_t>(rows * columns) * sizeof(T);
}

// From value 1's tangents in values[1] to its cotangents there, for the samples from first on.
template <class T>
void LossHessian<T>::tangent_sweeps(Context& ctx, Index first, Index per_sample,
                                    const std::vector<MatrixView<T>>& values) const
{
    const Index columns = values[1].cols, count = columns / per_sample, n_classes = net_.outputs();
    std::vector<MatrixView<T>> tangents(net_.layers.size()); // a'_l where act'' needs it later
    sweep_forward<T>(net_, 1, {}, values, [&](std::size_t l, MatrixView<T> a) {
        if (smooth(l)) {
            tangents[l] = ctx.scratch<T>(a.rows, columns);
            scale_and_keep<T>(slope(l, first, count), per_sample, a, tangents[l]);
        } else if (!kept_[l].slope.empty()) {
            scale_by_sample<T>(slope(l, first, count), per_sample, a);
        }
    });
    for (Index j = 0; j < columns; ++j)
        loss_curvature<T>(loss_, state_.data() + (first + j / per_sample) * n_classes, n_classes, scale_,
                          values.back().column(j));
    sweep_backward<T>(net_, values, [&](std::size_t l, MatrixView<T> g) {
        if (smooth(l))
            tangent_backward_step<T>(slope(l, first, count), curvature(l, first, count), tangents[l], per_sample, g);
        else if (!kept_[l].slope.empty())
            scale_by_sample<T>(slope(l, first, count), per_sample, g);
    });
}

// mean (h1, k) <- the mean over the samples of d'_1 for a'_1 = pushed: the Hessian seen from the first pre-activation.
template <class T>
void LossHessian<T>::apply_narrow(Context& ctx, MatrixView<const T> pushed, MatrixView<T> mean) const
{
    const Index k = pushed.cols, h = net_.first_width();
    const Workspace::Scope scope(ctx.workspace());
    const Index step = std::max<Index>(1, kTileColumns / k), tiles = (samples_ + step - 1) / step;
    const Index threads = thread_count(ctx, tiles);
    const auto sums = ctx.scratch<double>(h, k * threads);
    std::fill_n(sums.data, h * k * threads, 0.0);
    parallel_ranges(ctx, tiles, [&](Context& own, Index thread, Index begin, Index end) {
        for (Index first = begin * step; first < std::min(samples_, end * step); first += step) {
            const Workspace::Scope tile_scope(own.workspace());
            const Index count = std::min(step, samples_ - first);
            const auto values = scratch_values<T>(own, net_, count * k);
            expand_shared<T>(slope(0, first, count), pushed, values[1]);
            tangent_sweeps(own, first, k, values);
            reduce_shared<T>(slope(0, first, count), values[1], sums.columns(thread * k, k));
            own.poll();
        }
    });
    const double weight = 1.0 / static_cast<double>(samples_);
    for (Index j = 0; j < k; ++j) {
        for (Index i = 0; i < h; ++i) {
            double total = 0;
            for (Index t = 0; t < threads; ++t) total += sums(i, t * k + j);
            total *= weight; // and what act'' of the first layer adds is the same multiple of a'_1 for every column
            if (smooth(0)) total += first_curvature_[i] * static_cast<double>(pushed(i, j));
            mean(i, j) = static_cast<T>(total);
        }
    }
}

template <class T>
void LossHessian<T>::apply(Context& ctx, MatrixView<const T> v, MatrixView<T> out) const
{
    const Index k = v.cols, h = net_.first_width();
    require<ShapeError>(v.rows == size() && out.rows == size() && out.cols == k, "directions must be (", size(),
                        ", k), got (", v.rows, ", ", k, ")");
    if (k == 0) return;
    const Workspace::Scope scope(ctx.workspace());
    const auto pushed = ctx.scratch<T>(h, k), mean = ctx.scratch<T>(h, k);
    multiply<T>(net_.layers.front(), v, T(0), pushed);
    apply_narrow(ctx, pushed, mean);
    multiply_transposed<T>(net_.layers.front(), mean, T(0), out);
}

template <class T>
void LossHessian<T>::dense(Context& ctx, MatrixView<double> out) const
{
    constexpr Index kColumns = 32;
    const Index d = size(), h = net_.first_width();
    require<ShapeError>(out.rows == d && out.cols == d, "dense must be (", d, ", ", d, ")");
    const Workspace::Scope scope(ctx.workspace());
    // H = W_1' M W_1 with M (h1, h1). A wide first layer is met the other way round: V = I, W_1 V = W_1.
    const Layer<T>& first_layer = net_.layers.front();
    const auto& weight = first_layer.weight;
    const bool narrow = h < d || !weight.data;
    const Index size = narrow ? h : d;
    const auto m = ctx.scratch<T>(h, size);
    for (Index first = 0; first < size; first += kColumns) {
        const Workspace::Scope block_scope(ctx.workspace());
        const Index count = std::min(kColumns, size - first);
        const auto pushed = ctx.scratch<T>(h, count);
        for (Index j = 0; j < count; ++j)
            for (Index i = 0; i < h; ++i) pushed(i, j) = narrow ? T(i == first + j) : weight(first + j, i);
        apply_narrow(ctx, pushed, m.columns(first, count));
    }
    const auto product = ctx.scratch<T>(d, size), full = ctx.scratch<T>(d, d);
    multiply_transposed<T>(first_layer, m, T(0), product);
    if (narrow && weight.data) gemm<T>(Transpose::no, Transpose::yes, T(1), product, weight, T(0), full);
    const auto& result = narrow && weight.data ? full : product;
    for (Index j = 0; j < d; ++j)
        for (Index i = 0; i <= j; ++i) out(i, j) = out(j, i) = 0.5 * (double(result(i, j)) + double(result(j, i)));
}

template <class T>
void LossHessian<T>::apply_per_sample(Context& ctx, MatrixView<const T> v, MatrixView<T> out) const
{
    const Index k = v.rows, d = size(), n = samples_;
    require<ShapeError>(v.cols == n * d && out.rows == k && out.cols == v.cols && v.contiguous() && out.contiguous(),
                        "per-sample directions must be (n, d, k) with n = ", n, " and d = ", d);
    if (k == 0) return;
    const Layer<T>& layer = net_.layers.front();
    const Index step = std::max<Index>(1, kTileColumns / k), tiles = (n + step - 1) / step;
    parallel_ranges(ctx, tiles, [&](Context& own, Index, Index begin, Index end) {
        for (Index first = begin * step; first < std::min(n, end * step); first += step) {
            const Workspace::Scope scope(own.workspace());
            const Index count = std::min(step, n - first);
            // The tile as (d, count k), so that one product serves all its samples.
            const auto tile = own.scratch<T>(d, count * k);
            for (Index i = 0; i < count; ++i) transpose<T>(v.columns((first + i) * d, d), tile.columns(i * k, k));
            const auto values = scratch_values<T>(own, net_, count * k);
            multiply<T>(layer, tile, T(0), values[1]);
            MatrixView<T> tangent;
            if (smooth(0)) {
                tangent = own.scratch<T>(layer.width(), count * k);
                scale_and_keep<T>(slope(0, first, count), k, values[1], tangent);
            } else if (!kept_[0].slope.empty()) {
                scale_by_sample<T>(slope(0, first, count), k, values[1]);
            }
            tangent_sweeps(own, first, k, values);
            if (smooth(0))
                tangent_backward_step<T>(slope(0, first, count), curvature(0, first, count), tangent, k, values[1]);
            else if (!kept_[0].slope.empty())
                scale_by_sample<T>(slope(0, first, count), k, values[1]);
            multiply_transposed<T>(layer, values[1], T(0), tile);
            for (Index i = 0; i < count; ++i) transpose<T>(tile.columns(i * k, k), out.columns((first + i) * d, d));
            own.poll();
        }
    });
}

template class LossHessian<float>;
template class LossHessian<double>;

} // namespace hessay

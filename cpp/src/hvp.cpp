#include "hessay/hvp.hpp"

#include "hessay/error.hpp"
#include "hessay/primitives.hpp"

#include <algorithm>
#include <cmath>

namespace hessay {

namespace {

constexpr Index kTileColumns = 768; // measured flat from 256 to 2048 columns of GEMM work

// out[:, i k + j] <- factor[:, i] * in[:, i k + j]
template <class T>
void scale_by_sample(const T* factor, Index rows, Index per_sample, MatrixView<T> block)
{
    for (Index j = 0; j < block.cols; ++j) {
        const T* f = factor + (j / per_sample) * rows;
        T* column = block.column(j);
        for (Index i = 0; i < rows; ++i) column[i] *= f[i];
    }
}

// back[:, i k + j] <- slope[:, i] * back + curvature[:, i] * tangent
template <class T>
void tangent_backward_step(const T* slope, const T* curvature, MatrixView<const T> tangent, Index per_sample,
                           MatrixView<T> back)
{
    for (Index j = 0; j < back.cols; ++j) {
        const Index offset = (j / per_sample) * back.rows;
        const T *s = slope + offset, *c = curvature + offset, *t = tangent.column(j);
        T* column = back.column(j);
        for (Index i = 0; i < back.rows; ++i) column[i] = s[i] * column[i] + c[i] * t[i];
    }
}

} // namespace

template <class T>
LossHessian<T>::LossHessian(Context& ctx, const Network<T>& net, MatrixView<const T> x, const std::int64_t* labels,
                            double scale)
    : net_(net), samples_(x.cols), inverse_scale_squared_(static_cast<T>(1 / (scale * scale)))
{
    net_.check();
    require<ShapeError>(x.rows == net_.inputs() && samples_ > 0, "the network takes ", net_.inputs(),
                        " inputs of at least one sample, got (", samples_, ", ", x.rows, ")");
    require(std::isfinite(scale) && scale > 0, "the logit scale must be positive and finite, got ", scale);
    const Index n = samples_, n_classes = net_.outputs();
    kept_.resize(net_.layers.size());
    const Workspace::Scope scope(ctx.workspace());

    // Forward: y_l, and act'(a_l) and act''(a_l) are kept.
    MatrixView<const T> input = x;
    for (std::size_t l = 0; l < net_.layers.size(); ++l) {
        const Layer<T>& layer = net_.layers[l];
        const Index h = layer.weight.cols;
        const auto y = ctx.scratch<T>(h, n);
        gemm<T>(Transpose::yes, Transpose::no, T(1), layer.weight, input, T(0), y);
        const bool smooth = !is_piecewise_linear(layer.activation);
        kept_[l].slope.resize(static_cast<std::size_t>(h * n));
        kept_[l].curvature.resize(smooth ? static_cast<std::size_t>(h * n) : 0);
        for (Index j = 0; j < n; ++j) {
            for (Index i = 0; i < h; ++i) {
                const T a = y(i, j) + (layer.bias ? layer.bias[i] : T(0));
                require<NonFinite>(std::isfinite(a), "layer ", l, " is NaN or Inf at sample ", j);
                y(i, j) = activation_value(layer.activation, layer.parameter, a);
                kept_[l].slope[i + j * h] = activation_slope(layer.activation, layer.parameter, a);
                if (smooth) kept_[l].curvature[i + j * h] = activation_curvature(layer.activation, layer.parameter, a);
            }
        }
        input = y;
        ctx.poll();
    }

    // Softmax, and g_L = (p - e_label) / scale.
    probability_.resize(static_cast<std::size_t>(n_classes * n));
    auto g = ctx.scratch<T>(n_classes, n);
    for (Index j = 0; j < n; ++j) {
        require(labels[j] >= 0 && labels[j] < n_classes, "label ", labels[j], " of sample ", j, " is not in [0, ",
                n_classes, ")");
        const T* z = input.column(j);
        const double largest = static_cast<double>(*std::max_element(z, z + n_classes));
        double sum = 0;
        for (Index c = 0; c < n_classes; ++c) sum += std::exp((static_cast<double>(z[c]) - largest) / scale);
        for (Index c = 0; c < n_classes; ++c) {
            const double p = std::exp((static_cast<double>(z[c]) - largest) / scale) / sum;
            probability_[c + j * n_classes] = static_cast<T>(p);
            g(c, j) = static_cast<T>((p - (c == labels[j] ? 1.0 : 0.0)) / scale);
        }
    }

    // Backward: act''(a_l) <- g_l act''(a_l), g_(l-1) = W_l' (act'(a_l) g_l).
    for (std::size_t l = net_.layers.size(); l-- > 0;) {
        const Index h = net_.layers[l].weight.cols;
        for (std::size_t i = 0; i < kept_[l].curvature.size(); ++i) kept_[l].curvature[i] *= g.data[i];
        if (l == 0) break;
        for (Index i = 0; i < h * n; ++i) g.data[i] *= kept_[l].slope[i];
        const auto next = ctx.scratch<T>(net_.layers[l].weight.rows, n);
        gemm<T>(Transpose::no, Transpose::no, T(1), net_.layers[l].weight, g, T(0), next);
        g = next;
        ctx.poll();
    }
}

template <class T>
std::size_t LossHessian<T>::bytes() const
{
    std::size_t numbers = probability_.size();
    for (const Kept& kept : kept_) numbers += kept.slope.size() + kept.curvature.size();
    return numbers * sizeof(T);
}

// block <- S block for the samples from first on:  S u = p (u - p'u), over scale^2.
template <class T>
void LossHessian<T>::softmax_curvature(Index first, Index per_sample, MatrixView<T> block) const
{
    for (Index j = 0; j < block.cols; ++j) {
        const T* p = probability_.data() + (first + j / per_sample) * block.rows;
        T* u = block.column(j);
        T mean = 0;
        for (Index c = 0; c < block.rows; ++c) mean += p[c] * u[c];
        for (Index c = 0; c < block.rows; ++c) u[c] = inverse_scale_squared_ * p[c] * (u[c] - mean);
    }
}

// block (h1, count per_sample): in a'_1, out d'_1, for the samples [first, first + count).
template <class T>
void LossHessian<T>::tangent_pass(Context& ctx, Index first, Index count, Index per_sample, MatrixView<T> block) const
{
    const std::size_t n_layers = net_.layers.size();
    const Index columns = count * per_sample;
    std::vector<MatrixView<T>> tangents(n_layers); // a'_l where act'' needs it later
    MatrixView<T> current = block;
    for (std::size_t l = 0; l < n_layers; ++l) {
        const Index h = net_.layers[l].weight.cols;
        if (!kept_[l].curvature.empty()) {
            tangents[l] = ctx.scratch<T>(h, columns);
            std::copy_n(current.data, h * columns, tangents[l].data);
        }
        if (net_.layers[l].activation != Activation::identity)
            scale_by_sample<T>(kept_[l].slope.data() + first * h, h, per_sample, current);
        if (l + 1 == n_layers) break;
        const auto next = ctx.scratch<T>(net_.layers[l + 1].weight.cols, columns);
        gemm<T>(Transpose::yes, Transpose::no, T(1), net_.layers[l + 1].weight, current, T(0), next);
        current = next;
    }
    softmax_curvature(first, per_sample, current);
    for (std::size_t l = n_layers; l-- > 0;) {
        const Index h = net_.layers[l].weight.cols;
        const T* slope = kept_[l].slope.data() + first * h;
        if (!kept_[l].curvature.empty())
            tangent_backward_step<T>(slope, kept_[l].curvature.data() + first * h, tangents[l], per_sample, current);
        else if (net_.layers[l].activation != Activation::identity)
            scale_by_sample<T>(slope, h, per_sample, current);
        if (l == 0) break;
        const auto next = l == 1 ? block : ctx.scratch<T>(net_.layers[l].weight.rows, columns);
        gemm<T>(Transpose::no, Transpose::no, T(1), net_.layers[l].weight, current, T(0), next);
        current = next;
    }
}

// mean (h1, k) <- the mean over the samples of d'_1 for a'_1 = pushed: the Hessian seen from the first pre-activation.
template <class T>
void LossHessian<T>::apply_narrow(Context& ctx, MatrixView<const T> pushed, MatrixView<T> mean) const
{
    const Index k = pushed.cols, h = net_.first_width();
    const Workspace::Scope scope(ctx.workspace());
    const auto sum = ctx.scratch<double>(h, k);
    std::fill_n(sum.data, h * k, 0.0);
    const Index step = std::max<Index>(1, kTileColumns / k);
    for (Index first = 0; first < samples_; first += step) {
        const Workspace::Scope tile_scope(ctx.workspace());
        const Index count = std::min(step, samples_ - first);
        const auto block = ctx.scratch<T>(h, count * k);
        for (Index i = 0; i < count; ++i) std::copy_n(pushed.data, h * k, block.column(i * k));
        tangent_pass(ctx, first, count, k, block);
        for (Index i = 0; i < count; ++i) {
            const T* rows = block.column(i * k);
            for (Index j = 0; j < h * k; ++j) sum.data[j] += static_cast<double>(rows[j]);
        }
        ctx.poll();
    }
    const double weight = 1.0 / static_cast<double>(samples_);
    for (Index j = 0; j < h * k; ++j) mean.data[j] = static_cast<T>(sum.data[j] * weight);
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
    gemm<T>(Transpose::yes, Transpose::no, T(1), net_.layers.front().weight, v, T(0), pushed);
    apply_narrow(ctx, pushed, mean);
    gemm<T>(Transpose::no, Transpose::no, T(1), net_.layers.front().weight, mean, T(0), out);
}

template <class T>
void LossHessian<T>::dense(Context& ctx, MatrixView<double> out) const
{
    constexpr Index kColumns = 32;
    const Index d = size(), h = net_.first_width();
    require<ShapeError>(out.rows == d && out.cols == d, "dense must be (", d, ", ", d, ")");
    const Workspace::Scope scope(ctx.workspace());
    // H = W_1' M W_1 with M (h1, h1). A wide first layer is met the other way round: V = I, W_1 V = W_1.
    const bool narrow = h < d;
    const Index size = narrow ? h : d;
    const auto& weight = net_.layers.front().weight;
    const auto m = ctx.scratch<T>(h, size);
    for (Index first = 0; first < size; first += kColumns) {
        const Workspace::Scope block_scope(ctx.workspace());
        const Index count = std::min(kColumns, size - first);
        const auto pushed = ctx.scratch<T>(h, count);
        for (Index j = 0; j < count; ++j)
            for (Index i = 0; i < h; ++i) pushed(i, j) = narrow ? (i == first + j ? T(1) : T(0)) : weight(first + j, i);
        apply_narrow(ctx, pushed, m.columns(first, count));
    }
    const auto product = ctx.scratch<T>(d, size), full = ctx.scratch<T>(d, d);
    gemm<T>(Transpose::no, Transpose::no, T(1), weight, m, T(0), product);
    if (narrow) gemm<T>(Transpose::no, Transpose::yes, T(1), product, weight, T(0), full);
    const auto& result = narrow ? full : product;
    for (Index j = 0; j < d; ++j)
        for (Index i = 0; i <= j; ++i) out(i, j) = out(j, i) = 0.5 * (double(result(i, j)) + double(result(j, i)));
}

template <class T>
void LossHessian<T>::apply_per_sample(Context& ctx, MatrixView<const T> v, MatrixView<T> out) const
{
    const Index k = v.rows, d = size();
    require<ShapeError>(v.cols == samples_ * d && out.rows == k && out.cols == v.cols && v.contiguous() &&
                            out.contiguous(),
                        "per-sample directions must be (n, d, k) with n = ", samples_, " and d = ", d);
    if (k == 0) return;
    const Layer<T>& layer = net_.layers.front();
    const Index step = std::max<Index>(1, kTileColumns / k);
    for (Index first = 0; first < samples_; first += step) {
        const Workspace::Scope scope(ctx.workspace());
        const Index count = std::min(step, samples_ - first);
        // The tile as (d, count k), so that one product serves all its samples.
        const auto tile = ctx.scratch<T>(d, count * k);
        for (Index i = 0; i < count; ++i) transpose<T>(v.columns((first + i) * d, d), tile.columns(i * k, k));
        const auto block = ctx.scratch<T>(net_.first_width(), count * k);
        gemm<T>(Transpose::yes, Transpose::no, T(1), layer.weight, tile, T(0), block);
        tangent_pass(ctx, first, count, k, block);
        gemm<T>(Transpose::no, Transpose::no, T(1), layer.weight, block, T(0), tile);
        for (Index i = 0; i < count; ++i) transpose<T>(tile.columns(i * k, k), out.columns((first + i) * d, d));
        ctx.poll();
    }
}

template class LossHessian<float>;
template class LossHessian<double>;

} // namespace hessay

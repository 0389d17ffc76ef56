#include "hessay/stepwise_data.hpp"

#include "hessay/error.hpp"
#include "mapped_rows.hpp"
#include "stepwise_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hessay {

namespace {

constexpr Index kSampleRows = 256;            // the first guess at mean and scale
constexpr double kBadShift = 100;             // |z|^2 about the guess over |z|^2 about the mean: two digits lost
constexpr Index kPanelBytes = Index(4) << 20; // of standardised rows: well within the last-level cache

double power_of_two(double x)
{
    if (!(x > 0) || !std::isfinite(x)) return 1;
    return std::ldexp(1.0, std::clamp(-std::ilogb(x), -1000, 1000));
}

} // namespace

template <class T>
StandardizedData<T>::StandardizedData(Context& ctx, const StepwiseSource& x, std::vector<double> y, Index outputs,
                                      const std::vector<double>& weights, bool centre)
    : x_(x), outputs_(outputs), y_(std::move(y)), centre_(centre)
{
    const Index n = x.rows;
    total_weight_ = static_cast<double>(n);
    if (!weights.empty()) {
        total_weight_ = 0;
        for (const double w : weights) {
            root_.push_back(std::sqrt(w));
            total_weight_ += w;
        }
    }
    y_mean.assign(static_cast<std::size_t>(outputs), 0.0);
    double largest = 0;
    for (int round = 0; centre && round < 2; ++round) // the second round removes what rounding left of the mean
        for (Index c = 0; c < outputs; ++c) {
            double sum = 0;
            for (Index i = 0; i < n; ++i)
                sum += (weights.empty() ? 1.0 : weights[i]) * (y_[i * outputs + c] - y_mean[c]) / total_weight_;
            y_mean[c] += sum;
        }
    for (Index i = 0; i < n; ++i)
        for (Index c = 0; c < outputs; ++c) {
            double& value = y_[i * outputs + c];
            value = (value - y_mean[c]) * (root_.empty() ? 1.0 : root_[i]);
            largest = std::max(largest, std::abs(value));
        }
    y_scale = power_of_two(largest);
    total.assign(static_cast<std::size_t>(outputs * outputs), 0.0);
    for (Index i = 0; i < n; ++i) {
        double* row = y_.data() + i * outputs;
        for (Index c = 0; c < outputs; ++c) row[c] *= y_scale;
        for (Index c = 0; c < outputs; ++c)
            for (Index d = 0; d < outputs; ++d) total[c + d * outputs] += row[c] * row[d];
    }
    first_guess();
    for (int round = 0; round < 3 && !measure(ctx); ++round) continue;
}

template <class T>
void StandardizedData<T>::first_guess()
{
    const Index n = x_.rows, p = x_.cols, m = std::min(kSampleRows, n);
    mean.assign(static_cast<std::size_t>(p), 0.0);
    scale.assign(static_cast<std::size_t>(p), 1.0);
    std::vector<double> squared(static_cast<std::size_t>(p), 0.0);
    const auto at = [&](Index i, Index j) { return x_(i * n / m, j); };
    for (Index i = 0; i < m; ++i)
        for (Index j = 0; j < p; ++j) mean[j] += at(i, j) / static_cast<double>(m);
    if (!centre_) std::fill(mean.begin(), mean.end(), 0.0);
    for (Index i = 0; i < m; ++i)
        for (Index j = 0; j < p; ++j) squared[j] = std::max(squared[j], std::abs(at(i, j) - mean[j]));
    for (Index j = 0; j < p; ++j) {
        if (!std::isfinite(mean[j])) mean[j] = 0; // the pass over all rows will find and name it
        // A column that is constant but for rounding here may well vary elsewhere, in its own unit.
        scale[j] = power_of_two(squared[j] > 1e-12 * std::abs(mean[j]) ? squared[j] : std::abs(mean[j]));
    }
}

// One pass: |z_j|^2, Z'1 and Z'Y about the present guess, which is then moved to the mean. False when the guess was so
// far off that digits were lost, and the pass is to be made again.
template <class T>
bool StandardizedData<T>::measure(Context& ctx)
{
    const Index p = x_.cols, right = outputs_ + 1;
    const auto& kernels = stepwise_kernels(T{});
    const Workspace::Scope scope(ctx.workspace());
    const auto out = ctx.scratch<double>(p, right);
    std::fill_n(out.data, p * right, 0.0);
    squares.assign(static_cast<std::size_t>(p), 0.0);
    const auto fill = [&](Index first, Index count, T* panel) {
        for (Index i = 0; i < count; ++i) {
            panel[i * right] = static_cast<T>(root_.empty() ? 1.0 : root_[first + i]);
            for (Index c = 0; c < outputs_; ++c) panel[i * right + 1 + c] = static_cast<T>(y(first + i)[c]);
        }
    };
    const Index step = panel_rows();
    const auto tiles = ctx.scratch<T>(step, packed_cols()), panel = ctx.scratch<T>(right, step);
    for_panels(ctx, step, [&](Index first, Index count) {
        pack(first, count, tiles.data);
        fill(first, count, panel.data);
        kernels.squares(tiles.data, count, p, squares.data());
        kernels.product({tiles.data, count, p, panel.data, right, right, out.data, p});
    });
    ++passes;
    bool good = true;
    resolution.assign(static_cast<std::size_t>(p), 0.0);
    correlation.assign(static_cast<std::size_t>(p * outputs_), 0.0);
    const double input_eps = x_.single ? std::numeric_limits<float>::epsilon() : std::numeric_limits<double>::epsilon();
    constexpr double eps = std::numeric_limits<T>::epsilon();
    for (Index j = 0; j < p; ++j) {
        const double about_guess = squares[j], sum = out(j, 0);
        if (!std::isfinite(about_guess) || !std::isfinite(sum)) {
            refuse_non_finite(j);
            double largest = 0; // finite, but its squares are not
            for (Index i = 0; i < x_.rows; ++i) largest = std::max(largest, std::abs(x_(i, j)));
            mean[j] = 0;
            scale[j] = power_of_two(largest);
            good = false;
            continue;
        }
        const double offset = centre_ ? sum / total_weight_ : 0.0;
        squares[j] = std::max(0.0, about_guess - offset * sum);
        mean[j] += offset / scale[j];
        // x is a multiple of eps |x|: below that, variation is rounding.
        const double grain = input_eps * std::abs(mean[j] * scale[j]) * std::sqrt(total_weight_);
        if (std::sqrt(squares[j]) <= 4 * (grain + eps * std::sqrt(about_guess))) {
            squares[j] = 0;
            if (std::sqrt(about_guess) > 16 * grain && about_guess > 0) good = false; // a bad guess hides it
        } else {
            resolution[j] = grain / std::sqrt(squares[j]);
            const double size = squares[j] / total_weight_;
            if (about_guess > kBadShift * squares[j] || size > 1e12 || size < 1e-12) good = false;
            if (size > 1e12 || size < 1e-12) scale[j] *= power_of_two(std::sqrt(size));
        }
        for (Index c = 0; c < outputs_; ++c) correlation[j + c * p] = squares[j] > 0 ? out(j, 1 + c) : 0.0;
    }
    return good;
}

template <class T>
void StandardizedData<T>::refuse_non_finite(Index column) const
{
    for (Index i = 0; i < x_.rows; ++i)
        require<NonFinite>(std::isfinite(x_(i, column)), "X holds ", x_(i, column), " in row ", i, ", column ", column,
                           "; drop or impute it");
}

template <class T>
Index StandardizedData<T>::packed_cols() const
{
    const Index width = stepwise_kernels(T{}).width;
    return (x_.cols + width - 1) / width * width;
}

template <class T>
Index StandardizedData<T>::panel_rows() const
{
    const Index fit = kPanelBytes / (static_cast<Index>(sizeof(T)) * std::max<Index>(packed_cols(), 1));
    return std::clamp<Index>(fit / 8 * 8, 64, 256);
}

template <class T>
void StandardizedData<T>::pack(Index first, Index count, T* tiles) const
{
    const auto& kernels = stepwise_kernels(T{});
    const double* root = root_.empty() ? nullptr : root_.data() + first;
    const Index at = first * x_.row_stride;
    if (x_.single)
        kernels.pack_single(
            {x_.single + at, x_.row_stride, x_.col_stride, count, x_.cols, mean.data(), scale.data(), root, tiles});
    else
        kernels.pack_double(
            {x_.twice + at, x_.row_stride, x_.col_stride, count, x_.cols, mean.data(), scale.data(), root, tiles});
}

template <class T>
void StandardizedData<T>::for_panels(Context& ctx, Index step, const std::function<void(Index, Index)>& body) const
{
    MappedRows mapped(x_);
    for (Index first = 0; first < x_.rows; first += step) {
        const Index count = std::min(step, x_.rows - first);
        mapped.before(first + count);
        body(first, count);
        ctx.poll();
        mapped.after(first + count);
    }
}

template <class T>
void StandardizedData<T>::project(Context& ctx, Index right, const Fill& fill, MatrixView<double> out)
{
    const auto& kernels = stepwise_kernels(T{});
    const Workspace::Scope scope(ctx.workspace());
    const Index step = panel_rows();
    const auto tiles = ctx.scratch<T>(step, packed_cols()), panel = ctx.scratch<T>(right, step);
    for_panels(ctx, step, [&](Index first, Index count) {
        pack(first, count, tiles.data);
        fill(first, count, panel.data);
        kernels.product({tiles.data, count, x_.cols, panel.data, right, right, out.data, out.stride});
    });
    ++passes;
}

template <class T>
void StandardizedData<T>::gram_columns(Context& ctx, const std::vector<Index>& columns, MatrixView<double> out)
{
    const auto& kernels = stepwise_kernels(T{});
    const Workspace::Scope scope(ctx.workspace());
    const Index step = panel_rows(), width = kernels.width, right = static_cast<Index>(columns.size());
    const auto tiles = ctx.scratch<T>(step, packed_cols()), panel = ctx.scratch<T>(right, step);
    for (Index l = 0; l < right; ++l) std::fill_n(out.column(l), out.rows, 0.0);
    for_panels(ctx, step, [&](Index first, Index count) {
        pack(first, count, tiles.data);
        for (Index l = 0; l < right; ++l) {
            const Index j = columns[l];
            const T* tile = tiles.data + j / width * width * count + j % width;
            for (Index i = 0; i < count; ++i) panel.data[i * right + l] = tile[i * width];
        }
        kernels.product({tiles.data, count, x_.cols, panel.data, right, right, out.data, out.stride});
    });
    ++passes;
}

template <class T>
void StandardizedData<T>::full_gram(Context& ctx, MatrixView<double> out)
{
    const auto& kernels = stepwise_kernels(T{});
    const Workspace::Scope scope(ctx.workspace());
    const Index step = panel_rows(), width = kernels.width, p = x_.cols;
    const auto tiles = ctx.scratch<T>(step, packed_cols());
    for (Index j = 0; j < p; ++j) std::fill_n(out.column(j), p, 0.0);
    for_panels(ctx, step, [&](Index first, Index count) {
        pack(first, count, tiles.data);
        for (Index j = 0; j < p; j += width) // upper triangle, a tile of columns at a time
            kernels.product({tiles.data, count, std::min(p, j + width), tiles.data + j * count, width,
                             std::min(width, p - j), out.column(j), out.stride});
    });
    for (Index j = 0; j < p; ++j)
        for (Index i = 0; i < j; ++i) out(j, i) = out(i, j);
    ++passes;
}

template <class T>
void StandardizedData<T>::gather(Index first, Index count, const std::vector<Index>& columns,
                                 MatrixView<double> out) const
{
    const auto m = static_cast<Index>(columns.size());
    if (x_.row_stride > x_.col_stride) { // a row at a time
        for (Index i = 0; i < count; ++i) {
            const double root = root_.empty() ? 1.0 : root_[first + i];
            for (Index l = 0; l < m; ++l) {
                const Index j = columns[l];
                out(i, l) = (x_(first + i, j) - mean[j]) * scale[j] * root;
            }
        }
        return;
    }
    for (Index l = 0; l < m; ++l)
        for (Index i = 0; i < count; ++i) {
            const Index j = columns[l];
            out(i, l) = (x_(first + i, j) - mean[j]) * scale[j] * (root_.empty() ? 1.0 : root_[first + i]);
        }
}

template class StandardizedData<float>;
template class StandardizedData<double>;

} // namespace hessay

#include "hessay/stepwise_data.hpp"

#include "hessay/error.hpp"
#include "stepwise_outputs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hessay {

namespace {

constexpr Index kSampleRows = 256; // the first guess at mean and scale
constexpr double kBadShift = 100;  // |z|^2 about the guess over |z|^2 about the mean: two digits lost

} // namespace

template <class T>
StandardizedData<T>::StandardizedData(Context& ctx, std::unique_ptr<StepwisePasses> passes, const double* given,
                                      Index outputs, const std::vector<double>& weights, bool centre)
    : x_(std::move(passes)), outputs_(outputs), total_weight_(static_cast<double>(x_->rows)), centre_(centre)
{
    if (!weights.empty()) {
        total_weight_ = 0;
        root_.reserve(weights.size());
        for (const double w : weights) {
            root_.push_back(std::sqrt(w));
            total_weight_ += w;
        }
    }
    y = x_->begin(ctx, given, outputs_, root_, centre_);
    for (Index c = 0; c < outputs; ++c) // products of two columns are one number
        for (Index d = 0; d < c; ++d) y.total[c + d * outputs] = y.total[d + c * outputs];
    first_guess(ctx);
    for (int round = 0; round < 3 && !measure(ctx); ++round) continue;
}

template <class T>
void StandardizedData<T>::first_guess(Context& ctx)
{
    const Index n = rows(), p = cols(), m = std::min(kSampleRows, n);
    const Workspace::Scope scope(ctx.workspace());
    const auto sample = ctx.scratch<double>(m, p);
    std::vector<Index> which;
    for (Index i = 0; i < m; ++i) which.push_back(i * n / m);
    x_->read_rows(which, sample);
    auto& mean = standard.mean;
    auto& scale = standard.scale;
    mean.assign(static_cast<std::size_t>(p), 0.0);
    scale.assign(static_cast<std::size_t>(p), 1.0);
    for (Index j = 0; j < p; ++j) {
        const double* x = sample.column(j);
        double largest = 0;
        for (Index i = 0; centre_ && i < m; ++i) mean[j] += x[i] / static_cast<double>(m);
        for (Index i = 0; i < m; ++i) largest = std::max(largest, std::abs(x[i] - mean[j]));
        if (!std::isfinite(mean[j])) mean[j] = 0; // the pass over all rows will find and name it
        // A column that is constant but for rounding here may well vary elsewhere, in its own unit.
        scale[j] = power_of_two(largest > 1e-12 * std::abs(mean[j]) ? largest : std::abs(mean[j]));
    }
}

// One pass: |z_j|^2, Z'1 and Z'Y about the present guess, which is then moved to the mean. False when the guess was so
// far off that digits were lost, and the pass is to be made again.
template <class T>
bool StandardizedData<T>::measure(Context& ctx)
{
    const Index p = cols();
    auto& mean = standard.mean;
    auto& scale = standard.scale;
    const Workspace::Scope scope(ctx.workspace());
    const auto out = ctx.scratch<double>(p, outputs_ + 1);
    x_->measure(ctx, standard, squares, out);
    ++passes;
    bool good = true;
    resolution.assign(static_cast<std::size_t>(p), 0.0);
    correlation.assign(static_cast<std::size_t>(p * outputs_), 0.0);
    const double input_eps =
        x_->single ? std::numeric_limits<float>::epsilon() : std::numeric_limits<double>::epsilon();
    constexpr double eps = std::numeric_limits<T>::epsilon();
    for (Index j = 0; j < p; ++j) {
        const double about_guess = squares[j], sum = out(j, 0);
        if (!std::isfinite(about_guess) || !std::isfinite(sum)) {
            const auto column = x_->read_column(j);
            double largest = 0; // finite, but its squares are not
            for (Index i = 0; i < rows(); ++i) {
                require<NonFinite>(std::isfinite(column[i]), "X holds ", column[i], " in row ", i, ", column ", j,
                                   "; drop or impute it");
                largest = std::max(largest, std::abs(column[i]));
            }
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
void StandardizedData<T>::project(Context& ctx, const StepwiseCombination& f, MatrixView<double> out)
{
    x_->project(ctx, standard, f, out);
    ++passes;
}

template <class T>
void StandardizedData<T>::gram_columns(Context& ctx, const std::vector<Index>& columns, MatrixView<double> out)
{
    x_->gram_columns(ctx, standard, columns, out);
    ++passes;
}

template <class T>
void StandardizedData<T>::full_gram(Context& ctx, MatrixView<double> out)
{
    x_->full_gram(ctx, standard, out);
    ++passes;
}

template <class T>
void StandardizedData<T>::sums(Context& ctx, const StepwiseCombination& f, MatrixView<double> cross,
                               MatrixView<double> products) const
{
    x_->sums(ctx, standard, f, cross, products);
}

template <class T>
void StandardizedData<T>::within(Context& ctx, const std::vector<std::vector<Index>>& units,
                                 std::vector<std::vector<double>>& out) const
{
    x_->within(ctx, standard, units, out);
}

template <class T>
void StandardizedData<T>::read_rows(const std::vector<Index>& which, MatrixView<double> out) const
{
    x_->read_rows(which, out);
    for (Index j = 0; j < cols(); ++j)
        for (Index i = 0; i < static_cast<Index>(which.size()); ++i)
            out(i, j) = (out(i, j) - standard.mean[j]) * standard.scale[j] * (root_.empty() ? 1.0 : root_[which[i]]);
}

template class StandardizedData<float>;
template class StandardizedData<double>;

} // namespace hessay

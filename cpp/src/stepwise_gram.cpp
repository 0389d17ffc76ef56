#include "hessay/stepwise_gram.hpp"

#include "hessay/error.hpp"
#include "hessay/primitives.hpp"
#include "hessay/stepwise_factor.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

namespace hessay {

namespace {

constexpr Index kWidest = 64; // columns of one pass: reading X is then a sixth of it or less
constexpr Index kPrior = 16;  // columns taken for used before any was
constexpr Index kSampleRows = 512;
constexpr Index kReadRows = 64;     // of the sample at a time
constexpr Index kLikely = 32;       // columns whose sampled products are formed together
constexpr double kNoise = 3;        // standard errors below which a sampled correlation counts as none
constexpr double kDependent = 1e-3; // of |z_j|^2: what the sample cannot tell from a dependent column

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

} // namespace

template <class T>
GramColumns<T>::GramColumns(StandardizedData<T>& data, StepwiseStrategy strategy, Index max_bytes)
    : data_(data), strategy_(strategy), columns_(static_cast<std::size_t>(data.cols())),
      state_(static_cast<std::size_t>(data.cols()), 0)
{
    const Index p = data.cols(), bytes = p * static_cast<Index>(sizeof(double));
    room_ = max_bytes / std::max<Index>(bytes, 1) / 2; // a fetch holds what it brings twice
    require(room_ >= 1, "max_bytes leaves ", max_bytes, " bytes for Gram columns of ", bytes,
            " each, and two are needed at the least; allow more");
    all_fits_ = room_ >= p;
}

template <class T>
const double* GramColumns<T>::find(Index j) const
{
    return columns_[j].empty() ? nullptr : columns_[j].data();
}

template <class T>
void GramColumns<T>::used(Index j)
{
    if (state_[j] != 1) return;
    state_[j] = 2;
    ++used_;
    ++last_used_;
}

// Of the columns fetched, those used; optimistic while there are few.
template <class T>
double GramColumns<T>::share() const
{
    return static_cast<double>(used_ + kPrior) / static_cast<double>(fetched + kPrior);
}

template <class T>
Index GramColumns<T>::width() const
{
    if (strategy_ == StepwiseStrategy::stream) return 1;
    const Index widest = std::min(kWidest, room_);
    if (strategy_ == StepwiseStrategy::prefetch) return std::min<Index>(32, widest);
    // Half of them wasted is worth the passes saved; beyond that twice what was used last is the next guess.
    if (share() >= 0.5) return widest;
    return std::clamp<Index>(2 * last_used_, share() < 0.15 ? 1 : std::min<Index>(8, widest), widest);
}

template <class T>
bool GramColumns<T>::all_pays(double further) const
{
    if (all || !all_fits_ || strategy_ != StepwiseStrategy::automatic) return false;
    const auto p = static_cast<double>(data_.cols());
    const auto batch = static_cast<double>(width());
    // Until a fetch was timed: a pass costs what reading costs, about ten columns' arithmetic.
    const double pass = column_seconds_ > 0 ? pass_seconds_ / column_seconds_ : 10.0;
    const double columns = std::min(p, further / share());
    return pass + p / 2 <= columns + std::ceil(columns / batch) * pass;
}

template <class T>
void GramColumns<T>::evict()
{
    // Columns already used first, then the oldest guesses.
    for (const unsigned char goes : {2, 1})
        for (std::size_t i = 0; i < order_.size() && static_cast<Index>(order_.size()) > room_;) {
            if (state_[order_[i]] != goes) {
                ++i;
                continue;
            }
            columns_[order_[i]] = {};
            state_[order_[i]] = 0;
            order_.erase(order_.begin() + static_cast<std::ptrdiff_t>(i));
        }
}

template <class T>
void GramColumns<T>::fetch(Context& ctx, std::vector<Index> list)
{
    list.erase(std::remove_if(list.begin(), list.end(), [&](Index j) { return !columns_[j].empty(); }), list.end());
    if (list.empty()) return;
    const Index p = data_.cols(), count = static_cast<Index>(list.size());
    const Workspace::Scope scope(ctx.workspace());
    const auto out = ctx.scratch<double>(p, count);
    const double start = seconds();
    data_.gram_columns(ctx, list, out);
    const double spent = seconds() - start;
    // The least of each: other programs make a pass slower, never faster.
    const auto least = [](double& kept, double seen) { kept = kept > 0 ? std::min(kept, seen) : seen; };
    if (count <= 4)
        least(pass_seconds_, spent);
    else {
        // Of a wide pass, reading is about ten columns' worth until a narrow one says better.
        least(column_seconds_, pass_seconds_ > 0 && pass_seconds_ < 0.8 * spent
                                   ? (spent - pass_seconds_) / static_cast<double>(count)
                                   : spent / (static_cast<double>(count) + 10));
        if (pass_seconds_ == 0) pass_seconds_ = 10 * column_seconds_;
    }
    for (Index l = 0; l < count; ++l) {
        columns_[list[l]].assign(out.column(l), out.column(l) + p);
        state_[list[l]] = 1;
        order_.push_back(list[l]);
    }
    fetched += count;
    last_used_ = 0;
    evict();
}

template <class T>
void GramColumns<T>::fetch_all(Context& ctx)
{
    const Index p = data_.cols();
    const Workspace::Scope scope(ctx.workspace());
    const auto out = ctx.scratch<double>(p, p);
    data_.full_gram(ctx, out);
    for (Index j = 0; j < p; ++j) {
        columns_[j].assign(out.column(j), out.column(j) + p);
        state_[j] = 1;
    }
    order_.resize(static_cast<std::size_t>(p));
    std::iota(order_.begin(), order_.end(), Index(0));
    fetched += p;
    all = true;
}

template <class T>
void StepwiseLookahead::sample(const StandardizedData<T>& data)
{
    cols_ = data.cols();
    rows_ = std::min(kSampleRows, data.rows());
    sample_.assign(static_cast<std::size_t>(rows_ * cols_), 0.0F);
    std::vector<double> part(static_cast<std::size_t>(kReadRows * cols_)), sums(static_cast<std::size_t>(cols_), 0.0);
    for (Index first = 0; first < rows_; first += kReadRows) {
        const Index count = std::min(kReadRows, rows_ - first);
        std::vector<Index> which;
        for (Index i = first; i < first + count; ++i) which.push_back(i * data.rows() / rows_);
        const MatrixView<double> rows{part.data(), count, cols_, count};
        data.read_rows(which, rows);
        for (Index i = 0; i < count; ++i)
            for (Index j = 0; j < cols_; ++j) {
                sample_[(first + i) * cols_ + j] = static_cast<float>(rows(i, j));
                sums[j] += rows(i, j) * rows(i, j);
            }
    }
    for (double& sum : sums) sum = sum > 0 ? 1 / std::sqrt(sum) : 0.0;
    for (Index i = 0; i < rows_; ++i)
        for (Index j = 0; j < cols_; ++j) sample_[i * cols_ + j] *= static_cast<float>(sums[j]);
}

// Sampled correlations (p) of column s with all others: from the last batch, or with a new one, of s and the columns
// that would follow it if nothing changed.
const float* StepwiseLookahead::correlations(Sampled& sampled, Index s, const std::vector<double>& fall,
                                             const Known& known) const
{
    auto& which = sampled.columns;
    auto found = std::find(which.begin(), which.end(), s);
    if (found == which.end()) {
        which.clear();
        for (Index j = 0; j < cols_; ++j)
            if (j != s && fall[j] > 0 && !known(j)) which.push_back(j);
        const auto likely = std::min<std::ptrdiff_t>(kLikely - 1, which.end() - which.begin());
        std::partial_sort(which.begin(), which.begin() + likely, which.end(),
                          [&](Index a, Index b) { return fall[a] > fall[b]; });
        which.resize(static_cast<std::size_t>(likely));
        found = which.insert(which.begin(), s);
        const auto count = static_cast<Index>(which.size());
        for (Index l = 0; l < count; ++l)
            for (Index i = 0; i < rows_; ++i) sampled.chosen(i, l) = sample_[i * cols_ + which[l]];
        gemm<float>(Transpose::no, Transpose::no, 1.0F, {sample_.data(), cols_, rows_, cols_},
                    sampled.chosen.columns(0, count), 0.0F, sampled.products.columns(0, count));
    }
    return sampled.products.column(found - which.begin());
}

std::vector<Index> StepwiseLookahead::predict(Context& ctx, State state, const std::vector<double>& rows,
                                              const std::vector<double>& squares, Index outputs, Index count,
                                              double least_ratio, const Known& known) const
{
    const Index p = cols_, m = static_cast<Index>(rows.size()) / std::max<Index>(p, 1);
    const double threshold = kNoise / std::sqrt(static_cast<double>(rows_));
    const Workspace::Scope scope(ctx.workspace());
    const Index most = 2 * count + 8;
    const auto own = ctx.scratch<double>(p, most), w = ctx.scratch<double>(p, 1),
               entry = ctx.scratch<double>(m + most, 1);
    Sampled sampled{ctx.scratch<float>(p, kLikely), ctx.scratch<float>(rows_, kLikely), {}};
    std::vector<Index> out;
    std::vector<double> z(static_cast<std::size_t>(outputs)), fall(static_cast<std::size_t>(p));
    // Steps over columns known already cost no pass, and are not counted.
    for (Index k = 0; static_cast<Index>(out.size()) < count && k < most;) {
        Index s = -1;
        double best = 0;
        std::fill(fall.begin(), fall.end(), 0.0);
        for (Index c = 0; c < outputs; ++c)
            for (Index j = 0; j < p; ++j) fall[j] += state.correlations[j + c * p] * state.correlations[j + c * p];
        for (Index j = 0; j < p; ++j) {
            fall[j] = state.norms[j] <= kDependent * squares[j] ? 0.0 : fall[j] / state.norms[j];
            if (fall[j] > best) best = fall[j], s = j;
        }
        if (s < 0 || (k > 0 && best < least_ratio * state.rss)) break;
        // w = (g_s - rows' rows(:, s)) / |x_s perpendicular| with the sampled g_s
        const double* exact = known(s);
        if (exact)
            std::copy(exact, exact + p, w.data);
        else {
            const float* rho = correlations(sampled, s, fall, known);
            for (Index j = 0; j < p; ++j)
                w.data[j] = std::abs(static_cast<double>(rho[j])) > threshold
                                ? static_cast<double>(rho[j]) * std::sqrt(squares[j] * squares[s])
                                : 0.0;
        }
        for (Index t = 0; t < m; ++t) entry.data[t] = rows[t * p + s];
        for (Index t = 0; t < k; ++t) entry.data[m + t] = own(s, t);
        subtract_rows(rows.data(), p, m, entry.data, w.data);
        subtract_rows(own.data, p, k, entry.data + m, w.data);
        const double root = std::sqrt(state.norms[s]);
        for (Index c = 0; c < outputs; ++c) z[c] = state.correlations[s + c * p] / root;
        for (Index j = 0; j < p; ++j) {
            const double value = w.data[j] / root;
            own(j, k) = value;
            state.norms[j] -= value * value;
        }
        for (Index c = 0; c < outputs; ++c)
            for (Index j = 0; j < p; ++j) state.correlations[j + c * p] -= own(j, k) * z[c];
        for (Index c = 0; c < outputs; ++c) state.rss -= z[c] * z[c];
        state.norms[s] = 0;
        if (!exact) out.push_back(s);
        ++k;
        ctx.poll();
    }
    return out;
}

template void StepwiseLookahead::sample<float>(const StandardizedData<float>&);
template void StepwiseLookahead::sample<double>(const StandardizedData<double>&);
template class GramColumns<float>;
template class GramColumns<double>;

} // namespace hessay

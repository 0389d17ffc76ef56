#include "hessay/stepwise.hpp"

#include "hessay/error.hpp"
#include "stepwise_precision.hpp"

#include <algorithm>
#include <cmath>

namespace hessay {

template <class T>
Selection<T>::Selection(Context& ctx, std::unique_ptr<StandardizedData<T>> data, StepwiseOptions options)
    : data_(std::move(data)), options_(std::move(options)), p_(data_->cols()), outputs_(data_->outputs()),
      gram_(*data_, options_.strategy, options_.max_bytes), factor_(p_, outputs_), size_(data_->squares),
      c_(data_->correlation), cross_(data_->y.total)
{
    const auto columns = static_cast<std::size_t>(p_), units = options_.units.size();
    unit_of_.assign(columns, -1);
    for (std::size_t u = 0; u < units; ++u)
        for (const Index j : options_.units[u]) {
            require(j >= 0 && j < p_ && unit_of_[j] < 0, "every column belongs to one unit; column ", j, " does not");
            unit_of_[j] = static_cast<Index>(u);
        }
    state_.assign(columns, open);
    fresh_.assign(columns, -1);
    free_.assign(units, 1);
    held_.assign(units, 0);
    exact_trace_ = trace();
    for (Index j = 0; j < p_; ++j) {
        require(unit_of_[j] >= 0, "every column belongs to one unit; column ", j, " does not");
        ridge_.push_back(options_.ridge * data_->standard.scale[j] * data_->standard.scale[j]);
        if (size_[j] == 0) state_[j] = refused; // constant: the intercept has it already
        size_[j] += ridge_[j];
        const double error = Precision<T>::unit * size_[j];
        norm_error_.push_back(error * error);
        c_error_.push_back(Precision<T>::unit * Precision<T>::unit * size_[j] * exact_trace_);
    }
    norm_ = size_;
    measure_units(ctx);
}

// Products between the columns of each unit of several: one pass over those.
template <class T>
void Selection<T>::measure_units(Context& ctx)
{
    data_->within(ctx, options_.units, within_);
    for (std::size_t u = 0; u < within_.size(); ++u)
        for (std::size_t a = 0; a < options_.units[u].size() && !within_[u].empty(); ++a)
            within_[u][a + a * options_.units[u].size()] += ridge_[options_.units[u][a]];
}

template <class T>
double Selection<T>::trace() const
{
    double sum = 0;
    for (Index o = 0; o < outputs_; ++o) sum += cross_[o + o * outputs_];
    return sum;
}

// Was so much of the norm cancelled that a recomputation would tell more?
template <class T>
bool Selection<T>::doubtful(Index j) const
{
    return state_[j] == open && fresh_[j] != version_ && norm_[j] < Precision<T>::doubtful * size_[j];
}

// No fall of column j can be larger, its rounding errors given.
template <class T>
double Selection<T>::bound(Index j) const
{
    double c = 0;
    for (Index o = 0; o < outputs_; ++o) c += c_[j + o * p_] * c_[j + o * p_];
    const double top = std::sqrt(c) + std::sqrt(c_error_[j]);
    const double least = Precision<T>::dependent * Precision<T>::dependent * size_[j];
    return top * top / std::max(norm_[j] - std::sqrt(norm_error_[j]), least);
}

template <class T>
StepwiseMove Selection<T>::best_add(Context& ctx)
{
    const auto units = static_cast<Index>(options_.units.size());
    std::vector<double> score(static_cast<std::size_t>(units));
    while (true) {
        double best = -1;
        std::vector<Index> again;
        for (Index u = 0; u < units; ++u) {
            score[u] = free_[u] ? unit_fall(u, nullptr) : -1;
            best = std::max(best, score[u]);
        }
        for (Index u = 0; u < units; ++u) {
            if (!free_[u]) continue;
            const auto& unit = options_.units[u];
            bool doubt = false, contends = score[u] >= best;
            for (const Index j : unit) {
                doubt = doubt || doubtful(j);
                contends = contends || (state_[j] == open && bound(j) >= best);
            }
            if (!doubt || !contends) continue;
            for (const Index j : unit)
                if (state_[j] == open) again.push_back(j);
        }
        if (again.empty()) {
            StepwiseMove move;
            for (Index u = 0; u < units && move.unit < 0 && best > 0; ++u)
                if (score[u] >= best * (1 - Precision<T>::tie)) move.unit = u;
            if (move.unit >= 0) unit_fall(move.unit, &move);
            const double unscale = 1 / (data_->y.scale * data_->y.scale);
            for (double& value : move.cross) value *= unscale;
            move.change *= unscale;
            return move;
        }
        refresh(ctx, again);
    }
}

template <class T>
const double* Selection<T>::column(Context& ctx, Index s, Index horizon, double least_ratio,
                                   const std::vector<Index>& ahead)
{
    if (gram_.find(s)) {
        ++gram_.hits;
        gram_.used(s);
        return gram_.find(s);
    }
    ++gram_.misses;
    if (options_.strategy == StepwiseStrategy::gram && gram_.all_fits())
        gram_.fetch_all(ctx);
    else {
        const Index width = gram_.width();
        std::vector<Index> list{s};
        Index further = static_cast<Index>(ahead.size());
        for (const Index j : ahead)
            if (static_cast<Index>(list.size()) < width && j != s && !gram_.find(j)) list.push_back(j);
        if (ahead.empty() && width > 1 && horizon > 1) {
            if (lookahead_.empty()) lookahead_.sample(*data_);
            StepwiseLookahead::State state{norm_, c_, trace()};
            for (Index j = 0; j < p_; ++j)
                if (state_[j] != open || !free_[unit_of_[j]]) state.norms[j] = 0;
            const auto guesses =
                lookahead_.predict(ctx, std::move(state), factor_.rows, size_, outputs_, std::min(horizon, width),
                                   least_ratio, [&](Index j) { return gram_.find(j); });
            for (const Index j : guesses)
                if (j != s && !gram_.find(j) && static_cast<Index>(list.size()) < width) list.push_back(j);
            // A guess that ends early is taken at its word; one that does not may go on as long as it went so far.
            further = static_cast<Index>(guesses.size());
            if (further >= width) further = std::min(horizon, std::max(width, factor_.size()));
        }
        if (gram_.all_pays(static_cast<double>(further)))
            gram_.fetch_all(ctx);
        else
            gram_.fetch(ctx, list);
    }
    gram_.used(s);
    return gram_.find(s);
}

template <class T>
void Selection<T>::down_date(const std::vector<double>& w, const std::vector<double>& z, double sign, double growth)
{
    // Errors add up like independent ones: variances.
    const double unit = Precision<T>::unit * growth;
    double z_square = 0;
    for (Index o = 0; o < outputs_; ++o) z_square += z[o] * z[o];
    for (Index j = 0; j < p_; ++j) {
        const double error = unit * unit * size_[j];
        norm_[j] -= sign * w[j] * w[j];
        norm_error_[j] += 4 * w[j] * w[j] * error;
        c_error_[j] += z_square * error;
    }
    for (Index o = 0; o < outputs_; ++o)
        for (Index j = 0; j < p_; ++j) c_[j + o * p_] -= sign * w[j] * z[o];
    for (std::size_t u = 0; u < within_.size(); ++u) {
        const auto& unit_columns = options_.units[u];
        for (std::size_t b = 0; b < unit_columns.size() && !within_[u].empty(); ++b)
            for (std::size_t a = 0; a < unit_columns.size(); ++a)
                within_[u][a + b * unit_columns.size()] -= sign * w[unit_columns[a]] * w[unit_columns[b]];
    }
    for (Index o = 0; o < outputs_; ++o)
        for (Index q = 0; q < outputs_; ++q) cross_[o + q * outputs_] -= sign * z[o] * z[q];
    for (const Index j : factor_.columns) {
        norm_[j] = 0;
        for (Index o = 0; o < outputs_; ++o) c_[j + o * p_] = 0;
    }
    ++version_;
}

template <class T>
bool Selection<T>::append(Context& ctx, Index s, Index horizon, double least_ratio, const std::vector<Index>& ahead)
{
    if (doubtful(s)) refresh(ctx, {s});
    if (state_[s] != open || !(norm_[s] > 0)) return false;
    const double root_of_size = std::sqrt(size_[s]), steepness = root_of_size / std::sqrt(norm_[s]);
    std::vector<double> w(static_cast<std::size_t>(p_)), z(static_cast<std::size_t>(outputs_));
    const Index m = factor_.size();
    double growth = 1;
    if (steepness > Precision<T>::steepest) {
        if (fresh_[s] != version_) refresh(ctx, {s});
        if (state_[s] != open) return false;
        exact_direction(ctx, s, w);
    } else {
        const double* g = column(ctx, s, horizon, least_ratio, ahead);
        std::copy(g, g + p_, w.begin());
        // w = (g_s - rows' rows(:, s)) / |z_s perpendicular|
        if (m > 0) {
            std::vector<double> entries(static_cast<std::size_t>(m));
            for (Index t = 0; t < m; ++t) entries[t] = factor_.row(t)[s];
            subtract_rows(factor_.rows.data(), p_, m, entries.data(), w.data());
        }
        for (double& value : w) value /= std::sqrt(norm_[s]);
        growth_ = std::max(growth_, steepness);
        growth = growth_;
    }
    const double root = std::sqrt(norm_[s]);
    w[s] = root;
    for (Index o = 0; o < outputs_; ++o) z[o] = c_[s + o * p_] / root;
    factor_.append(s, w, z.data());
    state_[s] = chosen;
    down_date(w, z, 1, growth);
    if (trace() <= Precision<T>::exhausted * exact_trace_) refresh_residual(ctx);
    return true;
}

template <class T>
std::vector<Index> Selection<T>::add(Context& ctx, Index unit, Index horizon, double least_ratio,
                                     const std::vector<Index>& ahead)
{
    StepwiseMove move;
    move.columns = options_.units[unit];
    if (move.columns.size() > 1) {
        std::vector<Index> again;
        for (const Index j : move.columns)
            if (doubtful(j)) again.push_back(j);
        refresh(ctx, again);
    }
    std::vector<Index> together = ahead;
    if (move.columns.size() > 1 && ahead.empty()) together = move.columns;
    std::vector<Index> entered;
    for (const Index j : move.columns)
        if (append(ctx, j, horizon, least_ratio, together)) entered.push_back(j);
    return entered;
}

template <class T>
void Selection<T>::drop(Index unit)
{
    std::vector<double> w, z;
    for (const Index j : options_.units[unit]) {
        const auto found = std::find(factor_.columns.begin(), factor_.columns.end(), j);
        if (found == factor_.columns.end()) continue;
        factor_.remove(found - factor_.columns.begin(), w, z);
        state_[j] = open;
        norm_error_[j] = Precision<T>::unit * Precision<T>::unit * size_[j] * size_[j];
        c_error_[j] = Precision<T>::unit * Precision<T>::unit * size_[j] * exact_trace_;
        down_date(w, z, -1, growth_);
    }
    // A column that depended on the model may not depend on a smaller one.
    for (Index j = 0; j < p_; ++j)
        if (state_[j] == refused && data_->squares[j] > 0) state_[j] = open;
    exact_trace_ = std::max(exact_trace_, trace());
}

template class Selection<float>;
template class Selection<double>;

} // namespace hessay

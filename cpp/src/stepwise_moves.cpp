// What Selection says about moves and models, changing neither.
#include "hessay/error.hpp"
#include "hessay/stepwise.hpp"
#include "stepwise_precision.hpp"

#include <algorithm>
#include <cmath>

namespace hessay {

namespace {

/// Cholesky factor of a positive semidefinite a (k, k), in place, largest remaining pivot first. Columns whose pivot is
/// at most limit[j] depend on those taken. Returns the order of those taken: a(order[i], order[j]) for j <= i is L.
std::vector<Index> pivoted_cholesky(std::vector<double>& a, const std::vector<double>& limit)
{
    const auto k = static_cast<Index>(limit.size());
    std::vector<Index> order;
    std::vector<unsigned char> taken(static_cast<std::size_t>(k), 0);
    while (true) {
        Index pivot = -1;
        for (Index j = 0; j < k; ++j)
            if (!taken[j] && a[j + j * k] > limit[j] &&
                (pivot < 0 || a[j + j * k] * limit[pivot] > a[pivot + pivot * k] * limit[j]))
                pivot = j;
        if (pivot < 0) return order;
        taken[pivot] = 1;
        order.push_back(pivot);
        const double root = std::sqrt(a[pivot + pivot * k]);
        for (Index i = 0; i < k; ++i)
            if (!taken[i] || i == pivot) a[i + pivot * k] /= root;
        for (Index j = 0; j < k; ++j)
            for (Index i = 0; i < k; ++i)
                if (!taken[i] && !taken[j]) a[i + j * k] -= a[i + pivot * k] * a[j + pivot * k];
    }
}

/// b (k, C) restricted to order <- L^-1 b; returns the sum of squares and adds b'b to cross (C, C).
double whiten(const std::vector<double>& l, const std::vector<Index>& order, std::vector<double>& b, Index k,
              Index outputs, std::vector<double>* cross)
{
    double sum = 0;
    for (std::size_t i = 0; i < order.size(); ++i)
        for (Index o = 0; o < outputs; ++o) {
            double& value = b[order[i] + o * k];
            for (std::size_t j = 0; j < i; ++j) value -= l[order[i] + order[j] * k] * b[order[j] + o * k];
            value /= l[order[i] + order[i] * k];
            sum += value * value;
        }
    for (Index o = 0; cross && o < outputs; ++o)
        for (Index q = 0; q < outputs; ++q)
            for (const Index i : order) (*cross)[o + q * outputs] += b[i + o * k] * b[i + q * k];
    return sum;
}

} // namespace

// Fall per column that would enter; 0 when none would. Details go to move.
template <class T>
double Selection<T>::unit_fall(Index u, StepwiseMove* move) const
{
    const auto& unit = options_.units[u];
    if (move) move->cross.assign(static_cast<std::size_t>(outputs_ * outputs_), 0.0);
    if (unit.size() == 1) {
        const Index j = unit[0];
        if (state_[j] != open || !(norm_[j] > 0)) return 0;
        double sum = 0;
        for (Index o = 0; o < outputs_; ++o) sum += c_[j + o * p_] * c_[j + o * p_];
        if (move) {
            move->columns = {j};
            move->change = sum / norm_[j];
            for (Index o = 0; o < outputs_; ++o)
                for (Index q = 0; q < outputs_; ++q)
                    move->cross[o + q * outputs_] = c_[j + o * p_] * c_[j + q * p_] / norm_[j];
        }
        return sum / norm_[j];
    }
    const auto k = static_cast<Index>(unit.size());
    std::vector<double> a = within_[u], limit(unit.size()), b(unit.size() * static_cast<std::size_t>(outputs_));
    for (Index i = 0; i < k; ++i) {
        // what rounding of the products leaves; what else depends is found when the unit enters
        limit[i] = state_[unit[i]] == open ? 16 * Precision<T>::unit * size_[unit[i]] : INFINITY;
        for (Index o = 0; o < outputs_; ++o) b[i + o * k] = c_[unit[i] + o * p_];
    }
    const std::vector<Index> order = pivoted_cholesky(a, limit);
    if (order.empty()) return 0;
    const double change = whiten(a, order, b, k, outputs_, move ? &move->cross : nullptr);
    if (move) {
        for (const Index i : order) move->columns.push_back(unit[i]);
        move->change = change;
    }
    return change / static_cast<double>(order.size());
}

template <class T>
StepwiseMove Selection<T>::best_drop() const
{
    const Index m = factor_.size();
    const std::vector<double> w = factor_.coefficients();
    std::vector<std::vector<Index>> places(options_.units.size());
    for (Index i = 0; i < m; ++i) places[unit_of_[factor_.columns[i]]].push_back(i);
    StepwiseMove best;
    double least = INFINITY;
    for (std::size_t u = 0; u < places.size(); ++u) {
        if (places[u].empty() || held_[u]) continue;
        // Removing G raises E'E by W_G' (((Z_S'Z_S)^-1)_GG)^-1 W_G.
        const auto k = static_cast<Index>(places[u].size());
        std::vector<double> a(static_cast<std::size_t>(k * k)), b(static_cast<std::size_t>(k * outputs_));
        for (Index i = 0; i < k; ++i) {
            const auto& row = factor_.inverse[places[u][i]];
            for (Index j = 0; j < k; ++j) {
                const auto& other = factor_.inverse[places[u][j]];
                double sum = 0;
                for (Index t = 0; t < m; ++t) sum += row[t] * other[t];
                a[i + j * k] = sum;
            }
            for (Index o = 0; o < outputs_; ++o) b[i + o * k] = w[places[u][i] + o * m];
        }
        const auto order = pivoted_cholesky(a, std::vector<double>(static_cast<std::size_t>(k), 1e-300));
        std::vector<double> cross(static_cast<std::size_t>(outputs_ * outputs_), 0.0);
        const double change = whiten(a, order, b, k, outputs_, &cross);
        if (change / static_cast<double>(k) >= least * (1 - Precision<T>::tie)) continue;
        least = change / static_cast<double>(k);
        best = {static_cast<Index>(u), {}, change, cross};
        for (const Index i : places[u]) best.columns.push_back(factor_.columns[i]);
    }
    const double unscale = 1 / (data_->y.scale * data_->y.scale);
    for (double& value : best.cross) value *= unscale;
    best.change *= unscale;
    return best;
}

template <class T>
std::vector<double> Selection<T>::falls(Context& ctx)
{
    std::vector<Index> again;
    for (Index j = 0; j < p_; ++j)
        if (doubtful(j)) again.push_back(j);
    refresh(ctx, again);
    std::vector<double> out(static_cast<std::size_t>(p_), 0.0);
    for (Index j = 0; j < p_; ++j) {
        if (state_[j] != open) continue;
        for (Index o = 0; o < outputs_; ++o) out[j] += c_[j + o * p_] * c_[j + o * p_];
        out[j] /= norm_[j] * data_->y.scale * data_->y.scale;
    }
    return out;
}

template <class T>
std::vector<Index> Selection<T>::dependent(Context& ctx)
{
    std::vector<Index> again, out;
    for (Index j = 0; j < p_; ++j) {
        // Down-dated norms are good to their error: only those near it can hide a dependent column.
        const double least =
            Precision<T>::dependent * Precision<T>::dependent + 64 * data_->resolution[j] * data_->resolution[j];
        if (doubtful(j) && norm_[j] <= 1e3 * std::sqrt(norm_error_[j]) + 1e2 * least * size_[j]) again.push_back(j);
    }
    refresh(ctx, again);
    for (Index j = 0; j < p_; ++j)
        if (state_[j] == refused) out.push_back(j);
    return out;
}

template <class T>
StepwiseSolution Selection<T>::solve(Context& ctx)
{
    const Index m = factor_.size();
    std::vector<double> w = factor_.coefficients();
    StepwiseSolution out;
    constexpr int kRounds = 4;
    // One round squares the error of a good factor; more only where it is poor.
    for (int round = 0; round < kRounds; ++round)
        if (refine(ctx, w, out.cross) <= 1e-8) break;
    const double unscale = 1 / (data_->y.scale * data_->y.scale);
    for (double& value : out.cross) value *= unscale;
    out.intercept = data_->y.mean;
    for (Index o = 0; o < outputs_; ++o)
        for (Index t = 0; t < m; ++t) {
            const Index j = factor_.columns[t];
            w[t + o * m] *= data_->standard.scale[j] / data_->y.scale;
            out.intercept[o] -= data_->standard.mean[j] * w[t + o * m];
        }
    out.coefficients = std::move(w);
    return out;
}

template <class T>
std::vector<double> Selection<T>::cross() const
{
    std::vector<double> out = cross_;
    for (double& value : out) value /= data_->y.scale * data_->y.scale;
    return out;
}

template <class T>
std::vector<double> Selection<T>::total() const
{
    std::vector<double> out = data_->y.total;
    for (double& value : out) value /= data_->y.scale * data_->y.scale;
    return out;
}

template <class T>
double Selection<T>::condition() const
{
    double largest = 1;
    const std::vector<double> diagonal = factor_.inverse_diagonal();
    for (Index i = 0; i < factor_.size(); ++i) largest = std::max(largest, diagonal[i] * size_[factor_.columns[i]]);
    return std::sqrt(largest);
}

template double Selection<float>::unit_fall(Index, StepwiseMove*) const;
template double Selection<double>::unit_fall(Index, StepwiseMove*) const;
template StepwiseMove Selection<float>::best_drop() const;
template StepwiseMove Selection<double>::best_drop() const;
template std::vector<double> Selection<float>::falls(Context&);
template std::vector<double> Selection<double>::falls(Context&);
template std::vector<Index> Selection<float>::dependent(Context&);
template std::vector<Index> Selection<double>::dependent(Context&);
template StepwiseSolution Selection<float>::solve(Context&);
template StepwiseSolution Selection<double>::solve(Context&);
template std::vector<double> Selection<float>::cross() const;
template std::vector<double> Selection<double>::cross() const;
template std::vector<double> Selection<float>::total() const;
template std::vector<double> Selection<double>::total() const;
template double Selection<float>::condition() const;
template double Selection<double>::condition() const;

} // namespace hessay

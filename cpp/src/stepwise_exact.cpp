// What Selection recomputes from the data: residuals of columns and of the outputs, projected twice.
#include "hessay/error.hpp"
#include "hessay/primitives.hpp"
#include "hessay/stepwise.hpp"
#include "stepwise_precision.hpp"

#include <algorithm>
#include <cmath>

namespace hessay {

namespace {
constexpr Index kTogether = 64; // columns recomputed in one go
} // namespace

// Z_J - Z_S A for columns J, A (m, |J|).
template <class T>
StepwiseCombination Selection<T>::residuals(const std::vector<Index>& list, MatrixView<const double> a) const
{
    const Index m = factor_.size(), k = static_cast<Index>(list.size());
    StepwiseCombination f;
    f.columns = factor_.columns;
    f.columns.insert(f.columns.end(), list.begin(), list.end());
    f.count = k;
    f.of_columns.assign(static_cast<std::size_t>((m + k) * k), 0.0);
    for (Index l = 0; l < k; ++l) {
        for (Index t = 0; t < m; ++t) f.of_columns[t + l * (m + k)] = -a(t, l);
        f.of_columns[m + l + l * (m + k)] = 1;
    }
    return f;
}

// E = Y - Z_S W, W (m, C).
template <class T>
StepwiseCombination Selection<T>::residual(const std::vector<double>& w) const
{
    StepwiseCombination f;
    f.columns = factor_.columns;
    f.count = outputs_;
    for (const double value : w) f.of_columns.push_back(-value);
    f.of_outputs.assign(static_cast<std::size_t>(outputs_ * outputs_), 0.0);
    for (Index o = 0; o < outputs_; ++o) f.of_outputs[o + o * outputs_] = 1;
    return f;
}

// r_J = z_J - Z_S A for columns J, A improved once by what is left of Z_S'r; then norms, products and c of r_J.
template <class T>
void Selection<T>::refresh(Context& ctx, const std::vector<Index>& list)
{
    if (static_cast<Index>(list.size()) > kTogether) {
        const auto middle = list.begin() + kTogether;
        refresh(ctx, {list.begin(), middle});
        refresh(ctx, {middle, list.end()});
        return;
    }
    if (list.empty()) return;
    const Index m = factor_.size(), k = static_cast<Index>(list.size()), all = std::max<Index>(m, 1);
    const Workspace::Scope scope(ctx.workspace());
    const auto a = ctx.scratch<double>(all, k);
    const std::vector<double> w = factor_.coefficients();
    std::vector<double> one(static_cast<std::size_t>(m));
    for (Index l = 0; l < k; ++l) {
        for (Index t = 0; t < m; ++t) one[t] = factor_.row(t)[list[l]];
        factor_.solve(one);
        std::copy(one.begin(), one.end(), a.column(l));
    }
    if (m > 0) {
        const auto f = residuals(list, a);
        const auto left = ctx.scratch<double>(m + k, k), unused = ctx.scratch<double>(k, k);
        data_->sums(ctx, f, left, unused);
        for (Index l = 0; l < k; ++l) {
            for (Index t = 0; t < m; ++t) one[t] = left(t, l) - ridge_[factor_.columns[t]] * a(t, l);
            factor_.solve_normal(one);
            for (Index t = 0; t < m; ++t) a(t, l) += one[t];
        }
    }
    // r_J and E side by side: the products of both are among all of theirs.
    auto f = residuals(list, a);
    f.count = k + outputs_;
    f.of_columns.resize(static_cast<std::size_t>((m + k) * f.count), 0.0);
    f.of_outputs.assign(static_cast<std::size_t>(outputs_ * f.count), 0.0);
    for (Index o = 0; o < outputs_; ++o) {
        for (Index t = 0; t < m; ++t) f.of_columns[t + (k + o) * (m + k)] = -w[t + o * m];
        f.of_outputs[o + (k + o) * outputs_] = 1;
    }
    const auto cross = ctx.scratch<double>(m + k, f.count), square = ctx.scratch<double>(f.count, f.count);
    data_->sums(ctx, f, cross, square);
    const auto products = square.block(0, 0, k, k), c = square.block(0, k, k, outputs_);
    // The penalty's rows: sqrt(ridge) times the identity under Z, nothing under Y.
    for (Index l = 0; l < k; ++l) {
        products(l, l) += ridge_[list[l]];
        for (Index t = 0; t < m; ++t) {
            const double penalty = ridge_[factor_.columns[t]];
            for (Index q = 0; q < k; ++q) products(l, q) += penalty * a(t, l) * a(t, q);
            for (Index o = 0; o < outputs_; ++o) c(l, o) += penalty * a(t, l) * w[t + o * m];
        }
    }
    const double largest = std::sqrt(std::max(trace(), 0.0));
    for (Index l = 0; l < k; ++l) {
        const Index j = list[l];
        double grain = data_->resolution[j];
        for (Index t = 0; t < m; ++t) {
            const Index s = factor_.columns[t];
            grain += std::abs(a(t, l)) * data_->resolution[s] * std::sqrt(size_[s] / std::max(size_[j], 1e-300));
            double entry = 0; // R(:, j) = R a
            for (Index i = t; i < m; ++i) entry += factor_.row(t)[factor_.columns[i]] * a(i, l);
            factor_.rows[t * p_ + j] = entry;
        }
        norm_[j] = products(l, l);
        for (Index o = 0; o < outputs_; ++o) c_[j + o * p_] = c(l, o);
        const double eps = 8 * std::numeric_limits<double>::epsilon() * std::sqrt(size_[j]);
        norm_error_[j] = eps * eps * norm_[j];
        c_error_[j] = eps * eps * largest * largest;
        fresh_[j] = version_;
        const double limit = std::max(Precision<T>::dependent, 8 * grain);
        if (norm_[j] <= limit * limit * size_[j]) state_[j] = refused;
        const Index u = unit_of_[j];
        const auto& unit = options_.units[u];
        for (std::size_t x = 0; x < unit.size() && unit.size() > 1; ++x)
            for (Index q = 0; q < k; ++q)
                if (unit[x] == list[q])
                    for (std::size_t v = 0; v < unit.size(); ++v)
                        if (unit[v] == j) within_[u][x + v * unit.size()] = products(q, l);
    }
    refreshes += k;
}

// W improved once by Z_S'E from the data; cross <- E'E for the improved one. Returns |Z_S'E| before, relative.
template <class T>
double Selection<T>::refine(Context& ctx, std::vector<double>& w, std::vector<double>& cross)
{
    const Index m = factor_.size();
    std::vector<double> left(static_cast<std::size_t>(m * outputs_), 0.0);
    cross.assign(static_cast<std::size_t>(outputs_ * outputs_), 0.0);
    data_->sums(ctx, residual(w), {left.data(), m, outputs_, m}, {cross.data(), outputs_, outputs_, outputs_});
    double worst = 0;
    std::vector<double> step(left.size());
    for (Index o = 0; o < outputs_; ++o) {
        std::vector<double> one(static_cast<std::size_t>(m));
        for (Index t = 0; t < m; ++t) {
            left[t + o * m] -= ridge_[factor_.columns[t]] * w[t + o * m];
            one[t] = left[t + o * m];
        }
        factor_.solve_normal(one);
        std::copy(one.begin(), one.end(), step.begin() + o * m);
    }
    // (E - Z d)'(E - Z d) = E'E - d'Z'E when d solves the normal equations, penalty rows included.
    for (Index o = 0; o < outputs_; ++o)
        for (Index q = 0; q < outputs_; ++q)
            for (Index t = 0; t < m; ++t) {
                cross[o + q * outputs_] += ridge_[factor_.columns[t]] * w[t + o * m] * w[t + q * m];
                cross[o + q * outputs_] -= step[t + o * m] * left[t + q * m];
            }
    for (std::size_t i = 0; i < step.size(); ++i) {
        w[i] += step[i];
        worst = std::max(worst, std::abs(step[i]) / std::max(std::abs(w[i]), 1e-300));
    }
    return worst;
}

// After a fall to almost nothing E'E and c are differences of much larger numbers: both anew from E itself.
template <class T>
void Selection<T>::refresh_residual(Context& ctx)
{
    std::vector<double> w = factor_.coefficients();
    refine(ctx, w, cross_);
    refine(ctx, w, cross_);
    std::vector<double> c(c_.size(), 0.0);
    data_->project(ctx, residual(w), {c.data(), p_, outputs_, p_});
    exact_trace_ = std::max(trace(), 0.0);
    for (Index j = 0; j < p_; ++j) {
        if (state_[j] == chosen) continue;
        for (Index o = 0; o < outputs_; ++o) c_[j + o * p_] = c[j + o * p_];
        c_error_[j] = Precision<T>::unit * Precision<T>::unit * size_[j] * exact_trace_;
    }
    ++refreshes;
}

// w <- q'Z with q = (z_s - Z_S A) / |.| formed from the data: what a Gram column cannot give when z_s nearly depends
// on Z_S. Needs a recomputed norm and R(:, s).
template <class T>
void Selection<T>::exact_direction(Context& ctx, Index s, std::vector<double>& w)
{
    const Index m = factor_.size();
    std::vector<double> a(static_cast<std::size_t>(m));
    for (Index t = 0; t < m; ++t) a[t] = factor_.row(t)[s];
    factor_.solve(a);
    auto q = residuals({s}, {a.data(), m, 1, m});
    for (double& value : q.of_columns) value /= std::sqrt(norm_[s]);
    data_->project(ctx, q, {w.data(), p_, 1, p_});
}

template void Selection<float>::refresh(Context&, const std::vector<Index>&);
template void Selection<double>::refresh(Context&, const std::vector<Index>&);
template double Selection<float>::refine(Context&, std::vector<double>&, std::vector<double>&);
template double Selection<double>::refine(Context&, std::vector<double>&, std::vector<double>&);
template void Selection<float>::refresh_residual(Context&);
template void Selection<double>::refresh_residual(Context&);
template void Selection<float>::exact_direction(Context&, Index, std::vector<double>&);
template void Selection<double>::exact_direction(Context&, Index, std::vector<double>&);

} // namespace hessay

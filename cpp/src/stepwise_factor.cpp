#include "hessay/stepwise_factor.hpp"

#include "hessay/primitives.hpp"

#include <cmath>

namespace hessay {

namespace {
constexpr Index kAlone = Index(1) << 20; // numbers that are read in less time than threads take to wake
} // namespace

void subtract_rows(const double* rows, Index p, Index m, const double* entries, double* w)
{
    if (m * p > kAlone) {
        gemm<double>(Transpose::no, Transpose::no, -1.0, {rows, p, m, p}, {entries, m, 1, m}, 1.0, {w, p, 1, p});
        return;
    }
    Index t = 0;
    for (; t + 4 <= m; t += 4) {
        const double *a = rows + t * p, *b = a + p, *c = b + p, *d = c + p;
        const double at = entries[t], bt = entries[t + 1], ct = entries[t + 2], dt = entries[t + 3];
        for (Index j = 0; j < p; ++j) w[j] -= (a[j] * at + b[j] * bt) + (c[j] * ct + d[j] * dt);
    }
    for (; t < m; ++t)
        for (Index j = 0; j < p; ++j) w[j] -= rows[t * p + j] * entries[t];
}

void StepwiseFactor::append(Index s, std::vector<double>& w, const double* new_z, const double* entries)
{
    const Index m = size();
    const double diagonal = w[s];
    for (const Index chosen : columns) w[chosen] = 0; // q is orthogonal to them
    if (entries)
        for (Index t = 0; t < m; ++t) rows[t * p_ + s] = entries[t];
    // R^-1 grows by -R^-1 r / diagonal above 1 / diagonal.
    for (Index i = 0; i < m; ++i) {
        double sum = 0;
        for (Index t = i; t < m; ++t) sum += inverse[i][t] * rows[t * p_ + s];
        inverse[i].push_back(-sum / diagonal);
    }
    inverse.emplace_back(static_cast<std::size_t>(m), 0.0);
    inverse.back().push_back(1 / diagonal);
    columns.push_back(s);
    rows.insert(rows.end(), w.begin(), w.end());
    z.insert(z.end(), new_z, new_z + outputs_);
}

void StepwiseFactor::remove(Index position, std::vector<double>& w, std::vector<double>& left)
{
    const Index m = size();
    columns.erase(columns.begin() + position);
    inverse.erase(inverse.begin() + position);
    // Without the column R is upper Hessenberg from there on; a rotation of rows t and t + 1 restores each diagonal.
    // The same rotations from the right keep inverse R = I.
    for (Index t = position; t + 1 < m; ++t) {
        double *upper = rows.data() + t * p_, *lower = upper + p_;
        const Index s = columns[t];
        const double r = std::hypot(upper[s], lower[s]), cosine = upper[s] / r, sine = lower[s] / r;
        for (Index j = 0; j < p_; ++j) {
            const double a = upper[j], b = lower[j];
            upper[j] = cosine * a + sine * b;
            lower[j] = cosine * b - sine * a;
        }
        upper[s] = r;
        lower[s] = 0;
        double *z_upper = z.data() + t * outputs_, *z_lower = z_upper + outputs_;
        for (Index c = 0; c < outputs_; ++c) {
            const double a = z_upper[c], b = z_lower[c];
            z_upper[c] = cosine * a + sine * b;
            z_lower[c] = cosine * b - sine * a;
        }
        for (auto& row : inverse) {
            const double a = row[t], b = row[t + 1];
            row[t] = cosine * a + sine * b;
            row[t + 1] = cosine * b - sine * a;
        }
    }
    w.assign(rows.end() - p_, rows.end());
    left.assign(z.end() - outputs_, z.end());
    rows.resize(rows.size() - static_cast<std::size_t>(p_));
    z.resize(z.size() - static_cast<std::size_t>(outputs_));
    for (auto& row : inverse) row.pop_back();
    for (const Index chosen : columns) w[chosen] = 0;
}

std::vector<double> StepwiseFactor::coefficients() const
{
    const Index m = size();
    std::vector<double> out(static_cast<std::size_t>(m * outputs_), 0.0);
    for (Index i = 0; i < m; ++i)
        for (Index c = 0; c < outputs_; ++c)
            for (Index t = i; t < m; ++t) out[i + c * m] += inverse[i][t] * z[t * outputs_ + c];
    return out;
}

void StepwiseFactor::solve(std::vector<double>& b) const
{
    const Index m = size();
    for (Index i = 0; i < m; ++i) { // upper triangular: entry i needs entries i and later only
        double sum = 0;
        for (Index t = i; t < m; ++t) sum += inverse[i][t] * b[t];
        b[i] = sum;
    }
}

void StepwiseFactor::solve_normal(std::vector<double>& b) const
{
    const Index m = size();
    std::vector<double> half(static_cast<std::size_t>(m), 0.0);
    for (Index i = 0; i < m; ++i)
        for (Index t = i; t < m; ++t) half[t] += inverse[i][t] * b[i];
    solve(half);
    b = half;
}

std::vector<double> StepwiseFactor::inverse_diagonal() const
{
    std::vector<double> out;
    for (const auto& row : inverse) {
        double sum = 0;
        for (const double value : row) sum += value * value;
        out.push_back(sum);
    }
    return out;
}

} // namespace hessay

#include <algorithm>
#include <cmath>

#include "hessay/edge_fit.hpp"
#include "hessay/error.hpp"

namespace hessay {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kDropped = 4.359420343913646; // Tracy-Widom 0.9999 quantile, beta 1
constexpr double kDeviations = 3;              // of the edge's own error, added to the threshold
constexpr int kMaxRounds = 15;

/// Least squares of three columns 1, z, z^2 by Gram-Schmidt; result[c] are coefficients, sd0 the first one's error.
struct Quadratic {
    double coefficient[3];
    double sd0;
};

template <class Point>
Quadratic fit_quadratic(Index first, Index last, Point point)
{
    // z is scaled to [0, 1]: the normal equations of 1, z, z^2 then have a condition number below 1e4
    double moments[5] = {0, 0, 0, 0, 0}, right[3] = {0, 0, 0}, squares = 0, mean = 0;
    const double unit = point(first + 1).second, span = point(last).first; // in it squares neither over- nor underflow
    for (Index i = first + 1; i <= last; ++i) mean += point(i).second / unit;
    mean /= double(last - first);
    for (Index i = first + 1; i <= last; ++i) {
        const auto [z, value] = point(i);
        const double u = z / span, x = value / unit - mean;
        double power = 1;
        for (int c = 0; c < 5; ++c, power *= u) {
            moments[c] += power;
            if (c < 3) right[c] += power * x;
        }
        squares += x * x;
    }
    double a[3][4], inverse[3] = {1, 0, 0};
    for (int r = 0; r < 3; ++r) {
        for (int c = 0; c < 3; ++c) a[r][c] = moments[r + c];
        a[r][3] = right[r];
    }
    for (int p = 0; p < 3; ++p) // positive definite: no pivoting
        for (int r = 0; r < 3; ++r) {
            if (r == p) continue;
            const double factor = a[r][p] / a[p][p];
            for (int c = p; c < 4; ++c) a[r][c] -= factor * a[p][c];
            inverse[r] -= factor * inverse[p];
        }
    Quadratic fit{};
    double explained = 0;
    for (int r = 0; r < 3; ++r) {
        const double solution = a[r][3] / a[r][r];
        explained += solution * right[r];
        fit.coefficient[r] = unit * (solution / std::pow(span, r));
    }
    const double variance = std::max(squares - explained, 0.0) / double(std::max<Index>(last - first - 3, 1));
    fit.sd0 = unit * std::sqrt(std::max(variance * inverse[0] / a[0][0], 0.0));
    fit.coefficient[0] += unit * mean;
    return fit;
}

} // namespace

AiryFit fit_airy_edge(const Spectrum& s, Index skip, Index last)
{
    require(skip >= 0 && last >= skip + 4 && last <= s.size, "an Airy fit needs four ranks at least, got those above ",
            skip, " up to ", last, " of ", s.size);
    AiryFit fit{};
    Index counted = 0;
    for (int round = 0; round < kMaxRounds; ++round) {
        fit.dropped = counted;
        const Index first = std::max(skip, counted), end = std::max(last, std::min(first + 4, s.size));
        if (end - first < 4) break;
        // Rank in eigenvalues: the middle of an entry that stands for several.
        double before = 0;
        if (s.counts)
            for (Index i = counted; i < first; ++i) before += s.counts[i];
        const double start = before;
        Index at = first;
        const Quadratic q = fit_quadratic(first, end, [&](Index i) {
            double rank = double(i - counted) - 0.5;
            if (s.counts) {
                if (i - 1 < at) { // a new pass over the ranks
                    at = first;
                    before = start;
                }
                for (; at < i - 1; ++at) before += s.counts[at];
                rank = before + 0.5 * s.counts[i - 1];
            }
            return std::pair<double, double>(std::cbrt(std::pow(1.5 * kPi * rank, 2)), s.values[i - 1]);
        });
        fit.upper = q.coefficient[0];
        fit.scale = -q.coefficient[1];
        fit.upper_sd = q.sd0;
        if (!(fit.scale > 0)) break;
        const double threshold = fit.upper + kDropped * fit.scale + kDeviations * fit.upper_sd;
        counted = Index(std::partition_point(s.values, s.values + s.size, [=](double x) { return x > threshold; }) -
                        s.values);
        if (counted == fit.dropped) {
            fit.settled = true;
            break;
        }
    }
    return fit;
}

} // namespace hessay

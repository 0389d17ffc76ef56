#include "hessay/tracy_widom.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "hessay/error.hpp"

namespace hessay {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

/// One law in the argument s of the Hastings-McLeod function.
struct Law {
    int beta;
    int first;   // start of the first piece; F is below every double there
    int turn;    // near the median: log F is fitted to the left, log(1 - F) to the right
    double rate; // 1 - F ~ exp(-rate s^1.5) s^-power
    double power;
    const double* pieces; // rows of kTerms, one a unit of s
    const double* tail;   // kTailTerms
};

#include "tracy_widom_table.inc"

constexpr double kSqrt2 = 1.41421356237309505;

/// A fitted logarithm and its derivative in s.
struct Fit {
    double value;
    double slope;
};

/// sum c_j T_j(x), x in [-1, 1], by Clenshaw's recurrence.
template <int Terms>
double chebyshev(const double* c, double x)
{
    double next = 0, after = 0;
    for (int j = Terms - 1; j > 0; --j) {
        const double current = c[j] + 2 * x * next - after;
        after = next;
        next = current;
    }
    return c[0] + x * next - after;
}

/// Its derivative in x: sum j c_j U_(j-1)(x).
template <int Terms>
double chebyshev_slope(const double* c, double x)
{
    double next = 0, after = 0;
    for (int j = Terms - 1; j > 0; --j) {
        const double current = j * c[j] + 2 * x * next - after;
        after = next;
        next = current;
    }
    return next;
}

/// log F (s < turn) or log(1 - F) (s >= turn) at s in [first, kEnd).
double log_probability(const Law& law, double s)
{
    if (s < kJoin) {
        const double floor = std::floor(s);
        return chebyshev<kTerms>(law.pieces + (int(floor) - law.first) * kTerms, 2 * (s - floor) - 1);
    }
    const double root = std::sqrt(s), v = kJoinPower / (s * root);
    return chebyshev<kTailTerms>(law.tail, (v - kTailMiddle) / kTailRadius) - law.rate * s * root -
           law.power * std::log(s);
}

/// d log_probability / ds.
double log_slope(const Law& law, double s)
{
    if (s < kJoin) {
        const double floor = std::floor(s);
        return 2 * chebyshev_slope<kTerms>(law.pieces + (int(floor) - law.first) * kTerms, 2 * (s - floor) - 1);
    }
    const double root = std::sqrt(s), v = kJoinPower / (s * root);
    const double inner = chebyshev_slope<kTailTerms>(law.tail, (v - kTailMiddle) / kTailRadius) / kTailRadius;
    return -1.5 * (inner * v / s + law.rate * root) - law.power / s;
}

/// The s in [low, high] with log_probability(s) = target; it is monotone there, rising or falling.
double solve(const Law& law, double low, double high, bool rising, double target)
{
    while (high - low > 1) // to one piece
    {
        const double middle = std::floor(0.5 * (low + high));
        ((log_probability(law, middle) < target) == rising ? low : high) = middle;
    }
    double s = 0.5 * (low + high);
    for (int step = 0; step < 64; ++step) {
        const double error = log_probability(law, s) - target;
        ((error < 0) == rising ? low : high) = s;
        double next = s - error / log_slope(law, s);
        if (!(next > low && next < high)) // also keeps s off the far end, where the other fit begins
            next = 0.5 * (low + high);
        const double change = std::abs(next - s);
        s = next;
        if (change <= 4 * kEpsilon * std::max(1.0, std::abs(s))) break;
    }
    return s;
}

/// The s with F(s) = p, where complement = 1 - p: the smaller of the two carries the digits.
double quantile_of(const Law& law, double p, double complement)
{
    if (p <= 0) return -kInfinity;
    if (complement <= 0) return kInfinity;
    const double turn = law.turn;
    if (p < -std::expm1(log_probability(law, turn))) return solve(law, law.first, turn, true, std::log(p));
    return solve(law, turn, kEnd, false, std::log(complement));
}

} // namespace

TracyWidom::TracyWidom(int beta) : row_(beta == 4 ? 2 : beta - 1), scale_(beta == 4 ? kSqrt2 : 1)
{
    require(beta == 1 || beta == 2 || beta == 4, "beta must be 1, 2 or 4, got ", beta);
}

double TracyWidom::cdf(double s) const
{
    if (std::isnan(s)) return s;
    const Law& law = kLaws[row_];
    const double x = s * scale_;
    if (x < law.first) return 0;
    if (x >= kEnd) return 1;
    return x < law.turn ? std::exp(log_probability(law, x)) : -std::expm1(log_probability(law, x));
}

double TracyWidom::survival(double s) const
{
    if (std::isnan(s)) return s;
    const Law& law = kLaws[row_];
    const double x = s * scale_;
    if (x < law.first) return 1;
    if (x >= kEnd) return 0;
    return x < law.turn ? -std::expm1(log_probability(law, x)) : std::exp(log_probability(law, x));
}

double TracyWidom::quantile(double p) const
{
    require(p >= 0 && p <= 1, "a probability must lie in [0, 1], got ", p);
    return quantile_of(kLaws[row_], p, 1 - p) / scale_;
}

double TracyWidom::upper_quantile(double p) const
{
    require(p >= 0 && p <= 1, "a probability must lie in [0, 1], got ", p);
    return quantile_of(kLaws[row_], 1 - p, p) / scale_;
}

namespace {

Scaling scaling_of(double u, double v) { return {(u + v) * (u + v), (u + v) * std::cbrt(1 / u + 1 / v)}; }

} // namespace

Scaling largest_eigenvalue_scaling(double n, double p)
{
    require(std::isfinite(n) && n > 0.5, "n must be finite and above 1/2, got ", n);
    require(std::isfinite(p) && p > 0.5, "p must be finite and above 1/2, got ", p);
    return scaling_of(std::sqrt(n - 0.5), std::sqrt(p - 0.5));
}

Scaling johnstone_scaling(double n, double p)
{
    const double longer = std::max(n, p), shorter = std::min(n, p);
    require(std::isfinite(longer) && longer > 1 && shorter > 0, "n and p must be positive and one above 1, got ", n,
            " and ", p);
    return scaling_of(std::sqrt(longer - 1), std::sqrt(shorter));
}

} // namespace hessay

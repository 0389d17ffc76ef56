#include "hessay/marchenko_pastur.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "hessay/error.hpp"

namespace hessay {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Gauss-Legendre, 10 nodes on (-1, 1): the positive half.
constexpr int kHalf = 5;
constexpr double kNodes[kHalf] = {0.14887433898163121, 0.43339539412924719, 0.67940956829902441, 0.86506336668898451,
                                  0.97390652851717172};
constexpr double kWeights[kHalf] = {0.29552422471475287, 0.26926671930999636, 0.21908636251598204, 0.14945134915058059,
                                    0.066671344308688138};

/// An angle t in [0, pi] from one edge, with sin(t/2) and cos(t/2).
struct Angle {
    double t;
    double sine;
    double cosine;
};

Angle angle_of(double t) { return {t, std::sin(0.5 * t), std::cos(0.5 * t)}; }

/// The angle of a point `near` away from the edge it is measured from and `far` from the other.
Angle angle_between(double near, double far)
{
    const double scale = 1 / std::sqrt(near + far);
    const double sine = std::sqrt(near) * scale, cosine = std::sqrt(far) * scale;
    return {2 * std::atan2(sine, cosine), sine, cosine};
}

/// 1 + 2 k cos t + k^2 = (1 + k)^2 - 4 k sin(t/2)^2: no cancellation for k < 0.
double denominator(double k, double gap, const Angle& a)
{
    return k < 0 ? gap * gap - 4 * k * a.sine * a.sine : (1 - k) * (1 - k) + 4 * k * a.cosine * a.cosine;
}

/// d mass / dt.
double angle_density(double k, double gap, const Angle& a)
{
    const double sine = 2 * a.sine * a.cosine, below = denominator(k, gap, a);
    return below > 0 ? (2 / kPi) * sine * sine / below : (2 / kPi) * 2 * a.cosine * a.cosine;
}

/// (2 / pi) int_0^Y 8 y^2 sqrt(1 - y^2) / (gap^2 - 4 k y^2) dy, y = sin(u/2).
/// For t < gap / 2 the nearest pole is four half-widths off: error 8^-20.
double mass_by_quadrature(double k, double gap, const Angle& a)
{
    const double half = 0.5 * a.sine;
    const auto integrand = [=](double y) { return y * y * std::sqrt(1 - y * y) / (gap * gap - 4 * k * y * y); };
    double sum = 0;
    for (int i = 0; i < kHalf; ++i)
        sum += kWeights[i] * (integrand(half * (1 - kNodes[i])) + integrand(half * (1 + kNodes[i])));
    return (16 / kPi) * half * sum;
}

/// sum_{j >= 2} (-1)^(j+1) k^(j-2) sin(j t) / j for |k| <= 0.1: 18 terms leave 1e-18.
double small_ratio_series(double k, const Angle& a)
{
    const double sine = 2 * a.sine * a.cosine, twice_cosine = 2 * (1 - 2 * a.sine * a.sine);
    double before = sine, current = twice_cosine * sine, power = -1, sum = 0; // sin(t), sin(2t)
    for (int j = 2; j < 20; ++j) {
        sum += power * current / j;
        power *= -k;
        const double next = twice_cosine * current - before;
        before = current;
        current = next;
    }
    return sum;
}

double angle_mass(double k, double gap, const Angle& a)
{
    if (a.t <= 0.5 * std::min(gap, 1.0)) return mass_by_quadrature(k, gap, a);
    const double sine = 2 * a.sine * a.cosine;
    // d = arg(1 + k exp(i t))
    const double real = k < 0 ? gap - 2 * k * a.sine * a.sine : (1 - k) + 2 * k * a.cosine * a.cosine;
    const double d = real > 0 || sine > 0 ? std::atan2(k * sine, real) : 0;
    if (std::abs(k) <= 0.1) return (a.t - d + small_ratio_series(k, a)) / kPi;
    // t - d + (d - k sin t) / k^2, the two d terms joined: 1 - k^2 = gap (2 - gap)
    return (a.t + d * gap * (2 - gap) / (k * k) - sine / k) / kPi;
}

/// t in (0, pi] with angle_mass(t) = target, target in (0, angle_mass(pi / 2)].
double solve_angle(double k, double gap, double target, double start)
{
    double low = 0, high = 0.51 * kPi;
    // (2 / pi) t^3 / (3 gap^2) near the edge, 2 t / pi beyond a hard edge: the larger angle serves both.
    double t = start > 0 ? start : std::cbrt(1.5 * kPi * target * gap * gap) + 0.5 * kPi * std::max(-k, 0.0) * target;
    for (int step = 0; step < 64; ++step) {
        if (!(t > low && t < high)) t = 0.5 * (low + high);
        const Angle a = angle_of(t);
        const double error = angle_mass(k, gap, a) - target;
        (error > 0 ? high : low) = t;
        const double slope = angle_density(k, gap, a), newton = error / slope;
        // Halley: mass'' / mass' = 2 cot t + 2 k sin t / denominator
        const double sine = 2 * a.sine * a.cosine;
        const double bend = 2 * (1 - 2 * a.sine * a.sine) / sine + 2 * k * sine / denominator(k, gap, a);
        const double change = newton / std::max(0.5, 1 - 0.5 * newton * bend);
        t -= change;
        // Cubic convergence: after a step of 1e-6 what is left is below the rounding of the mass.
        if (std::abs(change) <= 1e-6 * t || high - low <= 2 * std::numeric_limits<double>::epsilon() * high) break;
    }
    return std::clamp(t, low, high);
}

} // namespace

double marchenko_pastur_angle_mass(double k, double gap, double t) { return angle_mass(k, gap, angle_of(t)); }

MarchenkoPasturAngles::MarchenkoPasturAngles(double k) : k_(k), half_(0)
{
    require(k > 0 && k <= 1, "k must lie in (0, 1], got ", k);
    half_ = angle_mass(k, 1 + k, angle_of(0.5 * kPi));
}

double MarchenkoPasturAngles::operator()(double tail, double start) const
{
    if (tail <= 0) return 0;
    if (tail >= 1) return kPi;
    if (tail <= half_) return solve_angle(k_, 1 + k_, tail, start);
    return kPi - solve_angle(-k_, 1 - k_, 1 - tail, start > 0 ? kPi - start : start);
}

MarchenkoPastur::MarchenkoPastur(double sigma2, double gamma) : sigma2_(sigma2), gamma_(gamma)
{
    require(std::isfinite(sigma2) && sigma2 > 0, "sigma2 must be positive and finite, got ", sigma2);
    require(std::isfinite(gamma) && gamma > 0, "gamma must be positive and finite, got ", gamma);
    const double root = std::sqrt(gamma);
    // 1 - sqrt(gamma) = (1 - gamma) / (1 + sqrt(gamma)): exact where the left edge nears 0
    const double distance = (1 - gamma) / (1 + root);
    lower_ = sigma2 * distance * distance;
    upper_ = sigma2 * (1 + root) * (1 + root);
    k_ = gamma <= 1 ? root : 1 / root;
    gap_ = gamma <= 1 ? distance : -distance / root;
    mass_ = gamma <= 1 ? 1 : 1 / gamma;
    atom_ = gamma <= 1 ? 0 : (gamma - 1) / gamma;
}

double MarchenkoPastur::density(double x) const
{
    if (std::isnan(x)) return x;
    if (x < lower_ || x > upper_) return 0;
    if (x == 0) return kInfinity; // the lower edge of gamma = 1
    return std::sqrt((upper_ - x) / sigma2_) * std::sqrt((x - lower_) / sigma2_) / (2 * kPi * gamma_ * x);
}

double MarchenkoPastur::cdf(double x) const
{
    if (std::isnan(x)) return x;
    if (x < 0) return 0;
    if (x <= lower_) return atom_;
    if (x >= upper_) return 1;
    const double above = upper_ - x, below = x - lower_;
    if (below < above) return atom_ + mass_ * angle_mass(-k_, gap_, angle_between(below, above));
    return 1 - mass_ * angle_mass(k_, 1 + k_, angle_between(above, below));
}

double MarchenkoPastur::survival(double x) const
{
    if (std::isnan(x)) return x;
    if (x < 0) return 1;
    if (x <= lower_) return mass_;
    if (x >= upper_) return 0;
    const double above = upper_ - x, below = x - lower_;
    if (below < above) return mass_ * (1 - angle_mass(-k_, gap_, angle_between(below, above)));
    return mass_ * angle_mass(k_, 1 + k_, angle_between(above, below));
}

double MarchenkoPastur::quantile(double p) const
{
    require(p >= 0 && p <= 1, "a probability must lie in [0, 1], got ", p);
    if (atom_ > 0 && p <= atom_) return 0;
    const double share = (p - atom_) / mass_;
    const double width = upper_ - lower_;
    if (share <= angle_mass(-k_, gap_, angle_of(0.5 * kPi))) {
        const double sine = share > 0 ? std::sin(0.5 * solve_angle(-k_, gap_, share, -1)) : 0;
        return lower_ + width * sine * sine;
    }
    const double tail = (1 - p) / mass_;
    const double sine = tail > 0 ? std::sin(0.5 * solve_angle(k_, 1 + k_, tail, -1)) : 0;
    return upper_ - width * sine * sine;
}

} // namespace hessay

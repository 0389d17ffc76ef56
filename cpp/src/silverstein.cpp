#include "hessay/silverstein.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "hessay/error.hpp"

namespace hessay {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr int kMaxHalvings = 2100;  // the exponents of a double
constexpr double kFarthest = 1e150; // of z
constexpr double kLargest = 1e100;  // of population eigenvalues and their inverses: cubes and their ratios stay finite

/// The zero of a function that rises (or falls) through [low, high], by Newton steps kept inside the bracket.
template <class Value, class Slope>
double bracketed_root(double low, double high, bool rising, Value value, Slope slope)
{
    double x = 0.5 * (low + high);
    for (int step = 0; step < kMaxHalvings; ++step) {
        const double error = value(x);
        ((error < 0) == rising ? low : high) = x;
        double next = x - error / slope(x);
        if (!(next > low && next < high)) next = 0.5 * (low + high);
        const double change = std::abs(next - x);
        x = next;
        if (change <= 2 * kEpsilon * std::abs(x) || high - low <= 2 * kEpsilon * std::abs(high)) break;
    }
    return x;
}

} // namespace

Silverstein::Silverstein(std::vector<double> t, std::vector<double> w, double gamma) : gamma_(gamma), zero_(0)
{
    require<ShapeError>(t.size() == w.size() && !t.empty(), "a population needs one weight for each eigenvalue, got ",
                        t.size(), " eigenvalues and ", w.size(), " weights");
    require(std::isfinite(gamma) && gamma > 0, "gamma must be positive and finite, got ", gamma);
    std::vector<std::size_t> order(t.size());
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::sort(order.begin(), order.end(), [&t](std::size_t i, std::size_t j) { return t[i] < t[j]; });
    const double total = std::accumulate(w.begin(), w.end(), 0.0);
    require(std::abs(total - 1) <= 1e-6, "the weights of a population must sum to one, got ", total);
    for (std::size_t i : order) {
        require(std::isfinite(t[i]) && t[i] >= 0, "a population eigenvalue must be finite and not negative, got ",
                t[i]);
        require(t[i] == 0 || (t[i] >= 1 / kLargest && t[i] <= kLargest), "a population eigenvalue must be 0 or within ",
                1 / kLargest, " and ", kLargest, ", got ", t[i], "; divide the population by its mean");
        require(w[i] > 0, "the weight of a population eigenvalue must be positive, got ", w[i]);
        const double share = w[i] / total;
        if (t[i] == 0) {
            zero_ += share;
        } else if (!t_.empty() && t[i] - t_.back() <= 4 * kEpsilon * t[i]) {
            w_.back() += share; // a gap of a rounding is none
        } else {
            t_.push_back(t[i]);
            w_.push_back(share);
        }
        mean_ += share * t[i];
    }
    require(!t_.empty(), "a population needs a positive eigenvalue, all ", t.size(), " are 0");
    find_edges();
}

template <class T>
T Silverstein::map(T s) const
{
    T sum = 0;
    for (std::size_t i = 0; i < t_.size(); ++i) sum += w_[i] * t_[i] / (s - t_[i]);
    return s * (1.0 + gamma_ * sum);
}

template <class T>
T Silverstein::map_slope(T s) const
{
    T sum = 0;
    for (std::size_t i = 0; i < t_.size(); ++i) {
        const T ratio = t_[i] / (s - t_[i]);
        sum += w_[i] * ratio * ratio;
    }
    return 1.0 - gamma_ * sum;
}

/// psi''(s) = 2 gamma sum w t^2 / (s - t)^3
double Silverstein::map_bend(double s) const
{
    double sum = 0;
    for (std::size_t i = 0; i < t_.size(); ++i) {
        const double distance = s - t_[i], ratio = t_[i] / distance;
        sum += w_[i] * ratio * ratio / distance;
    }
    return 2 * gamma_ * sum;
}

double Silverstein::root_of_slope(double low, double high, bool rising) const
{
    return bracketed_root(
        low, high, rising, [this](double s) { return map_slope(s); }, [this](double s) { return map_bend(s); });
}

/// psi' is concave between neighbouring poles and monotone beyond the outermost: its zeros are bracketed.
void Silverstein::find_edges()
{
    const double lowest = t_.front(), highest = t_.back(), positive = gamma_ * (1 - zero_), root = std::sqrt(positive);
    // Left of all poles: psi'(0) = 1 - positive. A zero at s > 0 or s < 0, or the hard edge s = 0.
    if (positive < 1)
        critical_.push_back(root_of_slope(0, lowest, false));
    else if (positive > 1)
        critical_.push_back(root_of_slope(-root * highest, 0, false));
    else
        critical_.push_back(0);
    for (std::size_t i = 0; gaps_resolved() && i + 1 < t_.size(); ++i) {
        const double low = t_[i], high = t_[i + 1];
        // Where psi' is largest: psi'' falls from +inf to -inf. Its own slope is -6 gamma sum w t^2 / (s - t)^4.
        const double top = bracketed_root(
            low, high, false, [this](double s) { return map_bend(s); },
            [this](double s) {
                double sum = 0;
                for (std::size_t j = 0; j < t_.size(); ++j) {
                    const double square = (s - t_[j]) * (s - t_[j]);
                    sum += w_[j] * t_[j] * t_[j] / (square * square);
                }
                return -6 * gamma_ * sum;
            });
        if (!(top > low && top < high && map_slope(top) > 0)) continue;
        critical_.push_back(root_of_slope(low, top, true));
        critical_.push_back(root_of_slope(top, high, false));
    }
    // Right of all poles: psi' <= 0 where the top term alone makes it so, >= 0 where all mass were at the top.
    critical_.push_back(root_of_slope(highest, highest * (1 + root) * (1 + kEpsilon), true));
    for (std::size_t i = 0; i < critical_.size(); i += 2)
        support_.push_back({critical_[i] == 0 ? 0 : map(critical_[i]), map(critical_[i + 1])});
}

double Silverstein::atom() const { return std::max(zero_, 1 - 1 / gamma_); }

double Silverstein::edge_scale(double n) const
{
    require(std::isfinite(n) && n > 0, "n must be positive and finite, got ", n);
    // x(mt) = psi(-1 / mt): at psi' = 0, x'' = psi'' s^4.
    const double s = critical_.back();
    return s * std::cbrt(0.5 * map_bend(s) * s) * std::pow(n, -2.0 / 3);
}

double Silverstein::spike_map(double s) const { return map(s); }
double Silverstein::spike_map_slope(double s) const { return map_slope(s); }

/// psi rises through [low, high], where no pole lies, and meets z there.
double Silverstein::real_coordinate(double z, double low, double high) const
{
    return bracketed_root(
        low, high, true, [this, z](double s) { return map(s) - z; }, [this](double s) { return map_slope(s); });
}

/// Damped Newton in the upper half plane from s; whether it has met psi(s) = z there.
bool Silverstein::newton(Complex z, Complex& s) const
{
    const double scale = std::abs(z) + t_.back();
    for (int step = 0; step < 60; ++step) {
        const Complex error = map(s) - z;
        Complex change = error / map_slope(s);
        if (!(std::isfinite(change.real()) && std::isfinite(change.imag()))) return false;
        for (int half = 0; half < 40 && s.imag() <= change.imag(); ++half) change *= 0.5;
        s -= change;
        if (s.imag() <= 0) return false;
        if (std::abs(change) <= 8 * kEpsilon * std::abs(s)) return std::abs(map(s) - z) <= 1e-9 * scale;
    }
    return std::abs(map(s) - z) <= 1e-12 * scale;
}

/// From far above, where s = z nearly, down to z; on the real axis the last step starts 1e-9 above it.
Silverstein::Complex Silverstein::continued(Complex z) const
{
    double height = 2 * (t_.back() + gamma_ * mean_ + std::abs(z));
    const double floor = std::max(z.imag(), 1e-9 * t_.back());
    Complex s(z.real(), height);
    for (; height > floor; height *= 0.5) {
        Complex trial = s;
        if (newton({z.real(), height}, trial)) s = trial;
    }
    Complex last = s;
    if (newton(z, last)) return last;
    // Between intervals that were not told apart the roots are real: no mass.
    return {s.real(), z.imag() > 0 ? s.imag() : 0};
}

Silverstein::Complex Silverstein::coordinate(Complex z, Complex hint) const
{
    require(std::isfinite(z.real()) && std::isfinite(z.imag()), "z must be finite, got ", z.real(), " + ", z.imag(),
            "i");
    require(std::abs(z.real()) <= kFarthest && std::abs(z.imag()) <= kFarthest, "z must lie within +-", kFarthest,
            ", got ", z.real(), " + ", z.imag(), "i");
    if (z.imag() < 0) return std::conj(coordinate(std::conj(z), std::conj(hint)));
    const double x = z.real();
    if (z.imag() == 0) {
        if (x < support_.front().lower || (x == 0 && critical_.front() <= 0)) {
            if (critical_.front() >= 0 && x == 0) return 0.0;
            // -s = kappa lies in [-x, -x + gamma E t]; for x > 0 the root is right of s = x - gamma E t as well.
            return real_coordinate(x, std::min(x, 0.0) - gamma_ * mean_, critical_.front());
        }
        if (x >= support_.back().upper)
            return real_coordinate(x, critical_.back(), std::max(x, critical_.back() * (1 + kEpsilon)));
        for (std::size_t i = 0; i + 1 < support_.size(); ++i)
            if (x > support_[i].upper && x < support_[i + 1].lower)
                return real_coordinate(x, critical_[2 * i + 1], critical_[2 * i + 2]);
    }
    if (hint.imag() > 0 && newton(z, hint) && hint.imag() > 1e-8 * std::abs(hint)) return hint;
    return continued(z);
}

Silverstein::Complex Silverstein::companion_slope(Complex s) const { return 1.0 / (s * s * map_slope(s)); }

/// m = -sum w / (s - t) / (1 + gamma sum w t / (s - t)): -(1/z) sum w s / (s - t) with z = psi(s), no division by z.
Silverstein::Complex Silverstein::stieltjes(Complex s) const
{
    Complex sum = zero_ > 0 ? zero_ / s : 0.0, weighted = 0;
    for (std::size_t i = 0; i < t_.size(); ++i) {
        const Complex term = w_[i] / (s - t_[i]);
        sum += term;
        weighted += t_[i] * term;
    }
    return -sum / (1.0 + gamma_ * weighted);
}

double Silverstein::density(Complex s) const
{
    if (!(s.imag() > 1e-8 * std::abs(s))) return 0;
    return companion(s).imag() / (kPi * gamma_);
}

double Silverstein::survival(Complex s) const
{
    double sum = zero_ * std::arg(s);
    for (std::size_t i = 0; i < t_.size(); ++i) {
        const Complex distance = s - t_[i];
        sum += w_[i] * (std::arg(distance) + (t_[i] / distance).imag());
    }
    return std::clamp(((1 - gamma_) * std::arg(s) / gamma_ + sum) / kPi, 0.0, 1.0);
}

double Silverstein::quantile(double p) const
{
    require(p >= 0 && p <= 1, "a probability must lie in [0, 1], got ", p);
    const double tail = 1 - p;
    if (p <= atom()) return atom() > 0 ? 0 : support_.front().lower;
    std::size_t i = 0; // the first interval that reaches p
    while (i + 1 < support_.size() && survival(coordinate(0.5 * (support_[i].upper + support_[i + 1].lower))) > tail)
        ++i;
    // An angle takes the square roots out of both edges: x = lower + width sin(a / 2)^2.
    const double lower = support_[i].lower, width = support_[i].upper - lower;
    Complex s(0, 0);
    const auto at = [&](double a) { return lower + width * std::sin(0.5 * a) * std::sin(0.5 * a); };
    const double a = bracketed_root(
        0, kPi, true,
        [&](double angle) {
            s = coordinate(at(angle), s);
            return tail - survival(s);
        },
        [&](double angle) { return density(s) * 0.5 * width * std::sin(angle); });
    return at(a);
}

double Silverstein::kappa(double lam) const
{
    require(std::isfinite(lam) && lam >= 0, "lam must be finite and not negative, got ", lam);
    return -coordinate(-lam).real() + 0.0;
}

} // namespace hessay

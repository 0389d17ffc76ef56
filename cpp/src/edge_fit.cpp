#include "hessay/edge_fit.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "hessay/error.hpp"
#include "hessay/marchenko_pastur.hpp"
#include "hessay/tracy_widom.hpp"

namespace hessay {
namespace {

constexpr double kPi = 3.14159265358979323846;
// Tracy-Widom 0.9999 quantile, beta 1. Only what lies above is kept from the fit: a noise value left out lowers the
// edge and so would turn its own p-value from 0.01 into 0.001.
constexpr double kDropped = 4.359420343913646;
constexpr Index kLevels = 128; // order statistics used by one fit; neighbours carry almost the same information
constexpr int kMaxRounds = 15, kMaxSteps = 40;
constexpr double kSmallest = 0.01, kLargest = 1.0; // of k; at 0.01 the bulk is 4 % wide
constexpr Index kMinBulk = 12;
constexpr Index kDistances = 512; // places where a long spectrum is compared with the law

double clip(double k) { return std::clamp(k, kSmallest, kLargest); }

/// The chosen order statistics and what the law says of them.
struct Levels {
    std::vector<double> target, weight, tail; // sqrt(value), count, share of the bulk above
    std::vector<double> angle, y, slope;      // of the tail at k, sqrt of the quantile over root, dy / dk
};

double count_of(const Spectrum& s, Index i) { return s.counts ? s.counts[i] : 1.0; }

void choose(const Spectrum& s, Index dropped, double size, Levels& at)
{
    const Index left = s.size - dropped, count = s.counts ? left : std::min(left, kLevels);
    at.target.resize(std::size_t(count));
    at.weight.resize(std::size_t(count));
    at.tail.resize(std::size_t(count));
    const auto fresh = at.angle.size() != std::size_t(count); // otherwise the old angles are near the new
    if (fresh) at.angle.assign(std::size_t(count), -1.0);
    double above = 0;
    for (Index j = 0; j < count; ++j) {
        const Index i = s.counts || count == 1 ? j : j * (left - 1) / (count - 1);
        const double own = count_of(s, dropped + i), before = s.counts ? above : double(i);
        at.target[std::size_t(j)] = std::sqrt(s.values[dropped + i]);
        at.weight[std::size_t(j)] = own;
        at.tail[std::size_t(j)] = (before + 0.5 * own) / size;
        above += own;
    }
    at.y.resize(std::size_t(count));
    at.slope.resize(std::size_t(count));
}

/// y^2 = D = 1 + 2 k cos t + k^2 at the angle t(k) with mass(k, t) = tail, and dy/dk along it:
/// mass = (t - d + (d - k sin t) / k^2) / pi, d = arg(1 + k e^(it)), d' = sin t / D, dmass/dt = (2 / pi) sin^2 t / D.
void evaluate(double k, bool with_slope, Levels& at)
{
    const MarchenkoPasturAngles angles(k);
    double neighbour = -1;
    for (std::size_t j = 0; j < at.tail.size(); ++j) {
        const double t = angles(at.tail[j], at.angle[j] > 0 ? at.angle[j] : neighbour);
        at.angle[j] = neighbour = t;
        const double half = std::cos(0.5 * t), cosine = 2 * half * half - 1;
        const double d2 = (1 - k) * (1 - k) + 4 * k * half * half;
        at.y[j] = std::sqrt(d2);
        if (!with_slope) continue;
        const double sine = std::sin(t), turn = std::atan2(k * sine, 1 + k * cosine), bend = sine / d2;
        const double by_k = -bend + (bend - sine) / (k * k) - 2 * (turn - k * sine) / (k * k * k);
        const double by_t = 2 * sine * sine / d2;
        at.slope[j] = by_t > 0 ? (cosine + k + k * sine * by_k / by_t) / at.y[j] : 0;
    }
}

struct Normal {
    double yy = 0, ys = 0, ss = 0, ty = 0, ts = 0;
};

Normal normal_equations(const Levels& at)
{
    Normal n;
    for (std::size_t j = 0; j < at.y.size(); ++j) {
        const double y = at.y[j], s = at.slope[j], t = at.target[j], w = at.weight[j];
        n.yy += w * y * y;
        n.ys += w * y * s;
        n.ss += w * s * s;
        n.ty += w * t * y;
        n.ts += w * t * s;
    }
    return n;
}

/// Minimises |target - root y(k)|; root is linear. Whether k has converged.
bool gauss_newton(Levels& at, double& root, double& k)
{
    for (int step = 0; step < kMaxSteps; ++step) {
        evaluate(k, true, at);
        const Normal n = normal_equations(at);
        root = n.ty / n.yy;
        // target ~ a y + b slope, then root = a and the step of k is b / a
        const double determinant = n.yy * n.ss - n.ys * n.ys;
        const double a = (n.ty * n.ss - n.ts * n.ys) / determinant, b = (n.ts * n.yy - n.ty * n.ys) / determinant;
        const double next = clip(k + (a > 0 ? std::clamp(b / a, -0.25, 0.25) : 0.05)), change = next - k;
        // A change below 1e-7 moves an edge by less than 1e-6 of the Tracy-Widom scale of 10^5 eigenvalues.
        k = next;
        if (std::abs(change) > 1e-7) continue;
        root = a; // of the new k, to first order
        return true;
    }
    return false;
}

double first_shape(const Spectrum& s, Index dropped, double size)
{
    double quartile[3] = {0, 0, 0}, above = 0;
    int found = 0;
    for (Index i = dropped; i < s.size && found < 3; ++i) {
        above += count_of(s, i);
        while (found < 3 && above >= 0.25 * (found + 1) * size) quartile[found++] = std::sqrt(s.values[i]);
    }
    // sqrt(x) ~ 1 + k cos t with cos t a semicircle, quartiles -+0.404
    return clip(quartile[1] > 0 ? (quartile[0] - quartile[2]) / (0.808 * quartile[1]) : kLargest);
}

/// Centre and scale of the largest of `size` noise eigenvalues.
void set_largest(BulkFit& fit)
{
    const double longer = std::max(fit.size / (fit.k * fit.k), 1.0), unit = fit.root * fit.root / longer;
    const Scaling scaling = largest_eigenvalue_scaling(longer, std::max(fit.size, 1.0));
    fit.center = scaling.center * unit;
    fit.scale = scaling.scale * unit;
}

Index count_above(const Spectrum& s, double threshold)
{
    return Index(std::partition_point(s.values, s.values + s.size, [=](double x) { return x > threshold; }) - s.values);
}

double counts_of_first(const Spectrum& s, Index entries)
{
    if (!s.counts) return double(entries);
    double sum = 0;
    for (Index i = 0; i < entries; ++i) sum += s.counts[i];
    return sum;
}

/// N * KS; of a long spectrum every few order statistics, between which the distance hardly moves.
double goodness_of(const Spectrum& s, const BulkFit& fit)
{
    const MarchenkoPastur law(fit.root * fit.root, fit.k * fit.k);
    const Index stride = s.counts ? 1 : std::max<Index>(1, (s.size - fit.dropped) / kDistances);
    double above = 0, worst = 0;
    for (Index i = fit.dropped; i < s.size; i += stride) {
        const double own = count_of(s, i), expected = fit.size * law.survival(s.values[i]);
        worst = std::max({worst, expected - above, above + own - expected});
        above += s.counts ? own : double(stride);
    }
    return worst;
}

/// sum_{j = 3..8} (sum_i T_j(u_i) - its mean)^2 / (j / 2), u = cos of the angle in the fitted law. The mean under
/// dF = (2 / pi) sin^2 t / D dt: with 1 / D = (1 + 2 sum (-k)^l cos(l t)) / (1 - k^2) the integral of cos(j t) is
/// -(-k)^(j-2) (1 - k^2) / 2.
double shape_of(const Spectrum& s, const BulkFit& fit)
{
    constexpr int kFirst = 3, kLast = 8;
    const double k = fit.k, unit = fit.root * fit.root;
    double sums[kLast + 1] = {};
    for (Index i = fit.dropped; i < s.size; ++i) {
        const double u = std::clamp((s.values[i] / unit - 1 - k * k) / (2 * k), -1.0, 1.0), own = count_of(s, i);
        double before = u, current = 2 * u * u - 1;
        for (int j = kFirst; j <= kLast; ++j) {
            const double next = 2 * u * current - before;
            before = current;
            current = next;
            sums[j] += own * current;
        }
    }
    double total = 0, power = -k;
    for (int j = kFirst; j <= kLast; ++j, power *= -k) {
        const double off = sums[j] + 0.5 * fit.size * power * (1 - k * k);
        total += off * off / (0.5 * j);
    }
    return total;
}

} // namespace

BulkFit fit_bulk(const Spectrum& s, double longer)
{
    require(s.size >= 2, "an edge fit needs two entries at least, got ", s.size);
    Levels at;
    BulkFit fit{};
    // From everything down: the largest spikes bend the first fit, but stand out from it all the same, and those they
    // hid show in the next. Starting from a trimmed fit would let noise that was left out confirm itself.
    std::vector<Index> seen;
    Index dropped = 0;
    bool converged = true;
    do {
        seen.push_back(dropped);
        fit.dropped = dropped;
        fit.size = s.total - counts_of_first(s, dropped);
        choose(s, dropped, fit.size, at);
        if (longer > 0) {
            fit.k = clip(std::sqrt(fit.size / std::max(longer - (s.total - fit.size), fit.size)));
            evaluate(fit.k, false, at);
            const Normal n = normal_equations(at);
            fit.root = n.ty / n.yy;
        } else {
            if (seen.size() == 1) fit.k = first_shape(s, dropped, fit.size);
            converged = gauss_newton(at, fit.root, fit.k);
        }
        set_largest(fit);
        dropped = count_above(s, fit.center + kDropped * fit.scale);
    } while (std::find(seen.begin(), seen.end(), dropped) == seen.end() && int(seen.size()) < kMaxRounds &&
             s.size - dropped >= kMinBulk);
    fit.settled = converged && fit.dropped == dropped;
    fit.goodness = goodness_of(s, fit);
    fit.shape = shape_of(s, fit);
    return fit;
}

FitErrors fit_errors(double k, double size, bool known)
{
    constexpr std::size_t kNodes = 40, kTerms = 16;
    require(k > 0 && k <= 1, "k must lie in (0, 1], got ", k);
    require(std::isfinite(size) && size > 0, "the bulk must hold eigenvalues, got ", size);
    Levels at;
    for (std::size_t i = 0; i < kNodes; ++i) {
        const double t = (double(i) + 0.5) * kPi / kNodes;
        at.angle.push_back(t);
        at.tail.push_back(marchenko_pastur_angle_mass(k, 1 + k, t));
        // du = (2 / pi) sin^2 t / D dt: the weights of the normal equations
        const double half = std::cos(0.5 * t), sine = std::sin(t), d2 = (1 - k) * (1 - k) + 4 * k * half * half;
        at.weight.push_back(2 * sine * sine / (d2 * kNodes));
    }
    at.target.assign(kNodes, 0);
    at.y.resize(kNodes);
    at.slope.resize(kNodes);
    evaluate(k, true, at);
    const Normal n = normal_equations(at);
    // G' = g dy/dt with y dy/dt = -k sin t; j a_j = -(2 / pi) int G' sin(j t) dt, for g = y and g = dy/dk
    double c00 = 0, c01 = 0, c11 = 0;
    for (std::size_t j = 1; j <= kTerms; ++j) {
        double first = 0, second = 0;
        for (std::size_t i = 0; i < kNodes; ++i) {
            const double wave = std::sin(double(j) * at.angle[i]), slope = k * std::sin(at.angle[i]);
            first += wave * slope;
            second += wave * slope * at.slope[i] / at.y[i];
        }
        first *= 2.0 / kNodes;
        second *= 2.0 / kNodes;
        c00 += first * first / (2.0 * double(j));
        c01 += first * second / (2.0 * double(j));
        c11 += second * second / (2.0 * double(j));
    }
    if (known) {
        const double relative = std::sqrt(c00) / (n.yy * size);
        return {relative, 0, 2 * relative};
    }
    // (d root / root, d k) = N^-1 g
    const double det = n.yy * n.ss - n.ys * n.ys;
    const double a0 = n.ss / det, a1 = -n.ys / det, b0 = a1, b1 = n.yy / det;
    const auto deviation = [&](double u, double v) {
        return std::sqrt(std::max(u * u * c00 + 2 * u * v * c01 + v * v * c11, 0.0)) / size;
    };
    // upper = root^2 (1 + k)^2
    const double rate = 2 / (1 + k);
    return {deviation(a0, a1), deviation(b0, b1), deviation(2 * a0 + rate * b0, 2 * a1 + rate * b1)};
}

} // namespace hessay

#include <cmath>

#include "hessay/error.hpp"
#include "hessay/marchenko_pastur.hpp"

namespace hessay {
namespace {

using Complex = std::complex<double>;

void require_off_atom(bool has_atom, bool at_zero, double gamma)
{
    require(!(has_atom && at_zero), "z = 0 is an eigenvalue for gamma = ", gamma, "; take z away from 0");
}

} // namespace

/// r(z) = sqrt(z - lower) sqrt(z - upper) on the real axis outside (lower, upper): negative below, positive above.
double MarchenkoPastur::signed_root(double z) const
{
    require(std::isfinite(z), "z must be finite, got ", z);
    require(z <= lower_ || z >= upper_, "z = ", z, " lies inside the support (", lower_, ", ", upper_,
            "), where the transform has two limits; take z outside");
    const double root = std::sqrt(std::abs(z - lower_)) * std::sqrt(std::abs(z - upper_));
    return z <= lower_ ? -root : root;
}

/// r(z) off the real axis: two principal roots, whose product has its cut on the support alone.
Complex MarchenkoPastur::signed_root(Complex z) const
{
    require(std::isfinite(z.real()) && std::isfinite(z.imag()), "z must be finite, got ", z.real(), " + ", z.imag(),
            "i");
    if (z.imag() == 0) z.imag(0); // -0 would take the limit from below
    return std::sqrt(z - lower_) * std::sqrt(z - upper_);
}

/// Root of a z m^2 + b m + 1 = 0 with 2 a z m + b = r: a = gamma sigma2, b = z + sigma2 (gamma - 1), or the companion's
/// a = sigma2, b = z + sigma2 (1 - gamma). Of its two forms the one that does not cancel.
template <class T>
T MarchenkoPastur::transform(T z, T root, bool dual) const
{
    const double a = dual ? sigma2_ : gamma_ * sigma2_;
    const T b = z + sigma2_ * (dual ? 1 - gamma_ : gamma_ - 1);
    if (std::abs(b + root) >= std::abs(b - root)) return -2.0 / (b + root);
    return (root - b) / (2 * a * z);
}

/// The quadratic, differentiated: (2 a z m + b) m' = -(a m^2 + m), and the bracket is r.
template <class T>
T MarchenkoPastur::slope(T z, bool dual) const
{
    require_off_atom(dual ? gamma_ <= 1 : gamma_ >= 1, z == T(0), gamma_);
    const T root = signed_root(z), m = transform(z, root, dual);
    return -m * (1.0 + (dual ? sigma2_ : gamma_ * sigma2_) * m) / root;
}

double MarchenkoPastur::stieltjes(double z) const
{
    require_off_atom(gamma_ >= 1, z == 0, gamma_);
    return transform(z, signed_root(z), false);
}

Complex MarchenkoPastur::stieltjes(Complex z) const
{
    require_off_atom(gamma_ >= 1, z == 0.0, gamma_);
    return transform(z, signed_root(z), false);
}

double MarchenkoPastur::companion(double z) const
{
    require_off_atom(gamma_ <= 1, z == 0, gamma_);
    return transform(z, signed_root(z), true);
}

Complex MarchenkoPastur::companion(Complex z) const
{
    require_off_atom(gamma_ <= 1, z == 0.0, gamma_);
    return transform(z, signed_root(z), true);
}

double MarchenkoPastur::stieltjes_slope(double z) const { return slope(z, false); }
Complex MarchenkoPastur::stieltjes_slope(Complex z) const { return slope(z, false); }
double MarchenkoPastur::companion_slope(double z) const { return slope(z, true); }
Complex MarchenkoPastur::companion_slope(Complex z) const { return slope(z, true); }

double MarchenkoPastur::kappa(double lam) const
{
    require(std::isfinite(lam) && lam >= 0, "lam must be finite and not negative, got ", lam);
    const double b = lam - sigma2_ * (1 - gamma_), root = std::hypot(b, 2 * std::sqrt(lam) * std::sqrt(sigma2_));
    if (b >= 0) return 0.5 * (b + root);
    return 2 * lam * (sigma2_ / (root - b));
}

double MarchenkoPastur::moment(int k) const
{
    require(k >= -2, "moments are known for k >= -2, got k = ", k);
    require(k >= 0 || gamma_ < 1, "moment ", k, " is infinite for gamma = ", gamma_, "; it needs gamma < 1");
    if (k == -1) return 1 / (sigma2_ * (1 - gamma_));
    if (k == -2) return 1 / (sigma2_ * sigma2_ * (1 - gamma_) * (1 - gamma_) * (1 - gamma_));
    double term = 1, sum = k == 0 ? 1 : 0; // Narayana polynomial in gamma
    for (int r = 0; r < k; ++r) {
        sum += term;
        term *= gamma_ * double(k - r) * double(k - 1 - r) / (double(r + 1) * double(r + 2));
    }
    return std::pow(sigma2_, k) * sum;
}

} // namespace hessay

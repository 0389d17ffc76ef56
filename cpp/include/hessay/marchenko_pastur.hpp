#pragma once
#include <complex>

namespace hessay {

/// A closed interval, lower <= upper, in the unit of its owner.
struct Interval {
    double lower;
    double upper;
};

/// Marchenko-Pastur law: the limit of the eigenvalues of X'X / n, X n x p with independent entries.
///
/// sigma2  variance of an entry, > 0; eigenvalues carry its unit
/// gamma   p / n, > 0, dimensionless; above 1 the law has an atom 1 - 1/gamma at 0
///
/// With k = min(sqrt gamma, 1 / sqrt gamma), w = min(1, 1 / gamma) and the angle
/// t in [0, pi] of x = lower + 4 sigma2 sqrt(gamma) sin(t/2)^2, the continuous part has
/// dF = w (2 / pi) sin(t)^2 / (1 - 2 k cos t + k^2) dt. Everything is computed from t or from
/// pi - t, whichever edge is nearer, so both tails keep their relative accuracy.
/// Source: Marchenko & Pastur 1967, Math. USSR-Sbornik 1, 457.
class MarchenkoPastur {
  public:
    /// Throws ValueError when either argument is not finite and positive.
    MarchenkoPastur(double sigma2, double gamma);

    /// Edges sigma2 (1 -+ sqrt gamma)^2 of the continuous part; the atom at 0 lies outside.
    [[nodiscard]] Interval support() const { return {lower_, upper_}; }

    /// Mass at 0: max(0, 1 - 1/gamma).
    [[nodiscard]] double atom() const { return atom_; }

    /// Density of the continuous part at x, any real: sqrt((upper - x)(x - lower)) / (2 pi sigma2 gamma x).
    /// 0 outside the support; +infinity at x = 0 when gamma = 1.
    [[nodiscard]] double density(double x) const;

    /// P(eigenvalue <= x), x any real or infinite; NaN gives NaN.
    [[nodiscard]] double cdf(double x) const;

    /// P(eigenvalue > x) with relative accuracy near the upper edge; NaN gives NaN.
    [[nodiscard]] double survival(double x) const;

    /// Smallest x of the support, 0 included when it has mass, with cdf(x) >= p.
    /// p  in [0, 1]
    /// Throws ValueError outside that range, NaN included.
    [[nodiscard]] double quantile(double p) const;

    /// m(z) = int dF(x) / (x - z): gamma sigma2 z m^2 + (z + sigma2 (gamma - 1)) m + 1 = 0, Im m Im z >= 0.
    /// z  finite. On the real line outside the open support; complex with Im z = 0 inside it: the limit from above.
    /// Throws ValueError inside the support (real z), at the atom, and when z is not finite.
    [[nodiscard]] double stieltjes(double z) const;
    [[nodiscard]] std::complex<double> stieltjes(std::complex<double> z) const;

    /// The same integral over the n eigenvalues of XX' / n: gamma m(z) - (1 - gamma) / z.
    /// Throws ValueError as stieltjes does; the atom at 0 is that of gamma < 1.
    [[nodiscard]] double companion(double z) const;
    [[nodiscard]] std::complex<double> companion(std::complex<double> z) const;

    /// m'(z) = -m (1 + gamma sigma2 m) / r and the companion's -mt (1 + sigma2 mt) / r, r = sqrt(z - lower) sqrt(z -
    /// upper). Infinite at an edge. Arguments and errors are those of the transforms.
    [[nodiscard]] double stieltjes_slope(double z) const;
    [[nodiscard]] std::complex<double> stieltjes_slope(std::complex<double> z) const;
    [[nodiscard]] double companion_slope(double z) const;
    [[nodiscard]] std::complex<double> companion_slope(std::complex<double> z) const;

    /// kappa(lam) = 1 / companion(-lam), the ridge a population direction feels:
    /// kappa = (B + sqrt(B^2 + 4 lam sigma2)) / 2, B = lam - sigma2 (1 - gamma); the limit max(0, sigma2 (gamma - 1))
    /// at 0. lam  >= 0, unit of sigma2 Throws ValueError when lam is negative or not finite.
    [[nodiscard]] double kappa(double lam) const;

    /// E x^k, k >= 0 for every gamma; k = -1 and -2 exist for gamma < 1 only.
    /// sigma2^k sum_{r < k} gamma^r / (r + 1) C(k, r) C(k - 1, r)
    /// Throws ValueError for k < -2, and for a negative k when gamma >= 1.
    [[nodiscard]] double moment(int k) const;

  private:
    [[nodiscard]] double signed_root(double z) const;
    [[nodiscard]] std::complex<double> signed_root(std::complex<double> z) const;
    template <class T>
    [[nodiscard]] T transform(T z, T root, bool dual) const;
    template <class T>
    [[nodiscard]] T slope(T z, bool dual) const;

    double sigma2_;
    double gamma_;
    double lower_;
    double upper_;
    double atom_;
    double mass_; // of the continuous part
    double k_;    // min(sqrt gamma, 1 / sqrt gamma)
    double gap_;  // 1 - k without cancellation
};

/// Mass within the angle t of one edge of the continuous part, renormalised to 1:
/// (2 / pi) int_0^t sin(u)^2 / (1 + 2 k cos u + k^2) du.
/// k    in [-1, 1]; positive from the upper edge, negative from the lower
/// gap  1 + k, given apart because it cancels near k = -1
/// t    in [0, pi]
double marchenko_pastur_angle_mass(double k, double gap, double t);

/// Angles from the upper edge beyond which a share of the continuous part lies, for one k in (0, 1].
class MarchenkoPasturAngles {
  public:
    /// Throws ValueError for a k outside its range.
    explicit MarchenkoPasturAngles(double k);

    /// tail   in [0, 1]; beyond it the nearer end
    /// start  an estimate of the answer in (0, pi), or a negative number for none
    [[nodiscard]] double operator()(double tail, double start) const;

  private:
    double k_;
    double half_; // mass within pi / 2 of the upper edge
};

} // namespace hessay

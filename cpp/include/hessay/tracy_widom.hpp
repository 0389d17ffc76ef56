#pragma once

namespace hessay {

/// Tracy-Widom law of the largest eigenvalue of a large symmetric (beta 1), Hermitian (2) or
/// quaternion (4) matrix, from piecewise Chebyshev fits of log F and log(1 - F) made in 220 digits:
/// absolute error below 5e-16; relative error in both tails below 1e-14 down to 1e-12, 5e-13 down to 1e-300.
/// beta 4 is scaled as by Tracy & Widom 1996: F4(s / sqrt 2) = exp(L/2) cosh(I/2), mean -2.3069.
/// Source: Tracy & Widom 1994, Comm. Math. Phys. 159, 151; 1996, Comm. Math. Phys. 177, 727.
class TracyWidom {
  public:
    /// beta  1, 2 or 4
    /// Throws ValueError for any other.
    explicit TracyWidom(int beta);

    /// P(S <= s), s any real or infinite; NaN gives NaN.
    [[nodiscard]] double cdf(double s) const;

    /// P(S > s) with relative accuracy; NaN gives NaN.
    [[nodiscard]] double survival(double s) const;

    /// The s with cdf(s) = p.  p in [0, 1]; the ends give -+infinity.
    /// Throws ValueError outside that range, NaN included.
    [[nodiscard]] double quantile(double p) const;

    /// The s with survival(s) = p: quantile(1 - p) without the cancellation.  p in [0, 1].
    /// Throws ValueError outside that range, NaN included.
    [[nodiscard]] double upper_quantile(double p) const;

  private:
    int row_;      // of the table of laws
    double scale_; // s -> argument of the table
};

/// Centre and scale of the largest eigenvalue of X'X.
struct Scaling {
    double center;
    double scale;
};

/// (l - center) / scale -> Tracy-Widom, beta 1, for the largest eigenvalue l of X'X (not divided by n),
/// X n x p with independent N(0, 1) entries: center = (u + v)^2, scale = (u + v) (1/u + 1/v)^(1/3),
/// u = sqrt(n - 1/2), v = sqrt(p - 1/2). The error is O(min(n, p)^(-2/3)).
/// n, p  > 1/2, dimensionless, not necessarily whole; columns centred by their mean count as n - 1
/// Throws ValueError when either is not finite and above 1/2.
/// Source: Ma 2012, Bernoulli 18, 322.
Scaling largest_eigenvalue_scaling(double n, double p);

/// The first-order form, u = sqrt(max(n, p) - 1), v = sqrt(min(n, p)), with error O(min(n, p)^(-1/3)).
/// Throws ValueError when either is not finite, min(n, p) <= 0 or max(n, p) <= 1.
/// Source: Johnstone 2001, Ann. Statist. 29, 295, for n >= p.
Scaling johnstone_scaling(double n, double p);

} // namespace hessay

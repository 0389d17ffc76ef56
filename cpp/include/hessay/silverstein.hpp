#pragma once
#include <complex>
#include <vector>

#include "hessay/marchenko_pastur.hpp"

namespace hessay {

/// Silverstein's law: the limit of the eigenvalues of S = H^(1/2) X'X H^(1/2) / n, X n x p with independent entries of
/// variance 1 and H a covariance with known eigenvalues: the Marchenko-Pastur law of a general population.
///
/// t, w   population eigenvalues, 0 or in [1e-100, 1e100], and their weights > 0, sum 1; equal ones are joined
/// gamma  p / n, > 0, dimensionless
///
/// Everything is computed from the population coordinate s = -1 / mt(z), mt the Stieltjes transform of the n
/// eigenvalues of the dual matrix, which solves  psi(s) = s (1 + gamma sum w t / (s - t)) = z  with Im s Im z >= 0. psi
/// is also the map from a spike to the place of its sample eigenvalue; the edges are psi at the zeros of psi'. Source:
/// Silverstein & Choi 1995, J. Multivariate Anal. 54, 295; psi: Bai & Yao 2012, J. Multivariate Anal. 106, 167.
class Silverstein {
  public:
    using Complex = std::complex<double>;

    /// Most distinct population eigenvalues whose inner gaps are looked for; above, the outer edges only.
    static constexpr std::size_t kMaxGapAtoms = 64;

    /// Throws ValueError when there is no positive population eigenvalue, one is out of range, a weight or gamma is not
    /// positive, anything is not finite, or the weights do not sum to one within 1e-6; within, they are scaled.
    Silverstein(std::vector<double> t, std::vector<double> w, double gamma);

    /// Intervals of the continuous part, ascending; one from the outermost edges when the gaps were not looked for.
    [[nodiscard]] const std::vector<Interval>& support() const { return support_; }
    [[nodiscard]] bool gaps_resolved() const { return t_.size() <= kMaxGapAtoms; }

    /// Mass at 0: max(w(0), 1 - 1/gamma).
    [[nodiscard]] double atom() const;

    /// Scale of the largest eigenvalue of n rows about the upper edge: (x''(mt0) / 2)^(1/3) n^(-2/3), in Tracy-Widom
    /// units of beta 1.  n > 0.  Source: El Karoui 2007, Ann. Probab. 35, 663; Lee & Schnelli 2016, Ann. Appl.
    /// Probab. 26.
    [[nodiscard]] double edge_scale(double n) const;

    /// psi(s), psi'(s) at a real s that is no population eigenvalue.
    [[nodiscard]] double spike_map(double s) const;
    [[nodiscard]] double spike_map_slope(double s) const;
    /// The smallest spike that leaves the bulk: the largest zero of psi'.
    [[nodiscard]] double threshold() const { return critical_.back(); }

    /// s with psi(s) = z, Im s >= 0, for Im z >= 0. On the real axis inside the support the limit from above; outside
    /// it the real root. hint  the s of a point nearby, or any number with Im hint <= 0 for none Throws ValueError when
    /// z is beyond 1e150, not finite or at an atom of both laws.
    [[nodiscard]] Complex coordinate(Complex z, Complex hint = {0, 0}) const;

    /// The functions below take s = coordinate(z).
    [[nodiscard]] Complex companion(Complex s) const { return -1.0 / s; }
    [[nodiscard]] Complex companion_slope(Complex s) const;
    [[nodiscard]] Complex stieltjes(Complex s) const;
    /// Density of the continuous part, Im mt / (pi gamma).
    [[nodiscard]] double density(Complex s) const;
    /// P(eigenvalue > x), x > 0 with s = coordinate(x): the integral of mt is elementary in s,
    /// pi gamma P = (1 - gamma) arg s + gamma sum w (arg(s - t) + Im t / (s - t)).
    [[nodiscard]] double survival(Complex s) const;

    /// Smallest x of the support, 0 included when it has mass, with cdf(x) >= p.  p in [0, 1].
    [[nodiscard]] double quantile(double p) const;

    /// kappa(lam) = -coordinate(-lam): kappa = lam + kappa gamma sum w t / (t + kappa).
    /// lam >= 0; at 0 the limit, 0 unless gamma (1 - w(0)) > 1.
    [[nodiscard]] double kappa(double lam) const;

  private:
    template <class T>
    [[nodiscard]] T map(T s) const;
    template <class T>
    [[nodiscard]] T map_slope(T s) const;
    [[nodiscard]] double map_bend(double s) const;
    [[nodiscard]] double root_of_slope(double low, double high, bool rising) const;
    [[nodiscard]] double real_coordinate(double z, double low, double high) const;
    [[nodiscard]] bool newton(Complex z, Complex& s) const;
    [[nodiscard]] Complex continued(Complex z) const;
    void find_edges();

    std::vector<double> t_; // positive, ascending, distinct
    std::vector<double> w_;
    double gamma_;
    double zero_;     // weight of t = 0
    double mean_ = 0; // sum w t
    std::vector<Interval> support_;
    std::vector<double> critical_; // s of the edges, ascending: two an interval
};

} // namespace hessay

#pragma once
#include "hessay/view.hpp"

namespace hessay {

/// Positive part of a spectrum, descending.
/// values  size numbers > 0;  counts  eigenvalues each stands for, > 0, or null for one each
struct Spectrum {
    const double* values;
    const double* counts;
    Index size;
    double total; // sum of counts, or size
};

/// A Marchenko-Pastur law fitted to a bulk; units: root in sqrt(eigenvalue), k dimensionless.
struct BulkFit {
    double root;   // the continuous part lies on root^2 [(1 - k)^2, (1 + k)^2]
    double k;      // min(sqrt gamma, 1 / sqrt gamma)
    double size;   // eigenvalues in the bulk
    Index dropped; // largest entries of the spectrum kept out
    bool settled;  // the fit converged, and it drops what was dropped
    double center; // Tracy-Widom centre and scale of the largest bulk eigenvalue, unit of the values
    double scale;
    double goodness; // size * Kolmogorov-Smirnov distance, eigenvalues
    double shape;    // sum of six squared cosine coefficients, each of variance one: chi-squared, 6 degrees of freedom
};

/// Least squares of sqrt(values) against root * y(k), y the square roots of the law's quantiles; entries above
/// center + 4.36 scale (Tracy-Widom 0.9999) are dropped and the fit repeated.
/// The shape statistic sums cos(j t), j = 3..8, over the bulk in the angle t of the law; each sum of noise is Gaussian
/// with variance j / 2 (the fit takes the first two), so it sees smooth misfits far below the Kolmogorov-Smirnov
/// distance. longer  the longer side of the data matrix where the aspect ratio is known, 0 where k is to be fitted
/// Throws ValueError when the spectrum holds fewer than two entries.
/// Source: after the bulk eigenvalue matching of Ke, Ma & Lin 2023, J. Am. Stat. Assoc. 118, 374; the cosine sums:
/// Bai & Silverstein 2004, Ann. Probab. 32, 553.
BulkFit fit_bulk(const Spectrum& spectrum, double longer);

/// Standard deviations of a fit of pure noise, from the fluctuations of linear statistics.
struct FitErrors {
    double root;  // relative
    double k;     // absolute
    double upper; // of the upper edge, relative
};

/// A statistic sum G(x_i) of the bulk has variance sum j a_j^2 / 2 when G = sum a_j cos(j t) in the angle of the law;
/// the estimates are such statistics to first order. k in (0, 1]; size of the bulk > 0; known: k was not fitted Source:
/// Bai & Silverstein 2004, Ann. Probab. 32, 553 (Gaussian entries, real).
FitErrors fit_errors(double k, double size, bool known);

/// The upper edge read off the ranks alone.
struct AiryFit {
    double upper;    // unit of the values
    double scale;    // Tracy-Widom, > 0
    double upper_sd; // of the regression, unit
    Index dropped;   // entries counted as outliers
    bool settled;
};

/// x_(i) = upper - scale z_i + b z_i^2, z_i = (3 pi (i - K - 1/2) / 2)^(2/3): near any square-root edge the i-th of the
/// noise eigenvalues lies at the i-th zero of the Airy function. Least squares over ranks skip < i <= last; K counts
/// what lies above upper + 4.36 scale + 3 upper_sd. Throws ValueError unless 0 <= skip, skip + 4 <= last <= size.
AiryFit fit_airy_edge(const Spectrum& spectrum, Index skip, Index last);

} // namespace hessay

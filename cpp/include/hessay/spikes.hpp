#pragma once

namespace hessay {

/// What one population eigenvalue ("spike") does to a sample of n rows with white noise of variance sigma2.
///
/// sigma2  bulk variance, > 0;  gamma  p / n, > 0, dimensionless
/// Source: Baik, Ben Arous & Peche 2005, Ann. Probab. 33, 1643; Baik & Silverstein 2006, J. Multivariate Anal. 97,
/// 1382; overlap and sd: Paul 2007, Statist. Sinica 17, 1617.
class SpikedWishart {
  public:
    /// Throws ValueError when either argument is not finite and positive.
    SpikedWishart(double sigma2, double gamma);

    /// sigma2 (1 + sqrt gamma): below, a spike leaves no eigenvalue outside the bulk.
    [[nodiscard]] double threshold() const { return sigma2_ * (1 + root_); }

    /// Where the sample eigenvalue of a spike l settles: l (1 + gamma sigma2 / (l - sigma2)); the upper edge up to the
    /// threshold.
    [[nodiscard]] double biased(double l) const;

    /// Inverse of biased: the spike behind a sample eigenvalue; the threshold up to the edge.
    [[nodiscard]] double debiased(double value) const;

    /// Squared cosine between sample and population eigenvector, (1 - gamma / t^2) / (1 + gamma / t), t = l / sigma2 -
    /// 1; 0 up to the threshold.
    [[nodiscard]] double overlap(double l) const;

    /// Standard deviation of the sample eigenvalue over n rows, l sqrt(2 (1 - gamma / t^2) / n); 0 up to the threshold.
    [[nodiscard]] double deviation(double l, double n) const;

  private:
    double sigma2_;
    double gamma_;
    double root_;
};

} // namespace hessay

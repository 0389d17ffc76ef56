#include "hessay/spikes.hpp"

#include <algorithm>
#include <cmath>

#include "hessay/error.hpp"

namespace hessay {

SpikedWishart::SpikedWishart(double sigma2, double gamma) : sigma2_(sigma2), gamma_(gamma), root_(std::sqrt(gamma))
{
    require(std::isfinite(sigma2) && sigma2 > 0, "sigma2 must be positive and finite, got ", sigma2);
    require(std::isfinite(gamma) && gamma > 0, "gamma must be positive and finite, got ", gamma);
}

double SpikedWishart::biased(double l) const
{
    const double seen = std::max(l, threshold());
    return seen * (1 + gamma_ * sigma2_ / (seen - sigma2_));
}

double SpikedWishart::debiased(double value) const
{
    const double y = value / sigma2_;
    // The larger root of l^2 - (y + 1 - gamma) l + y, its discriminant without cancellation: (y - a)(y - b), a and b
    // the edges over sigma2.
    const double discriminant = (y - (1 + root_) * (1 + root_)) * (y - (1 - root_) * (1 - root_));
    if (!(y > 1 + gamma_) || !(discriminant > 0)) return threshold(); // between the edges, or below the bulk
    return sigma2_ * std::max(0.5 * (y + 1 - gamma_) + 0.5 * std::sqrt(discriminant), 1 + root_);
}

double SpikedWishart::overlap(double l) const
{
    const double t = l / sigma2_ - 1;
    if (!(t > root_)) return 0;
    return (1 - root_ / t) * (1 + root_ / t) / (1 + gamma_ / t);
}

double SpikedWishart::deviation(double l, double n) const
{
    require(std::isfinite(n) && n > 0, "n must be positive and finite, got ", n);
    const double t = l / sigma2_ - 1;
    if (!(t > root_)) return 0;
    return l * std::sqrt(2 * (1 - root_ / t) * (1 + root_ / t) / n);
}

} // namespace hessay

#include "certificate.hpp"

#include "hessay/primitives.hpp"

#include <algorithm>
#include <cmath>

namespace hessay {

double HiddenEigenvalue::probability(Context& ctx) const
{
    const Index b = starts_;
    const Workspace::Scope scope(ctx.workspace());
    const auto g = ctx.scratch<double>(b, b);
    double largest = 0;
    for (Index i = 0; i < b * b; ++i) {
        if (!std::isfinite(sum_[i])) return 0; // grew beyond the range of double: no Gaussian is that small
        largest = std::max(largest, std::abs(sum_[i]));
    }
    if (largest == 0) return 1;
    for (Index i = 0; i < b * b; ++i) g.data[i] = sum_[i] / largest;
    // G <- R_0^-1 G, then G <- G R_0^-T.
    for (Index j = 0; j < b; ++j)
        for (Index i = b; i-- > 0;) {
            for (Index l = i + 1; l < b; ++l) g(i, j) -= factor_[i + l * b] * g(l, j);
            g(i, j) /= factor_[i + i * b];
        }
    for (Index i = 0; i < b; ++i)
        for (Index j = b; j-- > 0;) {
            for (Index l = j + 1; l < b; ++l) g(i, j) -= factor_[j + l * b] * g(i, l);
            g(i, j) /= factor_[j + j * b];
        }
    for (Index j = 0; j < b; ++j)
        for (Index i = 0; i < j; ++i) g(i, j) = g(j, i) = 0.5 * (g(i, j) + g(j, i));
    const double smallest = symmetric_eigenvalues(ctx, g).front();
    if (!(smallest > 0)) return 1;
    const double half = 0.5 * static_cast<double>(b);
    const double log_ball = -half * (std::log(2 * smallest) + std::log(largest)) - std::lgamma(half + 1);
    return std::min(1.0, std::exp(log_ball));
}

} // namespace hessay

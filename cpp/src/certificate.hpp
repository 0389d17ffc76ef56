#pragma once
#include "hessay/context.hpp"

#include <vector>

namespace hessay {

/// How likely is it that an eigenvalue at mu, or further out, hides from Lanczos started at a Gaussian block?
///
/// Let A u = mu u with u orthogonal to the locked pairs, |u| = 1, and let W_1 R_0 be the Gaussian block Z projected off
/// them. From A Q = Q T + W_(j+1) B_j E' the rows phi_j = u'W_j obey
///     phi_(j+1) B_j = phi_j (mu - A_j) - phi_(j-1) B_(j-1)',   phi_1 = zeta'R_0^-1,  zeta = Z'u ~ N(0, I),
/// and sum_j |phi_j|^2 <= 1 because [Q W] is orthonormal. With Phi_j the solution from Phi_1 = I that reads
///     zeta' G zeta <= 1,   G = R_0^-1 (sum_j Phi_j Phi_j') R_0^-T,   hence |zeta|^2 <= 1 / g, g the smallest
///     eigenvalue:
/// beyond the Ritz values Phi_j grows exponentially, so zeta must have been tiny. A Gaussian zeta in R^b falls into
/// that ball with probability at most (1 / (2 g))^(b/2) / Gamma(b/2 + 1). G depends on zeta, but the ball holds the
/// same zeta at every step, so stopping as soon as it is small enough does not spoil the level. The growth is that of
/// the operator at hand, not a worst case; neighbours of mu that Lanczos has resolved cost one factor each. The scalar
/// case is the Christoffel function of a spectral measure, Golub & Meurant 2010, Matrices, Moments and Quadrature,
/// section 2.
class HiddenEigenvalue {
  public:
    HiddenEigenvalue() = default;
    /// mu: where the eigenvalue would be; factor (b, b): R_0, upper triangular.
    HiddenEigenvalue(double mu, std::vector<double> factor, Index starts)
        : mu_(mu), starts_(starts), factor_(std::move(factor)), sum_(static_cast<std::size_t>(starts * starts), 0.0),
          phi_(sum_)
    {
        for (Index i = 0; i < starts; ++i) sum_[i + i * starts] = phi_[i + i * starts] = 1;
    }

    /// Takes note of the block that basis.expand() has just added to Q, columns [first, basis.size()), and of the next
    /// one, W, which is known before it is multiplied: its rows count in |u'[Q W]|^2 <= 1 too. Basis: a KrylovBasis.
    template <class Basis>
    void extend(const Basis& basis, Index first)
    {
        const Index b = starts_, width = basis.size() - first, previous = static_cast<Index>(before_.size()) / b;
        if (!growing_) return;
        if (basis.pending() != width || basis.last_replaced() > 0) { // directions ran out: nothing more to learn
            growing_ = false;
            return;
        }
        std::vector<double> next(static_cast<std::size_t>(b * width));
        for (Index i = 0; i < b; ++i) {
            for (Index j = 0; j < width; ++j) {
                double value = phi_[i + j * b] * mu_;
                for (Index l = 0; l < width; ++l) value -= phi_[i + l * b] * basis.t(first + l, first + j);
                for (Index l = 0; l < previous; ++l)
                    value -= before_[i + l * b] * basis.t(first - previous + l, first + j);
                // B is upper triangular: one column after the other.
                for (Index l = 0; l < j; ++l) value -= next[i + l * b] * basis.coupling(l, first + j);
                next[i + j * b] = value / basis.coupling(j, first + j);
            }
        }
        for (Index i = 0; i < b; ++i)
            for (Index j = 0; j < b; ++j)
                for (Index l = 0; l < width; ++l) sum_[i + j * b] += next[i + l * b] * next[j + l * b];
        before_ = std::move(phi_);
        phi_ = std::move(next);
    }

    /// Upper bound of the probability that the eigenvalue exists and was missed.
    double probability(Context& ctx) const;

  private:
    double mu_ = 0;
    Index starts_ = 0;
    std::vector<double> factor_, sum_, phi_, before_; // (b, b), (b, b), (b, width), (b, previous width)
    bool growing_ = true;
};

} // namespace hessay

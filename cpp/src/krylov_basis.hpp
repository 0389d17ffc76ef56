#pragma once
#include "hessay/error.hpp"
#include "hessay/orthonormalize.hpp"
#include "hessay/primitives.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace hessay {

/// The state of a thick-restart block Lanczos run and its two moves, expand and restart:
///
///     A Q = Q T + W S + D,   Q'Q = I,  W'W = I,  Q'W = 0,
///
/// Q (d, size) the basis, W (d, pending) the next block, S (pending, size) its coupling, and D, column by column no
/// longer than defect[j], the dependent columns that were dropped. While a check runs from a random block, the block it
/// interrupted waits aside; if the check finds something, the two go on together as one wider block.
///
/// Q and W live in a Space, HostSpace or another one with its members; T, S and the defects are on the host.
template <class Space>
class KrylovBasis {
  public:
    using Number = typename Space::Number;

    KrylovBasis(Space& space, Index max_basis, Index block) : space_(space), ctx_(space.context()), d_(space.size())
    {
        reserve(max_basis, block);
    }

    Index size() const { return size_; }
    Index pending() const { return pending_; }
    /// S(i, j): how column j of Q couples to column i of the next block.
    double coupling(Index i, Index j) const { return coupling_[i + j * width_]; }
    /// R_0 of the last random block, (starts, starts), upper triangular: projected Gaussian block = W R_0.
    const std::vector<double>& start_factor() const { return start_factor_; }
    /// Random columns in the next block that stand in for dependent ones.
    Index last_replaced() const { return last_replaced_; }
    Index max_basis() const { return max_basis_; }
    bool full() const { return size_ + pending_ > max_basis_; }
    MatrixView<Number> q() { return space_.columns(0, size_); }
    double t(Index i, Index j) const { return t_[i + j * max_basis_]; }
    Index products() const { return products_; }
    Index block_calls() const { return block_calls_; }
    Index replaced() const { return replaced_; }
    /// Largest |A q| met: a lower bound of |A|.
    double largest_product() const { return largest_product_; }
    /// True when the last product left no live direction: Q spans an invariant subspace.
    bool invariant() const { return invariant_; }

    /// The first block: column c mixes the given vectors c, c + block, ..., made orthonormal before; where there are
    /// none it is Gaussian. Neighbours in the spectrum so go to different columns, and later ones, harder to find,
    /// weigh more.
    void start_block(MatrixView<const Number> given, Index columns_wanted)
    {
        const typename Space::Scope scope(space_);
        pending_ = std::min(columns_wanted, d_);
        const auto w = columns(0, pending_);
        space_.fill_gaussian(w);
        const auto r = ctx_.scratch<double>(pending_, pending_);
        const auto dropped = ctx_.scratch<double>(pending_, 1);
        if (given.cols > 0) {
            const Index j = given.cols;
            const auto basis = space_.scratch_columns(j);
            space_.copy(given, basis);
            const auto factor = ctx_.scratch<double>(j, j), lost = ctx_.scratch<double>(j, 1);
            const OrthonormalBlock live =
                space_.orthonormalize(columns(0, 0), basis, 0, no_coefficients(j), factor, lost.data);
            for (Index i = 0; i < live.cols - live.replaced; ++i) {
                const auto column = w.columns(i % pending_, 1);
                if (i < pending_) space_.clear(column);
                space_.add(static_cast<double>(i + 1), basis.columns(i, 1), column);
            }
        }
        pending_ = space_.orthonormalize(columns(0, 0), w, 0, no_coefficients(pending_), r, dropped.data).cols;
    }

    /// Makes room for more columns of Q.
    void grow(Index max_basis) { reserve(std::min(d_, max_basis), width_); }

    /// Puts W and S aside and goes on from a Gaussian block of the given width, orthogonal to Q.
    void random_block(Index columns_wanted)
    {
        space_.put_aside(columns(size_, pending_));
        aside_cols_ = pending_;
        aside_coupling_ = coupling_;
        aside_width_ = width_;
        pending_ = std::min(columns_wanted, d_ - size_);
        std::fill(coupling_.begin(), coupling_.end(), 0.0);
        if (pending_ == 0) return;
        const auto w = columns(size_, pending_);
        space_.fill_gaussian(w);
        const typename Space::Scope scope(space_);
        const auto c = ctx_.scratch<double>(std::max<Index>(size_, 1), pending_).block(0, 0, size_, pending_);
        const auto r = ctx_.scratch<double>(pending_, pending_);
        const auto dropped = ctx_.scratch<double>(pending_, 1);
        pending_ = space_.orthonormalize(columns(0, size_), w, 0, c, r, dropped.data).cols;
        start_factor_.assign(r.data, r.data + r.rows * r.cols);
    }

    /// Takes the block that waits aside back: W <- [W W_aside], both orthogonal to Q and to each other. The locked
    /// pairs couple to it again, so nothing is lost; the block grows, which is what a multiple eigenvalue asks for.
    void merge_aside()
    {
        const Index a = aside_cols_, m = size_ + pending_;
        aside_cols_ = 0;
        if (a == 0) return;
        if (pending_ + a > width_)
            reserve(std::min(d_, std::max(max_basis_, size_ + 4 * (pending_ + a))), pending_ + a);
        const auto w = columns(m, a);
        space_.take_aside(w);
        const typename Space::Scope scope(space_);
        const auto c = ctx_.scratch<double>(m, a), r = ctx_.scratch<double>(a, a);
        const auto dropped = ctx_.scratch<double>(a, 1);
        const Index added = space_.orthonormalize(columns(0, m), w, 1.0, c, r, dropped.data).cols;
        // A Q = ... + W_aside S_aside with W_aside = Q C_Q + W C_W + W_new R; T holds the part in Q already.
        for (Index j = 0; j < size_; ++j) {
            for (Index l = 0; l < a; ++l) {
                const double s = aside_coupling_[l + j * aside_width_];
                for (Index i = 0; i < pending_; ++i) coupling_[i + j * width_] += c(size_ + i, l) * s;
                for (Index i = 0; i < added; ++i) coupling_[pending_ + i + j * width_] += r(i, l) * s;
                defect_[j] += dropped(l, 0) * std::abs(s);
            }
        }
        pending_ += added;
    }

    /// Q <- [Q W]: one operator call.  A W = Q C + W_new R + D.
    void expand()
    {
        const Index b = pending_, m = size_ + b;
        const typename Space::Scope scope(space_);
        const auto c = ctx_.scratch<double>(m, b), r = ctx_.scratch<double>(b, b);
        const auto dropped = ctx_.scratch<double>(b, 1);
        products_ += b;
        ++block_calls_;
        const auto reference_of = [&](const std::vector<double>& norms) {
            for (Index j = 0; j < b; ++j) {
                require<NonFinite>(std::isfinite(norms[j]), "the operator returned NaN or Inf in product number ",
                                   products_ - b + j + 1);
                largest_product_ = std::max(largest_product_, norms[j]);
            }
            return largest_product_;
        };
        const OrthonormalBlock next =
            space_.multiply(columns(size_, b), columns(0, m), columns(m, b), reference_of, c, r, dropped.data);
        check_range(c);
        check_symmetry(c);
        for (Index j = 0; j < b; ++j) {
            for (Index i = 0; i < m; ++i) {
                // The diagonal block is symmetric up to rounding; its mean is the better estimate.
                const double value = i < size_ ? c(i, j) : 0.5 * (c(i, j) + c(size_ + j, i - size_));
                t_[i + (size_ + j) * max_basis_] = value;
                t_[size_ + j + i * max_basis_] = value;
            }
            defect_[size_ + j] = dropped(j, 0);
        }
        // S: only the newest columns of Q couple to the new block.
        std::fill(coupling_.begin(), coupling_.end(), 0.0);
        for (Index j = 0; j < b; ++j)
            for (Index i = 0; i < next.cols; ++i) coupling_[i + (size_ + j) * width_] = r(i, j);
        size_ = m;
        pending_ = next.cols;
        replaced_ += next.replaced;
        last_replaced_ = next.replaced;
        invariant_ = next.replaced == next.cols;
        ctx_.poll();
    }

    /// The Rayleigh-Ritz problem: T = Y diag(values) Y', values ascending; y (size, size).
    std::vector<double> solve(MatrixView<double> y)
    {
        corner(0, y);
        return symmetric_eigen(ctx_, y);
    }

    /// The Ritz values of the columns of Q from the first on alone, ascending.
    std::vector<double> ritz_values(Index first)
    {
        const Workspace::Scope scope(ctx_.workspace());
        const auto own = ctx_.scratch<double>(size_ - first, size_ - first);
        corner(first, own);
        return symmetric_eigenvalues(ctx_, own);
    }

    /// Upper estimate of |A Q y - value Q y| for a column y of the solved problem.
    double residual(const double* y) const
    {
        double squares = 0, given_up = 0;
        for (Index i = 0; i < pending_; ++i) {
            double sum = 0;
            for (Index j = 0; j < size_; ++j) sum += coupling_[i + j * width_] * y[j];
            squares += sum * sum;
        }
        for (Index j = 0; j < size_; ++j) given_up += std::abs(y[j]) * defect_[j];
        return std::sqrt(squares) + given_up;
    }

    /// Q <- Q Y, T <- diag(values), S <- S Y: thick restart onto the chosen Ritz pairs.
    void restart(MatrixView<const double> y, const std::vector<double>& values)
    {
        const Index p = y.cols;
        std::vector<double> defects(static_cast<std::size_t>(p), 0.0),
            coupling(static_cast<std::size_t>(width_ * p), 0.0);
        for (Index j = 0; j < p; ++j) {
            for (Index l = 0; l < size_; ++l) {
                defects[j] += std::abs(y(l, j)) * defect_[l];
                for (Index i = 0; i < pending_; ++i) coupling[i + j * width_] += coupling_[i + l * width_] * y(l, j);
            }
        }
        {
            const typename Space::Scope scope(space_);
            space_.rotate(q(), y);
        }
        if (p < size_) space_.copy(columns(size_, pending_), columns(p, pending_));
        std::fill(t_.begin(), t_.end(), 0.0);
        std::fill(coupling_.begin(), coupling_.end(), 0.0);
        std::copy(coupling.begin(), coupling.end(), coupling_.begin());
        std::copy(defects.begin(), defects.end(), defect_.begin());
        for (Index j = 0; j < p; ++j) t_[j + j * max_basis_] = values[j];
        size_ = p;
    }

  private:
    // out <- T from row and column first on.
    void corner(Index first, MatrixView<double> out) const
    {
        for (Index j = 0; j < out.cols; ++j)
            for (Index i = 0; i < out.rows; ++i) out(i, j) = t(first + i, first + j);
    }

    // Coefficients on an empty Q: none.
    MatrixView<double> no_coefficients(Index cols) { return ctx_.scratch<double>(1, cols).block(0, 0, 0, cols); }

    MatrixView<Number> columns(Index first, Index count) { return space_.columns(first, count); }

    // Room for max_basis columns of Q and blocks of width columns; what is there is kept.
    void reserve(Index max_basis, Index width)
    {
        std::vector<double> t(static_cast<std::size_t>(max_basis * max_basis), 0.0);
        std::vector<double> coupling(static_cast<std::size_t>(width * max_basis), 0.0);
        for (Index j = 0; j < size_; ++j) {
            for (Index i = 0; i < size_; ++i) t[i + j * max_basis] = t_[i + j * max_basis_];
            for (Index i = 0; i < pending_; ++i) coupling[i + j * width] = coupling_[i + j * width_];
        }
        t_ = std::move(t);
        coupling_ = std::move(coupling);
        defect_.resize(static_cast<std::size_t>(max_basis), 0.0);
        space_.reserve(max_basis + 2 * width, width);
        if (aside_cols_ > 0) aside_coupling_.resize(static_cast<std::size_t>(aside_width_ * max_basis), 0.0);
        max_basis_ = max_basis;
        width_ = width;
    }

    // Squares must not leave the range of doubles: norms of zero would pass for convergence.
    void check_range(MatrixView<const double> c) const
    {
        constexpr double kLarge = 1e140;
        double size = largest_product_;
        for (Index j = 0; j < c.cols; ++j)
            for (Index i = 0; i < c.rows; ++i) size = std::max(size, std::abs(c(i, j)));
        require(size == 0 || (size > 1 / kLarge && size < kLarge), "the operator's products are of size ", size,
                " in units of the first one's, too far from 1 for their squares; solve for a multiple of the operator");
    }

    // Q'A W, computed from the product, and (A Q)'W = S', known from before, agree when A is symmetric.
    void check_symmetry(MatrixView<const double> c) const
    {
        constexpr double kAllowed = 1e-3; // single-precision products are symmetric to about 1e-6
        double worst = 0;
        for (Index j = 0; j < c.cols; ++j)
            for (Index i = 0; i < size_; ++i)
                worst = std::max(worst, std::abs(c(i, j) - coupling_[j + i * width_]) - allowance(i));
        require(worst <= kAllowed * largest_product_, "the operator is not symmetric: u'Av and v'Au differ by ", worst,
                " where |Av| is at most ", largest_product_, "; pass a symmetric operator, for example (A + A') / 2");
    }

    // What the relation leaves out of A q_i: dropped columns, and the coupling that waits aside.
    double allowance(Index i) const
    {
        double given_up = defect_[i];
        for (Index l = 0; l < aside_cols_; ++l) given_up += std::abs(aside_coupling_[l + i * aside_width_]);
        return given_up;
    }

    Space& space_;
    Context& ctx_;
    Index d_;
    Index max_basis_ = 0, width_ = 0;
    Index size_ = 0, pending_ = 0;
    std::vector<double> t_, coupling_, defect_; // (max_basis, max_basis), (width, max_basis), (max_basis)
    std::vector<double> aside_coupling_;        // (aside_width, max_basis)
    std::vector<double> start_factor_;          // (starts, starts)
    Index aside_cols_ = 0, aside_width_ = 0;
    Index products_ = 0, block_calls_ = 0, replaced_ = 0, last_replaced_ = 0;
    double largest_product_ = 0;
    bool invariant_ = false;
};

} // namespace hessay

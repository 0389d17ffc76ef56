#pragma once
#include "hessay/operator.hpp"
#include "hessay/orthonormalize.hpp"
#include "hessay/primitives.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <vector>

namespace hessay {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start)
{
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Where the long columns of a Krylov basis live, and every step that is taken with them: on the processor. A class
/// with the same members is another place for the same algorithm (cuda/device_space.hpp); all that is not a column of
/// d numbers is on the host in either.
template <class T>
class HostSpace {
  public:
    using Number = T;

    HostSpace(Context& ctx, const LinearOperator<T>& op) : ctx_(ctx), op_(op), d_(op.size) {}

    /// Scratch taken while this lives is given back at its end.
    class Scope {
      public:
        explicit Scope(HostSpace& space) : scope_(space.ctx_.workspace()) {}

      private:
        Workspace::Scope scope_;
    };

    Context& context() { return ctx_; }
    Index size() const { return d_; }
    std::size_t bytes() const { return (storage_.size() + aside_.size()) * sizeof(T) + ctx_.workspace().peak_bytes(); }
    double operator_seconds() const { return operator_seconds_; }
    /// One in the solver's numbers, in those of the operator: squares of very small or large products would leave the
    /// range of doubles, so the first one that is not zero decides on a power of two that all are divided by.
    double unit() const { return unit_; }

    /// Room for so many columns, of which blocks are at most so wide; what is there is kept.
    void reserve(Index columns, Index) { storage_.resize(static_cast<std::size_t>(d_ * columns)); }
    MatrixView<T> columns(Index first, Index count) { return {storage_.data() + first * d_, d_, count, d_}; }
    /// Columns of scratch, until the enclosing Scope ends.
    MatrixView<T> scratch_columns(Index count) { return ctx_.scratch<T>(d_, count); }

    void fill_gaussian(MatrixView<T> x) { gaussian_fill(ctx_, x); }
    /// Column by column, the first one first.
    void copy(MatrixView<const T> from, MatrixView<T> to)
    {
        for (Index j = 0; j < from.cols; ++j) std::copy_n(from.column(j), d_, to.column(j));
    }
    void clear(MatrixView<T> column) { std::fill_n(column.data, d_, T(0)); }
    /// to <- to + factor * from, one column.
    void add(double factor, MatrixView<const T> from, MatrixView<T> to)
    {
        for (Index l = 0; l < d_; ++l) to.data[l] += static_cast<T>(factor) * from.data[l];
    }

    /// Keeps a copy of a block; take_aside writes it back.
    void put_aside(MatrixView<const T> block) { aside_.assign(block.data, block.data + d_ * block.cols); }
    void take_aside(MatrixView<T> block) { std::copy_n(aside_.data(), d_ * block.cols, block.data); }

    /// See hessay/orthonormalize.hpp.
    OrthonormalBlock orthonormalize(MatrixView<const T> q, MatrixView<T> w, double reference, MatrixView<double> c,
                                    MatrixView<double> r, double* dropped)
    {
        return hessay::orthonormalize<T>(ctx_, q, w, reference, c, r, dropped);
    }

    /// W <- A V, then orthonormalize(q, w, reference_of(norms), ...): one step, so that a device need wait only once.
    /// norms (b): of the columns of A V; one that is not finite stands for a column with NaN or Inf.
    template <class Reference>
    OrthonormalBlock multiply(MatrixView<const T> v, MatrixView<const T> q, MatrixView<T> w,
                              const Reference& reference_of, MatrixView<double> c, MatrixView<double> r,
                              double* dropped)
    {
        const auto start = Clock::now();
        op_.apply(ctx_, v, w);
        operator_seconds_ += seconds_since(start);
        if (!has_unit_) choose_unit(w);
        if (unit_ != 1)
            for (Index j = 0; j < w.cols; ++j)
                for (Index l = 0; l < d_; ++l) w(l, j) = static_cast<T>(w(l, j) / unit_);
        std::vector<double> norms(static_cast<std::size_t>(w.cols));
        for (Index j = 0; j < w.cols; ++j)
            norms[j] =
                all_finite<T>(w.columns(j, 1)) ? norm(w.column(j), d_) : std::numeric_limits<double>::quiet_NaN();
        return orthonormalize(q, w, reference_of(norms), c, r, dropped);
    }

    /// The first y.cols columns of Q <- Q Y, in row panels so that no second basis is needed.
    void rotate(MatrixView<T> q, MatrixView<const double> y)
    {
        constexpr Index kRows = 1024;
        const auto small = ctx_.scratch<T>(q.cols, y.cols);
        for (Index j = 0; j < y.cols; ++j)
            for (Index i = 0; i < q.cols; ++i) small(i, j) = static_cast<T>(y(i, j));
        const auto panel = ctx_.scratch<T>(std::min(kRows, d_), y.cols);
        for (Index first = 0; first < d_; first += kRows) {
            const Index rows = std::min(kRows, d_ - first);
            const auto out = panel.block(0, 0, rows, y.cols);
            gemm<T>(Transpose::no, Transpose::no, T(1), q.block(first, 0, rows, q.cols), small, T(0), out);
            for (Index j = 0; j < y.cols; ++j) std::copy_n(out.column(j), rows, q.column(j) + first);
        }
    }

    /// The answer, for LanczosResult::vectors.
    void hand_over(MatrixView<const T> q, std::vector<T>& vectors) { vectors.assign(q.data, q.data + d_ * q.cols); }

  private:
    void choose_unit(MatrixView<const T> first)
    {
        constexpr double kLarge = 1e100;
        constexpr int kMostExponent = 1000; // the unit and its inverse are doubles
        double largest = 0;
        for (Index j = 0; j < first.cols; ++j)
            for (Index l = 0; l < d_; ++l) largest = std::max(largest, std::abs(static_cast<double>(first(l, j))));
        has_unit_ = largest > 0;
        if (has_unit_ && std::isfinite(largest) && (largest > kLarge || largest < 1 / kLarge))
            unit_ = std::ldexp(1.0, std::clamp(std::ilogb(largest), -kMostExponent, kMostExponent));
    }

    Context& ctx_;
    const LinearOperator<T>& op_;
    Index d_;
    double unit_ = 1;
    bool has_unit_ = false;
    std::vector<T> storage_, aside_; // (d, columns), (d, columns aside)
    double operator_seconds_ = 0;
};

} // namespace hessay

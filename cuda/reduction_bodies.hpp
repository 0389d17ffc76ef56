#pragma once
#include "elementwise_bodies.hpp"
#include "hessay/philox.hpp"

#include <cmath>

// Bodies of kernels that sum. A group of kLanes neighbouring threads shares one item: lane(item, t) is what lane t adds
// up in its own fixed order, fold joins two lanes, halving their number each time, and finish(item, t, total) runs in
// every lane when all have read. Neither the grid nor the device changes the order, so the sums are the same bits.
namespace hessay::cuda {

constexpr Index kChunkRows = 8192; // of a column, summed by one group: 32 numbers a lane

enum class Column { sum, sum_of_squares, largest_magnitude };

/// out(c, j) <- what is asked of rows c kChunkRows .. of column j of x, in double. Squares are taken of x / largest[j]
/// when that is given; 0 and what is not finite divide nothing.
template <class T>
struct ReduceColumns {
    using Sum = double;
    static constexpr int kLanes = 256;
    Column what;
    MatrixView<const T> x;
    const double* largest; // (cols), or null
    MatrixView<double> out;

    HESSAY_HD Index items() const { return out.rows * out.cols; }

    HESSAY_HD double lane(Index item, int t) const
    {
        const Index column = item / out.rows, first = item % out.rows * kChunkRows;
        const Index last = first + kChunkRows < x.rows ? first + kChunkRows : x.rows;
        double unit = largest ? largest[column] : 1;
        if (!(unit > 0) || std::isinf(unit)) unit = 1;
        double total = 0;
        for (Index i = first + t; i < last; i += kLanes) {
            const double value = static_cast<double>(x(i, column)) / unit;
            if (what == Column::sum) total += value;
            if (what == Column::sum_of_squares) total += value * value;
            if (what == Column::largest_magnitude) total = larger(total, value < 0 ? -value : value);
        }
        return total;
    }
    HESSAY_HD double fold(double a, double b) const { return what == Column::largest_magnitude ? larger(a, b) : a + b; }
    HESSAY_HD void finish(Index item, int t, double total) const
    {
        if (t == 0) out(item % out.rows, item / out.rows) = total;
    }

    /// The larger one; NaN when either is.
    HESSAY_HD static double larger(double a, double b) { return a != a || a >= b ? a : b; }
};

/// norm[j] <- largest[j] sqrt(norm[j]), largest[j] itself when it is 0 or not finite.
struct FinishNorms {
    const double* largest;
    double* norm;
    Index cols;

    HESSAY_HD Index items() const { return cols; }
    HESSAY_HD void at(Index j) const
    {
        const double unit = largest[j];
        norm[j] = unit > 0 && !std::isinf(unit) ? unit * std::sqrt(norm[j]) : unit;
    }
};

/// u <- S u for every column of u, S = (diag(p) - p p') / scale^2 with p the column of state of its sample:
/// the cross-entropy's Hessian in the logits. Column i k + j of u: sample i, direction j of k = per_sample.
template <class T>
struct CrossEntropyCurvature {
    using Sum = T;
    static constexpr int kLanes = 32;
    MatrixView<const T> state;
    Index per_sample;
    T weight; // 1 / scale^2
    MatrixView<T> u;

    HESSAY_HD Index items() const { return u.cols; }

    HESSAY_HD T lane(Index item, int t) const
    {
        const T* p = state.column(quotient(item, per_sample));
        T mean = 0;
        for (Index c = t; c < u.rows; c += kLanes) mean += p[c] * u(c, item);
        return mean;
    }
    HESSAY_HD T fold(T a, T b) const { return a + b; }
    HESSAY_HD void finish(Index item, int t, T mean) const
    {
        const T* p = state.column(quotient(item, per_sample));
        for (Index c = t; c < u.rows; c += kLanes) u(c, item) = weight * p[c] * (u(c, item) - mean);
    }
};

/// Numbers 2 pair and 2 pair + 1 of the stream into elements 2 pair and 2 pair + 1 of x, column after column. The
/// random words are those of the processor; logarithm, sine and cosine are the device's own, and may differ from the
/// processor's in the last place of double.
template <class T>
struct GaussianFill {
    std::uint64_t seed, stream;
    MatrixView<T> x;

    HESSAY_HD Index items() const { return (x.rows * x.cols + 1) / 2; }
    HESSAY_HD void at(Index pair) const
    {
        const auto both = gaussian_pair(seed, stream, static_cast<std::uint64_t>(pair));
        const Index i = 2 * pair;
        x(i % x.rows, i / x.rows) = static_cast<T>(both[0]);
        if (i + 1 < x.rows * x.cols) x((i + 1) % x.rows, (i + 1) / x.rows) = static_cast<T>(both[1]);
    }
};

} // namespace hessay::cuda

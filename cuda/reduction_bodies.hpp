#pragma once
#include "elementwise_bodies.hpp"

#include <cmath>

// Bodies of kernels that sum. A group of kLanes neighbouring threads shares one item: lane(item, t) is what lane t adds
// up in its own fixed order, fold joins two lanes, halving their number each time, and finish(item, t, total) runs in
// every lane when all have read. Neither the grid nor the device changes the order, so the sums are the same bits.
namespace hessay::cuda {

constexpr Index kChunkRows = 8192; // of a column, summed by one group: 32 numbers a lane

enum class Column { sum, sum_of_squares, largest_magnitude };

/// Dividing by it is exact, but for numbers that leave the range: the power of two below `largest`, or 1 when that is 0
/// or not finite. Its inverse is finite too.
HESSAY_HD inline double power_of_two_below(double largest)
{
    if (!(largest > 0) || std::isinf(largest)) return 1;
    int exponent = 0;
    (void)std::frexp(largest, &exponent);
    return std::ldexp(1.0, exponent < -1020 ? -1021 : exponent - 1);
}

/// Goes through `count` numbers as lane t of kLanes does: packs of Width neighbours, kAhead at a time, the next ones
/// kLanes packs on, and at most one number of the rest. load(a, i, there) reads pack a from i on, zeros unless there;
/// add(a, i, there) takes it up, and rest(i) the number left over.
template <int kLanes, int Width, class Load, class Add, class Rest>
HESSAY_HD void over_lane(int count, int t, Load load, Add add, Rest rest)
{
    const int whole = count / Width * Width;
#ifdef __CUDA_ARCH__
#pragma unroll 1 // kAhead is what registers are for
#endif
    for (int i = t * Width; i < whole; i += kAhead * kLanes * Width) {
        for (int a = 0; a < kAhead; ++a) load(a, i + a * kLanes * Width, i + a * kLanes * Width < whole);
        for (int a = 0; a < kAhead; ++a) add(a, i + a * kLanes * Width, i + a * kLanes * Width < whole);
    }
    if (whole + t < count) rest(whole + t);
}

/// The sum of a lane's numbers by their place in a pack.
template <int Width, class T>
HESSAY_HD T joined(const T* total)
{
    T sum = total[0];
    for (int w = 1; w < Width; ++w) sum += total[w];
    return sum;
}

/// out(c, j) <- what is asked of rows c kChunkRows .. of column j of x, in double. Squares are taken of x divided by
/// the power of two below largest[j] when that is given.
template <class T>
struct ReduceColumns {
    using Sum = double;
    static constexpr int kLanes = 256, kWide = kFullWidth<T>;
    Column what;
    MatrixView<const T> x;
    bool packed;           // packs_fit(x)
    const double* largest; // (cols), or null
    MatrixView<double> out;

    HESSAY_HD Index items() const { return out.rows * out.cols; }

    HESSAY_HD double lane(Index item, int t) const
    {
        const Index column = item / out.rows, first = item % out.rows * kChunkRows;
        const Index last = first + kChunkRows < x.rows ? first + kChunkRows : x.rows;
        const T* numbers = x.column(column) + first;
        const int count = static_cast<int>(last - first);
        return packed ? of_lane<true>(numbers, count, column, t) : of_lane<false>(numbers, count, column, t);
    }
    HESSAY_HD double fold(double a, double b) const { return what == Column::largest_magnitude ? larger(a, b) : a + b; }
    HESSAY_HD void finish(Index item, int t, double total) const
    {
        if (t == 0) out(item % out.rows, item / out.rows) = total;
    }

    /// The larger one; NaN when either is.
    template <class U>
    HESSAY_HD static U larger(U a, U b)
    {
        return a != a || a >= b ? a : b;
    }

  private:
    template <bool Packed>
    HESSAY_HD double of_lane(const T* numbers, int count, Index column, int t) const
    {
        Pack<T, kWide> some[kAhead];
        const auto load = [&](int a, int i, bool there) { some[a] = load_if<kWide, Packed>(numbers, i, there); };
        const auto through = [&](auto take) {
            const auto add = [&](int a, int, bool) {
                for (int w = 0; w < kWide; ++w) take(w, some[a].value[w]);
            };
            over_lane<kLanes, kWide>(count, t, load, add, [&](int i) { take(0, numbers[i]); });
        };
        if (what == Column::largest_magnitude) {
            T most[kWide] = {};
            through([&](int w, T value) { most[w] = larger(most[w], value < 0 ? -value : value); });
            for (int w = 1; w < kWide; ++w) most[0] = larger(most[0], most[w]);
            return static_cast<double>(most[0]);
        }
        double total[kWide] = {};
        if (what == Column::sum) {
            through([&](int w, T value) { total[w] += static_cast<double>(value); });
        } else {
            const double inverse = largest ? 1 / power_of_two_below(largest[column]) : 1;
            through([&](int w, T value) {
                const double scaled = static_cast<double>(value) * inverse;
                total[w] += scaled * scaled;
            });
        }
        return joined<kWide>(total);
    }
};

/// norm[j] <- the root of norm[j], times the unit its squares were divided by; largest[j] itself when it is 0 or not
/// finite. Without largest's memory the root alone.
struct FinishNorms {
    const double* largest;
    double* norm;
    Index cols;

    HESSAY_HD Index items() const { return cols; }
    HESSAY_HD void at(Index j) const
    {
        const double most = largest ? largest[j] : 1;
        norm[j] = most > 0 && !std::isinf(most) ? std::sqrt(norm[j]) * (largest ? power_of_two_below(most) : 1) : most;
    }
};

/// u <- S u for every column of u, S = (diag(p) - p p') / scale^2 with p the column of state of its sample:
/// the cross-entropy's Hessian in the logits. Column i k + j of u: sample i, direction j of k = per_sample.
template <class T>
struct CrossEntropyCurvature {
    using Sum = T;
    static constexpr int kLanes = 32, kWide = kFullWidth<T>;
    MatrixView<const T> state;
    Index per_sample;
    bool packed; // packs fit state and u
    T weight;    // 1 / scale^2
    MatrixView<T> u;

    HESSAY_HD Index items() const { return u.cols; }

    HESSAY_HD T lane(Index item, int t) const { return packed ? mean_of<true>(item, t) : mean_of<false>(item, t); }
    HESSAY_HD T fold(T a, T b) const { return a + b; }
    HESSAY_HD void finish(Index item, int t, T mean) const
    {
        if (packed)
            write<true>(item, t, mean);
        else
            write<false>(item, t, mean);
    }

  private:
    // p and u where a lane is.
    struct Both {
        Pack<T, kWide> p[kAhead], v[kAhead];
    };

    template <bool Packed>
    HESSAY_HD T mean_of(Index item, int t) const
    {
        const T *p = state.column(quotient(item, per_sample)), *v = u.column(item);
        Both some;
        T mean[kWide] = {};
        over_lane<kLanes, kWide>(
            static_cast<int>(u.rows), t,
            [&](int a, int c, bool there) {
                some.p[a] = load_if<kWide, Packed>(p, c, there);
                some.v[a] = load_if<kWide, Packed>(v, c, there);
            },
            [&](int a, int, bool) {
                for (int w = 0; w < kWide; ++w) mean[w] += some.p[a].value[w] * some.v[a].value[w];
            },
            [&](int c) { mean[0] += p[c] * v[c]; });
        return joined<kWide>(mean);
    }

    template <bool Packed>
    HESSAY_HD void write(Index item, int t, T mean) const
    {
        const T* p = state.column(quotient(item, per_sample));
        T* v = u.column(item);
        Both some;
        const auto changed = [&](T share, T value) { return weight * share * (value - mean); };
        over_lane<kLanes, kWide>(
            static_cast<int>(u.rows), t,
            [&](int a, int c, bool there) {
                some.p[a] = load_if<kWide, Packed>(p, c, there);
                some.v[a] = load_if<kWide, Packed>(v, c, there);
            },
            [&](int a, int c, bool there) {
                Pack<T, kWide> out;
                for (int w = 0; w < kWide; ++w) out.value[w] = changed(some.p[a].value[w], some.v[a].value[w]);
                store_if<Packed>(v, c, out, there);
            },
            [&](int c) { v[c] = changed(p[c], v[c]); });
    }
};

} // namespace hessay::cuda

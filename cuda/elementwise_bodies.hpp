#pragma once
#include "hessay/elementwise.hpp"
#include "pack.hpp"

// One struct for each element-wise kernel. at<Width>(i, j) does rows i .. i + Width - 1 of column j and touches nothing
// else, so any order and any grid gives the same bits. Column i k + j of a tile of tangents: sample i, direction j of
// k. A body says its extent (rows, cols) and, by aligned(), whether packs of 16 bytes may be used.
namespace hessay::cuda {

/// Columns are counted in 32 bits: a 64-bit division is a subroutine of a device and costs more than the arithmetic.
/// The routines check that the number of columns fits.
HESSAY_HD inline Index quotient(Index column, Index k)
{
    return static_cast<std::uint32_t>(column) / static_cast<std::uint32_t>(k);
}

/// x <- act(x); slope <- act'(x) and curvature <- act''(x) where they have memory.
template <class T>
struct Activate {
    using Number = T;
    static constexpr bool kPacks = true;
    Activation activation;
    T parameter;
    MatrixView<T> x, slope, curvature;

    HESSAY_HD Index rows() const { return x.rows; }
    HESSAY_HD Index cols() const { return x.cols; }
    bool aligned() const { return packs_fit(x) && packs_fit(slope) && packs_fit(curvature); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        auto value = load<Width>(&x(i, j));
        Pack<T, Width> first{}, second{};
        for (int w = 0; w < Width; ++w) {
            const T a = value.value[w];
            if (slope.data) first.value[w] = activation_slope(activation, parameter, a);
            if (curvature.data) second.value[w] = activation_curvature(activation, parameter, a);
            value.value[w] = activation_value(activation, parameter, a);
        }
        store(&x(i, j), value);
        if (slope.data) store(&slope(i, j), first);
        if (curvature.data) store(&curvature(i, j), second);
    }
};

/// kept <- x where it has memory, then x[:, i k + j] <- factor[:, i] * x, k = per_sample.
template <class T>
struct ScaleBySample {
    using Number = T;
    static constexpr bool kPacks = true;
    MatrixView<const T> factor;
    Index per_sample;
    MatrixView<T> x, kept;

    HESSAY_HD Index rows() const { return x.rows; }
    HESSAY_HD Index cols() const { return x.cols; }
    bool aligned() const { return packs_fit(factor) && packs_fit(x) && packs_fit(kept); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        const auto f = load<Width>(&factor(i, quotient(j, per_sample)));
        auto value = load<Width>(&x(i, j));
        if (kept.data) store(&kept(i, j), value);
        for (int w = 0; w < Width; ++w) value.value[w] *= f.value[w];
        store(&x(i, j), value);
    }
};

/// back[:, i k + j] <- slope[:, i] * back + curvature[:, i] * tangent
template <class T>
struct TangentBackwardStep {
    using Number = T;
    static constexpr bool kPacks = true;
    MatrixView<const T> slope, curvature, tangent;
    Index per_sample;
    MatrixView<T> back;

    HESSAY_HD Index rows() const { return back.rows; }
    HESSAY_HD Index cols() const { return back.cols; }
    bool aligned() const { return packs_fit(slope) && packs_fit(curvature) && packs_fit(tangent) && packs_fit(back); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        const Index sample = quotient(j, per_sample);
        const auto s = load<Width>(&slope(i, sample));
        const auto c = load<Width>(&curvature(i, sample));
        const auto t = load<Width>(&tangent(i, j));
        auto b = load<Width>(&back(i, j));
        for (int w = 0; w < Width; ++w) b.value[w] = s.value[w] * b.value[w] + c.value[w] * t.value[w];
        store(&back(i, j), b);
    }
};

/// value[:, i k + j] <- slope[:, i] * pushed[:, j], or pushed alone when slope has no memory. k = pushed.cols.
template <class T>
struct ExpandShared {
    using Number = T;
    static constexpr bool kPacks = true;
    MatrixView<const T> slope, pushed;
    MatrixView<T> value;

    HESSAY_HD Index rows() const { return value.rows; }
    HESSAY_HD Index cols() const { return value.cols; }
    bool aligned() const { return packs_fit(slope) && packs_fit(pushed) && packs_fit(value); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        const Index sample = quotient(j, pushed.cols);
        auto p = load<Width>(&pushed(i, j - sample * pushed.cols));
        if (slope.data) {
            const auto s = load<Width>(&slope(i, sample));
            for (int w = 0; w < Width; ++w) p.value[w] *= s.value[w];
        }
        store(&value(i, j), p);
    }
};

/// partial[:, c k + j] <- the sum of slope[:, i] * value[:, i k + j] over the samples i of chunk c, in order, in
/// double. Without slope's memory the plain sum.
template <class T>
struct SumSamples {
    using Number = T;
    static constexpr bool kPacks = true;
    MatrixView<const T> slope, value;
    Index directions, chunk; // k, and samples in a chunk
    MatrixView<double> partial;

    HESSAY_HD Index rows() const { return partial.rows; }
    HESSAY_HD Index cols() const { return partial.cols; }
    bool aligned() const { return packs_fit(slope) && packs_fit(value) && packs_fit(partial); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        const Index part = quotient(j, directions), direction = j - part * directions;
        const Index first = part * chunk, last_sample = quotient(value.cols, directions);
        const Index last = first + chunk < last_sample ? first + chunk : last_sample;
        double total[Width] = {};
        for (Index sample = first; sample < last; ++sample) {
            auto v = load<Width>(&value(i, sample * directions + direction));
            if (slope.data) {
                const auto s = load<Width>(&slope(i, sample));
                for (int w = 0; w < Width; ++w) v.value[w] *= s.value[w];
            }
            for (int w = 0; w < Width; ++w) total[w] += static_cast<double>(v.value[w]);
        }
        for (int w = 0; w < Width; ++w) partial(i + w, j) = total[w];
    }
};

/// sum[:, j] += partial[:, c k + j] over the chunks c, in order.
struct SumChunks {
    using Number = double;
    static constexpr bool kPacks = true;
    MatrixView<const double> partial;
    MatrixView<double> sum;

    HESSAY_HD Index rows() const { return sum.rows; }
    HESSAY_HD Index cols() const { return sum.cols; }
    bool aligned() const { return packs_fit(partial) && packs_fit(sum); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        auto total = load<Width>(&sum(i, j));
        for (Index c = j; c < partial.cols; c += sum.cols) {
            const auto p = load<Width>(&partial(i, c));
            for (int w = 0; w < Width; ++w) total.value[w] += p.value[w];
        }
        store(&sum(i, j), total);
    }
};

/// w[:, j] <- w - alpha[j] v - beta[j] u: the three-term step of Lanczos on every column at once. The coefficients stay
/// on the device. Source: Paige 1972, J. Inst. Math. Appl. 10, 373, the order of operations (A1).
template <class T>
struct LanczosUpdate {
    using Number = T;
    static constexpr bool kPacks = true;
    const double *alpha, *beta; // (cols)
    MatrixView<const T> v, u;
    MatrixView<T> w;

    HESSAY_HD Index rows() const { return w.rows; }
    HESSAY_HD Index cols() const { return w.cols; }
    bool aligned() const { return packs_fit(v) && packs_fit(u) && packs_fit(w); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        const T a = static_cast<T>(alpha[j]), b = static_cast<T>(beta[j]);
        const auto y = load<Width>(&v(i, j)), z = load<Width>(&u(i, j));
        auto x = load<Width>(&w(i, j));
        for (int k = 0; k < Width; ++k) x.value[k] = (x.value[k] - b * z.value[k]) - a * y.value[k];
        store(&w(i, j), x);
    }
};

/// x[:, j] <- x / norm[j]; a column of norm 0 stays as it is.
template <class T>
struct Normalise {
    using Number = T;
    static constexpr bool kPacks = true;
    const double* norm; // (cols)
    MatrixView<T> x;

    HESSAY_HD Index rows() const { return x.rows; }
    HESSAY_HD Index cols() const { return x.cols; }
    bool aligned() const { return packs_fit(x); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        const double length = norm[j];
        if (length == 0) return;
        auto value = load<Width>(&x(i, j));
        for (int w = 0; w < Width; ++w) value.value[w] = static_cast<T>(static_cast<double>(value.value[w]) / length);
        store(&x(i, j), value);
    }
};

/// wide <- x in double.
template <class T>
struct Widen {
    using Number = T;
    static constexpr bool kPacks = true;
    MatrixView<const T> x;
    MatrixView<double> wide;

    HESSAY_HD Index rows() const { return x.rows; }
    HESSAY_HD Index cols() const { return x.cols; }
    bool aligned() const { return packs_fit(x) && packs_fit(wide); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        const auto value = load<Width>(&x(i, j));
        for (int w = 0; w < Width; ++w) wide(i + w, j) = static_cast<double>(value.value[w]);
    }
};

/// The upper triangle of a square matrix copied to the lower one. Packs would straddle the diagonal.
struct MirrorUpper {
    using Number = double;
    static constexpr bool kPacks = false;
    MatrixView<double> a;

    HESSAY_HD Index rows() const { return a.rows; }
    HESSAY_HD Index cols() const { return a.cols; }
    bool aligned() const { return false; }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        static_assert(Width == 1, "one number at a time");
        if (i > j) a(i, j) = a(j, i);
    }
};

} // namespace hessay::cuda

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
        switch (activation) {
        case Activation::identity:
            return apply<Activation::identity, Width>(i, j);
        case Activation::relu:
            return apply<Activation::relu, Width>(i, j);
        case Activation::leaky_relu:
            return apply<Activation::leaky_relu, Width>(i, j);
        case Activation::gelu:
            return apply<Activation::gelu, Width>(i, j);
        case Activation::gelu_tanh:
            return apply<Activation::gelu_tanh, Width>(i, j);
        case Activation::silu:
            return apply<Activation::silu, Width>(i, j);
        case Activation::tanh:
            return apply<Activation::tanh, Width>(i, j);
        case Activation::sigmoid:
            return apply<Activation::sigmoid, Width>(i, j);
        case Activation::softplus:
            return apply<Activation::softplus, Width>(i, j);
        case Activation::elu:
            return apply<Activation::elu, Width>(i, j);
        }
    }

  private:
    // Which activation it is, is decided once for a pack: what value, slope and curvature have in common, an erfc or an
    // exponential, the compiler then takes once.
    template <Activation Act, int Width>
    HESSAY_HD void apply(Index i, Index j) const
    {
        auto value = load<Width>(&x(i, j));
        if (slope.data || curvature.data) {
            Pack<T, Width> first, second;
            for (int w = 0; w < Width; ++w) {
                const T a = value.value[w];
                first.value[w] = activation_slope(Act, parameter, a);
                second.value[w] = activation_curvature(Act, parameter, a);
                value.value[w] = activation_value(Act, parameter, a);
            }
            if (slope.data) store(&slope(i, j), first);
            if (curvature.data) store(&curvature(i, j), second);
        } else {
            for (int w = 0; w < Width; ++w) value.value[w] = activation_value(Act, parameter, value.value[w]);
        }
        store(&x(i, j), value);
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

/// x[:, j] <- x / norm[j]; a column of norm 0 stays as it is. Floats are multiplied by the inverse in double, where it
/// is finite for every norm that a column of floats has (2^-149 or more): three roundings, of which the two in double
/// are 2^-29 of the one that counts.
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
        if constexpr (sizeof(T) < sizeof(double)) {
            const double inverse = 1 / length; // one division a pack: a device has few units for them
            for (int w = 0; w < Width; ++w)
                value.value[w] = static_cast<T>(static_cast<double>(value.value[w]) * inverse);
        } else {
            for (int w = 0; w < Width; ++w) value.value[w] /= length;
        }
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

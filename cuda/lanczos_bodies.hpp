#pragma once
#include "pack.hpp"
#include "reduction_bodies.hpp"

#include <cmath>

// Bodies of the steps that a Krylov basis takes: see elementwise_bodies.hpp and reduction_bodies.hpp for what a body
// is. Every sum is added up in an order that neither grid nor device changes.
namespace hessay::cuda {

/// y <- y + factor * x
template <class T>
struct AddScaled {
    using Number = T;
    static constexpr bool kPacks = true;
    T factor;
    MatrixView<const T> x;
    MatrixView<T> y;

    HESSAY_HD Index rows() const { return y.rows; }
    HESSAY_HD Index cols() const { return y.cols; }
    bool aligned() const { return packs_fit(x) && packs_fit(y); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        const auto more = load<Width>(&x(i, j));
        auto value = load<Width>(&y(i, j));
        for (int w = 0; w < Width; ++w) value.value[w] += factor * more.value[w];
        store(&y(i, j), value);
    }
};

/// x <- factor * x, multiplied in double: the inverse of a small norm may leave the range of float.
template <class T>
struct ScaleInDouble {
    using Number = T;
    static constexpr bool kPacks = true;
    double factor;
    MatrixView<T> x;

    HESSAY_HD Index rows() const { return x.rows; }
    HESSAY_HD Index cols() const { return x.cols; }
    bool aligned() const { return packs_fit(x); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        auto value = load<Width>(&x(i, j));
        for (int w = 0; w < Width; ++w) value.value[w] = static_cast<T>(static_cast<double>(value.value[w]) * factor);
        store(&x(i, j), value);
    }
};

/// One number, taken along with the launch: a copy from the host might wait.
struct SetNumber {
    double value;
    double* target;

    HESSAY_HD Index items() const { return 1; }
    HESSAY_HD void at(Index) const { *target = value; }
};

/// Where element (i, j), i <= j, of a symmetric matrix stands in its upper triangle packed by columns.
HESSAY_HD inline Index packed(Index i, Index j) { return i + j * (j + 1) / 2; }

/// out(c, packed(i, j)) <- the sum of x(:, i) x(:, j) over rows c kChunkRows .., in double: X'X in pieces. For blocks
/// of a few columns; every pair of columns is read again.
template <class T>
struct PairSums {
    using Sum = double;
    static constexpr int kLanes = 256, kWide = kFullWidth<T>;
    MatrixView<const T> x;
    bool aligned;           // packs_fit(x)
    MatrixView<double> out; // (chunks, b (b + 1) / 2)

    HESSAY_HD Index items() const { return out.rows * out.cols; }

    HESSAY_HD double lane(Index item, int t) const
    {
        const Index pair = item / out.rows, first = item % out.rows * kChunkRows;
        const Index last = first + kChunkRows < x.rows ? first + kChunkRows : x.rows;
        Index j = 0;
        while (packed(0, j + 1) <= pair) ++j;
        const T *left = x.column(pair - packed(0, j)) + first, *right = x.column(j) + first;
        const int count = static_cast<int>(last - first);
        return aligned ? of_lane<true>(left, right, count, t) : of_lane<false>(left, right, count, t);
    }
    HESSAY_HD double fold(double a, double b) const { return a + b; }
    HESSAY_HD void finish(Index item, int t, double total) const
    {
        if (t == 0) out(item % out.rows, item / out.rows) = total;
    }

  private:
    template <bool Packed>
    HESSAY_HD static double of_lane(const T* left, const T* right, int count, int t)
    {
        Pack<T, kWide> l[kAhead], r[kAhead];
        double total[kWide] = {};
        const auto take = [&](int w, T a, T b) { total[w] += static_cast<double>(a) * static_cast<double>(b); };
        over_lane<kLanes, kWide>(
            count, t,
            [&](int a, int i, bool there) {
                l[a] = load_if<kWide, Packed>(left, i, there);
                r[a] = load_if<kWide, Packed>(right, i, there);
            },
            [&](int a, int, bool) {
                for (int w = 0; w < kWide; ++w) take(w, l[a].value[w], r[a].value[w]);
            },
            [&](int i) { take(0, left[i], right[i]); });
        return joined<kWide>(total);
    }
};

/// What became of a block: its factors are good, its rank must be found out column by column, or it fell apart between
/// two passes, which it cannot while Q is orthonormal.
enum class BlockState { factored, rank_unknown, broken };

/// R (b, b) <- the Cholesky factor of the Gram matrix of a block, by one thread: a block has few columns, and a host
/// that did it would have to be waited for. In the first pass (before given) a column counts as independent when
///     its length is above 10 rounding max(before, reference)  - so that what the projection left along Q is a tenth at
///                                                               most, which the second pass removes, and
///     its pivot is above 1e-3 of that length                  - so that W R^-1 loses 1e-3 at most, which the second
///                                                               factorisation restores (Yamamoto et al. 2015,
///                                                               Electron. Trans. Numer. Anal. 44, 306).
/// Where one does not, R is the identity and the state says rank_unknown. NaN is not above anything.
struct FactorGram {
    const double* gram;      // (b (b + 1) / 2), packed
    const double* before;    // (b) norms before projection; null in the second pass
    const double* reference; // 1 number
    bool of_product;         // the norms before count for the reference of every column
    double rounding;
    MatrixView<double> factor;
    double* state; // BlockState as a number

    HESSAY_HD Index items() const { return 1; }

    HESSAY_HD void at(Index) const
    {
        const bool first = before != nullptr;
        if (first) *state = static_cast<double>(BlockState::factored);
        const bool sound = *state == static_cast<double>(BlockState::factored) && factorise(first);
        if (sound) return;
        if (first) *state = static_cast<double>(BlockState::rank_unknown);
        if (*state == static_cast<double>(BlockState::factored)) *state = static_cast<double>(BlockState::broken);
        for (Index j = 0; j < factor.cols; ++j)
            for (Index i = 0; i < factor.rows; ++i) factor(i, j) = i == j ? 1 : 0;
    }

  private:
    HESSAY_HD bool factorise(bool first) const
    {
        double largest = first ? *reference : 0;
        for (Index j = 0; first && of_product && j < factor.cols; ++j)
            if (before[j] > largest) largest = before[j];
        for (Index j = 0; j < factor.cols; ++j) {
            double pivot = gram[packed(j, j)];
            const double length = std::sqrt(pivot);
            for (Index i = 0; i < factor.rows; ++i) factor(i, j) = 0;
            for (Index i = 0; i < j; ++i) {
                double value = gram[packed(i, j)];
                for (Index l = 0; l < i; ++l) value -= factor(l, i) * factor(l, j);
                factor(i, j) = value / factor(i, i);
                pivot -= factor(i, j) * factor(i, j);
            }
            const double root = std::sqrt(pivot); // NaN where it is negative
            const double floor = first ? 10 * rounding * (before[j] > largest ? before[j] : largest) : 0.5;
            if (!(length > floor && root > (first ? 1e-3 * length : 0.5))) return false;
            factor(j, j) = root;
        }
        return true;
    }
};

/// X <- X R^-1 for an upper triangular R in double, row by row: a thread takes its rows through all columns.
template <class T>
struct SolveUpper {
    using Number = T;
    static constexpr bool kPacks = true;
    MatrixView<const double> r; // (b, b)
    MatrixView<T> x;            // (d, b)

    HESSAY_HD Index rows() const { return x.rows; }
    HESSAY_HD Index cols() const { return 1; }
    bool aligned() const { return packs_fit(x); }

    template <int Width>
    HESSAY_HD void at(Index i, Index) const
    {
        for (Index j = 0; j < x.cols; ++j) {
            auto value = load<Width>(&x(i, j));
            double sum[Width];
            for (int w = 0; w < Width; ++w) sum[w] = static_cast<double>(value.value[w]);
            for (Index l = 0; l < j; ++l) {
                const auto solved = load<Width>(&x(i, l));
                for (int w = 0; w < Width; ++w) sum[w] -= static_cast<double>(solved.value[w]) * r(l, j);
            }
            for (int w = 0; w < Width; ++w) value.value[w] = static_cast<T>(sum[w] / r(j, j));
            store(&x(i, j), value);
        }
    }
};

} // namespace hessay::cuda

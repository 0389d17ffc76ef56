#pragma once
#include "elementwise_bodies.hpp"

// Bodies for directions that all samples have in common: spread over the samples, and summed over them again. See
// elementwise_bodies.hpp for what a body is.
namespace hessay::cuda {

HESSAY_HD inline Index groups_of(Index n, Index size) { return (n + size - 1) / size; }

/// value[:, i k + j] <- slope[:, i] * pushed[:, j], or pushed alone when slope has no memory. k = pushed.cols. A thread
/// takes kSamples x kDirections columns: it is the numbers written that cost, and those read must not cost as much.
template <class T>
struct ExpandShared {
    using Number = T;
    static constexpr bool kPacks = true;
    static constexpr Index kSamples = 4, kDirections = 4;
    MatrixView<const T> slope, pushed;
    MatrixView<T> value;

    HESSAY_HD Index rows() const { return value.rows; }
    HESSAY_HD Index cols() const { return groups_of(samples(), kSamples) * groups_of(pushed.cols, kDirections); }
    bool aligned() const { return packs_fit(slope) && packs_fit(pushed) && packs_fit(value); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        const Index n = samples(), k = pushed.cols, across = groups_of(k, kDirections);
        const Index first = quotient(j, across) * kSamples, direction = j % across * kDirections;
        Pack<T, Width> p[kDirections], s[kSamples];
        for (Index d = 0; d < kDirections; ++d) p[d] = load_if<Width>(pushed, i, direction + d, direction + d < k);
        for (Index m = 0; m < kSamples; ++m) s[m] = load_if<Width>(slope, i, first + m, slope.data && first + m < n);
        for (Index m = 0; m < kSamples && first + m < n; ++m) {
            for (Index d = 0; d < kDirections && direction + d < k; ++d) {
                auto product = p[d];
                for (int w = 0; slope.data && w < Width; ++w) product.value[w] *= s[m].value[w];
                store(&value(i, (first + m) * k + direction + d), product);
            }
        }
    }

  private:
    HESSAY_HD Index samples() const { return quotient(value.cols, pushed.cols); }
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
        for (Index sample = first; sample < last; sample += kAhead) {
            Pack<T, Width> v[kAhead], s[kAhead];
            for (Index a = 0; a < kAhead; ++a) {
                const bool there = sample + a < last;
                v[a] = load_if<Width>(value, i, (sample + a) * directions + direction, there);
                s[a] = load_if<Width>(slope, i, sample + a, slope.data && there);
            }
            for (Index a = 0; a < kAhead; ++a) {
                for (int w = 0; slope.data && w < Width; ++w) v[a].value[w] *= s[a].value[w];
                for (int w = 0; w < Width; ++w) total[w] += static_cast<double>(v[a].value[w]);
            }
        }
        for (int w = 0; w < Width; ++w) partial(i + w, j) = total[w];
    }
};

/// sum[:, g k + j] <- the sum of partial[:, c k + j] over the chunks c of group g, in order; added to what was there
/// with add. A group is kTogether chunks, so that few threads never go through many chunks one after another.
struct SumChunks {
    using Number = double;
    static constexpr bool kPacks = true;
    static constexpr Index kTogether = 32;
    MatrixView<const double> partial;
    Index directions; // k
    bool add;
    MatrixView<double> sum;

    HESSAY_HD Index rows() const { return sum.rows; }
    HESSAY_HD Index cols() const { return sum.cols; }
    bool aligned() const { return packs_fit(partial) && packs_fit(sum); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        constexpr Index kAtOnce = 2 * kAhead;
        const Index group = quotient(j, directions), direction = j - group * directions;
        const Index first = group * kTogether, chunks = quotient(partial.cols, directions);
        const Index last = first + kTogether < chunks ? first + kTogether : chunks;
        auto total = load_if<Width>(sum, i, j, add);
        for (Index c = first; c < last; c += kAtOnce) {
            Pack<double, Width> p[kAtOnce];
            for (Index a = 0; a < kAtOnce; ++a)
                p[a] = load_if<Width>(partial, i, (c + a) * directions + direction, c + a < last);
            for (Index a = 0; a < kAtOnce; ++a)
                for (int w = 0; w < Width; ++w) total.value[w] += p[a].value[w];
        }
        store(&sum(i, j), total);
    }
};

} // namespace hessay::cuda

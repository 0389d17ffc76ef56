#pragma once
#include "pack.hpp"

#include <utility>

// Products of a long matrix with a narrow one, for memory's sake: every number of the long one is read once, 16 bytes
// at a time, and meets all columns of the narrow one in registers. Bodies of CudaContext::tiles, block by block:
//     fetch   a thread's share of the copies into the stage of a step, ahead of time and past the registers
//     add     what a thread adds to its sums from that stage
//     finish  what it does with the sums, added up over the lanes of its warp first where kJoined
// A sum's order depends on the shape alone: thread, then tree over the warp, then segments one after another.
namespace hessay::cuda {

constexpr int kWarp = 32;

/// Where a block of a body stands: which one of those next to each other, and in which group of them.
struct Place {
    Index beside, group;
};

constexpr int kMostNarrow = 16; // columns at once: with 8 packs a thread that is 128 sums, half of its registers

// body(0), body(1), .. body(N - 1), written out: sums that a loop would index leave the registers.
template <class Body, int... I>
HESSAY_HD void unrolled(std::integer_sequence<int, I...>, const Body& body)
{
    (body(I), ...);
}
template <int N, class Body>
HESSAY_HD void unrolled(const Body& body)
{
    unrolled(std::make_integer_sequence<int, N>{}, body);
}

/// The stages' memory, sums and copies are sized for T and for K columns, a power of two.
template <class T, int K>
struct NarrowSizes {
    static constexpr int kWide = kFullWidth<T>;
    static constexpr int kChunk = kWarp * kWide; // rows that a warp takes at once, 512 bytes of a column
    /// Columns of A that a warp multiplies while it holds a pack of B. More would share B better and spill.
    static constexpr int kColumns = sizeof(T) * K > 64 ? 4 : 8;
    /// Chunks of rows that a warp takes: two where reading B from shared memory would cost as much as the arithmetic.
    static constexpr int kChunks = K == kMostNarrow ? 2 : 1;
    static constexpr int kDeep = 8 / kChunks; // columns of A in a step of the plain product
};

/// stage[j pitch ..] <- x(row .., first + j) for j < Count, 32 Wide rows by the lanes of a warp; zeros where x has
/// ended.
template <int Wide, int Count, class T>
HESSAY_HD void fetch_columns(MatrixView<const T> x, bool packs, Index row, Index first, int lane, T* stage, int pitch)
{
    if (packs && row + kWarp * Wide <= x.rows) {
        const T* from = x.column(first) + row + lane * Wide;
        unrolled<Count>([&](int j) {
            T* to = stage + j * pitch + lane * Wide;
            if (first + j < x.cols)
                copy_ahead<Wide>(to, from + j * x.stride);
            else
                store(to, Pack<T, Wide>{});
        });
        return;
    }
    for (int j = 0; j < Count; ++j)
        for (int i = lane; i < kWarp * Wide; i += kWarp) {
            if (first + j < x.cols && row + i < x.rows)
                copy_ahead<1>(stage + j * pitch + i, x.column(first + j) + row + i);
            else
                stage[j * pitch + i] = 0;
        }
}

/// alpha * sum + beta * before; beta = 0 overwrites, NaN included.
template <class T>
HESSAY_HD T blended(T alpha, T sum, T beta, const T& before)
{
    return beta == 0 ? alpha * sum : alpha * sum + beta * before;
}

/// out(j, s k + c) <- alpha * the sum over segment s of A(:, j) B(:, c) + beta out(j, s k + c): A'B for A (d, m), B (d,
/// k), k <= K. A block takes up to 8 kColumns columns of A, one warp kColumns of them, through one segment of rows.
/// stage: a chunk of every column of A, then one of every column of B, which the warps share.
template <class T, int K>
struct NarrowTransposed : NarrowSizes<T, K> {
    using Sizes = NarrowSizes<T, K>;
    using Number = T;
    using Sizes::kChunk, Sizes::kColumns, Sizes::kWide;
    static constexpr int kThreads = 8 * kWarp;
    static constexpr int kResident = 1; // block on a multiprocessor: 128 sums a thread leave room for no more
    static constexpr bool kJoined = true;
    struct Own {
        T sum[kColumns * K];
    };

    MatrixView<const T> a, b;
    T alpha, beta;
    MatrixView<T> out;
    Index segment; // rows, a multiple of kChunk
    Index tiles;   // blocks next to each other
    int warps;     // of a block
    bool packs_a, packs_b;

    HESSAY_HD int threads() const { return warps * kWarp; }
    HESSAY_HD Index across() const { return tiles; }
    HESSAY_HD Index groups() const { return out.cols / b.cols; }
    HESSAY_HD int stage_numbers() const { return (warps * kColumns + K) * kChunk; }
    HESSAY_HD Index steps(Place place) const
    {
        const Index left = a.rows - place.group * segment;
        return ((left < segment ? left : segment) + kChunk - 1) / kChunk;
    }

    HESSAY_HD void fetch(Place place, Index step, int thread, T* stage) const
    {
        const int warp = thread / kWarp, lane = thread % kWarp;
        const Index row = place.group * segment + step * kChunk;
        fetch_columns<kWide, kColumns>(a, packs_a, row, first_column(place, warp), lane,
                                       stage + warp * kColumns * kChunk, kChunk);
        T* shared = stage + warps * kColumns * kChunk;
        for (int c = warp; c < K; c += warps)
            fetch_columns<kWide, 1>(b, packs_b, row, c, lane, shared + c * kChunk, kChunk);
    }

    HESSAY_HD void add(int thread, const T* stage, Own& own) const
    {
        const int warp = thread / kWarp, at = thread % kWarp * kWide;
        Pack<T, kWide> left[kColumns];
        unrolled<kColumns>([&](int j) { left[j] = load<kWide>(stage + (warp * kColumns + j) * kChunk + at); });
        const T* shared = stage + warps * kColumns * kChunk + at;
        unrolled<K>([&](int c) {
            const auto right = load<kWide>(shared + c * kChunk);
            unrolled<kWide>([&](int w) {
                unrolled<kColumns>([&](int j) { own.sum[j * K + c] += left[j].value[w] * right.value[w]; });
            });
        });
    }

    HESSAY_HD void finish(Place place, int thread, const Own& own) const
    {
        if (thread % kWarp != 0) return;
        const Index first = first_column(place, thread / kWarp), group = place.group * b.cols;
        unrolled<kColumns * K>([&](int e) {
            const Index j = first + e / K, c = e % K;
            if (j >= a.cols || c >= b.cols) return;
            T& target = out(j, group + c);
            target = blended(alpha, own.sum[e], beta, target);
        });
    }

  private:
    HESSAY_HD Index first_column(Place place, int warp) const { return (place.beside * warps + warp) * kColumns; }
};

/// out(:, s k + c) <- alpha * the sum over segment s of A(:, j) B(j, c) + beta out(:, s k + c): A B for A (d, m), B (m,
/// k), k <= K. A thread owns kChunks packs of rows and takes them through one segment of columns.
/// stage: the block's rows of kDeep columns of A, then K numbers of B for each of those columns.
template <class T, int K>
struct NarrowPlain : NarrowSizes<T, K> {
    using Sizes = NarrowSizes<T, K>;
    using Number = T;
    using Sizes::kChunk, Sizes::kChunks, Sizes::kDeep, Sizes::kWide;
    static constexpr int kWarps = 2; // small blocks: B costs little, and many blocks load all multiprocessors alike
    static constexpr int kThreads = kWarps * kWarp;
    static constexpr int kResident = 4;
    static constexpr bool kJoined = false;
    static constexpr int kRows = kWarps * kChunks * kChunk; // of a block
    static constexpr int kTogether = K < kWide ? K : kWide; // numbers of B read at once
    struct Own {
        T sum[kChunks * kWide * K];
    };

    MatrixView<const T> a, b;
    T alpha, beta;
    MatrixView<T> out;
    Index segment; // columns of A, a multiple of kDeep
    bool packs_a, packs_out;

    HESSAY_HD int threads() const { return kThreads; }
    HESSAY_HD Index across() const { return (a.rows + kRows - 1) / kRows; }
    HESSAY_HD Index groups() const { return out.cols / b.cols; }
    HESSAY_HD int stage_numbers() const { return kDeep * (kRows + K); }
    HESSAY_HD Index steps(Place place) const
    {
        const Index left = a.cols - place.group * segment;
        return ((left < segment ? left : segment) + kDeep - 1) / kDeep;
    }

    HESSAY_HD void fetch(Place place, Index step, int thread, T* stage) const
    {
        const Index first = place.group * segment + step * kDeep, row = place.beside * kRows;
        const int from = thread / kWarp * kChunks * kChunk, lane = thread % kWarp;
        for (int at = from; at < from + kChunks * kChunk; at += kChunk)
            fetch_columns<kWide, kDeep>(a, packs_a, row + at, first, lane, stage + at, kRows);
        T* shared = stage + kDeep * kRows;
        for (int e = thread; e < kDeep * K; e += kThreads) {
            const int p = e % kDeep, c = e / kDeep;
            if (first + p < b.rows && c < b.cols)
                copy_ahead<1>(shared + p * K + c, &b(first + p, c));
            else
                shared[p * K + c] = 0;
        }
    }

    HESSAY_HD void add(int thread, const T* stage, Own& own) const
    {
        const int at = thread / kWarp * kChunks * kChunk + thread % kWarp * kWide;
        unrolled<kDeep>([&](int p) {
            Pack<T, kWide> left[kChunks];
            unrolled<kChunks>([&](int r) { left[r] = load<kWide>(stage + p * kRows + at + r * kChunk); });
            unrolled<K / kTogether>([&](int group) {
                const int c = group * kTogether;
                const auto right = load<kTogether>(stage + kDeep * kRows + p * K + c);
                unrolled<kTogether * kChunks * kWide>([&](int e) {
                    const int r = e / kWide % kChunks, w = e % kWide;
                    own.sum[c * kChunks * kWide + e] += left[r].value[w] * right.value[e / kWide / kChunks];
                });
            });
        });
    }

    HESSAY_HD void finish(Place place, int thread, const Own& own) const
    {
        const Index group = place.group * b.cols;
        const Index row = place.beside * kRows + thread / kWarp * kChunks * kChunk + thread % kWarp * kWide;
        unrolled<K * kChunks>([&](int e) {
            const Index c = group + e / kChunks, i = row + e % kChunks * kChunk;
            if (e / kChunks >= b.cols || i >= a.rows) return;
            const T* sum = own.sum + e * kWide;
            T* target = &out(i, c);
            if (packs_out && i + kWide <= a.rows) {
                Pack<T, kWide> value = {};
                if (beta != 0) value = load<kWide>(target);
                unrolled<kWide>([&](int w) { value.value[w] = blended(alpha, sum[w], beta, value.value[w]); });
                store(target, value);
                return;
            }
            unrolled<kWide>([&](int w) {
                if (i + w < a.rows) target[w] = blended(alpha, sum[w], beta, target[w]);
            });
        });
    }
};

/// c <- alpha * the sum of the segments + beta c, one after another. partial (rows of c, segments times columns of c).
template <class T>
struct JoinSegments {
    using Number = T;
    static constexpr bool kPacks = true;
    MatrixView<const T> partial;
    T alpha, beta;
    MatrixView<T> c;

    HESSAY_HD Index rows() const { return c.rows; }
    HESSAY_HD Index cols() const { return c.cols; }
    bool aligned() const { return packs_fit(partial) && packs_fit(c); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        Pack<T, Width> sum = {};
        for (Index s = j; s < partial.cols; s += c.cols) {
            const auto more = load<Width>(&partial(i, s));
            for (int w = 0; w < Width; ++w) sum.value[w] += more.value[w];
        }
        auto value = beta == 0 ? Pack<T, Width>{} : load<Width>(&c(i, j));
        for (int w = 0; w < Width; ++w) value.value[w] = blended(alpha, sum.value[w], beta, value.value[w]);
        store(&c(i, j), value);
    }
};

/// The same for many segments of a small c: 32 threads an element.
template <class T>
struct JoinManySegments {
    using Sum = T;
    static constexpr int kLanes = kWarp;
    MatrixView<const T> partial;
    T alpha, beta;
    MatrixView<T> c;

    HESSAY_HD Index items() const { return c.rows * c.cols; }

    HESSAY_HD T lane(Index item, int t) const
    {
        T sum = 0;
        for (Index s = item / c.rows + t * c.cols; s < partial.cols; s += kLanes * c.cols)
            sum += partial(item % c.rows, s);
        return sum;
    }
    HESSAY_HD T fold(T a, T b) const { return a + b; }
    HESSAY_HD void finish(Index item, int t, T sum) const
    {
        T& target = c(item % c.rows, item / c.rows);
        if (t == 0) target = blended(alpha, sum, beta, target);
    }
};

} // namespace hessay::cuda

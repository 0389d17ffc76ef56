#pragma once
#include "hessay/primitives.hpp"
#include "narrow_bodies.hpp"
#include "routines.hpp"
#include "scratch.hpp"

// Products with few columns over the bodies of narrow_bodies.hpp, written once for every device. How the work is cut
// depends on the shape alone, never on the device: the same bits on all of them.
namespace hessay::cuda {

constexpr Index kLeastLong = 1024; // rows of A

/// Whether op(A) B of so many columns is made by narrow_product. It reads A once at memory's speed, where a GEMM made
/// for square tiles reaches half of that. Beyond 16 columns it would read A twice, which a GEMM need not; below 1024
/// rows a block has nothing to stream.
template <class T>
bool is_narrow(Transpose trans_a, Transpose trans_b, MatrixView<const T> a, Index columns)
{
    (void)trans_a; // both ways
    return trans_b == Transpose::no && columns >= 1 && columns <= kMostNarrow && a.rows >= kLeastLong && a.cols >= 1;
}

/// A length cut into `segments` equal pieces of `size`, the last one shorter.
struct Split {
    Index segments, size;
};

// The largest pieces, multiples of `step`, that make no more than `wanted` of them; one at least.
inline Split split_evenly(Index length, Index step, Index wanted)
{
    const Index steps = std::max<Index>(divide_up(length, step), 1);
    const Index size = divide_up(steps, std::clamp<Index>(wanted, 1, steps)) * step;
    return {std::max<Index>(divide_up(length, size), 1), size};
}

constexpr Index kProcessors = 132; // of an H200: what the cuts are made for, on every device

// Rows of A'B for `tiles` blocks of `warps` next to each other: the cut whose waves of blocks, of one step and three
// for their beginning and end, take least. A sum of float runs over 4096 rows of a lane at most.
inline Split split_transposed(Index rows, Index chunk, Index tiles, Index warps)
{
    const Index steps = std::max<Index>(divide_up(rows, chunk), 1);
    const Index slots = kProcessors * std::max<Index>(8 / warps, 1), least = divide_up(steps, 1024);
    const auto cost = [&](Index segments) {
        return divide_up(tiles * segments, slots) * (divide_up(steps, segments) + 3);
    };
    Index best = least;
    for (Index waves = 1; waves <= 24; ++waves) {
        const Index segments = std::clamp(waves * slots / tiles, least, steps);
        if (cost(segments) < cost(best)) best = segments;
    }
    return split_evenly(rows, chunk, best);
}

// Columns of A B for `across` blocks of rows: two blocks a multiprocessor, where they keep 4 steps; and so many that
// the last ones do not run alone, where 256 steps are left, so that partial sums are a few per cent of A.
inline Split split_plain(Index columns, Index deep, Index across)
{
    const Index steps = divide_up(columns, deep), blocks = std::max<Index>(across, 1);
    const Index few = std::min(2 * kProcessors / blocks, steps / 4);
    const Index many = std::min(32 * kProcessors / blocks, steps / 256);
    return split_evenly(columns, deep, std::max(few, many));
}

constexpr Index kFewSegments = 32; // that one thread adds up

// C <- alpha * sum of the segments + beta C, where make(alpha, beta, out) leaves them side by side in out.
template <class T, class Device, class Make>
void over_segments(Device& device, Index segments, T alpha, T beta, MatrixView<T> c, const Make& make)
{
    if (segments == 1) return make(alpha, beta, c);
    constexpr Index kWide = kFullWidth<T>;
    const ScratchScope<Device> scope(device);
    auto partial = scratch_of<T>(device, divide_up(c.rows, kWide) * kWide, c.cols * segments);
    partial.rows = c.rows;
    make(T(1), T(0), partial);
    if (segments <= kFewSegments)
        device.columns(JoinSegments<T>{partial, alpha, beta, c});
    else
        device.lanes(JoinManySegments<T>{partial, alpha, beta, c});
}

template <int K, class T, class Device>
void narrow_transposed(Device& device, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta, MatrixView<T> c)
{
    using Body = NarrowTransposed<T, K>;
    const Index groups = divide_up(a.cols, Body::kColumns), tiles = divide_up(groups, Body::kThreads / kWarp);
    const Index warps = divide_up(groups, tiles);
    const auto cut = split_transposed(a.rows, Body::kChunk, tiles, warps);
    over_segments<T>(device, cut.segments, alpha, beta, c, [&](T one, T zero, MatrixView<T> out) {
        device.tiles(
            Body{{}, a, b, one, zero, out, cut.size, tiles, static_cast<int>(warps), packs_fit(a), packs_fit(b)});
    });
}

template <int K, class T, class Device>
void narrow_plain(Device& device, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta, MatrixView<T> c)
{
    using Body = NarrowPlain<T, K>;
    const auto cut = split_plain(a.cols, Body::kDeep, divide_up(a.rows, Body::kRows));
    over_segments<T>(device, cut.segments, alpha, beta, c, [&](T one, T zero, MatrixView<T> out) {
        device.tiles(Body{{}, a, b, one, zero, out, cut.size, packs_fit(a), packs_fit(out)});
    });
}

template <int K, class T, class Device>
void narrow_by(Device& device, Transpose trans_a, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
               MatrixView<T> c)
{
    if constexpr (K > 1)
        if (c.cols <= K / 2) return narrow_by<K / 2, T>(device, trans_a, alpha, a, b, beta, c);
    if (trans_a == Transpose::yes)
        narrow_transposed<K, T>(device, alpha, a, b, beta, c);
    else
        narrow_plain<K, T>(device, alpha, a, b, beta, c);
}

/// C <- alpha op(A) B + beta C for up to 16 columns of B; beta = 0 overwrites. A is read once. C overlaps neither A nor
/// B. Takes scratch for partial sums where the work is cut.
template <class T, class Device>
void narrow_product(Device& device, Transpose trans_a, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
                    MatrixView<T> c)
{
    const bool flip = trans_a == Transpose::yes;
    const Index rows = flip ? a.cols : a.rows, inner = flip ? a.rows : a.cols;
    require<ShapeError>(b.rows == inner && c.rows == rows && c.cols == b.cols && c.cols <= kMostNarrow,
                        "narrow product of (", rows, ", ", inner, ") and (", b.rows, ", ", b.cols, ") into (", c.rows,
                        ", ", c.cols, ")");
    if (rows == 0 || c.cols == 0) return;
    narrow_by<kMostNarrow, T>(device, trans_a, alpha, a, b, beta, c);
}

} // namespace hessay::cuda

#include "hessay/error.hpp"
#include "hessay/parallel.hpp"
#include "hessay/symmetric_product.hpp"
#include "tile.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

namespace hessay {

namespace {

constexpr Index kMiB = Index(1) << 20;

struct Kernels {
    const char* name;
    bool available; // in this build, and on this processor
    void (*single)(const simd::SymmetricTile<float>&);
    void (*twice)(const simd::SymmetricTile<double>&);
    Index least_bytes, most_vectors; // where they beat a BLAS: beyond its second- or last-level cache, in narrow blocks
};

// Best first. CMake defines HESSAY_AVX2 and HESSAY_AVX512 where it compiles those kernels.
std::vector<Kernels> all_kernels()
{
    return {
#ifdef HESSAY_AVX512
        {"avx512", __builtin_cpu_supports("avx512f") != 0, simd::avx512::add_tile, simd::avx512::add_tile, 4 * kMiB,
         16},
#else
        {"avx512", false, nullptr, nullptr, 0, 0},
#endif
#ifdef HESSAY_AVX2
        {"avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), simd::avx2::add_tile,
         simd::avx2::add_tile, 4 * kMiB, 16},
#else
        {"avx2", false, nullptr, nullptr, 0, 0},
#endif
        {"baseline", true, simd::baseline::add_tile, simd::baseline::add_tile, 32 * kMiB, 4},
    };
}

Kernels choose_kernels()
{
    const char* wish = std::getenv("HESSAY_ISA");
    const bool any = wish == nullptr || *wish == '\0';
    for (const Kernels& kernels : all_kernels()) {
        if (!any && std::string(wish) != kernels.name) continue;
        if (kernels.available) return kernels;
        require(any, "HESSAY_ISA asks for ", kernels.name,
                ", which this processor or this build of hessay does not have; unset it to use the best there is");
    }
    require(false, "HESSAY_ISA must be 'baseline', 'avx2' or 'avx512', got '", wish, "'");
    return {};
}

const Kernels& chosen_kernels()
{
    static const Kernels kernels = choose_kernels();
    return kernels;
}

void add_tile(const simd::SymmetricTile<float>& tile) { chosen_kernels().single(tile); }
void add_tile(const simd::SymmetricTile<double>& tile) { chosen_kernels().twice(tile); }

// Side of a tile, a multiple of every register block. Up to two vectors pass over it once, so long columns suit them;
// more come back to it two by two, and 1.1 MB in double is near enough the second-level cache. Small tiles are shared
// out more evenly.
Index tile_side(Index vectors, Index threads) { return vectors <= 2 && threads == 1 ? 768 : 384; }

// Tile number t of the lower triangle, row after row: (0, 0), (1, 0), (1, 1), (2, 0) ...
struct Place {
    Index row, col;
    explicit Place(Index t)
        : row(static_cast<Index>((std::sqrt(8.0 * static_cast<double>(t) + 1) - 1) / 2)), col(t - row * (row + 1) / 2)
    {
    }
    void advance()
    {
        if (++col <= row) return;
        ++row;
        col = 0;
    }
};

template <class T>
void zero(MatrixView<T> x)
{
    for (Index j = 0; j < x.cols; ++j) std::fill_n(x.column(j), x.rows, T(0));
}

} // namespace

const char* instruction_set() { return chosen_kernels().name; }

bool symmetric_product_pays(Index d, Index itemsize, Index b)
{
    const Kernels& kernels = chosen_kernels();
    return d * d * itemsize >= kernels.least_bytes && b <= kernels.most_vectors;
}

template <class T>
void symmetric_product(Context& ctx, MatrixView<const T> a, MatrixView<const T> v, MatrixView<T> out)
{
    require<ShapeError>(a.rows == a.cols && v.rows == a.rows && out.rows == a.rows && out.cols == v.cols,
                        "symmetric_product of (", a.rows, ", ", a.cols, ") and (", v.rows, ", ", v.cols, ") into (",
                        out.rows, ", ", out.cols, ")");
    const Index d = a.rows, b = v.cols, side = tile_side(b, ctx.threads());
    const Index n_sides = (d + side - 1) / side, tiles = n_sides * (n_sides + 1) / 2;
    if (d == 0 || b == 0) return;
    chosen_kernels(); // a wish that cannot be met is refused before any thread starts
    const Workspace::Scope scope(ctx.workspace());
    const Index threads = thread_count(ctx, tiles);
    const auto others = ctx.scratch<T>(d, b * (threads - 1));
    parallel_ranges(ctx, tiles, [&](Context& own, Index thread, Index first, Index last) {
        const MatrixView<T> y = thread == 0 ? out : others.columns((thread - 1) * b, b);
        zero(y);
        Place place(first);
        for (Index t = first; t < last; ++t, place.advance()) {
            const Index row = place.row * side, col = place.col * side;
            add_tile({a.data, a.stride, v.data, v.stride, y.data, y.stride, b, row, std::min(row + side, d), col,
                      std::min(col + side, d)});
            own.poll();
        }
    });
    for (Index thread = 1; thread < threads; ++thread)
        for (Index j = 0; j < b; ++j) {
            const T* part = others.column((thread - 1) * b + j);
            for (Index i = 0; i < d; ++i) out(i, j) += part[i];
        }
}

template void symmetric_product<float>(Context&, MatrixView<const float>, MatrixView<const float>, MatrixView<float>);
template void symmetric_product<double>(Context&, MatrixView<const double>, MatrixView<const double>,
                                        MatrixView<double>);

} // namespace hessay

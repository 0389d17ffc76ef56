#pragma once
#include <cstdint>

/// What the kernels of every instruction set share: plain structs and declarations, no function bodies. A file compiled
/// for AVX must not define an inline function that another file defines too: the linker keeps one of the two, and on
/// an old processor it may be the wrong one.
namespace hessay::simd {

/// Rows [row, row_end) and columns [col, col_end) of the lower triangle of a symmetric A, and what they add to Y = A V:
///
///     Y_i += A_ij V_j,   Y_j += A_ij' V_i   below the diagonal,   Y_i += A_ii V_i on it.
///
/// A tile lies on the diagonal (col == row, col_end == row_end) or below it (col_end <= row, and then its columns fill
/// whole register blocks: col_end - col is a multiple of 8). All matrices are column-major with the given strides; a, v
/// and y point at element (0, 0) of the whole matrix.
template <class T>
struct SymmetricTile {
    const T* a;
    std::int64_t a_stride;
    const T* v;
    std::int64_t v_stride;
    T* y;
    std::int64_t y_stride;
    std::int64_t vectors; // columns of V and Y
    std::int64_t row, row_end, col, col_end;
};

namespace baseline {
void add_tile(const SymmetricTile<float>& tile);
void add_tile(const SymmetricTile<double>& tile);
} // namespace baseline

namespace avx2 {
void add_tile(const SymmetricTile<float>& tile);
void add_tile(const SymmetricTile<double>& tile);
} // namespace avx2

namespace avx512 {
void add_tile(const SymmetricTile<float>& tile);
void add_tile(const SymmetricTile<double>& tile);
} // namespace avx512

} // namespace hessay::simd

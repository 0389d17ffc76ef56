#pragma once
#include <cstdint>

/// What the kernels of stepwise selection share: plain structs and declarations, as in tile.hpp and for its reason.
namespace hessay::simd {

/// Rows of a matrix, standardised and laid out for the product kernel: element (i, j) of the panel,
///
///     (x_ij - shift_j) scale_j root_i,
///
/// goes to out[(j / width) * rows * width + i * width + j % width]; the last tile is filled up with zeros.
/// root may be nullptr (all one). Differences are taken in double, whatever the types are.
template <class Source, class T>
struct PackJob {
    const Source* x; // of the panel's first row
    std::int64_t row_stride, col_stride, rows, cols;
    const double *shift, *scale, *root;
    T* out;
};

/// out(j, l) += sum over i of panel(i, j) right[i * right_stride + l] for l < count; out is column-major in j. The sums
/// of one call are taken in T, what they are added to is double. tiles holds cols columns in tiles of rows each.
template <class T>
struct ProductJob {
    const T* tiles;
    std::int64_t rows, cols;
    const T* right;
    std::int64_t right_stride, count;
    double* out;
    std::int64_t out_stride;
};

struct StepwiseKernels32 {
    int width; // columns in a tile
    void (*pack_single)(const PackJob<float, float>&);
    void (*pack_double)(const PackJob<double, float>&);
    void (*product)(const ProductJob<float>&);
    void (*squares)(const float* tiles, std::int64_t rows, std::int64_t cols, double* out); // out_j += |column j|^2
};

struct StepwiseKernels64 {
    int width;
    void (*pack_single)(const PackJob<float, double>&);
    void (*pack_double)(const PackJob<double, double>&);
    void (*product)(const ProductJob<double>&);
    void (*squares)(const double* tiles, std::int64_t rows, std::int64_t cols, double* out);
};

namespace baseline {
StepwiseKernels32 stepwise_kernels(float);
StepwiseKernels64 stepwise_kernels(double);
} // namespace baseline

namespace avx2 {
StepwiseKernels32 stepwise_kernels(float);
StepwiseKernels64 stepwise_kernels(double);
} // namespace avx2

namespace avx512 {
StepwiseKernels32 stepwise_kernels(float);
StepwiseKernels64 stepwise_kernels(double);
} // namespace avx512

} // namespace hessay::simd

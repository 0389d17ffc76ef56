#pragma once
#include "hessay/primitives.hpp"
#include "routines.hpp"
#include "scratch.hpp"
#include "stepwise_bodies.hpp"

// The passes over X that stepwise selection asks for (hessay/stepwise_passes.hpp), on a device: what is chosen is
// decided by the core. Written once for CudaContext, for HostLoops (tests) and for ScratchCounter. No routine waits for
// the device.
namespace hessay::cuda {

constexpr Index kPieceRows = 256; // whose products are added up in T; the pieces' sums are added in double
constexpr Index kPieceNumbers = Index(1) << 24; // of those sums held at a time
constexpr Index kSquareRows = Index(1) << 16;   // whose squares are summed in one go

/// z (m, n) <- the columns `which` of Z, transposed; x points at X, whose element (r, c) is x[r row_stride + c
/// col_stride]. which (m) positions, or null for all; mean, scale (p); root (n), or null for ones. X and T are float or
/// double.
template <class X, class T, class Device>
void standardise(Device& device, const X* x, Index row_stride, Index col_stride, Positions which, const double* mean,
                 const double* scale, const double* root, MatrixView<T> z)
{
    device.columns(Standardise<X, T>{x, row_stride, col_stride, which, mean, scale, root, z});
}

/// out (L, n) <- the rows `which` of z (p, n).
template <class T, class Device>
void gather_rows(Device& device, MatrixView<const T> z, Positions which, MatrixView<T> out)
{
    require<ShapeError>(z.cols == out.cols, "z has ", z.cols, " columns and what is gathered ", out.cols);
    device.columns(GatherRows<T>{which, z, out});
}

/// out (p, L) += z right' for z (p, n) and right (L, n): Z'P. Rows of X are taken kPieceRows at a time, many such
/// pieces by one batch of products, and what they give is added in double, always in the same order.
template <class T, class Device>
void project(Device& device, MatrixView<const T> z, MatrixView<const T> right, MatrixView<double> out)
{
    const Index n = z.cols, p = z.rows, width = right.rows;
    require<ShapeError>(right.cols == n && out.rows == p && out.cols == width, "products of (", p, ", ", n, ") and (",
                        width, ", ", n, ") do not fit (", out.rows, ", ", out.cols, ")");
    if (n == 0 || p == 0 || width == 0) return;
    const Index most = std::max<Index>(1, kPieceNumbers / (p * width));
    for (Index first = 0; first < n;) {
        const ScratchScope<Device> scope(device);
        const Index whole = (n - first) / kPieceRows, count = whole > 0 ? std::min(most, whole) : 1;
        const Index rows = whole > 0 ? count * kPieceRows : n - first;
        const auto sums = scratch_of<T>(device, p, count * width);
        device.template products<T>(count, Transpose::no, Transpose::yes, T(1), z.columns(first, rows),
                                    right.columns(first, rows), T(0), sums);
        reduce_shared<Device, T>(device, {}, sums, out);
        first += rows;
    }
}

/// squares (p) += the sum of z(i, r)^2 over the columns r of z, in double.
template <class T, class Device>
void sum_squares(Device& device, MatrixView<const T> z, MatrixView<double> squares)
{
    for (Index first = 0; first < z.cols; first += kSquareRows) {
        const ScratchScope<Device> scope(device);
        const auto part = z.columns(first, std::min(kSquareRows, z.cols - first));
        reduce_shared<Device, T>(device, part, part, squares);
    }
}

/// f (q, n) <- A'z + B'y: F = Z_K A + Y B, transposed. z (K, n), y (C, n), a (K, q), b (C, q).
template <class Device>
void combine(Device& device, MatrixView<const double> z, MatrixView<const double> y, MatrixView<const double> a,
             MatrixView<const double> b, MatrixView<double> f)
{
    require<ShapeError>(z.cols == f.cols && y.cols == f.cols && a.rows == z.rows && b.rows == y.rows &&
                            a.cols == f.rows && b.cols == f.rows,
                        "a combination of (", z.rows, ", ", z.cols, ") and (", y.rows, ", ", y.cols, ") does not fit (",
                        f.rows, ", ", f.cols, ")");
    device.template product<double>(Transpose::yes, Transpose::no, 1.0, b, y, 0.0, f);
    if (z.rows > 0) device.template product<double>(Transpose::yes, Transpose::no, 1.0, a, z, 1.0, f);
}

} // namespace hessay::cuda

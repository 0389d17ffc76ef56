#pragma once
#include "elementwise_bodies.hpp"

// Bodies of stepwise selection's passes over X: see hessay/stepwise_passes.hpp for what Z is, and
// elementwise_bodies.hpp for what a body is. Z is held as Z', (p, n): what lies side by side are rows of X.
namespace hessay::cuda {

/// Positions of columns, or every column where there is no memory. Stored as doubles, the numbers that arrays of the
/// bindings hold: exact up to 2^53.
struct Positions {
    const double* column;

    HESSAY_HD Index operator()(Index i) const { return column ? static_cast<Index>(column[i]) : i; }
};

/// z(i, r) <- root[r] (x(r, c) - mean[c]) scale[c] for column c = which(i) of X. The difference is taken in double,
/// whatever the types are; root may be null (all one). A thread takes kRows rows of X: it reads them all before it
/// writes, and mean and scale once. Packs are for rows of X that lie side by side, all columns of them.
template <class X, class T>
struct Standardise {
    using Number = T;
    static constexpr bool kPacks = true;
    static constexpr int kRows = 4;
    const X* x;
    Index row_stride, col_stride;
    Positions which;
    const double *mean, *scale, *root;
    MatrixView<T> z;

    HESSAY_HD Index rows() const { return z.rows; }
    HESSAY_HD Index cols() const { return (z.cols + kRows - 1) / kRows; }
    bool aligned() const
    {
        return !which.column && col_stride == 1 && packs_fit(MatrixView<const X>{x, z.rows, z.cols, row_stride}) &&
               packs_fit(z);
    }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        const Index first = j * kRows, left = z.cols - first, c = Width > 1 ? i : which(i);
        double centre[Width], unit[Width];
        for (int w = 0; w < Width; ++w) {
            centre[w] = mean[c + w];
            unit[w] = scale[c + w];
        }
        const X* from = x + first * row_stride + c * col_stride;
        Pack<X, Width> value[kRows];
        for (int q = 0; q < kRows; ++q) // the last row once more where there are fewer
            value[q] = load_pieces<Width>(from + (q < left ? q : left - 1) * row_stride);
        for (int q = 0; q < kRows && q < left; ++q) {
            const double weight = root ? root[first + q] : 1.0;
            Pack<T, Width> out;
            for (int w = 0; w < Width; ++w)
                out.value[w] = static_cast<T>((static_cast<double>(value[q].value[w]) - centre[w]) * unit[w] * weight);
            store(&z(i, first + q), out);
        }
    }
};

/// out(l, r) <- z(which(l), r): rows of Z' put together.
template <class T>
struct GatherRows {
    using Number = T;
    static constexpr bool kPacks = false;
    Positions which;
    MatrixView<const T> z;
    MatrixView<T> out;

    HESSAY_HD Index rows() const { return out.rows; }
    HESSAY_HD Index cols() const { return out.cols; }
    bool aligned() const { return false; }

    template <int Width>
    HESSAY_HD void at(Index l, Index r) const
    {
        static_assert(Width == 1, "one number at a time");
        out(l, r) = z(which(l), r);
    }
};

} // namespace hessay::cuda

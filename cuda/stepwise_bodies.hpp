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
/// whatever the types are; root may be null (all one).
template <class X, class T>
struct Standardise {
    using Number = T;
    static constexpr bool kPacks = false; // X has whatever strides it has
    const X* x;
    Index row_stride, col_stride;
    Positions which;
    const double *mean, *scale, *root;
    MatrixView<T> z;

    HESSAY_HD Index rows() const { return z.rows; }
    HESSAY_HD Index cols() const { return z.cols; }
    bool aligned() const { return false; }

    template <int Width>
    HESSAY_HD void at(Index i, Index r) const
    {
        static_assert(Width == 1, "one number at a time");
        const Index c = which(i);
        const double value = static_cast<double>(x[r * row_stride + c * col_stride]);
        z(i, r) = static_cast<T>((value - mean[c]) * scale[c] * (root ? root[r] : 1.0));
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

#pragma once
#include "hessay/error.hpp"
#include "hessay/row_update.hpp"

namespace hessay {

constexpr Index kRowPanel = 16; // columns treated one by one before the rest follows by gemm

// Four sums at a time: one alone waits for its own addition.
template <class T>
inline T dot(const T* x, const T* y, Index n)
{
    T sum[4] = {};
    Index i = 0;
    for (; i + 4 <= n; i += 4)
        for (Index lane = 0; lane < 4; ++lane) sum[lane] += x[i + lane] * y[i + lane];
    T rest = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    for (; i < n; ++i) rest += x[i] * y[i];
    return rest;
}

template <class T>
inline void check_width(FittedFactor<T> fit, Index width)
{
    require<ShapeError>(fit.factor.rows >= fit.factor.cols && width == fit.factor.rows,
                        "rows must have k + c = ", fit.factor.rows, " numbers, got ", width);
}

} // namespace hessay

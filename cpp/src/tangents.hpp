#pragma once
#include "hessay/view.hpp"

// What tangents and cotangents meet at an activation. Column i k + j of a tile: sample i, direction j of k.
namespace hessay {

/// tangent <- slope * tangent, with the unscaled tangent kept.
template <class T>
void scale_and_keep(MatrixView<const T> slope, Index per_sample, MatrixView<T> tangent, MatrixView<T> kept)
{
    for (Index j = 0; j < tangent.cols; ++j) {
        const T* s = slope.column(j / per_sample);
        T *column = tangent.column(j), *copy = kept.column(j);
        for (Index i = 0; i < tangent.rows; ++i) {
            copy[i] = column[i];
            column[i] *= s[i];
        }
    }
}

/// back[:, i k + j] <- slope[:, i] * back + curvature[:, i] * tangent
template <class T>
void tangent_backward_step(MatrixView<const T> slope, MatrixView<const T> curvature, MatrixView<const T> tangent,
                           Index per_sample, MatrixView<T> back)
{
    for (Index j = 0; j < back.cols; ++j) {
        const T *s = slope.column(j / per_sample), *c = curvature.column(j / per_sample), *t = tangent.column(j);
        T* column = back.column(j);
        for (Index i = 0; i < back.rows; ++i) column[i] = s[i] * column[i] + c[i] * t[i];
    }
}

/// value[:, i k + j] <- slope[:, i] * pushed[:, j]: the shared tangents meet every sample's first activation.
template <class T>
void expand_shared(MatrixView<const T> slope, MatrixView<const T> pushed, MatrixView<T> value)
{
    for (Index j = 0; j < value.cols; ++j) {
        const T *p = pushed.column(j % pushed.cols), *s = slope.data ? slope.column(j / pushed.cols) : nullptr;
        T* column = value.column(j);
        for (Index i = 0; i < value.rows; ++i) column[i] = s ? s[i] * p[i] : p[i];
    }
}

/// sum[:, j] += slope[:, i] * value[:, i k + j] over the samples i of the tile, in double.
template <class T>
void reduce_shared(MatrixView<const T> slope, MatrixView<const T> value, MatrixView<double> sum)
{
    for (Index j = 0; j < value.cols; ++j) {
        const T *column = value.column(j), *s = slope.data ? slope.column(j / sum.cols) : nullptr;
        double* total = sum.column(j % sum.cols);
        for (Index i = 0; i < value.rows; ++i) total[i] += static_cast<double>(s ? s[i] * column[i] : column[i]);
    }
}

} // namespace hessay

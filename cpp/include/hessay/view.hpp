#pragma once
#include "hessay/host_device.hpp"

#include <cstdint>
#include <type_traits>

namespace hessay {

using Index = std::int64_t;

/// A column-major matrix that lives elsewhere: element (i, j) is data[i + j * stride].
/// rows, cols >= 0; stride >= rows. Never owns its memory and never outlives the owner.
template <class T>
struct MatrixView {
    T* data = nullptr;
    Index rows = 0;
    Index cols = 0;
    Index stride = 0;

    HESSAY_HD T& operator()(Index i, Index j) const { return data[i + j * stride]; }
    HESSAY_HD T* column(Index j) const { return data + j * stride; }
    MatrixView columns(Index first, Index count) const { return {data + first * stride, rows, count, stride}; }
    MatrixView block(Index row, Index col, Index n_rows, Index n_cols) const
    {
        return {data + row + col * stride, n_rows, n_cols, stride};
    }
    bool contiguous() const { return stride == rows || cols <= 1; }

    template <class U = T, class = std::enable_if_t<!std::is_const_v<U>>>
    operator MatrixView<const U>() const
    {
        return {data, rows, cols, stride};
    }
};

} // namespace hessay

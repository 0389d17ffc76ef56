#pragma once
#include "hessay/context.hpp"
#include "hessay/view.hpp"

#include <functional>

namespace hessay {

/// A symmetric matrix known by its products alone: the seam between the algorithms and whatever computes A V,
/// a native kernel or a Python callback.
/// size   d, > 0
/// apply  AV <- A V for a block V (d, b), b >= 1; both column-major; AV arrives uninitialised
template <class T>
struct LinearOperator {
    Index size = 0;
    std::function<void(Context&, MatrixView<const T> v, MatrixView<T> av)> apply;
};

/// The operator of a dense symmetric matrix (d, d). The view must outlive the operator.
/// Throws ShapeError when a is not square or is empty.
template <class T>
LinearOperator<T> dense_operator(MatrixView<const T> a);

} // namespace hessay

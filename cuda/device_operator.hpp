#pragma once
#include "hessay/view.hpp"

#include <cstddef>
#include <functional>
#include <memory>

namespace hessay::cuda {

/// A symmetric matrix known by its products on a device: LinearOperator where the columns are there.
/// size           d, > 0
/// apply          AV <- A V for V (d, b), b >= 1, column-major, in launches on the device's stream
/// scratch        bytes of workspace that apply takes for b columns
/// only_launches  apply neither waits nor allocates and depends on its views alone: a solver may record it
template <class T, class Device>
struct DeviceOperator {
    Index size = 0;
    std::function<void(Device&, MatrixView<const T> v, MatrixView<T> av)> apply;
    std::function<std::size_t(Index columns)> scratch;
    bool only_launches = false;
};

/// Memory of a device that belongs to somebody else, who gets it back when the owner goes.
template <class T>
struct OwnedColumns {
    MatrixView<T> view;
    std::shared_ptr<void> owner;
};

/// Where a solver gets its memory: column-major without gaps, uninitialised, 256-byte aligned. Both throw when there is
/// none left.
template <class T>
struct DeviceMemory {
    std::function<OwnedColumns<T>(Index columns)> basis;          // (d, columns); the answer stays in the last one
    std::function<OwnedColumns<T>(Index columns)> aside;          // (d, columns) for a block that waits
    std::function<OwnedColumns<double>(Index doubles)> workspace; // (doubles, 1)
    std::size_t library_bytes = 0;                                // of every workspace, taken by the device's BLAS
};

} // namespace hessay::cuda

#pragma once
#include "device_operator.hpp"
#include "hessay/block_lanczos.hpp"
#include "hessay/context.hpp"

namespace hessay::cuda {

/// block_lanczos with its basis on a device: the same algorithm, the same start block of the same seed (up to the last
/// place of the device's logarithm and sine). Vectors are not in the result: they are the first columns of the memory
/// that memory.basis gave last, as many as there are values.
/// start  (d, j) on the device, finite
/// Determinism: no sum depends on a grid, an atomic or the time anything takes (orthonormalize_routines.hpp), and a
/// graph holds the launches that it replaces. The same call on the same kind of device gives the same bits.
/// On CUDA the products and the orthogonalisation of a step are captured in a graph once a size of the basis comes back
/// after a restart, where the operator only launches; other operators and every first step are launched one by one.
template <class T, class Device>
LanczosResult<T> device_lanczos(Context& ctx, Device& device, const DeviceOperator<T, Device>& op,
                                const DeviceMemory<T>& memory, const LanczosOptions& options,
                                MatrixView<const T> start);

} // namespace hessay::cuda

// The eigensolver on a device, in both precisions.
#include "device_space.hpp"
#include "launch.cuh"

namespace hessay::cuda {

template LanczosResult<float> device_lanczos(Context&, CudaContext&, const DeviceOperator<float, CudaContext>&,
                                             const DeviceMemory<float>&, const LanczosOptions&,
                                             MatrixView<const float>);
template LanczosResult<double> device_lanczos(Context&, CudaContext&, const DeviceOperator<double, CudaContext>&,
                                              const DeviceMemory<double>&, const LanczosOptions&,
                                              MatrixView<const double>);

} // namespace hessay::cuda

#include "context.hpp"

namespace hessay::cuda {

void check(cudaError_t status, const char* doing)
{
    if (status == cudaSuccess) return;
    (void)cudaGetLastError(); // a failed launch must not be reported again by the next one
    require<DeviceError>(false, "CUDA failed while ", doing, ": ", cudaGetErrorString(status), " (",
                         cudaGetErrorName(status), ")");
}

DeviceGuard::DeviceGuard(int device)
{
    check(cudaGetDevice(&previous_), "asking for the current device");
    if (previous_ == device) return;
    check(cudaSetDevice(device), "changing the current device");
    changed_ = true;
}

DeviceGuard::~DeviceGuard()
{
    if (changed_) (void)cudaSetDevice(previous_);
}

CudaContext::CudaContext(int device, cudaStream_t stream, void* workspace, std::size_t workspace_bytes)
    : guard_(device), device_(device), stream_(stream), workspace_(static_cast<std::byte*>(workspace)),
      bytes_(workspace_bytes)
{
}

MatrixView<double> CudaContext::scratch(Index rows, Index cols)
{
    const std::size_t wanted = static_cast<std::size_t>(rows * cols) * sizeof(double);
    const std::size_t end = used_ + (wanted + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
    require<DeviceError>(end <= bytes_, "the workspace has ", bytes_, " bytes and ", end,
                         " are needed; pass a larger one");
    auto* data = reinterpret_cast<double*>(workspace_ + used_);
    used_ = end;
    return {data, rows, cols, rows};
}

} // namespace hessay::cuda

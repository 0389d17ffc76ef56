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
    require<DeviceError>(reinterpret_cast<std::uintptr_t>(workspace) % kScratchAlignment == 0,
                         "the workspace begins at no multiple of ", kScratchAlignment,
                         " bytes; pass memory as the allocator gave it");
}

MatrixView<double> CudaContext::scratch(Index rows, Index cols)
{
    const std::size_t end = scratch_end(used_, rows, cols);
    require_scratch(bytes_, end);
    auto* data = reinterpret_cast<double*>(workspace_ + used_);
    used_ = end;
    return {data, rows, cols, rows};
}

void CudaContext::use(MatrixView<double> workspace)
{
    steps_.forget();
    workspace_ = reinterpret_cast<std::byte*>(workspace.data);
    bytes_ = static_cast<std::size_t>(workspace.rows) * sizeof(double);
    library_ = nullptr;
}

void CudaContext::to_host(const double* there, double* here, Index n, const char* what)
{
    check(cudaMemcpyAsync(here, there, static_cast<std::size_t>(n) * sizeof(double), cudaMemcpyDeviceToHost, stream_),
          "copying to the host");
    synchronise(what);
}

void CudaContext::synchronise(const char* what)
{
    const std::string doing = std::string("waiting for ") + what;
    check(cudaStreamSynchronize(stream_), doing.c_str());
}

void* CudaContext::library_scratch(std::size_t bytes)
{
    if (library_) return library_;
    require_scratch(bytes_, used_ + bytes);
    bytes_ = (bytes_ - bytes) / kScratchAlignment * kScratchAlignment;
    require_scratch(bytes_, used_);
    library_ = workspace_ + bytes_;
    return library_;
}

} // namespace hessay::cuda

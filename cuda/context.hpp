#pragma once
#include "hessay/primitives.hpp"
#include "scratch.hpp"
#include "step_graphs.hpp"

#include <cuda_runtime.h>

namespace hessay::cuda {

/// Throws DeviceError with CUDA's own words unless status is cudaSuccess. doing completes "CUDA failed while ...".
void check(cudaError_t status, const char* doing);

/// Makes a device current, and the one before again at the end.
class DeviceGuard {
  public:
    explicit DeviceGuard(int device);
    ~DeviceGuard();
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

  private:
    int previous_ = 0;
    bool changed_ = false;
};

/// What every device routine needs besides its arguments. Device, stream and scratch belong to the caller and outlive
/// it; nothing is allocated on the device and, but for to_host and synchronise, nothing waits for it, so that launches
/// can be captured in a graph.
class CudaContext {
  public:
    /// workspace  memory of the device, 256-byte aligned, from the caller's allocator; may be null with 0 bytes
    CudaContext(int device, cudaStream_t stream, void* workspace, std::size_t workspace_bytes);

    int device() const { return device_; }
    cudaStream_t stream() const { return stream_; }

    /// rows x cols doubles of the workspace, for as long as this lives. Throws DeviceError saying how many bytes would
    /// have been enough so far.
    MatrixView<double> scratch(Index rows, Index cols);
    /// See ScratchScope.
    std::size_t used() const { return used_; }
    void release(std::size_t used) { used_ = used; }
    /// What a library needs in every call: taken once, from the end of the workspace.
    void* library_scratch(std::size_t bytes);

    /// C <- alpha op(A) op(B) + beta C: gemm of primitives.hpp.
    template <class T>
    void product(Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
                 MatrixView<T> c);

    /// `count` such products: each matrix is cut into as many equal pieces, side by side, piece i of C from those of A
    /// and B.
    template <class T>
    void products(Index count, Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a,
                  MatrixView<const T> b, T beta, MatrixView<T> c);

    template <class Body>
    void columns(const Body& body);
    template <class Body>
    void lanes(const Body& body);
    template <class Body>
    void each(const Body& body);
    template <class Body>
    void tiles(const Body& body);

    /// Scratch from now on; what was taken before must have been given back, and what was recorded is forgotten.
    void use(MatrixView<double> workspace);
    /// there[0 .. n) on the device <- here, which may be changed at once. Not within a step that is recorded.
    template <class T>
    void to_device(const T* here, T* there, Index n)
    {
        check(cudaMemcpyAsync(there, here, static_cast<std::size_t>(n) * sizeof(T), cudaMemcpyHostToDevice, stream_),
              "copying to the device");
    }
    /// here[0 .. n) <- there, and waits for it; what completes "CUDA failed while waiting for ...".
    void to_host(const double* there, double* here, Index n, const char* what);
    void synchronise(const char* what);
    /// work(), which only launches: captured in a graph when it comes back, see RepeatedSteps.
    template <class Work>
    void repeat(StepKey key, const Work& work)
    {
        steps_.run(key, work, [this](const Work& launches) { return capture(stream_, launches); });
    }
    Index replayed() const { return steps_.replayed(); }

  private:
    DeviceGuard guard_;
    int device_;
    cudaStream_t stream_;
    std::byte* workspace_;
    std::size_t bytes_, used_ = 0;
    void* library_ = nullptr;
    RepeatedSteps<StepGraph> steps_;
};

} // namespace hessay::cuda

#pragma once
#include "repeated_steps.hpp"

#include <cuda_runtime.h>

#include <memory>
#include <optional>

namespace hessay::cuda {

/// What a stream was given to do between two moments, as one launch.
class StepGraph {
  public:
    /// Ends the capture that was begun on the stream. Throws DeviceError when there is no graph.
    explicit StepGraph(cudaStream_t stream);
    void replay() const;

  private:
    struct Destroy {
        void operator()(cudaGraphExec_t graph) const { (void)cudaGraphExecDestroy(graph); }
    };
    cudaStream_t stream_;
    std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy> graph_;
};

/// Begins to capture what this thread gives the stream, which then does none of it. Other threads go on as they were.
/// False where this stream cannot be captured, as the legacy default stream cannot.
bool begin_capture(cudaStream_t stream);
/// Gives a capture up, and with it the error that made it useless.
void abandon_capture(cudaStream_t stream);

/// The launches of work as a graph, nothing where they cannot be one: a step is then launched as before.
template <class Work>
std::optional<StepGraph> capture(cudaStream_t stream, const Work& work)
{
    if (!begin_capture(stream)) return std::nullopt;
    try {
        work();
        return StepGraph(stream);
    } catch (...) {
        abandon_capture(stream);
        return std::nullopt;
    }
}

/// A stream beside the caller's, for captures: begins after what the caller's has been given, and is waited for at the
/// end, so that memory of the caller's allocator may go back to it.
class SideStream {
  public:
    /// Of the current device.
    explicit SideStream(cudaStream_t caller);
    ~SideStream();
    SideStream(const SideStream&) = delete;
    SideStream& operator=(const SideStream&) = delete;
    cudaStream_t stream() const { return stream_; }

  private:
    cudaStream_t stream_ = nullptr;
};

} // namespace hessay::cuda

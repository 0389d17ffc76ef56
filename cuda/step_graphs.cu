#include "step_graphs.hpp"

#include "context.hpp"

namespace hessay::cuda {

StepGraph::StepGraph(cudaStream_t stream) : stream_(stream)
{
    cudaGraph_t captured = nullptr;
    check(cudaStreamEndCapture(stream, &captured), "capturing a step");
    cudaGraphExec_t made = nullptr;
    const cudaError_t status = cudaGraphInstantiate(&made, captured, 0);
    (void)cudaGraphDestroy(captured);
    check(status, "making a graph of a step");
    graph_.reset(made);
}

void StepGraph::replay() const { check(cudaGraphLaunch(graph_.get(), stream_), "launching a step"); }

bool begin_capture(cudaStream_t stream)
{
    const bool begun = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess;
    if (!begun) (void)cudaGetLastError();
    return begun;
}

void abandon_capture(cudaStream_t stream)
{
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    (void)cudaStreamIsCapturing(stream, &status);
    if (status != cudaStreamCaptureStatusNone) {
        cudaGraph_t captured = nullptr;
        (void)cudaStreamEndCapture(stream, &captured);
        if (captured) (void)cudaGraphDestroy(captured);
    }
    (void)cudaGetLastError();
}

SideStream::SideStream(cudaStream_t caller)
{
    cudaEvent_t given = nullptr;
    check(cudaEventCreateWithFlags(&given, cudaEventDisableTiming), "making an event");
    cudaError_t status = cudaEventRecord(given, caller);
    if (status == cudaSuccess) status = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
    if (status == cudaSuccess) status = cudaStreamWaitEvent(stream_, given, 0);
    (void)cudaEventDestroy(given);
    if (status != cudaSuccess && stream_) (void)cudaStreamDestroy(stream_);
    check(status, "making a stream beside the caller's");
}

SideStream::~SideStream()
{
    (void)cudaStreamSynchronize(stream_);
    (void)cudaStreamDestroy(stream_);
}

} // namespace hessay::cuda

#pragma once
#include "context.hpp"
#include "pack.hpp"

#include <algorithm>

// The three kernels there are: each is a body of elementwise_bodies.hpp or reduction_bodies.hpp put on a grid. Any grid
// is correct; host_loops.hpp runs the same bodies one after another.
namespace hessay::cuda {

constexpr int kThreads = 256;
// Left to itself the compiler aims for more blocks at once and spills a register or two for it.
constexpr int kBlocksResident = 2;
constexpr unsigned kMostBlocksY = 65535;

/// Threads along x step over the rows of a column, Width rows at a time; blocks along y step over the columns.
template <int Width, class Body>
__global__ void __launch_bounds__(kThreads, kBlocksResident) columns_kernel(Body body)
{
    const Index rows = body.rows(), cols = body.cols();
    const Index row_step = Index(gridDim.x) * blockDim.x * Width, col_step = Index(gridDim.y) * blockDim.y;
    for (Index j = Index(blockIdx.y) * blockDim.y + threadIdx.y; j < cols; j += col_step) {
#pragma unroll 2
        for (Index i = (Index(blockIdx.x) * blockDim.x + threadIdx.x) * Width; i < rows; i += row_step) {
            if (Width == 1 || i + Width <= rows)
                body.template at<Width>(i, j);
            else
                for (Index r = i; r < rows; ++r) body.template at<1>(r, j);
        }
    }
}

/// Groups of Body::kLanes threads, each with one item at a time, joined by a tree in shared memory.
template <class Body>
__global__ void __launch_bounds__(kThreads, kBlocksResident) lanes_kernel(Body body)
{
    constexpr int kLanes = Body::kLanes, kGroups = kThreads / kLanes;
    __shared__ typename Body::Sum shared[kThreads];
    const int group = int(threadIdx.x) / kLanes, lane = int(threadIdx.x) % kLanes;
    auto* sums = shared + group * kLanes;
    const Index items = body.items();
    // The bound does not depend on the thread: all threads of a block meet at every barrier.
    for (Index first = Index(blockIdx.x) * kGroups; first < items; first += Index(gridDim.x) * kGroups) {
        const Index item = first + group;
        sums[lane] = item < items ? body.lane(item, lane) : typename Body::Sum(0);
        __syncthreads();
        for (int half = kLanes / 2; half > 0; half /= 2) {
            if (lane < half) sums[lane] = body.fold(sums[lane], sums[lane + half]);
            __syncthreads();
        }
        if (item < items) body.finish(item, lane, sums[0]);
        __syncthreads(); // before the next item overwrites sums[0]
    }
}

template <class Body>
__global__ void __launch_bounds__(kThreads, kBlocksResident) each_kernel(Body body)
{
    const Index items = body.items(), step = Index(gridDim.x) * blockDim.x;
    for (Index item = Index(blockIdx.x) * blockDim.x + threadIdx.x; item < items; item += step) body.at(item);
}

inline unsigned blocks_for(Index items, Index per_block)
{
    return unsigned(std::min<Index>((items + per_block - 1) / per_block, Index(1) << 20));
}

// A block is as wide as a column needs, up to 256 threads, and takes several short columns.
template <int Width, class Body>
void launch_columns(cudaStream_t stream, const Body& body)
{
    unsigned across = 32;
    while (across < unsigned(kThreads) && Index(across) * Width < body.rows()) across *= 2;
    const unsigned columns = unsigned(kThreads) / across;
    const dim3 block(across, columns);
    const dim3 grid(blocks_for(body.rows(), Index(across) * Width),
                    std::min(blocks_for(body.cols(), columns), kMostBlocksY));
    columns_kernel<Width><<<grid, block, 0, stream>>>(body);
}

template <class Body>
void CudaContext::columns(const Body& body)
{
    if (body.rows() == 0 || body.cols() == 0) return;
    if constexpr (Body::kPacks) {
        if (body.aligned()) {
            launch_columns<kFullWidth<typename Body::Number>>(stream_, body);
            check(cudaPeekAtLastError(), "launching an element-wise kernel");
            return;
        }
    }
    launch_columns<1>(stream_, body);
    check(cudaPeekAtLastError(), "launching an element-wise kernel");
}

template <class Body>
void CudaContext::lanes(const Body& body)
{
    if (body.items() == 0) return;
    lanes_kernel<<<blocks_for(body.items(), kThreads / Body::kLanes), kThreads, 0, stream_>>>(body);
    check(cudaPeekAtLastError(), "launching a reduction");
}

template <class Body>
void CudaContext::each(const Body& body)
{
    if (body.items() == 0) return;
    each_kernel<<<blocks_for(body.items(), kThreads), kThreads, 0, stream_>>>(body);
    check(cudaPeekAtLastError(), "launching a kernel of single items");
}

} // namespace hessay::cuda

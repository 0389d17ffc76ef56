#pragma once
#include "context.hpp"
#include "narrow_bodies.hpp"

#include <algorithm>

// The four kernels there are: each is a body of elementwise_bodies.hpp, reduction_bodies.hpp or narrow_bodies.hpp put
// on a grid. Any grid is correct; host_loops.hpp runs the same bodies one after another.
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
#pragma unroll 1 // a column has threads enough: a second round is rare, and would cost registers
        for (Index i = (Index(blockIdx.x) * blockDim.x + threadIdx.x) * Width; i < rows; i += row_step) {
            if (Width == 1 || i + Width <= rows)
                body.template at<Width>(i, j);
            else
                for (Index r = i; r < rows; ++r) body.template at<1>(r, j);
        }
    }
}

/// Sums of the 32 threads of a warp joined by a tree; the whole is lane 0's.
template <class Body>
__device__ typename Body::Sum fold_warp(const Body& body, typename Body::Sum sum)
{
    for (int half = 16; half > 0; half /= 2) sum = body.fold(sum, __shfl_down_sync(0xffffffffu, sum, half));
    return sum;
}

/// Groups of Body::kLanes threads, each with one item at a time, joined by a tree: between warps in shared memory,
/// within the last warp in registers, where there is nothing to wait for.
template <class Body>
__global__ void __launch_bounds__(kThreads, kBlocksResident) lanes_kernel(Body body)
{
    using Sum = typename Body::Sum;
    constexpr int kLanes = Body::kLanes, kGroups = kThreads / kLanes, kWarp = 32;
    static_assert(kLanes % kWarp == 0, "a group is whole warps");
    const int group = int(threadIdx.x) / kLanes, lane = int(threadIdx.x) % kLanes;
    const Index items = body.items();
    // The bound does not depend on the thread: all threads of a block meet at every barrier.
    for (Index first = Index(blockIdx.x) * kGroups; first < items; first += Index(gridDim.x) * kGroups) {
        const Index item = first + group;
        Sum sum = item < items ? body.lane(item, lane) : Sum(0);
        if constexpr (kLanes == kWarp) {
            sum = __shfl_sync(0xffffffffu, fold_warp(body, sum), 0);
        } else {
            __shared__ Sum shared[kThreads];
            Sum* sums = shared + group * kLanes;
            for (int half = kLanes / 2; half >= kWarp; half /= 2) {
                if (lane < 2 * half) sums[lane] = sum;
                __syncthreads();
                if (lane < half) sum = body.fold(sum, sums[lane + half]);
            }
            if (lane < kWarp) sum = fold_warp(body, sum);
            if (lane == 0)
                sums[0] = sum; // which nobody reads above: all did so before the last barrier or are this warp
            __syncthreads();
            sum = sums[0];
            __syncthreads(); // before the next item overwrites sums[0]
        }
        if (item < items) body.finish(item, lane, sum);
    }
}

template <class Body>
__global__ void __launch_bounds__(kThreads, kBlocksResident) each_kernel(Body body)
{
    const Index items = body.items(), step = Index(gridDim.x) * blockDim.x;
    for (Index item = Index(blockIdx.x) * blockDim.x + threadIdx.x; item < items; item += step) body.at(item);
}

constexpr int kMostStages = 4; // three on their way are 100 KB a multiprocessor, twice what its share of memory takes

// Waits for all copies of this thread but those of the newest `stages - 2` steps.
inline __device__ void wait_for_copies(int stages)
{
    if (stages == 2) asm volatile("cp.async.wait_group 0;" ::: "memory");
    if (stages == 3) asm volatile("cp.async.wait_group 1;" ::: "memory");
    if (stages == 4) asm volatile("cp.async.wait_group 2;" ::: "memory");
}

inline __device__ void end_of_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Blocks that go through their steps while the next ones are copied: a ring of `stages` in shared memory.
template <class Body>
__global__ void __launch_bounds__(Body::kThreads, Body::kResident) tiles_kernel(Body body, int stages)
{
    extern __shared__ __align__(16) unsigned char memory[];
    auto* const ring = reinterpret_cast<typename Body::Number*>(memory);
    const int thread = int(threadIdx.x), numbers = body.stage_numbers();
    const Index across = body.across(), blocks = across * body.groups();
    for (Index block = blockIdx.x; block < blocks; block += gridDim.x) {
        const Place place{block % across, block / across};
        const Index steps = body.steps(place);
        typename Body::Own own = {};
        for (int s = 0; s < stages - 1; ++s) {
            if (s < steps) body.fetch(place, s, thread, ring + s * numbers);
            end_of_copies();
        }
        int slot = 0, free = stages - 1;
        for (Index step = 0; step < steps; ++step) {
            wait_for_copies(stages);
            __syncthreads(); // the copies of all threads are there, and all are done with the stage before
            if (step + stages - 1 < steps) body.fetch(place, step + stages - 1, thread, ring + free * numbers);
            end_of_copies(); // an empty one counts too
            body.add(thread, ring + slot * numbers, own);
            free = slot;
            slot = slot + 1 == stages ? 0 : slot + 1;
        }
        if constexpr (Body::kJoined)
#pragma unroll
            for (auto& sum : own.sum)
                for (int half = 16; half > 0; half /= 2) sum += __shfl_down_sync(0xffffffffu, sum, half);
        body.finish(place, thread, own);
        __syncthreads(); // before the next block's copies overwrite a stage
    }
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

template <class Body>
void CudaContext::tiles(const Body& body)
{
    const Index blocks = body.across() * body.groups();
    if (blocks == 0) return;
    const int stage = body.stage_numbers() * int(sizeof(typename Body::Number));
    int most = 0;
    check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device_),
          "asking for the size of shared memory");
    const int stages = std::min(kMostStages, most / stage); // how many changes no sum
    require<DeviceError>(stages >= 2, "a narrow product takes ", 2 * stage, " bytes of shared memory and there are ",
                         most);
    // Always the same, whatever this launch takes: another thread may launch the same kernel at the same time.
    check(cudaFuncSetAttribute(tiles_kernel<Body>, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
          "asking for shared memory");
    check(cudaFuncSetAttribute(tiles_kernel<Body>, cudaFuncAttributePreferredSharedMemoryCarveout,
                               int(cudaSharedmemCarveoutMaxShared)),
          "asking for shared memory");
    tiles_kernel<<<blocks_for(blocks, 1), unsigned(body.threads()), std::size_t(stages * stage), stream_>>>(body,
                                                                                                            stages);
    check(cudaPeekAtLastError(), "launching a narrow product");
}

} // namespace hessay::cuda

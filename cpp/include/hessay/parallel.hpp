#pragma once
#include "hessay/context.hpp"

#include <functional>

namespace hessay {

/// Work on the half-open range [first, last) in a context of the thread's own; thread in [0, ctx.threads()).
using RangeBody = std::function<void(Context& ctx, Index thread, Index first, Index last)>;

/// Shares [0, n) out over ctx.threads() in contiguous ranges; the calling thread takes the first one and is the only
/// one that polls for interruption. Which range a thread gets depends on n and the number of threads alone, so sums
/// taken per thread and added in order come out the same every time.
/// The first exception of any thread stops the others at their next poll and is thrown here.
void parallel_ranges(Context& ctx, Index n, const RangeBody& body);

/// Threads that parallel_ranges will use for n pieces of work: what its per-thread sums need room for.
Index thread_count(const Context& ctx, Index n);

} // namespace hessay

#include "hessay/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace hessay {

namespace {

struct Stopped {}; // unwinds a thread whose sibling has failed

} // namespace

Index thread_count(const Context& ctx, Index n) { return std::max<Index>(1, std::min(ctx.threads(), n)); }

void parallel_ranges(Context& ctx, Index n, const RangeBody& body)
{
    const Index threads = thread_count(ctx, n);
    if (threads == 1) {
        if (n > 0) body(ctx, 0, 0, n);
        return;
    }
    std::atomic<bool> stop{false};
    std::mutex mutex;
    std::exception_ptr failure;
    const auto guarded = [&](Context& own, Index t) {
        try {
            body(own, t, t * n / threads, (t + 1) * n / threads);
        } catch (const Stopped&) {
        } catch (...) {
            const std::lock_guard<std::mutex> lock(mutex);
            if (!failure) failure = std::current_exception();
            stop = true;
        }
    };
    const auto run = [&](Index t) {
        Context own(ctx.seed(), [&stop] {
            if (stop) throw Stopped{};
        });
        guarded(own, t);
    };
    std::vector<std::thread> workers;
    Index started = 1;
    for (; started < threads; ++started) {
        try {
            workers.emplace_back(run, started);
        } catch (const std::system_error&) { // the system gives no more threads: their share is done here
            break;
        }
    }
    guarded(ctx, 0);
    for (Index t = started; t < threads; ++t) run(t);
    for (std::thread& worker : workers) worker.join();
    if (failure) std::rethrow_exception(failure);
}

} // namespace hessay

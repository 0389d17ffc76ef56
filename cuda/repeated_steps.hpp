#pragma once
#include "hessay/view.hpp"

#include <map>
#include <optional>
#include <utility>

namespace hessay::cuda {

/// What tells one step of a solver from another: columns of the basis, columns of the block. Nothing else may differ
/// between two runs of the work it stands for: the same launches, on the same addresses, with the same numbers.
using StepKey = std::pair<Index, Index>;

/// Remembers what steps launch, so that it can be launched again as one. A restarted basis comes back to the same
/// sizes. The first time a step is done as usual, which loads its kernels and starts its libraries; the second time it
/// is recorded. Recorded: has replay().
template <class Recorded>
class RepeatedSteps {
  public:
    /// record(work) gives what it recorded, or nothing where that cannot be done; it does none of the work.
    template <class Work, class Record>
    void run(StepKey key, const Work& work, const Record& record)
    {
        Step& step = steps_[key];
        if (++step.met == 2) step.recorded = record(work);
        if (!step.recorded) return work();
        step.recorded->replay();
        ++replayed_;
    }
    /// For when an address has changed. The steps must be done.
    void forget() { steps_.clear(); }
    Index replayed() const { return replayed_; }

  private:
    struct Step {
        int met = 0;
        std::optional<Recorded> recorded;
    };
    std::map<StepKey, Step> steps_;
    Index replayed_ = 0;
};

} // namespace hessay::cuda

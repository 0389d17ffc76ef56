#pragma once
#include "pack.hpp"

#include <algorithm>
#include <vector>

namespace hessay::cuda {

/// Runs kernel bodies on the processor, one index after another: what a device does with them, where indexing can be
/// watched by a sanitizer. The twin of CudaContext.
class HostLoops {
  public:
    /// body.at<Width>(i, j) over all rows and columns, in packs where the memory allows; rows left over singly.
    template <class Body>
    void columns(const Body& body)
    {
        constexpr int kWide = kFullWidth<typename Body::Number>;
        const Index width = body.aligned() ? kWide : 1;
        for (Index j = 0; j < body.cols(); ++j) {
            for (Index i = 0; i < body.rows(); i += width) {
                if constexpr (Body::kPacks) {
                    if (width == kWide && i + width <= body.rows()) {
                        body.template at<kWide>(i, j);
                        continue;
                    }
                }
                for (Index r = i; r < std::min(i + width, body.rows()); ++r) body.template at<1>(r, j);
            }
        }
    }

    template <class Body>
    void lanes(const Body& body)
    {
        typename Body::Sum shared[Body::kLanes];
        for (Index item = 0; item < body.items(); ++item) {
            for (int t = 0; t < Body::kLanes; ++t) shared[t] = body.lane(item, t);
            for (int half = Body::kLanes / 2; half > 0; half /= 2)
                for (int t = 0; t < half; ++t) shared[t] = body.fold(shared[t], shared[t + half]);
            for (int t = 0; t < Body::kLanes; ++t) body.finish(item, t, shared[0]);
        }
    }

    template <class Body>
    void each(const Body& body)
    {
        for (Index item = 0; item < body.items(); ++item) body.at(item);
    }

    /// Scratch that lives as long as this.
    MatrixView<double> scratch(Index rows, Index cols)
    {
        buffers_.emplace_back(static_cast<std::size_t>(rows * cols));
        return {buffers_.back().data(), rows, cols, rows};
    }

  private:
    std::vector<std::vector<double>> buffers_;
};

} // namespace hessay::cuda

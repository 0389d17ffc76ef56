#pragma once
#include "hessay/context.hpp"
#include "hessay/stepwise_passes.hpp"

#include <algorithm>
#include <cmath>

// Private to the stepwise sources: the outputs as this processor reads them: weighted, centred, scaled.
namespace hessay {

/// 2^k near 1 / x; 1 where x is 0 or not finite.
inline double power_of_two(double x)
{
    if (!(x > 0) || !std::isfinite(x)) return 1;
    return std::ldexp(1.0, std::clamp(-std::ilogb(x), -1000, 1000));
}

/// Y (n, C) row-major, finite, read where it lies; root (n) roots of the weights, or nullptr for ones.
struct StepwiseOutputSource {
    const double* given = nullptr;
    const double* root = nullptr;
    Index rows = 0, outputs = 0;

    /// to (C, count) <- rows first ... first + count, standardised, each row's numbers side by side.
    template <class T>
    void read(const StepwiseOutputs& standard, Index first, Index count, MatrixView<T> to) const
    {
        const double* from = given + first * outputs;
        for (Index i = 0; i < count; ++i, from += outputs) {
            const double unit = (root ? root[first + i] : 1.0) * standard.scale;
            for (Index c = 0; c < outputs; ++c) to(c, i) = static_cast<T>((from[c] - standard.mean[c]) * unit);
        }
    }
};

/// What standardises Y, and what it then is: two reads of Y in panels, whose sums are added up.
StepwiseOutputs measure_outputs(Context& ctx, const StepwiseOutputSource& y, bool centre);

} // namespace hessay

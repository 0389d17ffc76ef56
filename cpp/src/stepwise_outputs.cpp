#include "stepwise_outputs.hpp"

#include "hessay/primitives.hpp"

namespace hessay {

namespace {

constexpr Index kGuessRows = 256;               // whose mean sums are taken about
constexpr Index kPanelNumbers = Index(1) << 14; // of Y: a panel stays in the second-level cache

struct PanelSums {
    std::vector<double> sums; // (C) of the last panel, weighted, about the guess
    double weight = 0;        // of the last panel
    double largest = 0;       // root_i |Y_ic - guess_c| of all panels so far

    // sizes (C) grow to the largest |Y_ic| of rows first ... first + count.
    void add(const StepwiseOutputSource& source, Index first, Index count, const std::vector<double>& guess,
             std::vector<double>& sizes)
    {
        const Index outputs = source.outputs;
        const double *y = source.given + first * outputs, *root = source.root ? source.root + first : nullptr;
        std::fill(sums.begin(), sums.end(), 0.0);
        weight = 0;
        for (Index i = 0; i < count; ++i, y += outputs) {
            const double r = root ? root[i] : 1.0;
            weight += r * r;
            for (Index c = 0; c < outputs; ++c) {
                const double own = r * (y[c] - guess[c]);
                sums[c] += r * own;
                largest = std::max(largest, std::abs(own));
                sizes[c] = std::max(sizes[c], std::abs(y[c]));
            }
        }
    }
};

} // namespace

StepwiseOutputs measure_outputs(Context& ctx, const StepwiseOutputSource& y, bool centre)
{
    const Index rows = y.rows, outputs = y.outputs, step = std::max<Index>(1, kPanelNumbers / outputs);
    const auto width = static_cast<std::size_t>(outputs);
    StepwiseOutputs out;
    out.mean.assign(width, 0.0);
    out.largest.assign(width, 0.0);
    out.total.assign(width * width, 0.0);
    // Sums about the mean of a few rows are rounded like the spread of Y, not like its mean.
    const Index some = std::min(kGuessRows, rows);
    for (Index i = 0; centre && i < some; ++i)
        for (Index c = 0; c < outputs; ++c)
            out.mean[c] += y.given[i * rows / some * outputs + c] / static_cast<double>(some);
    PanelSums panel{std::vector<double>(width)};
    std::vector<double> sums(width, 0.0);
    double weight = 0;
    for (Index first = 0; first < rows; first += step) {
        panel.add(y, first, std::min(step, rows - first), out.mean, out.largest);
        weight += panel.weight;
        for (Index c = 0; c < outputs; ++c) sums[c] += panel.sums[c];
        ctx.poll();
    }
    for (Index c = 0; centre && c < outputs; ++c) out.mean[c] += sums[c] / weight;
    // About the guess or about the mean, largest numbers differ by a factor that squares can bear.
    out.scale = power_of_two(panel.largest);
    const Workspace::Scope scope(ctx.workspace());
    const auto part = ctx.scratch<double>(outputs, step);
    const MatrixView<double> total{out.total.data(), outputs, outputs, outputs};
    for (Index first = 0; first < rows; first += step) {
        const auto own = part.block(0, 0, outputs, std::min(step, rows - first));
        y.read(out, first, own.cols, own);
        gemm<double>(Transpose::no, Transpose::yes, 1.0, own, own, 1.0, total);
        ctx.poll();
    }
    return out;
}

} // namespace hessay

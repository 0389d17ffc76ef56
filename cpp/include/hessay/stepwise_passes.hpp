#pragma once
#include "hessay/context.hpp"
#include "hessay/view.hpp"

#include <memory>
#include <vector>

namespace hessay {

/// A matrix of n rows and p columns that lives elsewhere, float or double, with any strides (in elements).
struct StepwiseSource {
    const float* single = nullptr; // one of the two is set
    const double* twice = nullptr;
    Index rows = 0, cols = 0, row_stride = 0, col_stride = 0;
    /// A read-only or shared mapping of a file: pages are handed back to the system once they were read.
    bool mapped = false;

    double operator()(Index i, Index j) const
    {
        const Index at = i * row_stride + j * col_stride;
        return single ? static_cast<double>(single[at]) : twice[at];
    }
};

/// Where columns of X are measured: z_ij = root_i (x_ij - mean_j) scale_j.
struct StepwiseStandard {
    std::vector<double> mean, scale; // (p)
};

/// F = Z_K A + Y B, (n, q) in double: columns of Z and the standardised outputs put together.
struct StepwiseCombination {
    std::vector<Index> columns;     // K
    Index count = 0;                // q
    std::vector<double> of_columns; // A (|K|, q) column-major
    std::vector<double> of_outputs; // B (C, q) column-major; empty: zero
};

/// The outputs once they are weighted, centred and scaled,  y_ic = root_i (Y_ic - mean_c) scale.
struct StepwiseOutputs {
    std::vector<double> mean;    // (C), 0 where nothing is centred
    std::vector<double> largest; // (C) of |Y_ic|
    std::vector<double> total;   // (C, C) the products y'y
    double scale = 1;            // a power of two
};

/// All that selection asks of X, wherever it lies: on this processor (host_passes), on a device, or in a file that is
/// streamed through one. What follows from the answers is decided once, by StandardizedData and Selection.
class StepwisePasses {
  public:
    StepwisePasses(Index rows, Index cols, bool single) : rows(rows), cols(cols), single(single) {}
    virtual ~StepwisePasses() = default;
    StepwisePasses(const StepwisePasses&) = delete;
    StepwisePasses& operator=(const StepwisePasses&) = delete;

    const Index rows, cols;
    const bool single; // X holds floats

    /// What every pass needs besides X, handed over before the first: Y (n, C) row-major and finite, as it was given;
    /// the roots of the weights (n), empty for ones; and whether Y is centred. Both arrays outlive this object's use.
    virtual StepwiseOutputs begin(Context& ctx, const double* y, Index outputs, const std::vector<double>& root,
                                  bool centre) = 0;

    /// out (|which|, p) <- rows of X as they are.
    virtual void read_rows(const std::vector<Index>& which, MatrixView<double> out) = 0;
    /// (n) a column of X as it is.
    virtual std::vector<double> read_column(Index j) = 0;

    /// squares (p) <- |z_j|^2; out (p, 1 + C) <- Z'[root, Y].
    virtual void measure(Context& ctx, const StepwiseStandard& standard, std::vector<double>& squares,
                         MatrixView<double> out) = 0;
    /// out (p, L) <- Z'Z_S for the columns S.
    virtual void gram_columns(Context& ctx, const StepwiseStandard& standard, const std::vector<Index>& columns,
                              MatrixView<double> out) = 0;
    /// out (p, p) <- Z'Z, both triangles.
    virtual void full_gram(Context& ctx, const StepwiseStandard& standard, MatrixView<double> out) = 0;
    /// out (p, q) <- Z'F, F rounded to the precision of products.
    virtual void project(Context& ctx, const StepwiseStandard& standard, const StepwiseCombination& f,
                         MatrixView<double> out) = 0;
    /// cross (|K|, q) <- Z_K'F and products (q, q) <- F'F, all of it in double.
    virtual void sums(Context& ctx, const StepwiseStandard& standard, const StepwiseCombination& f,
                      MatrixView<double> cross, MatrixView<double> products) = 0;
    /// out[u] <- Z_u'Z_u (k, k) in double for the units u of k > 1 columns; out[u] is empty for the others.
    virtual void within(Context& ctx, const StepwiseStandard& standard, const std::vector<std::vector<Index>>& units,
                        std::vector<std::vector<double>>& out) = 0;
};

/// Passes over a matrix that this processor reads where it lies, in panels of rows, by the kernels of cpp/simd. T is
/// what products are taken in: each panel's sums in T, panels added in double.
template <class T>
std::unique_ptr<StepwisePasses> host_passes(const StepwiseSource& x);

} // namespace hessay

#pragma once
#include "hessay/context.hpp"
#include "hessay/view.hpp"

#include <functional>
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

/// X and Y as selection sees them, never stored but for Y: weighted by root weights, centred, scaled by powers of two,
///
///     z_ij = sqrt(w_i) (x_ij - mean_j) scale_j,    y_ic = sqrt(w_i) (Y_ic - mean_c) y_scale,
///
/// read in panels of rows. T is what products are taken in (each panel's sums in T, panels added in double).
template <class T>
class StandardizedData {
  public:
    /// y       (n, C) row-major, finite
    /// weights n numbers > 0, or empty
    /// centre  whether an intercept is fitted
    /// One pass over X, two where the first rows say little about a column.
    /// Throws NonFinite, naming row and column, when X holds NaN or Inf.
    StandardizedData(Context& ctx, const StepwiseSource& x, std::vector<double> y, Index outputs,
                     const std::vector<double>& weights, bool centre);

    Index rows() const { return x_.rows; }
    Index cols() const { return x_.cols; }
    Index outputs() const { return outputs_; }
    const double* y(Index row) const { return y_.data() + row * outputs_; }

    std::vector<double> mean, scale;   // (p) of X; mean 0 where nothing is centred
    std::vector<double> squares;       // (p) |z_j|^2, 0 for a column without variation
    std::vector<double> resolution;    // (p) how far rounding of the input alone can move z_j, relative to |z_j|
    std::vector<double> correlation;   // (p, C) column-major: Z'Y
    std::vector<double> y_mean, total; // (C) and (C, C): Y'Y in the scaled unit
    double y_scale = 1;
    Index passes = 0; // over all of X, so far

    /// out (p, L) += Z' P for P (n, L) that fill writes panel by panel, row-major: fill(first, count, panel).
    using Fill = std::function<void(Index first, Index count, T* panel)>;
    void project(Context& ctx, Index count, const Fill& fill, MatrixView<double> out);

    /// out (p, L) <- Z' Z_S for the columns S.
    void gram_columns(Context& ctx, const std::vector<Index>& columns, MatrixView<double> out);

    /// out (p, p) <- Z'Z, both triangles.
    void full_gram(Context& ctx, MatrixView<double> out);

    /// out (count, |S|) <- rows [first, first + count) of Z_S, in double.
    void gather(Index first, Index count, const std::vector<Index>& columns, MatrixView<double> out) const;

    /// body(first, count) for consecutive row panels, all of X; pages of a mapping are handed back behind it.
    void for_panels(Context& ctx, Index panel_rows, const std::function<void(Index, Index)>& body) const;

    /// Rows that make a panel of products.
    Index panel_rows() const;

  private:
    struct Kernels;
    void pack(Index first, Index count, T* tiles) const;
    void first_guess();
    bool measure(Context& ctx);
    void refuse_non_finite(Index column) const;
    Index packed_cols() const;

    StepwiseSource x_;
    Index outputs_;
    std::vector<double> y_, root_;
    double total_weight_ = 0;
    bool centre_;
};

} // namespace hessay

#pragma once
#include "hessay/context.hpp"
#include "hessay/stepwise_passes.hpp"
#include "hessay/view.hpp"

#include <memory>
#include <vector>

namespace hessay {

/// X and Y as selection sees them, never stored here: weighted by root weights, centred, scaled by powers of two,
///
///     z_ij = sqrt(w_i) (x_ij - mean_j) scale_j,    y_ic = sqrt(w_i) (Y_ic - mean_c) y_scale.
///
/// T is the precision that products are taken in, those of the passes over X.
template <class T>
class StandardizedData {
  public:
    /// given   (n, C) row-major, Y, finite; outlives this object
    /// weights n numbers > 0, or empty
    /// centre  whether an intercept is fitted
    /// One pass over X, two where the first rows say little about a column.
    /// Throws NonFinite, naming row and column, when X holds NaN or Inf.
    StandardizedData(Context& ctx, std::unique_ptr<StepwisePasses> passes, const double* given, Index outputs,
                     const std::vector<double>& weights, bool centre);

    Index rows() const { return x_->rows; }
    Index cols() const { return x_->cols; }
    Index outputs() const { return outputs_; }

    StepwiseStandard standard;       // of X; mean 0 where nothing is centred
    std::vector<double> squares;     // (p) |z_j|^2, 0 for a column without variation
    std::vector<double> resolution;  // (p) how far rounding of the input alone can move z_j, relative to |z_j|
    std::vector<double> correlation; // (p, C) column-major: Z'Y
    StepwiseOutputs y;               // its total is Y'Y in the scaled unit
    Index passes = 0;                // over all of X, so far

    /// out (p, q) <- Z'F for a combination F, rounded to T.
    void project(Context& ctx, const StepwiseCombination& f, MatrixView<double> out);

    /// out (p, L) <- Z' Z_S for the columns S.
    void gram_columns(Context& ctx, const std::vector<Index>& columns, MatrixView<double> out);

    /// out (p, p) <- Z'Z, both triangles.
    void full_gram(Context& ctx, MatrixView<double> out);

    /// cross (|K|, q) <- Z_K'F and products (q, q) <- F'F for a combination F, in double.
    void sums(Context& ctx, const StepwiseCombination& f, MatrixView<double> cross, MatrixView<double> products) const;

    /// out[u] <- Z_u'Z_u in double for the units of several columns, nothing for the others.
    void within(Context& ctx, const std::vector<std::vector<Index>>& units,
                std::vector<std::vector<double>>& out) const;

    /// out (|which|, p) <- rows of Z, in double.
    void read_rows(const std::vector<Index>& which, MatrixView<double> out) const;

  private:
    void first_guess(Context& ctx);
    bool measure(Context& ctx);

    std::unique_ptr<StepwisePasses> x_;
    Index outputs_;
    std::vector<double> root_;
    double total_weight_ = 0;
    bool centre_;
};

} // namespace hessay

#pragma once
#include "hessay/stepwise_factor.hpp"
#include "hessay/stepwise_gram.hpp"

namespace hessay {

/// What one addition or removal would do. All residual sums of squares here carry the ridge penalty.
struct StepwiseMove {
    Index unit = -1;            // -1: nothing is left to move
    std::vector<Index> columns; // that would enter or leave
    double change = 0;          // of the residual sum of squares, summed over outputs, >= 0
    std::vector<double> cross;  // (C, C): change of E'E, positive semidefinite
};

struct StepwiseOptions {
    double ridge = 0;                      // penalty on squared coefficients, in the unit of X^2
    std::vector<std::vector<Index>> units; // columns that enter together; every column in exactly one
    StepwiseStrategy strategy = StepwiseStrategy::automatic;
    Index max_bytes = Index(1) << 62;
};

struct StepwiseSolution {
    std::vector<double> coefficients; // (m, C) column-major, in the units of X and Y
    std::vector<double> intercept;    // (C)
    std::vector<double> cross;        // (C, C): E'E recomputed from the data, penalty included
};

/// Least squares on a growing and shrinking set S of columns, one or many outputs, and which column to add or take out
/// next by the residual sum of squares. E = Y - Z_S W. Kept for every column j:
///
///     norm_j = |z_j - Q Q'z_j|^2,   c_j = (z_j - Q Q'z_j)'E (C),   fall_j = |c_j|^2 / norm_j,
///
/// both down-dated with w = Q'Z rows that come from Gram columns. Digits lost to cancellation are counted, and a
/// candidate whose place could depend on them is recomputed from the data, projected twice.
/// Source: Efroymson 1960; Gram-Schmidt with reorthogonalisation, Giraud et al. 2005; Bjorck 1996, section 6.6.
template <class T>
class Selection {
  public:
    Selection(Context& ctx, std::unique_ptr<StandardizedData<T>> data, StepwiseOptions options);

    /// The free unit with the largest fall per column; among ties within rounding the first.
    StepwiseMove best_add(Context& ctx);
    /// The unit in the model, not held, whose removal raises the residual sum of squares least per column.
    StepwiseMove best_drop() const;
    /// Adds a unit; returns the columns that entered. Those that depend on the model are left out.
    /// horizon  most additions that may still follow, a hint; least_ratio  fall over residual below which none will
    /// ahead    columns worth fetching with it
    std::vector<Index> add(Context& ctx, Index unit, Index horizon, double least_ratio,
                           const std::vector<Index>& ahead = {});
    void drop(Index unit);
    /// The unit may never enter, or never leave.
    void forbid(Index unit) { free_[unit] = 0; }
    void hold(Index unit) { held_[unit] = 1; }

    /// (p) fall of each column alone; 0 for chosen and dependent ones. Units play no part.
    std::vector<double> falls(Context& ctx);
    /// Columns, not chosen, that the model or the intercept determines up to rounding.
    std::vector<Index> dependent(Context& ctx);
    StepwiseSolution solve(Context& ctx);
    std::vector<double> cross() const;                                      // (C, C): E'E, in the unit of Y
    std::vector<double> total() const;                                      // (C, C): Y'Y, centred, in the unit of Y
    const std::vector<double>& largest() const { return data_->y.largest; } // (C) of |Y|, not centred
    /// Root of the largest variance inflation factor of the model, >= 1.
    double condition() const;

    const std::vector<Index>& columns() const { return factor_.columns; }
    const std::vector<Index>& unit(Index u) const { return options_.units[u]; }
    Index rows() const { return data_->rows(); }
    Index refreshes = 0;
    Index passes() const { return data_->passes; }
    const GramColumns<T>& gram() const { return gram_; }

  private:
    enum State : unsigned char { open, chosen, refused };
    void measure_units(Context& ctx);
    double bound(Index j) const;
    double unit_fall(Index u, StepwiseMove* move) const;
    bool doubtful(Index j) const;
    void refresh(Context& ctx, const std::vector<Index>& list);
    void refresh_residual(Context& ctx);
    StepwiseCombination residuals(const std::vector<Index>& list, MatrixView<const double> a) const;
    StepwiseCombination residual(const std::vector<double>& w) const;
    double refine(Context& ctx, std::vector<double>& w, std::vector<double>& cross);
    const double* column(Context& ctx, Index s, Index horizon, double least_ratio, const std::vector<Index>& ahead);
    bool append(Context& ctx, Index s, Index horizon, double least_ratio, const std::vector<Index>& ahead);
    void exact_direction(Context& ctx, Index s, std::vector<double>& w);
    void down_date(const std::vector<double>& w, const std::vector<double>& z, double sign, double growth);
    double trace() const;

    std::unique_ptr<StandardizedData<T>> data_;
    StepwiseOptions options_;
    Index p_, outputs_;
    GramColumns<T> gram_;
    StepwiseLookahead lookahead_;
    StepwiseFactor factor_;
    std::vector<double> ridge_, size_;                    // (p) penalty and |z_j|^2 with it, standardised
    std::vector<double> norm_, c_, norm_error_, c_error_; // errors: variances of an estimate
    std::vector<std::vector<double>> within_;             // of units of several columns: their norms and products
    std::vector<State> state_;                            // (p)
    std::vector<Index> unit_of_, fresh_;                  // (p); fresh: version of the last recomputation
    std::vector<unsigned char> free_, held_;              // (units)
    std::vector<double> cross_;
    Index version_ = 0;
    double exact_trace_ = 0, growth_ = 1;
};

} // namespace hessay

#pragma once
#include "hessay/view.hpp"

#include <vector>

namespace hessay {

/// w (p) -= rows' entries for rows (m, p) row-major, entries (m).
void subtract_rows(const double* rows, Index p, Index m, const double* entries, double* w);

/// Z_S = Q R for the chosen columns S in order of entry, and what follows from it, without Q:
///
///     rows = Q'Z (m, p),   z = Q'Y (m, C),   inverse = R^-1 (m, m),   R = rows(:, S), its diagonal > 0.
///
/// A column is appended at the end and taken out anywhere, by Givens rotations.
class StepwiseFactor {
  public:
    StepwiseFactor(Index p, Index outputs) : p_(p), outputs_(outputs) {}

    Index size() const { return static_cast<Index>(columns.size()); }
    const double* row(Index t) const { return rows.data() + t * p_; }

    /// Appends column s: w (p) = q'Z, w[s] > 0 the diagonal; z (C) = q'Y. entries (m) = R(:, s), of which rows hold
    /// the value so far when it is nullptr. w is set to its exact zeros at columns chosen before.
    void append(Index s, std::vector<double>& w, const double* z, const double* entries = nullptr);

    /// Takes out the column at a position; w (p) and z (C) become q'Z and q'Y of the direction that left the span.
    void remove(Index position, std::vector<double>& w, std::vector<double>& z);

    /// R^-1 z, (m, C): the coefficients of the standardised columns.
    std::vector<double> coefficients() const;
    /// R^-1 b, b (m): in place.
    void solve(std::vector<double>& b) const;
    /// R^-1 R^-T b = (Z_S'Z_S)^-1 b, b (m): in place.
    void solve_normal(std::vector<double>& b) const;
    /// (m) diagonal of (Z_S'Z_S)^-1.
    std::vector<double> inverse_diagonal() const;

    std::vector<Index> columns;               // S
    std::vector<double> rows;                 // (m, p) row-major
    std::vector<double> z;                    // (m, C) row-major
    std::vector<std::vector<double>> inverse; // row i: R^-1(i, 0 ... m - 1)

  private:
    Index p_, outputs_;
};

} // namespace hessay

#pragma once
#include "hessay/context.hpp"
#include "hessay/view.hpp"

namespace hessay {

/// A least-squares fit X W = Y reduced to what row operations need: X = Q R, G = Q'Y, RSS = ||Y - Q G||^2.
/// factor  (k + c, k): column i holds row i of [R G], so that a rotation of two rows runs over contiguous memory; the
///         entries of R below its diagonal are zero. All zero for a fit without rows. Owned by the caller.
/// rss     c residual sums of squares, one per output, in double whatever T is
template <class T>
struct FittedFactor {
    MatrixView<T> factor;
    double* rss = nullptr;

    Index n_columns() const { return factor.cols; }
    Index n_outputs() const { return factor.rows - factor.cols; }
};

/// 1 - h below this is no longer told from 0: 1e-12, or the rounding of k products in T when that is more.
/// k  columns of the fit, >= 0
template <class T>
double smallest_margin(Index k);

/// Adds one row to the fit by k Givens rotations of [R; x']; RSS rises by the squared leftover of y.
/// row  k + c numbers, x then y, both already scaled by the root of the row's weight; overwritten
/// Source: Golub & Van Loan 2013, Matrix Computations, section 6.5.3.
template <class T>
void add_row(FittedFactor<T> fit, T* row);

/// Adds rows (m, k + c), x then y, by blocked Householder reflections of [R; X]; rows is overwritten. Adding all rows
/// to a zero factor is a QR decomposition. O(m k (k + c)), polls between panels.
/// Throws ShapeError when the widths differ.
template <class T>
void add_rows(Context& ctx, FittedFactor<T> fit, MatrixView<T> rows);

/// Deletes one row by Givens rotations from the bottom up; RSS falls by e^2 / (1 - h). Returns 1 - h.
/// row  k + c numbers as they were added; kept
/// Throws ValueError when 1 - h < smallest_margin: the fit without the row is singular, or the row never was in it; and
/// when RSS would fall below zero. The fit is then unchanged.
/// Source: Dongarra et al. 1979, LINPACK Users' Guide, chapter 10 (CHDD).
template <class T>
double delete_row(Context& ctx, FittedFactor<T> fit, const T* row);

/// Deletes rows (m, k + c) at once: with A = X R^-1 and I - A'A = L L' the new factor is L'R. Returns a lower bound on
/// the smallest eigenvalue of I - A'A, which is that of I - H_UU where it is below 1.
/// Throws as delete_row, naming the first row, counted in rows, that cannot go after those before it; the fit is then
/// unchanged.
template <class T>
double delete_rows(Context& ctx, FittedFactor<T> fit, MatrixView<const T> rows);

} // namespace hessay

#include "hessay/row_update.hpp"

#include "hessay/error.hpp"
#include "hessay/primitives.hpp"
#include "row_parts.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hessay {

namespace {

constexpr double kSmallestMargin = 1e-12;

// a <- a R^-1 for R in the first k columns of wide, panel by panel.
void divide_by_triangle(MatrixView<const double> wide, MatrixView<double> a)
{
    const Index k = wide.rows;
    for (Index first = 0; first < k; first += kRowPanel) {
        const Index width = std::min(kRowPanel, k - first);
        if (first > 0)
            gemm<double>(Transpose::no, Transpose::no, -1.0, a.columns(0, first), wide.block(0, first, first, width),
                         1.0, a.columns(first, width));
        for (Index j = first; j < first + width; ++j) {
            double* column = a.column(j);
            for (Index l = first; l < j; ++l)
                for (Index i = 0; i < a.rows; ++i) column[i] -= wide(l, j) * a(i, l);
            const double pivot = wide(j, j);
            for (Index i = 0; i < a.rows; ++i) column[i] /= pivot;
        }
    }
}

// b -> L with b = L L' in the lower triangle; false when a pivot is below the margin.
bool cholesky(MatrixView<double> b, double margin)
{
    for (Index j = 0; j < b.cols; ++j) {
        double pivot = b(j, j);
        for (Index l = 0; l < j; ++l) pivot -= b(j, l) * b(j, l);
        if (!(pivot >= margin)) return false;
        b(j, j) = std::sqrt(pivot);
        for (Index i = j + 1; i < b.rows; ++i) {
            double sum = b(i, j);
            for (Index l = 0; l < j; ++l) sum -= b(i, l) * b(j, l);
            b(i, j) = sum / b(j, j);
        }
    }
    return true;
}

void solve_lower(MatrixView<const double> l, MatrixView<double> x)
{
    for (Index c = 0; c < x.cols; ++c)
        for (Index j = 0; j < l.cols; ++j) {
            const double value = x(j, c) /= l(j, j);
            for (Index i = j + 1; i < l.rows; ++i) x(i, c) -= value * l(i, j);
        }
}

// 1 / ||L^-1||_F^2 <= smallest eigenvalue of L L'.
double eigenvalue_bound(Context& ctx, MatrixView<const double> l)
{
    if (l.cols == 0) return 1;
    const Workspace::Scope scope(ctx.workspace());
    const auto inverse = ctx.scratch<double>(l.rows, l.cols);
    for (Index j = 0; j < l.cols; ++j) {
        std::fill_n(inverse.column(j), l.rows, 0.0);
        inverse(j, j) = 1;
    }
    solve_lower(l, inverse);
    double sum = 0;
    for (Index j = 0; j < l.cols; ++j)
        for (Index i = j; i < l.rows; ++i) sum += inverse(i, j) * inverse(i, j);
    return 1 / sum;
}

template <class T>
struct Downdate {
    MatrixView<double> factor; // (k, k + c): [R G] without the rows
    MatrixView<double> fall;   // (c, 1): by how much each RSS falls
    double margin = 0;
    bool possible = false;
};

template <class T>
Downdate<T> downdate(Context& ctx, FittedFactor<T> fit, MatrixView<const T> rows, double margin)
{
    const Index k = fit.n_columns(), c = fit.n_outputs(), m = rows.rows;
    Downdate<T> result{ctx.scratch<double>(k, k + c), ctx.scratch<double>(c, 1)};
    const auto wide = ctx.scratch<double>(k, k + c);
    for (Index j = 0; j < k + c; ++j)
        for (Index i = 0; i < k; ++i) wide(i, j) = static_cast<double>(fit.factor(j, i));
    for (Index j = 0; j < k; ++j)
        if (wide(j, j) == 0) return result;
    const auto a = ctx.scratch<double>(m, k), e = ctx.scratch<double>(m, c);
    const auto copy = [m](MatrixView<const T> from, MatrixView<double> to) {
        for (Index j = 0; j < to.cols; ++j)
            for (Index i = 0; i < m; ++i) to(i, j) = static_cast<double>(from(i, j));
    };
    copy(rows.columns(0, k), a);
    copy(rows.columns(k, c), e);
    divide_by_triangle(wide, a); // A = U R^-1, the rows of Q
    const auto b = ctx.scratch<double>(k, k);
    gram<double>(ctx, a, b);
    for (Index j = 0; j < k; ++j)
        for (Index i = 0; i < k; ++i) b(i, j) = (i == j ? 1.0 : 0.0) - b(i, j);
    if (!cholesky(b, margin)) return result;
    result.margin = eigenvalue_bound(ctx, b);
    if (result.margin < margin) return result;
    // G+ = L^-1 (G - A'Y), before Y becomes E = Y - A G.
    const auto g = wide.columns(k, c);
    const auto g_new = result.factor.columns(k, c);
    for (Index j = 0; j < c; ++j) std::copy_n(g.column(j), k, g_new.column(j));
    gemm<double>(Transpose::yes, Transpose::no, -1.0, a, e, 1.0, g_new);
    solve_lower(b, g_new);
    gemm<double>(Transpose::no, Transpose::no, -1.0, a, g, 1.0, e);
    // E'(I - H)^-1 E = E'E + ||L^-1 A'E||^2 on the diagonal, since (I - A A')^-1 = I + A (I - A'A)^-1 A'.
    const auto lifted = ctx.scratch<double>(k, c);
    gemm<double>(Transpose::yes, Transpose::no, 1.0, a, e, 0.0, lifted);
    solve_lower(b, lifted);
    for (Index j = 0; j < c; ++j)
        result.fall(j, 0) =
            dot<double>(e.column(j), e.column(j), m) + dot<double>(lifted.column(j), lifted.column(j), k);
    for (Index j = 0; j < k; ++j) // R+ = L'R
        for (Index i = 0; i < k; ++i) {
            double sum = 0;
            for (Index l = i; l <= j; ++l) sum += b(l, i) * wide(l, j);
            result.factor(i, j) = sum;
        }
    result.possible = true;
    return result;
}

// RSS after the fall, or a complaint when more falls than there is.
double fallen(double rss, double fall, double rounding)
{
    const double left = rss - fall;
    require(left >= -rounding * std::max(rss, fall), "the residual sum of squares would fall from ", rss, " by ", fall,
            ", below zero: these rows are not part of the fit, or their y or weights differ from what was added");
    return std::max(left, 0.0);
}

template <class T>
double rss_rounding(Index k)
{
    return 64 * static_cast<double>(k + 1) * std::numeric_limits<T>::epsilon();
}

[[noreturn]] void refuse(Index row, double margin)
{
    require(false, "row ", row, " cannot be deleted: 1 - h = ", margin,
            ", so what is left would not determine the coefficients (or the row is not part of the fit); keep the row, "
            "or fit again with fewer columns");
    throw ValueError("unreachable");
}

} // namespace

template <class T>
double smallest_margin(Index k)
{
    return std::max(kSmallestMargin, 8 * static_cast<double>(k + 1) * std::numeric_limits<T>::epsilon());
}

template <class T>
double delete_row(Context& ctx, FittedFactor<T> fit, const T* row)
{
    const Index k = fit.n_columns(), c = fit.n_outputs();
    const Workspace::Scope scope(ctx.workspace());
    const auto a = ctx.scratch<double>(std::max<Index>(k, 1), 1), z = ctx.scratch<double>(k + c, 1);
    double leverage = 0;
    for (Index i = 0; i < k; ++i) a(i, 0) = static_cast<double>(row[i]);
    for (Index i = 0; i < k; ++i) { // R'a = x
        const double pivot = static_cast<double>(fit.factor(i, i));
        if (pivot == 0) refuse(0, 0);
        const double value = a(i, 0) /= pivot;
        leverage += value * value;
        for (Index j = i + 1; j < k; ++j) a(j, 0) -= value * static_cast<double>(fit.factor(j, i));
    }
    const double margin = 1 - leverage;
    if (!(margin >= smallest_margin<T>(k))) refuse(0, margin);
    const double root = std::sqrt(margin);
    std::fill_n(z.data, k, 0.0);
    for (Index j = 0; j < c; ++j) { // the part of Y along (e_row - Q a) / root
        double residual = static_cast<double>(row[k + j]);
        for (Index i = 0; i < k; ++i) residual -= a(i, 0) * static_cast<double>(fit.factor(k + j, i));
        z(k + j, 0) = residual / root;
        fallen(fit.rss[j], z(k + j, 0) * z(k + j, 0), rss_rounding<T>(k));
    }
    for (Index j = 0; j < c; ++j) fit.rss[j] = std::max(fit.rss[j] - z(k + j, 0) * z(k + j, 0), 0.0);
    // Rotations take (a, root) to (0, 1) from the bottom up; they turn the bordered factor into [R+; x'].
    double length = root;
    for (Index i = k - 1; i >= 0; --i) {
        const double longer = std::hypot(length, a(i, 0));
        const double cosine = length / longer, sine = a(i, 0) / longer;
        length = longer;
        T* mine = fit.factor.column(i);
        for (Index j = i; j < k + c; ++j) {
            const double old = static_cast<double>(mine[j]);
            mine[j] = static_cast<T>(cosine * old - sine * z(j, 0));
            z(j, 0) = cosine * z(j, 0) + sine * old;
        }
    }
    return margin;
}

template <class T>
double delete_rows(Context& ctx, FittedFactor<T> fit, MatrixView<const T> rows)
{
    check_width(fit, rows.cols);
    const Index k = fit.n_columns(), c = fit.n_outputs();
    const Workspace::Scope scope(ctx.workspace());
    const double margin = smallest_margin<T>(k);
    const auto without = downdate<T>(ctx, fit, rows, margin);
    if (!without.possible) { // row by row on a copy, to name the one that cannot go
        const auto copy = ctx.scratch<T>(k + c, k);
        const auto rss = ctx.scratch<double>(std::max<Index>(c, 1), 1);
        const auto row = ctx.scratch<T>(k + c, 1);
        for (Index i = 0; i < k; ++i) std::copy_n(fit.factor.column(i), k + c, copy.column(i));
        std::fill_n(rss.data, rss.rows, std::numeric_limits<double>::max());
        for (Index i = 0; i < rows.rows; ++i) {
            for (Index j = 0; j < k + c; ++j) row(j, 0) = rows(i, j);
            bool gone = true;
            try {
                delete_row<T>(ctx, {copy, rss.data}, row.data);
            } catch (const ValueError&) {
                gone = false;
            }
            if (!gone) refuse(i, without.margin);
        }
        refuse(rows.rows - 1, without.margin);
    }
    for (Index j = 0; j < c; ++j) fallen(fit.rss[j], without.fall(j, 0), rss_rounding<T>(k));
    for (Index j = 0; j < c; ++j) fit.rss[j] = std::max(fit.rss[j] - without.fall(j, 0), 0.0);
    for (Index i = 0; i < k; ++i)
        for (Index j = 0; j < k + c; ++j) fit.factor(j, i) = j < i ? T(0) : static_cast<T>(without.factor(i, j));
    return without.margin;
}

template double smallest_margin<float>(Index);
template double delete_row<float>(Context&, FittedFactor<float>, const float*);
template double delete_rows<float>(Context&, FittedFactor<float>, MatrixView<const float>);
template double smallest_margin<double>(Index);
template double delete_row<double>(Context&, FittedFactor<double>, const double*);
template double delete_rows<double>(Context&, FittedFactor<double>, MatrixView<const double>);

} // namespace hessay

#include "hessay/row_update.hpp"

#include "hessay/error.hpp"
#include "hessay/primitives.hpp"
#include "row_parts.hpp"

#include <algorithm>
#include <cmath>

namespace hessay {

namespace {

constexpr Index kChunk = 1024; // rows: 1024 x 64 doubles are half a MB and stay in the second-level cache

// Column j of [R; U] becomes (beta, 0) under I - tau v v' with v = (1, u); u takes the place of U's column.
template <class T>
T reflect(T& head, MatrixView<T> column)
{
    const double tail = norm(column.data, column.rows);
    if (tail == 0) return T(0);
    const double alpha = static_cast<double>(head);
    const double beta = -std::copysign(std::hypot(alpha, tail), alpha);
    const double scale = 1 / (alpha - beta);
    for (Index i = 0; i < column.rows; ++i)
        column.data[i] = static_cast<T>(static_cast<double>(column.data[i]) * scale);
    head = static_cast<T>(beta);
    return static_cast<T>((beta - alpha) / beta);
}

// [R; U] -> [R+; 0] over the columns first .. first + width, with H1 ... Hw = I - V S V', S upper triangular.
template <class T>
void reflect_panel(MatrixView<T> r, MatrixView<T> u, Index first, Index width, MatrixView<T> s)
{
    for (Index j = 0; j < width; ++j) {
        const auto v = u.columns(first + j, 1);
        const T tau = reflect(r(first + j, first + j), v);
        for (Index l = j + 1; l < width; ++l) {
            T* other = u.column(first + l);
            T& head = r(first + j, first + l);
            const T w = tau * (head + dot(v.data, other, v.rows));
            head -= w;
            for (Index i = 0; i < v.rows; ++i) other[i] -= w * v.data[i];
        }
        // S(:, j) = -tau S V'v_j; the unit heads of different reflectors stand in different rows and do not meet.
        T coupling[kRowPanel] = {};
        for (Index l = 0; l < j; ++l) coupling[l] = dot<T>(u.column(first + l), v.data, v.rows);
        for (Index i = 0; i < j; ++i) {
            T sum = 0;
            for (Index l = i; l < j; ++l) sum += s(i, l) * coupling[l];
            s(i, j) = -tau * sum;
        }
        s(j, j) = tau;
    }
}

// The remaining columns follow: W = S'(R_trail + V'U_trail), R_trail -= W, U_trail -= V W.
template <class T>
void follow(Context& ctx, MatrixView<T> r, MatrixView<T> u, Index first, Index width, MatrixView<const T> s)
{
    const Index next = first + width, trail = r.cols - next;
    if (trail == 0) return;
    const Workspace::Scope scope(ctx.workspace());
    const auto w = ctx.scratch<T>(width, trail);
    for (Index j = 0; j < trail; ++j)
        for (Index i = 0; i < width; ++i) w(i, j) = r(first + i, next + j);
    const MatrixView<const T> v = u.columns(first, width);
    gemm<T>(Transpose::yes, Transpose::no, T(1), v, u.columns(next, trail), T(1), w);
    for (Index j = 0; j < trail; ++j)
        for (Index i = width - 1; i >= 0; --i) {
            T sum = 0;
            for (Index l = 0; l <= i; ++l) sum += s(l, i) * w(l, j);
            w(i, j) = sum;
        }
    for (Index j = 0; j < trail; ++j)
        for (Index i = 0; i < width; ++i) r(first + i, next + j) -= w(i, j);
    gemm<T>(Transpose::no, Transpose::no, T(-1), v, w, T(1), u.columns(next, trail));
}

} // namespace

template <class T>
void add_row(FittedFactor<T> fit, T* row)
{
    const Index k = fit.n_columns(), width = fit.factor.rows;
    for (Index i = 0; i < k; ++i) {
        if (row[i] == T(0)) continue;
        T* mine = fit.factor.column(i);
        const double length = std::hypot(static_cast<double>(mine[i]), static_cast<double>(row[i]));
        const T cosine = static_cast<T>(static_cast<double>(mine[i]) / length);
        const T sine = static_cast<T>(static_cast<double>(row[i]) / length);
        for (Index j = i; j < width; ++j) {
            const T turned = cosine * mine[j] + sine * row[j];
            row[j] = cosine * row[j] - sine * mine[j];
            mine[j] = turned;
        }
    }
    for (Index j = 0; j < fit.n_outputs(); ++j) {
        const double left = static_cast<double>(row[k + j]);
        fit.rss[j] += left * left;
    }
}

template <class T>
void add_rows(Context& ctx, FittedFactor<T> fit, MatrixView<T> rows)
{
    check_width(fit, rows.cols);
    const Index k = fit.n_columns(), c = fit.n_outputs();
    const Workspace::Scope scope(ctx.workspace());
    const auto r = ctx.scratch<T>(k, k + c);
    const auto s = ctx.scratch<T>(kRowPanel, kRowPanel);
    transpose<T>(fit.factor, r);
    for (Index top = 0; top < rows.rows; top += kChunk) {
        const auto u = rows.block(top, 0, std::min(kChunk, rows.rows - top), k + c);
        for (Index first = 0; first < k; first += kRowPanel) {
            const Index width = std::min(kRowPanel, k - first);
            reflect_panel(r, u, first, width, s);
            follow<T>(ctx, r, u, first, width, s);
            ctx.poll();
        }
        for (Index j = 0; j < c; ++j) {
            const double left = norm(u.column(k + j), u.rows);
            fit.rss[j] += left * left;
        }
    }
    transpose<T>(r, fit.factor);
}

template void add_row<float>(FittedFactor<float>, float*);
template void add_rows<float>(Context&, FittedFactor<float>, MatrixView<float>);
template void add_row<double>(FittedFactor<double>, double*);
template void add_rows<double>(Context&, FittedFactor<double>, MatrixView<double>);

} // namespace hessay

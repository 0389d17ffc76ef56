#include "hessay/orthonormalize.hpp"

#include "hessay/error.hpp"
#include "hessay/primitives.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace hessay {

namespace {

// W <- W - Q (Q'W), coefficients added to c.
template <class T>
void project_out(Context& ctx, MatrixView<const T> q, MatrixView<T> w, MatrixView<double> c)
{
    if (q.cols == 0 || w.cols == 0) return;
    const Workspace::Scope scope(ctx.workspace());
    const auto pass = ctx.scratch<T>(q.cols, w.cols);
    gemm<T>(Transpose::yes, Transpose::no, T(1), q, w, T(0), pass);
    gemm<T>(Transpose::no, Transpose::no, T(-1), q, pass, T(1), w);
    for (Index j = 0; j < w.cols; ++j)
        for (Index i = 0; i < q.cols; ++i) c(i, j) += static_cast<double>(pass(i, j));
}

template <class T>
void scale(T* x, Index n, double factor)
{
    for (Index i = 0; i < n; ++i) x[i] = static_cast<T>(static_cast<double>(x[i]) * factor);
}

// One unit column orthogonal to q and to the block so far, from a random start.
template <class T>
void random_direction(Context& ctx, MatrixView<const T> q, MatrixView<const T> block, MatrixView<T> column)
{
    const Workspace::Scope scope(ctx.workspace());
    const auto ignored = ctx.scratch<double>(std::max<Index>(q.cols + block.cols, 1), 1);
    // Three passes with a normalisation between them: in a nearly full space most of a random vector is projected away.
    gaussian_fill(ctx, column);
    for (int pass = 0; pass < 3; ++pass) {
        std::fill_n(ignored.data, ignored.rows, 0.0);
        project_out<T>(ctx, q, column, ignored.block(0, 0, q.cols, 1));
        project_out<T>(ctx, block, column, ignored.block(0, 0, block.cols, 1));
        const double length = norm(column.data, column.rows);
        require<NonFinite>(length > 0, "a random direction vanished under projection; the basis is not orthonormal");
        scale(column.data, column.rows, 1 / length);
    }
}

} // namespace

template <class T>
OrthonormalBlock orthonormalize(Context& ctx, MatrixView<const T> q, MatrixView<T> w, double reference,
                                MatrixView<double> c, MatrixView<double> r, double* dropped)
{
    const Index d = w.rows, b = w.cols;
    require<ShapeError>(q.cols == 0 || q.rows == d, "orthonormalize: Q has ", q.rows, " rows, W has ", d);
    for (Index j = 0; j < b; ++j) {
        std::fill_n(c.column(j), c.rows, 0.0);
        std::fill_n(r.column(j), r.rows, 0.0);
    }
    const double rounding = std::numeric_limits<T>::epsilon() * std::sqrt(static_cast<double>(d));
    std::vector<double> before(static_cast<std::size_t>(b));
    for (Index j = 0; j < b; ++j) before[j] = norm(w.column(j), d);

    // W <- W - Q Q'W, twice.
    project_out<T>(ctx, q, w, c);
    project_out<T>(ctx, q, w, c);

    // Inside the block, column by column; live columns move to the front.
    const Index room = std::min(b, d - q.cols);
    OrthonormalBlock result;
    const Workspace::Scope scope(ctx.workspace());
    const auto step = ctx.scratch<double>(std::max<Index>(std::max(b, q.cols), 1), 1);
    for (Index j = 0; j < b; ++j) {
        const auto column = w.columns(j, 1);
        const auto done = w.columns(0, result.cols);
        dropped[j] = 0;
        std::fill_n(step.data, step.rows, 0.0);
        project_out<T>(ctx, done, column, step.block(0, 0, result.cols, 1));
        project_out<T>(ctx, done, column, step.block(0, 0, result.cols, 1));
        for (Index i = 0; i < result.cols; ++i) r(i, j) = step(i, 0);
        const double after = norm(column.data, d);
        if (result.cols == room || after <= rounding * std::max(before[j], reference)) {
            dropped[j] = after;
            continue;
        }
        const auto target = w.columns(result.cols, 1);
        if (target.data != column.data) std::copy_n(column.data, d, target.data);
        scale(target.data, d, 1 / after);
        r(result.cols, j) = after;
        if (after < 0.1 * before[j]) {
            // What is left is small: its error relative to itself is large again, so it is projected once more.
            std::fill_n(step.data, step.rows, 0.0);
            project_out<T>(ctx, q, target, step.block(0, 0, q.cols, 1));
            std::fill_n(step.data, step.rows, 0.0);
            project_out<T>(ctx, done, target, step.block(0, 0, done.cols, 1));
            scale(target.data, d, 1 / norm(target.data, d));
        }
        ++result.cols;
    }
    while (result.cols < room) {
        random_direction<T>(ctx, q, w.columns(0, result.cols), w.columns(result.cols, 1));
        ++result.cols;
        ++result.replaced;
    }
    return result;
}

template OrthonormalBlock orthonormalize<float>(Context&, MatrixView<const float>, MatrixView<float>, double,
                                                MatrixView<double>, MatrixView<double>, double*);
template OrthonormalBlock orthonormalize<double>(Context&, MatrixView<const double>, MatrixView<double>, double,
                                                 MatrixView<double>, MatrixView<double>, double*);

} // namespace hessay

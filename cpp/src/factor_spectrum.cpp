#include "hessay/error.hpp"
#include "hessay/factor.hpp"
#include "hessay/primitives.hpp"

#include <algorithm>

namespace hessay {

namespace {

void divide(MatrixView<double> x, Index n)
{
    const double share = 1.0 / static_cast<double>(n);
    for (Index i = 0; i < x.rows * x.cols; ++i) x.data[i] *= share;
}

// B B' is the smaller Gram matrix: H x = (1 / n) B'B x, x = B'u / |B'u| for eigenvectors u of (1 / n) B B'.
FactorSpectrum dual_eigen(Context& ctx, MatrixView<const double> rows, Index samples, Index count)
{
    const auto g = ctx.scratch<double>(rows.cols, rows.cols);
    gram<double>(ctx, rows, g);
    divide(g, samples);
    const auto ascending = symmetric_eigen(ctx, g);
    FactorSpectrum out = lifted(rows, take_largest(ascending, g, count));
    // Orthonormal up to eps * condition after scaling; a QR makes it exact and gives null directions a unit vector too.
    const MatrixView<double> x{out.vectors.data(), rows.rows, count, rows.rows};
    for (Index j = 0; j < count; ++j) {
        const double length = norm(x.column(j), x.rows);
        for (Index i = 0; i < x.rows && length > 0; ++i) x(i, j) /= length;
    }
    const auto r = ctx.scratch<double>(count, count);
    householder_qr<double>(ctx, x, r);
    for (Index j = 0; j < count; ++j)
        for (Index i = 0; i < x.rows && r(j, j) < 0; ++i) x(i, j) = -x(i, j);
    return out;
}

} // namespace

template <class T>
void factor_dense(Context& ctx, const Factor<T>& factor, MatrixView<double> dense)
{
    factor.check();
    const Workspace::Scope scope(ctx.workspace());
    const auto m = ctx.scratch<double>(factor.rows.rows, factor.rows.rows);
    std::fill_n(m.data, m.rows * m.cols, 0.0);
    moment_add<T>(ctx, factor.rows, m);
    divide(m, factor.samples);
    moment_dense<T>(ctx, m, factor.lift, dense);
}

template <class T>
FactorSpectrum factor_eigen(Context& ctx, const Factor<T>& factor, Index count)
{
    factor.check();
    const Index d = factor.size(), m = factor.rows.rows, n_rows = factor.rows.cols;
    const Index rank = std::min({d, m, n_rows});
    require(count <= rank, "the factor has at most ", rank, " non-zero eigenvalues, asked for ", count);
    if (count < 0) count = rank;
    if (count == 0) return {};
    const Workspace::Scope scope(ctx.workspace());
    if (n_rows < std::min(d, m)) {
        auto rows = widened<T>(ctx, factor.rows);
        if (factor.lift.data) {
            const auto full = ctx.scratch<double>(d, n_rows);
            gemm<double>(Transpose::no, Transpose::no, 1.0, widened<T>(ctx, factor.lift), rows, 0.0, full);
            rows = full;
        }
        return dual_eigen(ctx, rows, factor.samples, count);
    }
    const auto second = ctx.scratch<double>(m, m);
    outer_gram<T>(ctx, factor.rows, second);
    divide(second, factor.samples);
    return moment_eigen<T>(ctx, second, factor.lift, count);
}

template void factor_dense<float>(Context&, const Factor<float>&, MatrixView<double>);
template void factor_dense<double>(Context&, const Factor<double>&, MatrixView<double>);
template FactorSpectrum factor_eigen<float>(Context&, const Factor<float>&, Index);
template FactorSpectrum factor_eigen<double>(Context&, const Factor<double>&, Index);

} // namespace hessay

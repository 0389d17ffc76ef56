#include "hessay/factor.hpp"

#include "hessay/error.hpp"
#include "hessay/primitives.hpp"

#include <algorithm>
#include <cmath>

namespace hessay {

namespace {

constexpr Index kPanelElements = 1 << 16; // a quarter of a megabyte of floats: fastest measured from 2^15 to 2^19
constexpr Index kLeastPanel = 64;

template <class T>
MatrixView<double> widened(Context& ctx, MatrixView<const T> x)
{
    const auto wide = ctx.scratch<double>(x.rows, x.cols);
    for (Index j = 0; j < x.cols; ++j)
        for (Index i = 0; i < x.rows; ++i) wide(i, j) = static_cast<double>(x(i, j));
    return wide;
}

// M = (1 / n) rows rows', (m, m).
template <class T>
MatrixView<double> narrow_gram(Context& ctx, const Factor<T>& factor)
{
    const auto m = ctx.scratch<double>(factor.rows.rows, factor.rows.rows);
    outer_gram<T>(ctx, factor.rows, m);
    const double scale = 1.0 / static_cast<double>(factor.samples);
    for (Index i = 0; i < m.rows * m.cols; ++i) m.data[i] *= scale;
    return m;
}

// The eigenpairs of a small symmetric matrix, largest first, negative rounding raised to zero.
FactorSpectrum take_largest(const std::vector<double>& ascending, MatrixView<const double> vectors, Index count)
{
    FactorSpectrum out;
    const Index n = vectors.cols;
    for (Index j = 0; j < count; ++j) {
        out.values.push_back(std::max(ascending[n - 1 - j], 0.0));
        out.vectors.insert(out.vectors.end(), vectors.column(n - 1 - j), vectors.column(n - 1 - j) + vectors.rows);
    }
    return out;
}

FactorSpectrum lifted(MatrixView<const double> basis, const FactorSpectrum& small)
{
    FactorSpectrum out{small.values, std::vector<double>(static_cast<std::size_t>(basis.rows) * small.values.size())};
    const Index count = static_cast<Index>(small.values.size());
    const MatrixView<const double> y{small.vectors.data(), basis.cols, count, basis.cols};
    gemm<double>(Transpose::no, Transpose::no, 1.0, basis, y, 0.0, {out.vectors.data(), basis.rows, count, basis.rows});
    return out;
}

// B B' is the smaller Gram matrix: H x = (1 / n) B'B x, x = B'u / |B'u| for eigenvectors u of (1 / n) B B'.
FactorSpectrum dual_eigen(Context& ctx, MatrixView<const double> rows, Index samples, Index count)
{
    const auto g = ctx.scratch<double>(rows.cols, rows.cols);
    gram<double>(ctx, rows, g);
    const double scale = 1.0 / static_cast<double>(samples);
    for (Index i = 0; i < g.rows * g.cols; ++i) g.data[i] *= scale;
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
void Factor<T>::check() const
{
    require<ShapeError>(samples > 0, "a factor needs at least one sample, got ", samples);
    require<ShapeError>(rows.rows > 0 && rows.cols % samples == 0, "rows must be (n, r, m) with n = ", samples,
                        " samples, got ", rows.cols, " rows of length ", rows.rows);
    require<ShapeError>(!lift.data || lift.cols == rows.rows, "lift has ", lift.cols, " columns, rows have length ",
                        rows.rows);
}

template <class T>
void factor_apply(Context& ctx, const Factor<T>& factor, MatrixView<const T> v, MatrixView<T> out)
{
    factor.check();
    require<ShapeError>(v.rows == factor.size() && out.rows == v.rows && out.cols == v.cols, "directions must be (",
                        factor.size(), ", k), got (", v.rows, ", ", v.cols, ")");
    const Workspace::Scope scope(ctx.workspace());
    const T scale = T(1) / static_cast<T>(factor.samples);
    MatrixView<const T> narrow = v;
    if (factor.lift.data) { // W1 V: the first layer meets the shared direction once, not once a sample
        const auto pushed = ctx.scratch<T>(factor.rows.rows, v.cols);
        gemm<T>(Transpose::yes, Transpose::no, T(1), factor.lift, v, T(0), pushed);
        narrow = pushed;
    }
    const MatrixView<T> pulled = factor.lift.data ? ctx.scratch<T>(factor.rows.rows, v.cols) : out;
    for (Index j = 0; j < v.cols; ++j) std::fill_n(pulled.column(j), pulled.rows, T(0));
    // Both products with a panel of B while it is in the cache: B is read once, not twice.
    const Index step = std::max<Index>(kLeastPanel, kPanelElements / factor.rows.rows);
    const auto u = ctx.scratch<T>(std::min(step, factor.rows.cols), v.cols);
    for (Index first = 0; first < factor.rows.cols; first += step) {
        const Index count = std::min(step, factor.rows.cols - first);
        const auto panel = factor.rows.columns(first, count);
        const auto part = u.block(0, 0, count, v.cols);
        gemm<T>(Transpose::yes, Transpose::no, T(1), panel, narrow, T(0), part);
        gemm<T>(Transpose::no, Transpose::no, scale, panel, part, T(1), pulled);
        ctx.poll();
    }
    if (factor.lift.data) gemm<T>(Transpose::no, Transpose::no, T(1), factor.lift, pulled, T(0), out);
}

template <class T>
void factor_apply_per_sample(Context& ctx, const Factor<T>& factor, MatrixView<const T> v, MatrixView<T> out)
{
    factor.check();
    const Index n = factor.samples, d = factor.size(), k = v.rows, r = factor.rank_per_sample(), m = factor.rows.rows;
    require<ShapeError>(v.cols == n * d && out.rows == k && out.cols == v.cols && v.contiguous() && out.contiguous(),
                        "per-sample directions must be (n, d, k) with n = ", n, " and d = ", d);
    if (k == 0) return;
    const Workspace::Scope scope(ctx.workspace());
    const auto u = ctx.scratch<T>(r, k);
    const auto pushed = ctx.scratch<T>(m, k), pulled = ctx.scratch<T>(m, k);
    for (Index i = 0; i < n; ++i) {
        // V_i' (k, d); a single direction is its own transpose, and then a matrix-vector product will do.
        const auto rows = factor.rows.columns(i * r, r);
        const auto direction = v.columns(i * d, d);
        const auto result = out.columns(i * d, d);
        const bool single = k == 1;
        const Transpose flip = single ? Transpose::no : Transpose::yes;
        const MatrixView<const T> in = single ? MatrixView<const T>{direction.data, d, 1, d} : direction;
        if (factor.lift.data) {
            gemm<T>(Transpose::yes, flip, T(1), factor.lift, in, T(0), pushed);
            gemm<T>(Transpose::yes, Transpose::no, T(1), rows, pushed, T(0), u);
            gemm<T>(Transpose::no, Transpose::no, T(1), rows, u, T(0), pulled);
        } else {
            gemm<T>(Transpose::yes, flip, T(1), rows, in, T(0), u);
        }
        const auto narrow = factor.lift.data ? MatrixView<const T>(pulled) : MatrixView<const T>(u);
        const auto wide = factor.lift.data ? factor.lift : rows;
        if (single)
            gemm<T>(Transpose::no, Transpose::no, T(1), wide, narrow, T(0), {result.data, d, 1, d});
        else
            gemm<T>(Transpose::yes, Transpose::yes, T(1), narrow, wide, T(0), result);
        if (i % 64 == 63) ctx.poll();
    }
}

template <class T>
void factor_dense(Context& ctx, const Factor<T>& factor, MatrixView<double> dense)
{
    factor.check();
    require<ShapeError>(dense.rows == factor.size() && dense.cols == factor.size(), "dense must be (", factor.size(),
                        ", ", factor.size(), ")");
    const Workspace::Scope scope(ctx.workspace());
    const auto m = narrow_gram(ctx, factor);
    if (!factor.lift.data) {
        for (Index j = 0; j < m.cols; ++j) std::copy_n(m.column(j), m.rows, dense.column(j));
        return;
    }
    // H = W1' M W1.
    const auto lift = widened<T>(ctx, factor.lift);
    const auto half = ctx.scratch<double>(lift.rows, m.cols);
    gemm<double>(Transpose::no, Transpose::no, 1.0, lift, m, 0.0, half);
    ctx.poll();
    gemm<double>(Transpose::no, Transpose::yes, 1.0, half, lift, 0.0, dense);
    for (Index j = 0; j < dense.cols; ++j)
        for (Index i = 0; i < j; ++i) dense(i, j) = dense(j, i) = 0.5 * (dense(i, j) + dense(j, i));
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
    if (factor.lift.data && m < d) { // W1' = Q R:  H = Q (R M R') Q'
        const auto q = widened<T>(ctx, factor.lift);
        const auto r = ctx.scratch<double>(m, m), half = ctx.scratch<double>(m, m), small = ctx.scratch<double>(m, m);
        householder_qr<double>(ctx, q, r);
        gemm<double>(Transpose::no, Transpose::no, 1.0, r, narrow_gram(ctx, factor), 0.0, half);
        gemm<double>(Transpose::no, Transpose::yes, 1.0, half, r, 0.0, small);
        ctx.poll();
        const auto ascending = symmetric_eigen(ctx, small);
        return lifted(q, take_largest(ascending, small, count));
    }
    const auto dense = ctx.scratch<double>(d, d);
    factor_dense<T>(ctx, factor, dense);
    const auto ascending = symmetric_eigen(ctx, dense);
    return take_largest(ascending, dense, count);
}

template <class T>
LinearOperator<T> factor_operator(const Factor<T>& factor)
{
    factor.check();
    return {factor.size(),
            [factor](Context& ctx, MatrixView<const T> v, MatrixView<T> av) { factor_apply<T>(ctx, factor, v, av); }};
}

template struct Factor<float>;
template struct Factor<double>;
template void factor_apply<float>(Context&, const Factor<float>&, MatrixView<const float>, MatrixView<float>);
template void factor_apply<double>(Context&, const Factor<double>&, MatrixView<const double>, MatrixView<double>);
template void factor_apply_per_sample<float>(Context&, const Factor<float>&, MatrixView<const float>,
                                             MatrixView<float>);
template void factor_apply_per_sample<double>(Context&, const Factor<double>&, MatrixView<const double>,
                                              MatrixView<double>);
template void factor_dense<float>(Context&, const Factor<float>&, MatrixView<double>);
template void factor_dense<double>(Context&, const Factor<double>&, MatrixView<double>);
template FactorSpectrum factor_eigen<float>(Context&, const Factor<float>&, Index);
template FactorSpectrum factor_eigen<double>(Context&, const Factor<double>&, Index);
template LinearOperator<float> factor_operator<float>(const Factor<float>&);
template LinearOperator<double> factor_operator<double>(const Factor<double>&);

} // namespace hessay

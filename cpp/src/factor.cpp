#include "hessay/factor.hpp"

#include "hessay/error.hpp"
#include "hessay/parallel.hpp"
#include "hessay/primitives.hpp"

#include <algorithm>

namespace hessay {

namespace {

constexpr Index kPanelElements = 1 << 16; // a quarter of a megabyte of floats: fastest measured from 2^15 to 2^19
constexpr Index kLeastPanel = 64;
constexpr Index kSamplesAtOnce = 256; // their narrow directions stay in the cache

// One direction a sample makes V a (d, n) matrix: the lift meets all samples in one product, and where there is no lift
// a matrix-vector product will do, a single direction being its own transpose.
template <class T>
void apply_single(Context& ctx, const Factor<T>& factor, MatrixView<const T> v, MatrixView<T> out)
{
    const Index n = factor.samples, d = factor.size(), r = factor.rank_per_sample(), m = factor.rows.rows;
    const MatrixView<const T> directions{v.data, d, n, d};
    const MatrixView<T> results{out.data, d, n, d};
    const auto u = ctx.scratch<T>(r, 1);
    const auto pushed = ctx.scratch<T>(m, kSamplesAtOnce), pulled = ctx.scratch<T>(m, kSamplesAtOnce);
    for (Index first = 0; first < n; first += kSamplesAtOnce) {
        const Index count = std::min(kSamplesAtOnce, n - first);
        auto narrow = directions.columns(first, count);
        auto back = results.columns(first, count);
        if (factor.lift.data) {
            const auto part = pushed.columns(0, count);
            gemm<T>(Transpose::yes, Transpose::no, T(1), factor.lift, narrow, T(0), part);
            narrow = part;
            back = pulled.columns(0, count);
        }
        for (Index i = 0; i < count; ++i) {
            const auto rows = factor.rows.columns((first + i) * r, r);
            gemm<T>(Transpose::yes, Transpose::no, T(1), rows, narrow.columns(i, 1), T(0), u);
            gemm<T>(Transpose::no, Transpose::no, T(1), rows, u, T(0), back.columns(i, 1));
        }
        if (factor.lift.data)
            gemm<T>(Transpose::no, Transpose::no, T(1), factor.lift, back, T(0), results.columns(first, count));
        ctx.poll();
    }
}

// Directions V_i' (k, d) as they lie, not transposed.
template <class T>
void apply_blocks(Context& ctx, const Factor<T>& factor, MatrixView<const T> v, MatrixView<T> out)
{
    const Index n = factor.samples, d = factor.size(), k = v.rows, r = factor.rank_per_sample(), m = factor.rows.rows;
    const auto u = ctx.scratch<T>(r, k);
    const auto pushed = ctx.scratch<T>(m, k), pulled = ctx.scratch<T>(m, k);
    for (Index i = 0; i < n; ++i) {
        const auto rows = factor.rows.columns(i * r, r);
        const auto directions = v.columns(i * d, d);
        const auto results = out.columns(i * d, d);
        if (factor.lift.data) {
            gemm<T>(Transpose::yes, Transpose::yes, T(1), factor.lift, directions, T(0), pushed);
            gemm<T>(Transpose::yes, Transpose::no, T(1), rows, pushed, T(0), u);
            gemm<T>(Transpose::no, Transpose::no, T(1), rows, u, T(0), pulled);
            gemm<T>(Transpose::yes, Transpose::yes, T(1), pulled, factor.lift, T(0), results);
        } else {
            gemm<T>(Transpose::yes, Transpose::yes, T(1), rows, directions, T(0), u);
            gemm<T>(Transpose::yes, Transpose::yes, T(1), u, rows, T(0), results);
        }
        if (i % 64 == 63) ctx.poll();
    }
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
    // Both products with a panel of B while it is in the cache: B is read once, not twice. A thread adds up its panels.
    const Index m = factor.rows.rows, k = v.cols, step = std::max<Index>(kLeastPanel, kPanelElements / m);
    const Index panels = (factor.rows.cols + step - 1) / step, threads = thread_count(ctx, panels);
    const auto others = ctx.scratch<T>(m, k * (threads - 1));
    std::fill_n(others.data, m * others.cols, T(0));
    parallel_ranges(ctx, panels, [&](Context& own, Index thread, Index begin, Index end) {
        const Workspace::Scope panel_scope(own.workspace());
        const auto mine = thread == 0 ? pulled : others.columns((thread - 1) * k, k);
        const auto u = own.scratch<T>(std::min(step, factor.rows.cols), k);
        for (Index first = begin * step; first < std::min(factor.rows.cols, end * step); first += step) {
            const Index count = std::min(step, factor.rows.cols - first);
            const auto panel = factor.rows.columns(first, count);
            const auto part = u.block(0, 0, count, k);
            gemm<T>(Transpose::yes, Transpose::no, T(1), panel, narrow, T(0), part);
            gemm<T>(Transpose::no, Transpose::no, scale, panel, part, T(1), mine);
            own.poll();
        }
    });
    for (Index t = 1; t < threads; ++t)
        for (Index j = 0; j < k; ++j)
            for (Index i = 0; i < m; ++i) pulled(i, j) += others(i, (t - 1) * k + j);
    if (factor.lift.data) gemm<T>(Transpose::no, Transpose::no, T(1), factor.lift, pulled, T(0), out);
}

template <class T>
void factor_apply_per_sample(Context& ctx, const Factor<T>& factor, MatrixView<const T> v, MatrixView<T> out)
{
    factor.check();
    const Index n = factor.samples, d = factor.size(), k = v.rows;
    require<ShapeError>(v.cols == n * d && out.rows == k && out.cols == v.cols && v.contiguous() && out.contiguous(),
                        "per-sample directions must be (n, d, k) with n = ", n, " and d = ", d);
    if (k == 0) return;
    const Index r = factor.rank_per_sample();
    parallel_ranges(ctx, n, [&](Context& own, Index, Index begin, Index end) {
        const Workspace::Scope scope(own.workspace());
        const Index count = end - begin;
        const Factor<T> part{factor.rows.columns(begin * r, count * r), factor.lift, count};
        const auto apply = k == 1 ? apply_single<T> : apply_blocks<T>;
        apply(own, part, v.columns(begin * d, count * d), out.columns(begin * d, count * d));
    });
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
template LinearOperator<float> factor_operator<float>(const Factor<float>&);
template LinearOperator<double> factor_operator<double>(const Factor<double>&);

} // namespace hessay

#include "hessay/moment.hpp"

#include "hessay/error.hpp"
#include "hessay/primitives.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace hessay {

namespace {

constexpr Index kPanel = 256;   // as fast as 512 and more accurate; 128 is slower
constexpr Index kColumns = 128; // of H at a time: little is computed twice beside the diagonal

// Whether products of these floats, and their relative errors, stay within float's normal range. Without their sign,
// floats are ordered as their bits are, NaN and Inf above all others: one integer maximum finds all three.
bool tame(MatrixView<const float> x)
{
    std::int32_t largest = 0;
    for (Index j = 0; j < x.cols; ++j) {
        const float* column = x.column(j);
        for (Index i = 0; i < x.rows; ++i) {
            std::int32_t bits;
            std::memcpy(&bits, column + i, sizeof bits);
            largest = std::max(largest, bits & 0x7fffffff);
        }
    }
    float size;
    std::memcpy(&size, &largest, sizeof size);
    return size >= 0x1p-40f && size <= 0x1p40f;
}

void add_upper(MatrixView<const float> part, MatrixView<double> sum)
{
    for (Index j = 0; j < sum.cols; ++j)
        for (Index i = 0; i <= j; ++i) sum(i, j) += static_cast<double>(part(i, j));
}

// dense <- unit lift M lift' with the products in T: upper blocks, mirrored.
template <class T>
void lift_both_sides(Context& ctx, MatrixView<const T> m, MatrixView<const T> lift, double unit,
                     MatrixView<double> dense)
{
    const Index d = lift.rows;
    const auto half = ctx.scratch<T>(d, m.cols);
    gemm<T>(Transpose::no, Transpose::no, T(1), lift, m, T(0), half);
    const auto block = ctx.scratch<T>(d, std::min(kColumns, d));
    for (Index first = 0; first < d; first += kColumns) {
        ctx.poll();
        const Index count = std::min(kColumns, d - first), rows = first + count;
        const auto part = block.block(0, 0, rows, count);
        gemm<T>(Transpose::no, Transpose::yes, T(1), half.block(0, 0, rows, m.cols),
                lift.block(first, 0, count, lift.cols), T(0), part);
        for (Index j = 0; j < count; ++j)
            for (Index i = 0; i <= first + j; ++i) dense(i, first + j) = unit * static_cast<double>(part(i, j));
    }
    mirror_upper(dense);
}

double largest_size(MatrixView<const double> x)
{
    double largest = 0;
    for (Index j = 0; j < x.cols; ++j)
        for (Index i = 0; i < x.rows; ++i) {
            if (!std::isfinite(x(i, j))) return x(i, j);
            largest = std::max(largest, std::abs(x(i, j)));
        }
    return largest;
}

template <class T>
Index checked_size(MatrixView<const double> moment, MatrixView<const T> lift)
{
    require<ShapeError>(moment.rows == moment.cols && moment.rows > 0, "the moment must be (m, m), got (", moment.rows,
                        ", ", moment.cols, ")");
    require<ShapeError>(!lift.data || lift.cols == moment.rows, "lift has ", lift.cols, " columns, the moment ",
                        moment.rows);
    return lift.data ? lift.rows : moment.rows;
}

} // namespace

template <class T>
MatrixView<double> widened(Context& ctx, MatrixView<const T> x)
{
    const auto wide = ctx.scratch<double>(x.rows, x.cols);
    for (Index j = 0; j < x.cols; ++j)
        for (Index i = 0; i < x.rows; ++i) wide(i, j) = static_cast<double>(x(i, j));
    return wide;
}

FactorSpectrum take_largest(const std::vector<double>& ascending, MatrixView<const double> vectors, Index count)
{
    FactorSpectrum out;
    const Index n = vectors.cols;
    for (Index j = 0; j < count; ++j) {
        out.values.push_back(std::max(ascending[static_cast<std::size_t>(n - 1 - j)], 0.0));
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

template <class T>
void moment_add(Context& ctx, MatrixView<const T> rows, MatrixView<double> moment)
{
    checked_size<T>(moment, {});
    require<ShapeError>(rows.rows == moment.rows, "rows have length ", rows.rows, ", the moment is for ", moment.rows);
    const Workspace::Scope scope(ctx.workspace());
    MatrixView<T> part;
    if constexpr (std::is_same_v<T, float>) part = ctx.scratch<T>(moment.rows, moment.rows);
    for (Index first = 0; first < rows.cols; first += kPanel) {
        const Workspace::Scope panel_scope(ctx.workspace());
        const auto panel = rows.columns(first, std::min(kPanel, rows.cols - first));
        if constexpr (std::is_same_v<T, double>) {
            syrk<double>(Transpose::no, panel, 1.0, moment);
        } else if (tame(panel)) {
            syrk<T>(Transpose::no, panel, T(0), part);
            add_upper(part, moment);
        } else {
            syrk<double>(Transpose::no, widened<T>(ctx, panel), 1.0, moment);
        }
        ctx.poll();
    }
    mirror_upper(moment);
}

template <class T>
void moment_apply(Context& ctx, MatrixView<const double> moment, MatrixView<const T> lift, MatrixView<const T> v,
                  MatrixView<T> out)
{
    const Index d = checked_size(moment, lift), m = moment.rows, k = v.cols;
    require<ShapeError>(v.rows == d && out.rows == d && out.cols == k, "directions must be (", d, ", k), got (", v.rows,
                        ", ", k, ")");
    const Workspace::Scope scope(ctx.workspace());
    MatrixView<const T> narrow = v;
    if (lift.data) {
        const auto pushed = ctx.scratch<T>(m, k);
        gemm<T>(Transpose::yes, Transpose::no, T(1), lift, v, T(0), pushed);
        narrow = pushed;
    }
    const auto product = ctx.scratch<double>(m, k); // M stays in double: its range is the square of T's
    gemm<double>(Transpose::no, Transpose::no, 1.0, moment, widened<T>(ctx, narrow), 0.0, product);
    const auto rounded = lift.data ? ctx.scratch<T>(m, k) : out;
    for (Index j = 0; j < k; ++j)
        for (Index i = 0; i < m; ++i) rounded(i, j) = static_cast<T>(product(i, j));
    if (lift.data) gemm<T>(Transpose::no, Transpose::no, T(1), lift, rounded, T(0), out);
}

template <class T>
void moment_dense(Context& ctx, MatrixView<const double> moment, MatrixView<const T> lift, MatrixView<double> dense)
{
    const Index d = checked_size(moment, lift);
    require<ShapeError>(dense.rows == d && dense.cols == d, "dense must be (", d, ", ", d, ")");
    const Workspace::Scope scope(ctx.workspace());
    if (!lift.data) {
        for (Index j = 0; j < d; ++j) std::copy_n(moment.column(j), d, dense.column(j));
    } else if constexpr (std::is_same_v<T, double>) {
        lift_both_sides<double>(ctx, moment, lift, 1.0, dense);
    } else {
        const double largest = largest_size(moment);
        if (!(largest > 0) || !std::isfinite(largest) || !tame(lift)) {
            lift_both_sides<double>(ctx, moment, widened<T>(ctx, lift), 1.0, dense);
            return;
        }
        const int exponent = std::ilogb(largest); // M in units of 2^exponent: near one, without rounding
        const auto narrow = ctx.scratch<T>(moment.rows, moment.cols);
        for (Index j = 0; j < moment.cols; ++j)
            for (Index i = 0; i < moment.rows; ++i) {
                narrow(i, j) = static_cast<T>(std::ldexp(moment(i, j), -exponent));
            }
        lift_both_sides<T>(ctx, narrow, lift, std::ldexp(1.0, exponent), dense);
    }
}

template <class T>
FactorSpectrum moment_eigen(Context& ctx, MatrixView<const double> moment, MatrixView<const T> lift, Index count)
{
    const Index d = checked_size(moment, lift), m = moment.rows;
    require(count <= std::min(d, m), "there are at most ", std::min(d, m), " non-zero eigenvalues, asked for ", count);
    if (count < 0) count = std::min(d, m);
    if (count == 0) return {};
    const Workspace::Scope scope(ctx.workspace());
    if (lift.data && m < d) { // lift = Q R:  H = Q (R M R') Q'
        const auto q = widened<T>(ctx, lift);
        const auto r = ctx.scratch<double>(m, m), half = ctx.scratch<double>(m, m), small = ctx.scratch<double>(m, m);
        householder_qr<double>(ctx, q, r);
        gemm<double>(Transpose::no, Transpose::no, 1.0, r, moment, 0.0, half);
        gemm<double>(Transpose::no, Transpose::yes, 1.0, half, r, 0.0, small);
        ctx.poll();
        const auto ascending = symmetric_eigen(ctx, small);
        return lifted(q, take_largest(ascending, small, count));
    }
    const auto dense = ctx.scratch<double>(d, d);
    MatrixView<const double> wide;
    if (lift.data) wide = widened<T>(ctx, lift);
    moment_dense<double>(ctx, moment, wide, dense);
    const auto ascending = symmetric_eigen(ctx, dense);
    return take_largest(ascending, dense, count);
}

template MatrixView<double> widened<float>(Context&, MatrixView<const float>);
template MatrixView<double> widened<double>(Context&, MatrixView<const double>);
template void moment_add<float>(Context&, MatrixView<const float>, MatrixView<double>);
template void moment_add<double>(Context&, MatrixView<const double>, MatrixView<double>);
template void moment_apply<float>(Context&, MatrixView<const double>, MatrixView<const float>, MatrixView<const float>,
                                  MatrixView<float>);
template void moment_apply<double>(Context&, MatrixView<const double>, MatrixView<const double>,
                                   MatrixView<const double>, MatrixView<double>);
template void moment_dense<float>(Context&, MatrixView<const double>, MatrixView<const float>, MatrixView<double>);
template void moment_dense<double>(Context&, MatrixView<const double>, MatrixView<const double>, MatrixView<double>);
template FactorSpectrum moment_eigen<float>(Context&, MatrixView<const double>, MatrixView<const float>, Index);
template FactorSpectrum moment_eigen<double>(Context&, MatrixView<const double>, MatrixView<const double>, Index);

} // namespace hessay

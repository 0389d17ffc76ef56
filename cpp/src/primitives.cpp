#include "hessay/primitives.hpp"

#include "hessay/blas.hpp"
#include "hessay/error.hpp"
#include "hessay/philox.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hessay {

template <>
BlasTable<float>& blas<float>()
{
    static BlasTable<float> table;
    return table;
}

template <>
BlasTable<double>& blas<double>()
{
    static BlasTable<double> table;
    return table;
}

namespace {

constexpr Index kPanelRows = 512; // a widened panel of 512 x 784 doubles is 3 MB: it stays in the last-level cache

int fortran_int(Index n)
{
    require(n >= 0 && n <= std::numeric_limits<int>::max(), "matrix dimension ", n, " does not fit a 32-bit BLAS");
    return static_cast<int>(n);
}

int leading_dimension(Index stride) { return std::max(1, fortran_int(stride)); }

template <class T>
MatrixView<const double> widen(MatrixView<const T> x, MatrixView<double> storage)
{
    const MatrixView<double> wide{storage.data, x.rows, x.cols, x.rows};
    for (Index j = 0; j < x.cols; ++j)
        for (Index i = 0; i < x.rows; ++i) wide(i, j) = static_cast<double>(x(i, j));
    return wide;
}

void fill_zero(MatrixView<double> a)
{
    for (Index j = 0; j < a.cols; ++j) std::fill_n(a.column(j), a.rows, 0.0);
}

} // namespace

template <class T>
void gemm(Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
          MatrixView<T> c)
{
    const Index rows = trans_a == Transpose::yes ? a.cols : a.rows;
    const Index inner = trans_a == Transpose::yes ? a.rows : a.cols;
    const Index inner_b = trans_b == Transpose::yes ? b.cols : b.rows;
    const Index cols = trans_b == Transpose::yes ? b.rows : b.cols;
    require<ShapeError>(inner == inner_b && c.rows == rows && c.cols == cols, "gemm of (", rows, ", ", inner, ") and (",
                        inner_b, ", ", cols, ") into (", c.rows, ", ", c.cols, ")");
    if (rows == 0 || cols == 0) return;
    const char ta = trans_a == Transpose::yes ? 'T' : 'N', tb = trans_b == Transpose::yes ? 'T' : 'N';
    const int m = fortran_int(rows), n = fortran_int(cols), k = fortran_int(inner);
    const int lda = leading_dimension(a.stride), ldb = leading_dimension(b.stride), ldc = leading_dimension(c.stride);
    if (n == 1 && tb == 'N') { // gemv reads A once and does not pack it
        const int a_rows = fortran_int(a.rows), a_cols = fortran_int(a.cols), one = 1;
        blas<T>().gemv(&ta, &a_rows, &a_cols, &alpha, a.data, &lda, b.data, &one, &beta, c.data, &one);
        return;
    }
    blas<T>().gemm(&ta, &tb, &m, &n, &k, &alpha, a.data, &lda, b.data, &ldb, &beta, c.data, &ldc);
}

template <class T>
void syrk(Transpose trans, MatrixView<const T> x, T beta, MatrixView<T> c)
{
    const bool inner = trans == Transpose::yes;
    require<ShapeError>(c.rows == c.cols && c.rows == (inner ? x.cols : x.rows), "syrk of (", x.rows, ", ", x.cols,
                        ") into (", c.rows, ", ", c.cols, ")");
    if (c.rows == 0) return;
    const char uplo = 'U', flip = inner ? 'T' : 'N';
    const int n = fortran_int(c.rows), k = fortran_int(inner ? x.rows : x.cols);
    const int lda = leading_dimension(x.stride), ldc = leading_dimension(c.stride);
    const T one = 1;
    blas<T>().syrk(&uplo, &flip, &n, &k, &one, x.data, &lda, &beta, c.data, &ldc);
}

void mirror_upper(MatrixView<double> a)
{
    constexpr Index kTile = 16; // so that neither side is read against the grain
    for (Index first_j = 0; first_j < a.cols; first_j += kTile)
        for (Index first_i = 0; first_i <= first_j; first_i += kTile)
            for (Index i = first_i; i < std::min(first_i + kTile, a.rows); ++i)
                for (Index j = std::max(first_j, i + 1); j < std::min(first_j + kTile, a.cols); ++j) a(j, i) = a(i, j);
}

template <class T>
void gram(Context& ctx, MatrixView<const T> x, MatrixView<double> out)
{
    require<ShapeError>(out.rows == x.cols && out.cols == x.cols, "gram of (", x.rows, ", ", x.cols, ") into (",
                        out.rows, ", ", out.cols, ")");
    fill_zero(out);
    const Workspace::Scope scope(ctx.workspace());
    const auto panel =
        ctx.scratch<double>(std::min(kPanelRows, std::max<Index>(x.rows, 1)), std::max<Index>(x.cols, 1));
    for (Index first = 0; first < x.rows; first += kPanelRows) {
        const auto rows = x.block(first, 0, std::min(kPanelRows, x.rows - first), x.cols);
        syrk<double>(Transpose::yes, widen(rows, panel), 1.0, out);
        ctx.poll();
    }
    mirror_upper(out);
}

template <class T>
void outer_gram(Context& ctx, MatrixView<const T> x, MatrixView<double> out)
{
    require<ShapeError>(out.rows == x.rows && out.cols == x.rows, "outer_gram of (", x.rows, ", ", x.cols, ") into (",
                        out.rows, ", ", out.cols, ")");
    fill_zero(out);
    const Workspace::Scope scope(ctx.workspace());
    const auto panel =
        ctx.scratch<double>(std::max<Index>(x.rows, 1), std::min(kPanelRows, std::max<Index>(x.cols, 1)));
    for (Index first = 0; first < x.cols; first += kPanelRows) {
        const auto cols = x.columns(first, std::min(kPanelRows, x.cols - first));
        syrk<double>(Transpose::no, widen(cols, panel), 1.0, out);
        ctx.poll();
    }
    mirror_upper(out);
}

// job 'V' leaves eigenvectors in A, 'N' nothing of use.
static std::vector<double> symmetric_eigen(Context& ctx, MatrixView<double> a, char job)
{
    require<ShapeError>(a.rows == a.cols, "symmetric_eigen needs a square matrix, got (", a.rows, ", ", a.cols, ")");
    require<NonFinite>(all_finite<double>(a), "the projected matrix holds NaN or Inf");
    std::vector<double> values(static_cast<std::size_t>(a.rows));
    if (a.rows == 0) return values;
    const Workspace::Scope scope(ctx.workspace());
    const char uplo = 'U';
    const int n = fortran_int(a.rows), lda = leading_dimension(a.stride), query = -1;
    int info = 0, best_int = 0;
    double best = 0;
    blas<double>().syevd(&job, &uplo, &n, a.data, &lda, values.data(), &best, &query, &best_int, &query, &info);
    const int n_work = static_cast<int>(best), n_int = best_int;
    const auto work = ctx.scratch<double>(n_work, 1);
    const auto int_work = ctx.scratch<int>(n_int, 1);
    blas<double>().syevd(&job, &uplo, &n, a.data, &lda, values.data(), work.data, &n_work, int_work.data, &n_int,
                         &info);
    require<NonFinite>(info == 0, "LAPACK's eigensolver did not converge (info = ", info, ")");
    return values;
}

std::vector<double> symmetric_eigen(Context& ctx, MatrixView<double> a) { return symmetric_eigen(ctx, a, 'V'); }

std::vector<double> symmetric_eigenvalues(Context& ctx, MatrixView<double> a) { return symmetric_eigen(ctx, a, 'N'); }

template <class T>
void householder_qr(Context& ctx, MatrixView<T> x, MatrixView<T> r)
{
    require<ShapeError>(x.rows >= x.cols && r.rows == x.cols && r.cols == x.cols, "householder_qr of (", x.rows, ", ",
                        x.cols, ") needs rows >= cols and r square");
    if (x.cols == 0) return;
    const Workspace::Scope scope(ctx.workspace());
    const int m = fortran_int(x.rows), n = fortran_int(x.cols), lda = leading_dimension(x.stride), query = -1;
    const auto tau = ctx.scratch<T>(x.cols, 1);
    int info = 0;
    T best_qr = 0, best_q = 0;
    blas<T>().geqrf(&m, &n, x.data, &lda, tau.data, &best_qr, &query, &info);
    blas<T>().orgqr(&m, &n, &n, x.data, &lda, tau.data, &best_q, &query, &info);
    const int n_work = static_cast<int>(std::max(best_qr, best_q));
    const auto work = ctx.scratch<T>(n_work, 1);
    blas<T>().geqrf(&m, &n, x.data, &lda, tau.data, work.data, &n_work, &info);
    for (Index j = 0; j < r.cols; ++j)
        for (Index i = 0; i < r.rows; ++i) r(i, j) = i <= j ? x(i, j) : T(0);
    blas<T>().orgqr(&m, &n, &n, x.data, &lda, tau.data, work.data, &n_work, &info);
}

template <class T>
void transpose(MatrixView<const T> x, MatrixView<T> out)
{
    require<ShapeError>(out.rows == x.cols && out.cols == x.rows, "transpose of (", x.rows, ", ", x.cols, ") into (",
                        out.rows, ", ", out.cols, ")");
    constexpr Index kTile = 16; // 16 floats are one cache line
    for (Index first_j = 0; first_j < x.cols; first_j += kTile) {
        const Index last_j = std::min(first_j + kTile, x.cols);
        for (Index first_i = 0; first_i < x.rows; first_i += kTile) {
            const Index last_i = std::min(first_i + kTile, x.rows);
            for (Index i = first_i; i < last_i; ++i)
                for (Index j = first_j; j < last_j; ++j) out(j, i) = x(i, j);
        }
    }
}

template <class T>
double norm(const T* x, Index n)
{
    // Scaled by the largest element: the squares of a vector near 1e-200 or 1e200 must not leave the range of double.
    double largest = 0;
    for (Index i = 0; i < n; ++i) largest = std::max(largest, std::abs(static_cast<double>(x[i])));
    if (largest == 0 || !std::isfinite(largest)) return largest;
    double sum = 0;
    for (Index i = 0; i < n; ++i) {
        const double scaled = static_cast<double>(x[i]) / largest;
        sum += scaled * scaled;
    }
    return largest * std::sqrt(sum);
}

template <class T>
void gaussian_fill(Context& ctx, MatrixView<T> x)
{
    const std::uint64_t stream = ctx.next_stream();
    const Index n = x.rows * x.cols;
    for (Index i = 0; i < n; i += 2) {
        const auto pair = gaussian_pair(ctx.seed(), stream, static_cast<std::uint64_t>(i / 2));
        x(i % x.rows, i / x.rows) = static_cast<T>(pair[0]);
        if (i + 1 < n) x((i + 1) % x.rows, (i + 1) / x.rows) = static_cast<T>(pair[1]);
    }
}

template <class T>
bool all_finite(MatrixView<const T> x)
{
    for (Index j = 0; j < x.cols; ++j)
        for (Index i = 0; i < x.rows; ++i)
            if (!std::isfinite(x(i, j))) return false;
    return true;
}

template void gemm<float>(Transpose, Transpose, float, MatrixView<const float>, MatrixView<const float>, float,
                          MatrixView<float>);
template void syrk<float>(Transpose, MatrixView<const float>, float, MatrixView<float>);
template void gram<float>(Context&, MatrixView<const float>, MatrixView<double>);
template void outer_gram<float>(Context&, MatrixView<const float>, MatrixView<double>);
template void householder_qr<float>(Context&, MatrixView<float>, MatrixView<float>);
template void transpose<float>(MatrixView<const float>, MatrixView<float>);
template double norm<float>(const float*, Index);
template void gaussian_fill<float>(Context&, MatrixView<float>);
template bool all_finite<float>(MatrixView<const float>);
template void gemm<double>(Transpose, Transpose, double, MatrixView<const double>, MatrixView<const double>, double,
                           MatrixView<double>);
template void syrk<double>(Transpose, MatrixView<const double>, double, MatrixView<double>);
template void gram<double>(Context&, MatrixView<const double>, MatrixView<double>);
template void outer_gram<double>(Context&, MatrixView<const double>, MatrixView<double>);
template void householder_qr<double>(Context&, MatrixView<double>, MatrixView<double>);
template void transpose<double>(MatrixView<const double>, MatrixView<double>);
template double norm<double>(const double*, Index);
template void gaussian_fill<double>(Context&, MatrixView<double>);
template bool all_finite<double>(MatrixView<const double>);

} // namespace hessay

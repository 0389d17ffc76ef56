#include "primitives.hpp"

#include "elementwise_bodies.hpp"
#include "launch.cuh"
#include "narrow.hpp"

#include <cublas_v2.h>

#include <limits>
#include <map>
#include <memory>
#include <type_traits>

namespace hessay::cuda {

namespace {

constexpr Index kPanelRows = 8192; // of float data, widened at a time: 8192 x 64 doubles are 4 MiB

void check_blas(cublasStatus_t status, const char* doing)
{
    require<DeviceError>(status == CUBLAS_STATUS_SUCCESS, "cuBLAS failed while ", doing, ": ",
                         cublasGetStatusString(status));
}

struct Destroy {
    void operator()(cublasContext* handle) const { (void)cublasDestroy(handle); }
};

// The handle of this thread for the context's device, on its stream and with its scratch.
cublasHandle_t blas(CudaContext& ctx)
{
    thread_local std::map<int, std::unique_ptr<cublasContext, Destroy>> handles;
    auto& handle = handles[ctx.device()];
    if (!handle) {
        cublasHandle_t created = nullptr;
        check_blas(cublasCreate(&created), "starting");
        handle.reset(created);
        check_blas(cublasSetMathMode(created, CUBLAS_DEFAULT_MATH), "forbidding TF32");
        check_blas(cublasSetAtomicsMode(created, CUBLAS_ATOMICS_NOT_ALLOWED), "forbidding atomics");
    }
    check_blas(cublasSetStream(handle.get(), ctx.stream()), "taking the caller's stream");
    constexpr std::size_t kBytes = static_cast<std::size_t>(kBlasScratch) * sizeof(double);
    // After the stream: setting that one drops the scratch.
    check_blas(cublasSetWorkspace(handle.get(), ctx.library_scratch(kBytes), kBytes), "taking the caller's scratch");
    return handle.get();
}

int int32(Index n)
{
    require(n >= 0 && n <= std::numeric_limits<int>::max(), "matrix dimension ", n, " does not fit a 32-bit BLAS");
    return static_cast<int>(n);
}

int leading(Index stride) { return std::max(1, int32(stride)); }

cublasOperation_t operation(Transpose trans) { return trans == Transpose::yes ? CUBLAS_OP_T : CUBLAS_OP_N; }

} // namespace

template <class T>
void gemm(CudaContext& ctx, Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a, MatrixView<const T> b,
          T beta, MatrixView<T> c)
{
    const Index rows = trans_a == Transpose::yes ? a.cols : a.rows;
    const Index inner = trans_a == Transpose::yes ? a.rows : a.cols;
    const Index inner_b = trans_b == Transpose::yes ? b.cols : b.rows;
    const Index cols = trans_b == Transpose::yes ? b.rows : b.cols;
    require<ShapeError>(inner == inner_b && c.rows == rows && c.cols == cols, "gemm of (", rows, ", ", inner, ") and (",
                        inner_b, ", ", cols, ") into (", c.rows, ", ", c.cols, ")");
    if (rows == 0 || cols == 0) return;
    const int m = int32(rows), n = int32(cols), k = int32(inner);
    const int lda = leading(a.stride), ldb = leading(b.stride), ldc = leading(c.stride);
    const auto ta = operation(trans_a), tb = operation(trans_b);
    if constexpr (std::is_same_v<T, float>)
        check_blas(cublasSgemm(blas(ctx), ta, tb, m, n, k, &alpha, a.data, lda, b.data, ldb, &beta, c.data, ldc),
                   "multiplying");
    else
        check_blas(cublasDgemm(blas(ctx), ta, tb, m, n, k, &alpha, a.data, lda, b.data, ldb, &beta, c.data, ldc),
                   "multiplying");
}

Index gram_scratch(Index n, Index m, bool single)
{
    return kBlasScratch + (single ? std::min(n, kPanelRows) * m : 0) + Index(kScratchAlignment / sizeof(double));
}

template <class T>
void gram(CudaContext& ctx, MatrixView<const T> x, MatrixView<double> out)
{
    require<ShapeError>(out.rows == x.cols && out.cols == x.cols, "gram of (", x.rows, ", ", x.cols, ") into (",
                        out.rows, ", ", out.cols, ")");
    if (x.cols == 0) return;
    const auto handle = blas(ctx);
    const int m = int32(x.cols), ldc = leading(out.stride);
    const double one = 1;
    double beta = 0; // the first panel overwrites, NaN included
    const auto add = [&](MatrixView<const double> panel) {
        check_blas(cublasDsyrk(handle, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_T, m, int32(panel.rows), &one, panel.data,
                               leading(panel.stride), &beta, out.data, ldc),
                   "multiplying a matrix with itself");
        beta = 1;
    };
    if constexpr (std::is_same_v<T, double>) {
        add(x);
    } else {
        const auto storage = ctx.scratch(std::min(x.rows, kPanelRows), x.cols);
        for (Index first = 0; first == 0 || first < x.rows; first += kPanelRows) {
            const auto rows = x.block(first, 0, std::min(kPanelRows, x.rows - first), x.cols);
            const MatrixView<double> wide{storage.data, rows.rows, rows.cols, rows.rows};
            ctx.columns(Widen<T>{rows, wide});
            add(wide);
        }
    }
    ctx.columns(MirrorUpper{out});
}

template <class T>
void solve_upper(CudaContext& ctx, MatrixView<const T> r, MatrixView<T> x)
{
    require<ShapeError>(r.rows == r.cols && r.cols == x.cols, "r (", r.rows, ", ", r.cols,
                        ") must be square and fit x (", x.rows, ", ", x.cols, ")");
    if (x.rows == 0 || x.cols == 0) return;
    const int m = int32(x.rows), n = int32(x.cols), lda = leading(r.stride), ldb = leading(x.stride);
    const T one = 1;
    const auto right = CUBLAS_SIDE_RIGHT;
    const auto upper = CUBLAS_FILL_MODE_UPPER;
    if constexpr (std::is_same_v<T, float>)
        check_blas(cublasStrsm(blas(ctx), right, upper, CUBLAS_OP_N, CUBLAS_DIAG_NON_UNIT, m, n, &one, r.data, lda,
                               x.data, ldb),
                   "solving with a triangular matrix");
    else
        check_blas(cublasDtrsm(blas(ctx), right, upper, CUBLAS_OP_N, CUBLAS_DIAG_NON_UNIT, m, n, &one, r.data, lda,
                               x.data, ldb),
                   "solving with a triangular matrix");
}

template <class T>
void CudaContext::product(Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a, MatrixView<const T> b,
                          T beta, MatrixView<T> c)
{
    if (is_narrow(trans_a, trans_b, a, c.cols)) return narrow_product<T>(*this, trans_a, alpha, a, b, beta, c);
    gemm<T>(*this, trans_a, trans_b, alpha, a, b, beta, c);
}

template <class T>
void CudaContext::products(Index count, Transpose trans_a, Transpose trans_b, T alpha, MatrixView<const T> a,
                           MatrixView<const T> b, T beta, MatrixView<T> c)
{
    require_pieces(count, a.cols, b.cols, c.cols);
    const Index wide_a = a.cols / count, wide_b = b.cols / count, n_cols = c.cols / count;
    const Index rows = trans_a == Transpose::yes ? wide_a : a.rows;
    const Index inner = trans_a == Transpose::yes ? a.rows : wide_a;
    const Index inner_b = trans_b == Transpose::yes ? wide_b : b.rows;
    const Index cols = trans_b == Transpose::yes ? b.rows : wide_b;
    require<ShapeError>(inner == inner_b && c.rows == rows && n_cols == cols, count, " products of (", rows, ", ",
                        inner, ") and (", inner_b, ", ", cols, ") into (", c.rows, ", ", n_cols, ")");
    if (rows == 0 || cols == 0) return;
    const int m = int32(rows), n = int32(cols), k = int32(inner), pieces = int32(count);
    const int lda = leading(a.stride), ldb = leading(b.stride), ldc = leading(c.stride);
    const Index step_a = a.stride * wide_a, step_b = b.stride * wide_b, step_c = c.stride * n_cols;
    const auto ta = operation(trans_a), tb = operation(trans_b);
    if constexpr (std::is_same_v<T, float>)
        check_blas(cublasSgemmStridedBatched(blas(*this), ta, tb, m, n, k, &alpha, a.data, lda, step_a, b.data, ldb,
                                             step_b, &beta, c.data, ldc, step_c, pieces),
                   "multiplying pieces");
    else
        check_blas(cublasDgemmStridedBatched(blas(*this), ta, tb, m, n, k, &alpha, a.data, lda, step_a, b.data, ldb,
                                             step_b, &beta, c.data, ldc, step_c, pieces),
                   "multiplying pieces");
}

template void CudaContext::products(Index, Transpose, Transpose, float, MatrixView<const float>,
                                    MatrixView<const float>, float, MatrixView<float>);
template void CudaContext::products(Index, Transpose, Transpose, double, MatrixView<const double>,
                                    MatrixView<const double>, double, MatrixView<double>);
template void CudaContext::product(Transpose, Transpose, float, MatrixView<const float>, MatrixView<const float>, float,
                                   MatrixView<float>);
template void CudaContext::product(Transpose, Transpose, double, MatrixView<const double>, MatrixView<const double>,
                                   double, MatrixView<double>);
template void gemm<float>(CudaContext&, Transpose, Transpose, float, MatrixView<const float>, MatrixView<const float>,
                          float, MatrixView<float>);
template void gram<float>(CudaContext&, MatrixView<const float>, MatrixView<double>);
template void solve_upper<float>(CudaContext&, MatrixView<const float>, MatrixView<float>);
template void gemm<double>(CudaContext&, Transpose, Transpose, double, MatrixView<const double>,
                           MatrixView<const double>, double, MatrixView<double>);
template void gram<double>(CudaContext&, MatrixView<const double>, MatrixView<double>);
template void solve_upper<double>(CudaContext&, MatrixView<const double>, MatrixView<double>);

} // namespace hessay::cuda

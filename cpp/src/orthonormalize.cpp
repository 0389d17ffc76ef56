#include "hessay/orthonormalize.hpp"

#include "gram_schmidt.hpp"
#include "hessay/error.hpp"
#include "hessay/primitives.hpp"

#include <algorithm>
#include <vector>

namespace hessay {

namespace {

// The steps of gram_schmidt.hpp on the processor.
template <class T>
struct HostSteps {
    class Scope {
      public:
        explicit Scope(HostSteps& steps) : scope_(steps.ctx.workspace()) {}

      private:
        Workspace::Scope scope_;
    };

    MatrixView<double> scratch(Index rows, Index cols) { return ctx.scratch<double>(rows, cols); }

    void project_out(MatrixView<const T> q, MatrixView<T> w, MatrixView<double> c)
    {
        if (q.cols == 0 || w.cols == 0) return;
        const Scope scope(*this);
        const auto pass = ctx.scratch<T>(q.cols, w.cols);
        gemm<T>(Transpose::yes, Transpose::no, T(1), q, w, T(0), pass);
        gemm<T>(Transpose::no, Transpose::no, T(-1), q, pass, T(1), w);
        for (Index j = 0; j < w.cols; ++j)
            for (Index i = 0; i < q.cols; ++i) c(i, j) += static_cast<double>(pass(i, j));
    }
    double norm(MatrixView<const T> column) { return hessay::norm(column.data, column.rows); }
    void scale(MatrixView<T> x, double factor)
    {
        for (Index i = 0; i < x.rows; ++i) x.data[i] = static_cast<T>(static_cast<double>(x.data[i]) * factor);
    }
    void copy(MatrixView<const T> from, MatrixView<T> to) { std::copy_n(from.data, from.rows, to.data); }
    void fill_gaussian(MatrixView<T> column) { gaussian_fill(ctx, column); }

    Context& ctx;
};

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
    std::vector<double> before(static_cast<std::size_t>(b));
    for (Index j = 0; j < b; ++j) before[j] = norm(w.column(j), d);

    HostSteps<T> steps{ctx};
    // W <- W - Q Q'W, twice.
    steps.project_out(q, w, c);
    steps.project_out(q, w, c);
    return orthonormalize_inside<T>(steps, q, w, before.data(), reference, r, dropped);
}

template OrthonormalBlock orthonormalize<float>(Context&, MatrixView<const float>, MatrixView<float>, double,
                                                MatrixView<double>, MatrixView<double>, double*);
template OrthonormalBlock orthonormalize<double>(Context&, MatrixView<const double>, MatrixView<double>, double,
                                                 MatrixView<double>, MatrixView<double>, double*);

} // namespace hessay

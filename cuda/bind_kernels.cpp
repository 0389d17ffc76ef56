// Single kernels and one product over DLPack arrays: what is measured and tested by itself.
#include "bind_kernels.hpp"

#include "borrowed_layers.hpp"
#ifdef HESSAY_HOST_TWIN
#include "routines.hpp"
#else
#include "device_routines.hpp"
#endif

namespace hessay::cuda {

namespace {

using Object = const py::object&;

void fill(Object x, std::uint64_t seed, std::uint64_t number, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, x, "x", [&](auto zero) {
        const auto view = call.out<decltype(zero)>(x, "x");
        call.run([&](auto& device) { gaussian_fill(device, seed, number, view); });
    });
}

void activate_into(Object x, Object slope, Object curvature, int activation, double parameter, Stream stream)
{
    require(activation >= 0 && activation <= static_cast<int>(Activation::elu), "no activation has number ",
            activation);
    Call call(stream, py::none());
    for_precision(call, x, "x", [&](auto zero) {
        using T = decltype(zero);
        const auto a = call.out<T>(x, "x"), s = call.out<T>(slope, "slope"), c = call.out<T>(curvature, "curvature");
        call.run([&](auto& device) { activate(device, static_cast<Activation>(activation), parameter, a, s, c); });
    });
}

void scale(Object factor, Index per_sample, Object x, Object kept, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, x, "x", [&](auto zero) {
        using T = decltype(zero);
        const auto f = call.in<T>(factor, "factor");
        const auto a = call.out<T>(x, "x"), k = call.out<T>(kept, "kept");
        call.run([&](auto& device) { scale_by_sample(device, f, per_sample, a, k); });
    });
}

void backward_step(Object slope, Object curvature, Object tangent, Index per_sample, Object back, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, back, "back", [&](auto zero) {
        using T = decltype(zero);
        const auto s = call.in<T>(slope, "slope"), c = call.in<T>(curvature, "curvature");
        const auto t = call.in<T>(tangent, "tangent");
        const auto b = call.out<T>(back, "back");
        call.run([&](auto& device) { tangent_backward_step(device, s, c, t, per_sample, b); });
    });
}

void expand(Object slope, Object pushed, Object value, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, value, "value", [&](auto zero) {
        using T = decltype(zero);
        const auto s = call.in<T>(slope, "slope"), p = call.in<T>(pushed, "pushed");
        const auto v = call.out<T>(value, "value");
        call.run([&](auto& device) { expand_shared(device, s, p, v); });
    });
}

void reduce(Object slope, Object value, Object sum, Object workspace, Stream stream)
{
    Call call(stream, workspace);
    for_precision(call, value, "value", [&](auto zero) {
        using T = decltype(zero);
        const auto s = call.in<T>(slope, "slope"), v = call.in<T>(value, "value");
        const auto total = call.out<double>(sum, "sum");
        call.run([&](auto& device) { reduce_shared(device, s, v, total); });
    });
}

void curvature_of_loss(Object state, Index per_sample, double scale, Object u, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, u, "u", [&](auto zero) {
        using T = decltype(zero);
        const auto p = call.in<T>(state, "state");
        const auto x = call.out<T>(u, "u");
        call.run([&](auto& device) { cross_entropy_curvature(device, p, per_sample, scale, x); });
    });
}

void norms_of(Object x, Object norms, Object workspace, Stream stream)
{
    Call call(stream, workspace);
    for_precision(call, x, "x", [&](auto zero) {
        const auto view = call.in<decltype(zero)>(x, "x");
        const auto out = call.out<double>(norms, "norms");
        require<ShapeError>(out.rows == view.cols && out.cols == 1, "norms must have shape (", view.cols, ",)");
        call.run([&](auto& device) { column_norms(device, view, out.data); });
    });
}

void lanczos(Object alpha, Object beta, Object v, Object u, Object w, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, w, "w", [&](auto zero) {
        using T = decltype(zero);
        const auto y = call.in<T>(v, "v"), z = call.in<T>(u, "u");
        const auto x = call.out<T>(w, "w");
        const double *a = call.vector(alpha, "alpha", x.cols), *b = call.vector(beta, "beta", x.cols);
        call.run([&](auto& device) { lanczos_update(device, a, b, y, z, x); });
    });
}

void divide_by(Object norms, Object x, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, x, "x", [&](auto zero) {
        const auto view = call.out<decltype(zero)>(x, "x");
        const double* lengths = call.vector(norms, "norms", view.cols);
        call.run([&](auto& device) { normalise(device, lengths, view); });
    });
}

// C <- alpha op(A) op(B) + beta C
void multiply(bool flip_a, bool flip_b, double alpha, Object a, Object b, double beta, Object c, Object workspace,
              Stream stream)
{
    Call call(stream, workspace);
    for_precision(call, c, "c", [&](auto zero) {
        using T = decltype(zero);
        const auto flip = [](bool yes) { return yes ? Transpose::yes : Transpose::no; };
        const auto x = call.in<T>(a, "a"), y = call.in<T>(b, "b");
        const auto out = call.out<T>(c, "c");
        call.run([&](auto& device) {
            device.template product<T>(flip(flip_a), flip(flip_b), T(alpha), x, y, T(beta), out);
        });
    });
}

// Doubles of workspace for gemm with A (rows, cols) and so many columns of C; without a shape, for any that is not
// narrow.
Index gemm_scratch(bool flip_a, Index rows, Index cols, Index columns, bool single)
{
    ScratchCounter counter;
    const auto count = [&](auto zero) {
        using T = decltype(zero);
        const MatrixView<const T> a = nowhere<T>(rows, cols), b = nowhere<T>(flip_a ? rows : cols, columns);
        counter.product<T>(flip_a ? Transpose::yes : Transpose::no, Transpose::no, T(1), a, b, T(0),
                           nowhere<T>(flip_a ? cols : rows, columns));
    };
    single ? count(float{}) : count(double{});
    return workspace_doubles(counter);
}

// Doubles, with room for the alignment of up to four pieces.
Index with_alignment(Index doubles) { return doubles + 4 * Index(kScratchAlignment / sizeof(double)); }

} // namespace

void bind_kernels(py::module_& module)
{
    using py::arg;
    module.def("gaussian_fill", &fill, arg("x"), arg("seed"), arg("number"), arg("stream"));
    module.def("activate", &activate_into, arg("x"), arg("slope"), arg("curvature"), arg("activation"),
               arg("parameter"), arg("stream"));
    module.def("scale_by_sample", &scale, arg("factor"), arg("per_sample"), arg("x"), arg("kept"), arg("stream"));
    module.def("tangent_backward_step", &backward_step, arg("slope"), arg("curvature"), arg("tangent"),
               arg("per_sample"), arg("back"), arg("stream"));
    module.def("expand_shared", &expand, arg("slope"), arg("pushed"), arg("value"), arg("stream"));
    module.def("reduce_shared", &reduce, arg("slope"), arg("value"), arg("sum"), arg("workspace"), arg("stream"));
    module.def("cross_entropy_curvature", &curvature_of_loss, arg("state"), arg("per_sample"), arg("scale"), arg("u"),
               arg("stream"));
    module.def("column_norms", &norms_of, arg("x"), arg("norms"), arg("workspace"), arg("stream"));
    module.def("lanczos_update", &lanczos, arg("alpha"), arg("beta"), arg("v"), arg("u"), arg("w"), arg("stream"));
    module.def("normalise", &divide_by, arg("norms"), arg("x"), arg("stream"));
    module.def("gemm", &multiply, arg("flip_a"), arg("flip_b"), arg("alpha"), arg("a"), arg("b"), arg("beta"), arg("c"),
               arg("workspace"), arg("stream"));
    module.def("reduce_shared_scratch",
               [](Index h, Index k, Index n) { return with_alignment(reduce_shared_scratch(h, k, n)); });
    module.def("column_norms_scratch",
               [](Index rows, Index cols) { return with_alignment(column_norms_scratch(rows, cols)); });
    module.def("blas_scratch", &gemm_scratch, arg("flip_a") = false, arg("rows") = 0, arg("cols") = 0,
               arg("columns") = 0, arg("single") = false);
}

} // namespace hessay::cuda

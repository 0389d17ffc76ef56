// The module hessay._cuda: device facts and the routines over DLPack arrays. Call it through hessay.cuda.
#include "bind_factor.hpp"
#include "bind_hvp.hpp"
#include "bind_stepwise.hpp"
#include "call.hpp"
#include "device_routines.hpp"
#include "primitives.hpp"

namespace {

namespace py = pybind11;
using namespace hessay;
using namespace hessay::cuda;

// 0 without a driver or a device, which is no error; every other failure is.
int device_count()
{
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver) {
        (void)cudaGetLastError();
        return 0;
    }
    check(status, "counting devices");
    return count;
}

py::dict device_properties(int device)
{
    cudaDeviceProp found;
    check(cudaGetDeviceProperties(&found, device), "asking for the properties of a device");
    py::dict out;
    out["name"] = std::string(found.name);
    out["major"] = found.major;
    out["minor"] = found.minor;
    out["memory"] = found.totalGlobalMem;
    out["multiprocessors"] = found.multiProcessorCount;
    out["l2"] = found.l2CacheSize;
    return out;
}

using Object = const py::object&;

void fill(Object x, std::uint64_t seed, std::uint64_t number, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, x, "x", [&](auto zero) {
        const auto view = call.out<decltype(zero)>(x, "x");
        call.run([&](CudaContext& ctx) { gaussian_fill(ctx, seed, number, view); });
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
        call.run([&](CudaContext& ctx) { activate(ctx, static_cast<Activation>(activation), parameter, a, s, c); });
    });
}

void scale(Object factor, Index per_sample, Object x, Object kept, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, x, "x", [&](auto zero) {
        using T = decltype(zero);
        const auto f = call.in<T>(factor, "factor");
        const auto a = call.out<T>(x, "x"), k = call.out<T>(kept, "kept");
        call.run([&](CudaContext& ctx) { scale_by_sample(ctx, f, per_sample, a, k); });
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
        call.run([&](CudaContext& ctx) { tangent_backward_step(ctx, s, c, t, per_sample, b); });
    });
}

void expand(Object slope, Object pushed, Object value, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, value, "value", [&](auto zero) {
        using T = decltype(zero);
        const auto s = call.in<T>(slope, "slope"), p = call.in<T>(pushed, "pushed");
        const auto v = call.out<T>(value, "value");
        call.run([&](CudaContext& ctx) { expand_shared(ctx, s, p, v); });
    });
}

void reduce(Object slope, Object value, Object sum, Object workspace, Stream stream)
{
    Call call(stream, workspace);
    for_precision(call, value, "value", [&](auto zero) {
        using T = decltype(zero);
        const auto s = call.in<T>(slope, "slope"), v = call.in<T>(value, "value");
        const auto total = call.out<double>(sum, "sum");
        call.run([&](CudaContext& ctx) { reduce_shared(ctx, s, v, total); });
    });
}

void curvature_of_loss(Object state, Index per_sample, double scale, Object u, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, u, "u", [&](auto zero) {
        using T = decltype(zero);
        const auto p = call.in<T>(state, "state");
        const auto x = call.out<T>(u, "u");
        call.run([&](CudaContext& ctx) { cross_entropy_curvature(ctx, p, per_sample, scale, x); });
    });
}

void norms_of(Object x, Object norms, Object workspace, Stream stream)
{
    Call call(stream, workspace);
    for_precision(call, x, "x", [&](auto zero) {
        const auto view = call.in<decltype(zero)>(x, "x");
        const auto out = call.out<double>(norms, "norms");
        require<ShapeError>(out.rows == view.cols && out.cols == 1, "norms must have shape (", view.cols, ",)");
        call.run([&](CudaContext& ctx) { column_norms(ctx, view, out.data); });
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
        call.run([&](CudaContext& ctx) { lanczos_update(ctx, a, b, y, z, x); });
    });
}

void divide_by(Object norms, Object x, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, x, "x", [&](auto zero) {
        const auto view = call.out<decltype(zero)>(x, "x");
        const double* lengths = call.vector(norms, "norms", view.cols);
        call.run([&](CudaContext& ctx) { normalise(ctx, lengths, view); });
    });
}

void multiply(bool flip_a, bool flip_b, double alpha, Object a, Object b, double beta, Object c, Object workspace,
              Stream stream)
{
    Call call(stream, workspace);
    for_precision(call, c, "c", [&](auto zero) {
        using T = decltype(zero);
        const auto flip = [](bool yes) { return yes ? Transpose::yes : Transpose::no; };
        const auto x = call.in<T>(a, "a"), y = call.in<T>(b, "b");
        const auto out = call.out<T>(c, "c");
        call.run([&](CudaContext& ctx) { gemm<T>(ctx, flip(flip_a), flip(flip_b), T(alpha), x, y, T(beta), out); });
    });
}

void gram_of(Object x, Object out, Object workspace, Stream stream)
{
    Call call(stream, workspace);
    for_precision(call, x, "x", [&](auto zero) {
        using T = decltype(zero);
        const auto view = call.in<T>(x, "x");
        const auto result = call.out<double>(out, "out");
        call.run([&](CudaContext& ctx) { gram<T>(ctx, view, result); });
    });
}

void solve(Object r, Object x, Object workspace, Stream stream)
{
    Call call(stream, workspace);
    for_precision(call, x, "x", [&](auto zero) {
        using T = decltype(zero);
        const auto factor = call.in<T>(r, "r");
        const auto view = call.out<T>(x, "x");
        call.run([&](CudaContext& ctx) { solve_upper<T>(ctx, factor, view); });
    });
}

// Doubles, with room for the alignment of up to four pieces.
Index with_alignment(Index doubles) { return doubles + 4 * Index(kScratchAlignment / sizeof(double)); }

} // namespace

PYBIND11_MODULE(_cuda, module)
{
    module.doc() = "hessay on one CUDA device. Call it through hessay.cuda, which checks and allocates.";
    py::register_local_exception_translator(translate);
    using py::arg;
    module.def("device_count", &device_count);
    module.def("device_properties", &device_properties, arg("device"));
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
    module.def("gram", &gram_of, arg("x"), arg("out"), arg("workspace"), arg("stream"));
    module.def("solve_upper", &solve, arg("r"), arg("x"), arg("workspace"), arg("stream"));
    bind_factor(module);
    bind_hvp(module);
    bind_stepwise(module);
    // How many doubles of workspace each of those needs.
    module.def("reduce_shared_scratch",
               [](Index h, Index k, Index n) { return with_alignment(reduce_shared_scratch(h, k, n)); });
    module.def("column_norms_scratch",
               [](Index rows, Index cols) { return with_alignment(column_norms_scratch(rows, cols)); });
    module.def("gram_scratch",
               [](Index n, Index m, bool single) { return with_alignment(gram_scratch(n, m, single)); });
    module.def("blas_scratch", [] { return with_alignment(kBlasScratch); });
}

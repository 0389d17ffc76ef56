// The module hessay._cuda: device facts and the routines over DLPack arrays. Call it through hessay.cuda.
#include "bind_factor.hpp"
#include "bind_hvp.hpp"
#include "bind_kernels.hpp"
#include "bind_lanczos.hpp"
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
    module.def("gram", &gram_of, arg("x"), arg("out"), arg("workspace"), arg("stream"));
    module.def("solve_upper", &solve, arg("r"), arg("x"), arg("workspace"), arg("stream"));
    bind_factor(module);
    bind_hvp(module);
    bind_kernels(module);
    bind_lanczos(module);
    bind_stepwise(module);
    // How many doubles of workspace these need.
    module.def("gram_scratch",
               [](Index n, Index m, bool single) { return with_alignment(gram_scratch(n, m, single)); });
}

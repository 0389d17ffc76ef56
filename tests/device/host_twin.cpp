// The bindings of hessay._cuda over HostLoops, for tensors of the processor: what the Python layer above them does is
// tested without a device. Built by tests/support/device_bodies.py together with cuda/bind_*.cpp and cuda_array.cpp,
// with HESSAY_HOST_TWIN defined.
#include "bind_factor.hpp"
#include "bind_hvp.hpp"
#include "bind_kernels.hpp"
#include "bind_lanczos.hpp"
#include "bind_stepwise.hpp"
#include "call.hpp"

PYBIND11_MODULE(cuda_host_twin, module)
{
    pybind11::register_local_exception_translator(hessay::cuda::translate);
    hessay::cuda::bind_factor(module);
    hessay::cuda::bind_hvp(module);
    hessay::cuda::bind_kernels(module);
    hessay::cuda::bind_lanczos(module);
    hessay::cuda::bind_stepwise(module);
    module.def("device_count", [] { return 1; });
    module.def("device_properties", [](int) {
        pybind11::dict found;
        found["name"] = "host loops";
        found["major"] = 9;
        found["minor"] = 0;
        return found;
    });
}

#include "bindings.hpp"
#include "hessay/error.hpp"

namespace {

namespace py = pybind11;

// Raises the Python twin of a core exception: the class of the given name in hessay.errors.
void raise_twin(const char* name, const char* message)
{
    const py::object type = py::module_::import("hessay.errors").attr(name);
    PyErr_SetString(type.ptr(), message);
}

void translate(std::exception_ptr pointer)
{
    try {
        if (pointer) std::rethrow_exception(pointer);
    } catch (const hessay::ShapeError& error) {
        raise_twin("ShapeError", error.what());
    } catch (const hessay::NonFinite& error) {
        raise_twin("NonFinite", error.what());
    } catch (const hessay::Error& error) {
        raise_twin("ArgumentError", error.what());
    }
}

} // namespace

PYBIND11_MODULE(_core, module)
{
    module.doc() = "hessay's numerical core. Call it through the Python layer, which checks and converts.";
    py::register_local_exception_translator(translate);
    module.attr("blas_signature") = hessay::bindings::load_blas();
    hessay::bindings::bind_primitives(module);
    hessay::bindings::bind_rows(module);
    hessay::bindings::bind_network(module);
    hessay::bindings::bind_factor(module);
    hessay::bindings::bind_hvp(module);
    hessay::bindings::bind_lanczos(module);
    hessay::bindings::bind_laws(module);
    hessay::bindings::bind_stepwise(module);
    hessay::bindings::bind_edge(module);
}

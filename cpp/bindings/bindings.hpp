#pragma once
#include "array.hpp"
#include "hessay/context.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

namespace hessay::bindings {

/// Fills the BLAS tables from scipy.linalg.cython_blas and cython_lapack; returns the capsules' C signature of dgemm.
std::string load_blas();

void bind_primitives(py::module_& module);
void bind_rows(py::module_& module);
void bind_network(py::module_& module);
void bind_factor(py::module_& module);
void bind_hvp(py::module_& module);
void bind_lanczos(py::module_& module);
void bind_laws(py::module_& module);
void bind_stepwise(py::module_& module);
void bind_edge(py::module_& module);

/// A context whose poll lets Python handle signals, at most every 20 ms: Ctrl-C ends a kernel between blocks of work.
/// Throws ValueError when threads is below 1.
inline Context python_context(std::uint64_t seed = 0, Index threads = 1)
{
    require(threads >= 1, "the number of threads must be at least 1, got ", threads);
    using Clock = std::chrono::steady_clock;
    const auto poll = [last = Clock::now()]() mutable {
        if (Clock::now() - last < std::chrono::milliseconds(20)) return;
        last = Clock::now();
        const py::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    };
    return Context(seed, poll, threads);
}

/// Hands a vector to Python as a column-major (rows, cols) array, without a copy.
template <class T>
py::array_t<T> owned_matrix(std::vector<T>&& values, Index rows, Index cols)
{
    auto owner = std::make_unique<std::vector<T>>(std::move(values));
    T* data = owner->data();
    const py::capsule keep(owner.release(), [](void* memory) { delete static_cast<std::vector<T>*>(memory); });
    const auto item = static_cast<py::ssize_t>(sizeof(T));
    return py::array_t<T>({rows, cols}, {item, item * static_cast<py::ssize_t>(rows)}, data, keep);
}

/// Calls body with a float or a double, whichever the array holds. Throws ShapeError for any other type.
template <class Body>
auto for_precision(const Array& array, Body&& body)
{
    if (array.is_float(32)) return body(float{});
    require<ShapeError>(array.is_float(64), array.name(), " must be float32 or float64");
    return body(double{});
}

} // namespace hessay::bindings

#pragma once
#include <pybind11/complex.h>
#include <pybind11/numpy.h>

#include <complex>
#include <type_traits>
#include <vector>

namespace hessay::bindings {

namespace py = pybind11;

/// C-contiguous, converted when it is not; the Python layer has checked for NaN.
using RealArray = py::array_t<double, py::array::c_style | py::array::forcecast>;
using ComplexArray = py::array_t<std::complex<double>, py::array::c_style | py::array::forcecast>;

/// result[i] = body(values[i]) in order, the same shape, the GIL released.
template <class T, class Body>
auto map(const py::array_t<T, py::array::c_style | py::array::forcecast>& values, Body body)
{
    using Result = std::decay_t<decltype(body(T{}))>;
    py::array_t<Result> result(std::vector<py::ssize_t>(values.shape(), values.shape() + values.ndim()));
    const T* from = values.data();
    Result* to = result.mutable_data();
    const py::ssize_t size = values.size();
    py::gil_scoped_release release;
    for (py::ssize_t i = 0; i < size; ++i) to[i] = body(from[i]);
    return result;
}

} // namespace hessay::bindings

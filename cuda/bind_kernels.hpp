#pragma once
#include <pybind11/pybind11.h>

namespace hessay::cuda {

/// Adds the kernels of routines.hpp and a product to a module.
void bind_kernels(pybind11::module_& module);

} // namespace hessay::cuda

#pragma once
#include <pybind11/pybind11.h>

namespace hessay::cuda {

/// Adds Operator32, Operator64, dense_operator and lanczos to a module.
void bind_lanczos(pybind11::module_& module);

} // namespace hessay::cuda

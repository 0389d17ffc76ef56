#pragma once
#include <pybind11/pybind11.h>

namespace hessay::cuda {

/// Adds the passes of stepwise selection to a module.
void bind_stepwise(pybind11::module_& module);

} // namespace hessay::cuda

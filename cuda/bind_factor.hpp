#pragma once
#include <pybind11/pybind11.h>

namespace hessay::cuda {

/// Adds FactorPlan32, FactorPlan64 and the products with a factor to a module.
void bind_factor(pybind11::module_& module);

} // namespace hessay::cuda

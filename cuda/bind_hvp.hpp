#pragma once
#include <pybind11/pybind11.h>

namespace hessay::cuda {

/// Adds LossHessian32 and LossHessian64 to a module.
void bind_hvp(pybind11::module_& module);

} // namespace hessay::cuda

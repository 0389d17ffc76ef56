#pragma once
#ifdef HESSAY_HOST_TWIN
#include "repeating_loops.hpp"
#else
#include "context.hpp"
#include "primitives.hpp"
#endif

namespace hessay::cuda {

/// What an eigensolver runs on: the device, or its twin on the processor in tests.
#ifdef HESSAY_HOST_TWIN
using SolveDevice = RepeatingLoops;
#else
using SolveDevice = CudaContext;
#endif

} // namespace hessay::cuda

#pragma once
#include "../simd/stepwise_tile.hpp"

namespace hessay {

/// The kernels of the instruction set that instruction_set() names.
const simd::StepwiseKernels32& stepwise_kernels(float);
const simd::StepwiseKernels64& stepwise_kernels(double);

} // namespace hessay

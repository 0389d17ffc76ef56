#include "stepwise_tile.hpp"

namespace hessay::simd::avx2 {

namespace {

constexpr int kBytes = 32, kVectors = 3, kRight = 4;

#include "stepwise_kernels.inc"

} // namespace

StepwiseKernels32 stepwise_kernels(float)
{
    return {Lanes<float>::tile, pack<float, float>, pack<double, float>, product<float>, squares<float>};
}

StepwiseKernels64 stepwise_kernels(double)
{
    return {Lanes<double>::tile, pack<float, double>, pack<double, double>, product<double>, squares<double>};
}

} // namespace hessay::simd::avx2

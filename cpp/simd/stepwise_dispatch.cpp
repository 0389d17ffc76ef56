#include "../src/stepwise_kernels.hpp"
#include "hessay/symmetric_product.hpp"

#include <string>

namespace hessay {

namespace {

// CMake defines HESSAY_AVX2 and HESSAY_AVX512 where it compiles those kernels.
template <class Kernels, class T>
Kernels choose()
{
    const std::string set = instruction_set();
#ifdef HESSAY_AVX512
    if (set == "avx512") return simd::avx512::stepwise_kernels(T{});
#endif
#ifdef HESSAY_AVX2
    if (set == "avx2") return simd::avx2::stepwise_kernels(T{});
#endif
    return simd::baseline::stepwise_kernels(T{});
}

} // namespace

const simd::StepwiseKernels32& stepwise_kernels(float)
{
    static const auto kernels = choose<simd::StepwiseKernels32, float>();
    return kernels;
}

const simd::StepwiseKernels64& stepwise_kernels(double)
{
    static const auto kernels = choose<simd::StepwiseKernels64, double>();
    return kernels;
}

} // namespace hessay

// Compiled, not run, by .ci/run: the bodies in elementwise.hpp must be valid device code in both precisions.
#include "hessay/elementwise.hpp"

namespace {

template <class T>
__global__ void every_body(hessay::Activation activation, T parameter, int n, const T* x, T* value, T* slope, T* curvature)
{
    const int stride = int(gridDim.x * blockDim.x);
    for (int i = int(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += stride) {
        value[i] = hessay::activation_value(activation, parameter, x[i]);
        slope[i] = hessay::activation_slope(activation, parameter, x[i]);
        curvature[i] = hessay::is_piecewise_linear(activation) ? T(0)
                                                               : hessay::activation_curvature(activation, parameter, x[i]);
    }
}

template __global__ void every_body<float>(hessay::Activation, float, int, const float*, float*, float*, float*);
template __global__ void every_body<double>(hessay::Activation, double, int, const double*, double*, double*, double*);

} // namespace

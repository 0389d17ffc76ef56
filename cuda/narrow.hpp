#pragma once
#include "context.hpp"
#include "narrow_routines.hpp"

// Compiled once, in narrow.cu.
namespace hessay::cuda {

extern template void narrow_product(CudaContext&, Transpose, float, MatrixView<const float>, MatrixView<const float>,
                                    float, MatrixView<float>);
extern template void narrow_product(CudaContext&, Transpose, double, MatrixView<const double>, MatrixView<const double>,
                                    double, MatrixView<double>);

} // namespace hessay::cuda

#pragma once
#include "device_routines.hpp"
#include "hvp_routines.hpp"

// The products on a device are compiled once, in hvp.cu; every other file calls those.
namespace hessay::cuda {

extern template void linearise(CudaContext&, const LinearisedLoss<float>&, MatrixView<const float>,
                               MatrixView<const float>, Index, MatrixView<double>);
extern template void linearise(CudaContext&, const LinearisedLoss<double>&, MatrixView<const double>,
                               MatrixView<const double>, Index, MatrixView<double>);
extern template void hessian_apply(CudaContext&, const LinearisedLoss<float>&, Index, MatrixView<const float>,
                                   MatrixView<float>);
extern template void hessian_apply(CudaContext&, const LinearisedLoss<double>&, Index, MatrixView<const double>,
                                   MatrixView<double>);
extern template void hessian_apply_per_sample(CudaContext&, const LinearisedLoss<float>&, Index,
                                              MatrixView<const float>, MatrixView<float>);
extern template void hessian_apply_per_sample(CudaContext&, const LinearisedLoss<double>&, Index,
                                              MatrixView<const double>, MatrixView<double>);

} // namespace hessay::cuda

// The Hessian-vector products of hvp_routines.hpp on a device, in both precisions.
#include "hvp.hpp"
#include "launch.cuh"

namespace hessay::cuda {

template void linearise(CudaContext&, const LinearisedLoss<float>&, MatrixView<const float>, MatrixView<const float>,
                        Index, MatrixView<double>);
template void linearise(CudaContext&, const LinearisedLoss<double>&, MatrixView<const double>, MatrixView<const double>,
                        Index, MatrixView<double>);
template void hessian_apply(CudaContext&, const LinearisedLoss<float>&, Index, MatrixView<const float>,
                            MatrixView<float>);
template void hessian_apply(CudaContext&, const LinearisedLoss<double>&, Index, MatrixView<const double>,
                            MatrixView<double>);
template void hessian_apply_per_sample(CudaContext&, const LinearisedLoss<float>&, Index, MatrixView<const float>,
                                       MatrixView<float>);
template void hessian_apply_per_sample(CudaContext&, const LinearisedLoss<double>&, Index, MatrixView<const double>,
                                       MatrixView<double>);

} // namespace hessay::cuda

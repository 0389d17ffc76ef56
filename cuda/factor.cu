// The factor of factor_routines.hpp on a device, in both precisions.
#include "factor.hpp"
#include "launch.cuh"

namespace hessay::cuda {

template void factor_rows(CudaContext&, const FactorPlan<float>&, MatrixView<const float>, Index, MatrixView<float>,
                          MatrixView<double>);
template void factor_apply(CudaContext&, MatrixView<const float>, MatrixView<const float>, Index,
                           MatrixView<const float>, MatrixView<float>);
template void factor_apply_per_sample(CudaContext&, MatrixView<const float>, MatrixView<const float>, Index, Index,
                                      MatrixView<const float>, MatrixView<float>);
template void factor_dense(CudaContext&, MatrixView<const float>, MatrixView<const float>, Index, MatrixView<double>);
template void factor_rows(CudaContext&, const FactorPlan<double>&, MatrixView<const double>, Index, MatrixView<double>,
                          MatrixView<double>);
template void factor_apply(CudaContext&, MatrixView<const double>, MatrixView<const double>, Index,
                           MatrixView<const double>, MatrixView<double>);
template void factor_apply_per_sample(CudaContext&, MatrixView<const double>, MatrixView<const double>, Index, Index,
                                      MatrixView<const double>, MatrixView<double>);
template void factor_dense(CudaContext&, MatrixView<const double>, MatrixView<const double>, Index, MatrixView<double>);

} // namespace hessay::cuda

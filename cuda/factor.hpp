#pragma once
#include "factor_routines.hpp"
#include "hvp.hpp"

// The factor on a device is compiled once, in factor.cu; every other file calls that.
namespace hessay::cuda {

extern template void factor_rows(CudaContext&, const FactorPlan<float>&, MatrixView<const float>, Index,
                                 MatrixView<float>, MatrixView<double>);
extern template void factor_apply(CudaContext&, MatrixView<const float>, MatrixView<const float>, Index,
                                  MatrixView<const float>, MatrixView<float>);
extern template void factor_apply_per_sample(CudaContext&, MatrixView<const float>, MatrixView<const float>, Index,
                                             Index, MatrixView<const float>, MatrixView<float>);
extern template void factor_dense(CudaContext&, MatrixView<const float>, MatrixView<const float>, Index,
                                  MatrixView<double>);
extern template void factor_rows(CudaContext&, const FactorPlan<double>&, MatrixView<const double>, Index,
                                 MatrixView<double>, MatrixView<double>);
extern template void factor_apply(CudaContext&, MatrixView<const double>, MatrixView<const double>, Index,
                                  MatrixView<const double>, MatrixView<double>);
extern template void factor_apply_per_sample(CudaContext&, MatrixView<const double>, MatrixView<const double>, Index,
                                             Index, MatrixView<const double>, MatrixView<double>);
extern template void factor_dense(CudaContext&, MatrixView<const double>, MatrixView<const double>, Index,
                                  MatrixView<double>);

} // namespace hessay::cuda

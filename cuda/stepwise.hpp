#pragma once
#include "device_routines.hpp"
#include "stepwise_routines.hpp"

// The passes on a device are compiled once, in stepwise.cu; every other file calls those.
namespace hessay::cuda {

extern template void standardise(CudaContext&, const float*, Index, Index, Positions, const double*, const double*,
                                 const double*, MatrixView<float>);
extern template void standardise(CudaContext&, const double*, Index, Index, Positions, const double*, const double*,
                                 const double*, MatrixView<float>);
extern template void gather_rows(CudaContext&, MatrixView<const float>, Positions, MatrixView<float>);
extern template void project(CudaContext&, MatrixView<const float>, MatrixView<const float>, MatrixView<double>);
extern template void sum_squares(CudaContext&, MatrixView<const float>, MatrixView<double>);
extern template void standardise(CudaContext&, const float*, Index, Index, Positions, const double*, const double*,
                                 const double*, MatrixView<double>);
extern template void standardise(CudaContext&, const double*, Index, Index, Positions, const double*, const double*,
                                 const double*, MatrixView<double>);
extern template void gather_rows(CudaContext&, MatrixView<const double>, Positions, MatrixView<double>);
extern template void project(CudaContext&, MatrixView<const double>, MatrixView<const double>, MatrixView<double>);
extern template void sum_squares(CudaContext&, MatrixView<const double>, MatrixView<double>);
extern template void combine(CudaContext&, MatrixView<const double>, MatrixView<const double>, MatrixView<const double>,
                             MatrixView<const double>, MatrixView<double>);

} // namespace hessay::cuda

// The passes of stepwise_routines.hpp on a device, in both precisions of X and of products.
#include "launch.cuh"
#include "stepwise.hpp"

namespace hessay::cuda {

template void standardise(CudaContext&, const float*, Index, Index, Positions, const double*, const double*,
                          const double*, MatrixView<float>);
template void standardise(CudaContext&, const double*, Index, Index, Positions, const double*, const double*,
                          const double*, MatrixView<float>);
template void gather_rows(CudaContext&, MatrixView<const float>, Positions, MatrixView<float>);
template void project(CudaContext&, MatrixView<const float>, MatrixView<const float>, MatrixView<double>);
template void sum_squares(CudaContext&, MatrixView<const float>, MatrixView<double>);
template void standardise(CudaContext&, const float*, Index, Index, Positions, const double*, const double*,
                          const double*, MatrixView<double>);
template void standardise(CudaContext&, const double*, Index, Index, Positions, const double*, const double*,
                          const double*, MatrixView<double>);
template void gather_rows(CudaContext&, MatrixView<const double>, Positions, MatrixView<double>);
template void project(CudaContext&, MatrixView<const double>, MatrixView<const double>, MatrixView<double>);
template void sum_squares(CudaContext&, MatrixView<const double>, MatrixView<double>);
template void combine(CudaContext&, MatrixView<const double>, MatrixView<const double>, MatrixView<const double>,
                      MatrixView<const double>, MatrixView<double>);

} // namespace hessay::cuda

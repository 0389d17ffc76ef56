// The narrow products of narrow_routines.hpp on a device, in both precisions.
#include "launch.cuh"
#include "narrow.hpp"

namespace hessay::cuda {

template void narrow_product(CudaContext&, Transpose, float, MatrixView<const float>, MatrixView<const float>, float,
                             MatrixView<float>);
template void narrow_product(CudaContext&, Transpose, double, MatrixView<const double>, MatrixView<const double>,
                             double, MatrixView<double>);

} // namespace hessay::cuda

// Every kernel that needs no library. The routines of routines.hpp, instantiated for a device in both precisions.
#include "launch.cuh"
#include "routines.hpp"

namespace hessay::cuda {

template void gaussian_fill(CudaContext&, std::uint64_t, std::uint64_t, MatrixView<float>);
template void gaussian_fill(CudaContext&, std::uint64_t, std::uint64_t, MatrixView<double>);
template void activate(CudaContext&, Activation, double, MatrixView<float>, MatrixView<float>, MatrixView<float>);
template void activate(CudaContext&, Activation, double, MatrixView<double>, MatrixView<double>, MatrixView<double>);
template void scale_by_sample(CudaContext&, MatrixView<const float>, Index, MatrixView<float>, MatrixView<float>);
template void scale_by_sample(CudaContext&, MatrixView<const double>, Index, MatrixView<double>, MatrixView<double>);
template void tangent_backward_step(CudaContext&, MatrixView<const float>, MatrixView<const float>,
                                    MatrixView<const float>, Index, MatrixView<float>);
template void tangent_backward_step(CudaContext&, MatrixView<const double>, MatrixView<const double>,
                                    MatrixView<const double>, Index, MatrixView<double>);
template void expand_shared(CudaContext&, MatrixView<const float>, MatrixView<const float>, MatrixView<float>);
template void expand_shared(CudaContext&, MatrixView<const double>, MatrixView<const double>, MatrixView<double>);
template void reduce_shared(CudaContext&, MatrixView<const float>, MatrixView<const float>, MatrixView<double>);
template void reduce_shared(CudaContext&, MatrixView<const double>, MatrixView<const double>, MatrixView<double>);
template void cross_entropy_curvature(CudaContext&, MatrixView<const float>, Index, double, MatrixView<float>);
template void cross_entropy_curvature(CudaContext&, MatrixView<const double>, Index, double, MatrixView<double>);
template void column_norms(CudaContext&, MatrixView<const float>, double*);
template void column_norms(CudaContext&, MatrixView<const double>, double*);
template void lanczos_update(CudaContext&, const double*, const double*, MatrixView<const float>,
                             MatrixView<const float>, MatrixView<float>);
template void lanczos_update(CudaContext&, const double*, const double*, MatrixView<const double>,
                             MatrixView<const double>, MatrixView<double>);
template void normalise(CudaContext&, const double*, MatrixView<float>);
template void normalise(CudaContext&, const double*, MatrixView<double>);
template void CudaContext::columns(const Widen<float>&);
template void CudaContext::columns(const MirrorUpper&);

} // namespace hessay::cuda

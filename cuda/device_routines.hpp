#pragma once
#include "context.hpp"
#include "routines.hpp"

// The routines on a device are compiled once, in kernels.cu; every other file calls those.
namespace hessay::cuda {

extern template void gaussian_fill(CudaContext&, std::uint64_t, std::uint64_t, MatrixView<float>);
extern template void gaussian_fill(CudaContext&, std::uint64_t, std::uint64_t, MatrixView<double>);
extern template void activate(CudaContext&, Activation, double, MatrixView<float>, MatrixView<float>,
                              MatrixView<float>);
extern template void activate(CudaContext&, Activation, double, MatrixView<double>, MatrixView<double>,
                              MatrixView<double>);
extern template void scale_by_sample(CudaContext&, MatrixView<const float>, Index, MatrixView<float>,
                                     MatrixView<float>);
extern template void scale_by_sample(CudaContext&, MatrixView<const double>, Index, MatrixView<double>,
                                     MatrixView<double>);
extern template void tangent_backward_step(CudaContext&, MatrixView<const float>, MatrixView<const float>,
                                           MatrixView<const float>, Index, MatrixView<float>);
extern template void tangent_backward_step(CudaContext&, MatrixView<const double>, MatrixView<const double>,
                                           MatrixView<const double>, Index, MatrixView<double>);
extern template void expand_shared(CudaContext&, MatrixView<const float>, MatrixView<const float>, MatrixView<float>);
extern template void expand_shared(CudaContext&, MatrixView<const double>, MatrixView<const double>,
                                   MatrixView<double>);
extern template void reduce_shared(CudaContext&, MatrixView<const float>, MatrixView<const float>, MatrixView<double>);
extern template void reduce_shared(CudaContext&, MatrixView<const double>, MatrixView<const double>,
                                   MatrixView<double>);
extern template void cross_entropy_curvature(CudaContext&, MatrixView<const float>, Index, double, MatrixView<float>);
extern template void cross_entropy_curvature(CudaContext&, MatrixView<const double>, Index, double, MatrixView<double>);
extern template void column_norms(CudaContext&, MatrixView<const float>, double*);
extern template void column_norms(CudaContext&, MatrixView<const double>, double*);
extern template void lanczos_update(CudaContext&, const double*, const double*, MatrixView<const float>,
                                    MatrixView<const float>, MatrixView<float>);
extern template void lanczos_update(CudaContext&, const double*, const double*, MatrixView<const double>,
                                    MatrixView<const double>, MatrixView<double>);
extern template void normalise(CudaContext&, const double*, MatrixView<float>);
extern template void normalise(CudaContext&, const double*, MatrixView<double>);

} // namespace hessay::cuda

#include "hessay/block_lanczos.hpp"

#include "lanczos_solver.hpp"

namespace hessay {

template <class T>
LanczosResult<T> block_lanczos(Context& ctx, const LinearOperator<T>& op, const LanczosOptions& options,
                               MatrixView<const T> start)
{
    require<ShapeError>(start.cols == 0 || start.rows == op.size, "start must have ", op.size,
                        " rows, the size of the operator, got ", start.rows);
    require<NonFinite>(all_finite<T>(start), "start holds NaN or Inf");
    HostSpace<T> space(ctx, op);
    return lanczos_in(space, options, start);
}

template LanczosResult<float> block_lanczos<float>(Context&, const LinearOperator<float>&, const LanczosOptions&,
                                                   MatrixView<const float>);
template LanczosResult<double> block_lanczos<double>(Context&, const LinearOperator<double>&, const LanczosOptions&,
                                                     MatrixView<const double>);

} // namespace hessay

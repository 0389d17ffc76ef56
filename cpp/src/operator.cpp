#include "hessay/operator.hpp"

#include "hessay/error.hpp"
#include "hessay/primitives.hpp"
#include "hessay/symmetric_product.hpp"

namespace hessay {

template <class T>
LinearOperator<T> dense_operator(MatrixView<const T> a)
{
    require<ShapeError>(a.rows == a.cols && a.rows > 0, "a dense operator needs a square, non-empty matrix, got (",
                        a.rows, ", ", a.cols, ")");
    return {a.rows, [a](Context& ctx, MatrixView<const T> v, MatrixView<T> av) {
                if (symmetric_product_pays(a.rows, sizeof(T), v.cols))
                    symmetric_product<T>(ctx, a, v, av);
                else
                    gemm<T>(Transpose::no, Transpose::no, T(1), a, v, T(0), av);
            }};
}

template LinearOperator<float> dense_operator<float>(MatrixView<const float>);
template LinearOperator<double> dense_operator<double>(MatrixView<const double>);

} // namespace hessay

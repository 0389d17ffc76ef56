#include "hessay/error.hpp"
#include "hessay/symmetric_product.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hessay {

template <class T>
Asymmetry asymmetry(Context& ctx, MatrixView<const T> a)
{
    require<ShapeError>(a.rows == a.cols, "asymmetry needs a square matrix, got (", a.rows, ", ", a.cols, ")");
    constexpr Index kTile = 32; // both tiles stay in the first-level cache: one of them is read against the grain
    T difference = 0, largest = 0, poison = 0;
    for (Index first_j = 0; first_j < a.cols; first_j += kTile) {
        const Index end_j = std::min(first_j + kTile, a.cols);
        for (Index first_i = first_j; first_i < a.rows; first_i += kTile) {
            const Index end_i = std::min(first_i + kTile, a.rows);
            for (Index j = first_j; j < end_j; ++j)
                for (Index i = std::max(first_i, j); i < end_i; ++i) {
                    const T x = a(i, j), y = a(j, i);
                    poison += (x - x) + (y - y); // 0, or NaN from the first NaN or Inf on
                    difference = std::max(difference, std::abs(x - y));
                    largest = std::max(largest, std::max(std::abs(x), std::abs(y)));
                }
        }
        ctx.poll();
    }
    if (poison == 0) return {static_cast<double>(difference), static_cast<double>(largest)};
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan};
}

template Asymmetry asymmetry<float>(Context&, MatrixView<const float>);
template Asymmetry asymmetry<double>(Context&, MatrixView<const double>);

} // namespace hessay

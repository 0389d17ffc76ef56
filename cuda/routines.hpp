#pragma once
#include "elementwise_bodies.hpp"
#include "gaussian_bodies.hpp"
#include "hessay/error.hpp"
#include "reduction_bodies.hpp"
#include "shared_bodies.hpp"

#include <algorithm>
#include <cmath>

// What the bodies are put together to. Device is CudaContext, or HostLoops for the tests: shapes are checked, launches
// ordered and scratch counted by the same lines on both. No routine waits for the device.
namespace hessay::cuda {

constexpr Index kChunkSamples = 64; // whose terms one thread adds up; fixed, so that sums do not depend on the device

inline Index divide_up(Index n, Index by) { return (n + by - 1) / by; }

template <class A, class B>
void require_same_shape(const char* name, MatrixView<A> x, const char* other, MatrixView<B> y)
{
    require<ShapeError>(x.rows == y.rows && x.cols == y.cols, name, " has shape (", x.rows, ", ", x.cols, ") and ",
                        other, " (", y.rows, ", ", y.cols, "); they must agree");
}

/// See quotient.
inline void require_countable(Index cols)
{
    require(cols <= Index(0xffffffff), "a matrix of ", cols, " columns has more than 2^32 - 1; use fewer samples");
}

/// factors (h, n) meet tangents (h, n k).
template <class A, class B>
void require_by_sample(const char* name, MatrixView<A> factor, Index per_sample, const char* other, MatrixView<B> x)
{
    require_countable(x.cols);
    require(per_sample >= 1, "directions per sample must be at least 1, got ", per_sample);
    require<ShapeError>(factor.rows == x.rows && factor.cols * per_sample == x.cols, name, " (", factor.rows, ", ",
                        factor.cols, ") with ", per_sample, " directions a sample does not fit ", other, " (", x.rows,
                        ", ", x.cols, ")");
}

/// Fills x with the numbers of one stream: element number i is the same on every device, up to the last places.
template <class Device, class T>
void gaussian_fill(Device& device, std::uint64_t seed, std::uint64_t stream, MatrixView<T> x)
{
    const MatrixView<T> one_column{x.data, x.rows * x.cols, 1, x.rows * x.cols};
    device.each(GaussianFill<T>{seed, stream, x, x.contiguous(), packs_fit(one_column)});
}

/// x <- act(x), act'(x) and act''(x) beside it where slope and curvature have memory.
template <class Device, class T>
void activate(Device& device, Activation activation, double parameter, MatrixView<T> x, MatrixView<T> slope,
              MatrixView<T> curvature)
{
    if (slope.data) require_same_shape("slope", slope, "x", x);
    if (curvature.data) require_same_shape("curvature", curvature, "x", x);
    device.columns(Activate<T>{activation, static_cast<T>(parameter), x, slope, curvature});
}

/// kept <- x where it has memory, then x[:, i k + j] <- factor[:, i] * x.
template <class Device, class T>
void scale_by_sample(Device& device, MatrixView<const T> factor, Index per_sample, MatrixView<T> x, MatrixView<T> kept)
{
    require_by_sample("factor", factor, per_sample, "x", x);
    if (kept.data) require_same_shape("kept", kept, "x", x);
    device.columns(ScaleBySample<T>{factor, per_sample, x, kept});
}

/// back[:, i k + j] <- slope[:, i] * back + curvature[:, i] * tangent
template <class Device, class T>
void tangent_backward_step(Device& device, MatrixView<const T> slope, MatrixView<const T> curvature,
                           MatrixView<const T> tangent, Index per_sample, MatrixView<T> back)
{
    require_by_sample("slope", slope, per_sample, "back", back);
    require_same_shape("curvature", curvature, "slope", slope);
    require_same_shape("tangent", tangent, "back", back);
    device.columns(TangentBackwardStep<T>{slope, curvature, tangent, per_sample, back});
}

/// value[:, i k + j] <- slope[:, i] * pushed[:, j]
template <class Device, class T>
void expand_shared(Device& device, MatrixView<const T> slope, MatrixView<const T> pushed, MatrixView<T> value)
{
    require<ShapeError>(pushed.cols >= 1 && pushed.rows == value.rows && value.cols % pushed.cols == 0, "pushed (",
                        pushed.rows, ", ", pushed.cols, ") does not fit value (", value.rows, ", ", value.cols, ")");
    require_countable(value.cols);
    if (slope.data) require_by_sample("slope", slope, pushed.cols, "value", value);
    device.columns(ExpandShared<T>{slope, pushed, value});
}

/// Doubles of scratch that reduce_shared takes for sums (h, k) over n samples.
inline Index reduce_shared_scratch(Index h, Index k, Index samples)
{
    Index chunks = divide_up(samples, kChunkSamples), all = chunks;
    while (chunks > SumChunks::kTogether) all += chunks = divide_up(chunks, SumChunks::kTogether);
    return h * k * all;
}

/// sum[:, j] += slope[:, i] * value[:, i k + j] over the samples i, in double, always in the same order.
template <class Device, class T>
void reduce_shared(Device& device, MatrixView<const T> slope, MatrixView<const T> value, MatrixView<double> sum)
{
    require<ShapeError>(sum.cols >= 1 && sum.rows == value.rows && value.cols % sum.cols == 0, "sum (", sum.rows, ", ",
                        sum.cols, ") does not fit value (", value.rows, ", ", value.cols, ")");
    require_countable(value.cols);
    if (slope.data) require_by_sample("slope", slope, sum.cols, "value", value);
    const Index k = sum.cols;
    Index chunks = divide_up(value.cols / k, kChunkSamples);
    if (chunks == 0 || sum.rows == 0) return;
    auto partial = device.scratch(sum.rows, k * chunks);
    device.columns(SumSamples<T>{slope, value, k, kChunkSamples, partial});
    while (chunks > SumChunks::kTogether) {
        chunks = divide_up(chunks, SumChunks::kTogether);
        const auto fewer = device.scratch(sum.rows, k * chunks);
        device.columns(SumChunks{partial, k, false, fewer});
        partial = fewer;
    }
    device.columns(SumChunks{partial, k, true, sum});
}

/// u <- S u, S the Hessian of the cross-entropy in the logits at each column's sample; state = softmax(z / scale).
template <class Device, class T>
void cross_entropy_curvature(Device& device, MatrixView<const T> state, Index per_sample, double scale, MatrixView<T> u)
{
    require_by_sample("state", state, per_sample, "u", u);
    require(u.rows <= Index(0x7fffffff), "there are ", u.rows, " classes, more than 2^31 - 1");
    require(std::isfinite(scale) && scale > 0, "the logit scale must be positive and finite, got ", scale);
    device.lanes(CrossEntropyCurvature<T>{state, per_sample, packs_fit(state) && packs_fit(u),
                                          static_cast<T>(1 / (scale * scale)), u});
}

// out (cols) <- sums or largest magnitudes of columns: chunks of each column, then chunks of what those gave.
template <class Device, class T>
void reduce_columns(Device& device, Column what, MatrixView<const T> x, const double* largest, double* out)
{
    const Index chunks = std::max<Index>(divide_up(x.rows, kChunkRows), 1);
    const MatrixView<double> result{out, 1, x.cols, 1};
    const auto partial = chunks == 1 ? result : device.scratch(chunks, x.cols);
    device.lanes(ReduceColumns<T>{what, x, packs_fit(x), largest, partial});
    if (chunks == 1) return;
    const Column again = what == Column::largest_magnitude ? what : Column::sum;
    reduce_columns<Device, double>(device, again, partial, nullptr, out);
}

/// Doubles of scratch that column_norms takes for x (rows, cols).
inline Index column_norms_scratch(Index rows, Index cols)
{
    Index partials = 0;
    for (Index n = divide_up(rows, kChunkRows); n > 1; n = divide_up(n, kChunkRows)) partials += n * cols;
    return cols + 2 * partials; // of doubles; floats take less
}

/// norms (cols) <- Euclidean norms of the columns, in double; NaN and Inf come through. Squares of doubles are taken
/// relative to a power of two near the largest magnitude; those of floats cannot leave the range of double.
template <class Device, class T>
void column_norms(Device& device, MatrixView<const T> x, double* norms)
{
    if (x.cols == 0) return;
    if constexpr (sizeof(T) < sizeof(double)) {
        reduce_columns(device, Column::sum_of_squares, x, nullptr, norms);
        device.each(FinishNorms{nullptr, norms, x.cols});
        return;
    }
    const auto largest = device.scratch(x.cols, 1);
    reduce_columns(device, Column::largest_magnitude, x, nullptr, largest.data);
    reduce_columns(device, Column::sum_of_squares, x, largest.data, norms);
    device.each(FinishNorms{largest.data, norms, x.cols});
}

/// w[:, j] <- w - alpha[j] v - beta[j] u
template <class Device, class T>
void lanczos_update(Device& device, const double* alpha, const double* beta, MatrixView<const T> v,
                    MatrixView<const T> u, MatrixView<T> w)
{
    require_same_shape("v", v, "w", w);
    require_same_shape("u", u, "w", w);
    device.columns(LanczosUpdate<T>{alpha, beta, v, u, w});
}

/// x[:, j] <- x / norms[j]
template <class Device, class T>
void normalise(Device& device, const double* norms, MatrixView<T> x)
{
    device.columns(Normalise<T>{norms, x});
}

} // namespace hessay::cuda

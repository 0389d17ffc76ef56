#pragma once
#include "elementwise_bodies.hpp"
#include "hessay/loss.hpp"

#include <cmath>

// Bodies for the passes over a layer program: see elementwise_bodies.hpp for what a body is.
namespace hessay::cuda {

/// x[:, j] += bias
template <class T>
struct AddBias {
    using Number = T;
    static constexpr bool kPacks = true;
    const T* bias; // (rows)
    MatrixView<T> x;

    HESSAY_HD Index rows() const { return x.rows; }
    HESSAY_HD Index cols() const { return x.cols; }
    bool aligned() const { return packs_fit(x); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        auto value = load<Width>(&x(i, j));
        for (int w = 0; w < Width; ++w) value.value[w] += bias[i + w];
        store(&x(i, j), value);
    }
};

/// target <- source, or target += source with add.
template <class T>
struct Accumulate {
    using Number = T;
    static constexpr bool kPacks = true;
    MatrixView<const T> source;
    bool add;
    MatrixView<T> target;

    HESSAY_HD Index rows() const { return target.rows; }
    HESSAY_HD Index cols() const { return target.cols; }
    bool aligned() const { return packs_fit(source) && packs_fit(target); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        auto value = load<Width>(&source(i, j));
        if (add) {
            const auto before = load<Width>(&target(i, j));
            for (int w = 0; w < Width; ++w) value.value[w] += before.value[w];
        }
        store(&target(i, j), value);
    }
};

/// x <- factor * x; a factor of 0 clears whatever was there, NaN included.
template <class T>
struct Rescale {
    using Number = T;
    static constexpr bool kPacks = true;
    T factor;
    MatrixView<T> x;

    HESSAY_HD Index rows() const { return x.rows; }
    HESSAY_HD Index cols() const { return x.cols; }
    bool aligned() const { return packs_fit(x); }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        Pack<T, Width> value{};
        if (factor != 0) {
            value = load<Width>(&x(i, j));
            for (int w = 0; w < Width; ++w) value.value[w] *= factor;
        }
        store(&x(i, j), value);
    }
};

/// mean <- weight * (sum + curvature * pushed), the last term where curvature has memory: curvature (h) is the sum over
/// the samples of what act'' of the first layer adds, the same multiple of every column of pushed.
template <class T>
struct MeanOverSamples {
    using Number = T;
    static constexpr bool kPacks = false;
    double weight;
    MatrixView<const double> sum, curvature;
    MatrixView<const T> pushed;
    MatrixView<T> mean;

    HESSAY_HD Index rows() const { return mean.rows; }
    HESSAY_HD Index cols() const { return mean.cols; }
    bool aligned() const { return false; }

    template <int Width>
    HESSAY_HD void at(Index i, Index j) const
    {
        static_assert(Width == 1, "one number at a time");
        double total = sum(i, j);
        if (curvature.data) total += curvature(i, 0) * static_cast<double>(pushed(i, j));
        mean(i, j) = static_cast<T>(weight * total);
    }
};

/// z[:, i] <- dL/dz at sample i, state[:, i] <- what the loss's Hessian needs there: see hessay::loss_linearise. Paid
/// once: a thread takes a whole sample, and its logits are read against the grain.
template <class T>
struct LossLinearise {
    Loss loss;
    double scale;
    MatrixView<const T> target;
    MatrixView<T> state, z;

    HESSAY_HD Index items() const { return z.cols; }

    HESSAY_HD void at(Index sample) const
    {
        const Index n = z.rows;
        const double share = 1.0 / static_cast<double>(n);
        double largest = static_cast<double>(z(0, sample)), sum = 0;
        if (loss == Loss::cross_entropy) {
            for (Index c = 1; c < n; ++c) {
                const double value = static_cast<double>(z(c, sample));
                if (value > largest) largest = value;
            }
            for (Index c = 0; c < n; ++c) sum += std::exp((static_cast<double>(z(c, sample)) - largest) / scale);
        }
        for (Index c = 0; c < n; ++c) {
            const double value = static_cast<double>(z(c, sample)), wanted = static_cast<double>(target(c, sample));
            if (loss == Loss::cross_entropy) {
                const double p = std::exp((value - largest) / scale) / sum;
                state(c, sample) = static_cast<T>(p);
                z(c, sample) = static_cast<T>((p - wanted) / scale);
            } else if (loss == Loss::mse) {
                z(c, sample) = static_cast<T>(2 * share * (value - wanted));
            } else {
                const double small = std::exp(value < 0 ? value : -value); // of p and 1 - p the smaller one, over
                const double minor = small / (1 + small), p = value > 0 ? 1 - minor : minor; // their sum
                state(c, sample) = static_cast<T>(share * minor * (1 - minor));
                z(c, sample) = static_cast<T>(share * (p - wanted));
            }
        }
    }
};

} // namespace hessay::cuda

#pragma once
#include <limits>

namespace hessay {

/// What selection trusts when products are taken in T.
template <class T>
struct Precision;

template <>
struct Precision<double> {
    static constexpr double unit = 8 * std::numeric_limits<double>::epsilon(); // of a product, relative to the norms
    static constexpr double doubtful = 1e-4;   // of |z_j|^2: a norm down-dated below it is recomputed if it matters
    static constexpr double dependent = 1e-10; // |z_j perpendicular| / |z_j| of a column that is refused
    static constexpr double steepest = 1e2;    // |z_s| / |z_s perpendicular| up to which a Gram column will do
    static constexpr double exhausted = 1e-6;  // of the residual when it was last computed from the data
    static constexpr double tie = 1e-10;       // relative: falls as close as this are equal
};

template <>
struct Precision<float> {
    static constexpr double unit = 4 * static_cast<double>(std::numeric_limits<float>::epsilon());
    static constexpr double doubtful = 1e-2;
    static constexpr double dependent = 1e-6; // inputs are multiples of 6e-8
    static constexpr double steepest = 10;
    static constexpr double exhausted = 1e-3;
    static constexpr double tie = 1e-6;
};

} // namespace hessay

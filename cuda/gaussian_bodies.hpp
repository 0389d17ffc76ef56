#pragma once
#include "hessay/philox.hpp"
#include "pack.hpp"

#include <cmath>
#include <cstring>

// The body that draws random numbers: see reduction_bodies.hpp for what items are.
namespace hessay::cuda {

/// The polynomial of coefficients c, lowest first.
template <int N>
HESSAY_HD float polynomial(const float (&c)[N], float x)
{
    float value = c[N - 1];
    for (int i = N - 2; i >= 0; --i) value = value * x + c[i];
    return value;
}

/// log(u) for u and 1 - u as they round to float, 2^-54 <= u <= 1: near 1 it is 1 - u that tells, and u would have lost
/// it. u = 2^e m with 2/3 <= m < 4/3, and log(m) = f + f^2 P(f) with f = m - 1; P is off by 5e-9 of the logarithm.
HESSAY_HD inline float log_of(float u, float complement)
{
    constexpr float kLog[] = {-0.5f,        0.333332092f,  -0.249997169f, 0.200107485f, -0.16682303f,
                              0.140011564f, -0.121671826f, 0.140047744f,  -0.129488468f};
    std::int32_t bits = 0;
    std::memcpy(&bits, &u, sizeof bits);
    const std::int32_t power = (bits - 0x3f2aaaab) & static_cast<std::int32_t>(0xff800000u); // e << 23
    bits -= power;
    float m = 0;
    std::memcpy(&m, &bits, sizeof m);
    const float f = power == 0 ? -complement : m - 1.0f;
    const float log2_part = static_cast<float>(power) * (0x1p-23f * 0.693147182f);
    return log2_part + (f + f * f * polynomial(kLog, f));
}

/// gaussian_pair in float: the same random words, a relative difference of at most 8 eps (the largest of 4 10^8 draws:
/// 3). In double a device would spend more on logarithm, sine and cosine than on all the rest.
HESSAY_HD inline std::array<float, 2> gaussian_pair_single(std::uint64_t seed, std::uint64_t stream, std::uint64_t pair)
{
    // sin and cos of a quarter turn r as polynomials in r^2, |r| <= 1/2; off by 5e-9 and 5e-11
    constexpr float kSin[] = {1.57079637f, -0.64596349f, 0.0796802267f, -0.00460217707f};
    constexpr float kCos[] = {1.0f, -1.23370051f, 0.253669202f, -0.0208600722f, 0.000903631677f};
    const auto w = philox(seed, pair, stream);
    // 53 random bits are a word and 21 bits after it: u = (high + (low + 1) 2^-21) 2^-32, 1 - u from the complements
    const float u = (float(w[0]) + float((w[1] >> 11) + 1) * 0x1p-21f) * 0x1p-32f;
    const float complement = (float(~w[0]) + float(~w[1] >> 11) * 0x1p-21f) * 0x1p-32f;
    const float radius = std::sqrt(-2.0f * log_of(u, complement));
    // The angle in quarter turns: the nearest whole number of them, taken off before anything is rounded.
    const std::uint32_t quarter = (w[2] + 0x20000000u) >> 30;
    const auto rest = static_cast<std::int32_t>(w[2] - (quarter << 30));
    const float r = (float(rest) + float(w[3] >> 11) * 0x1p-21f) * 0x1p-30f;
    const float sine = r * polynomial(kSin, r * r), cosine = polynomial(kCos, r * r);
    const float x = quarter % 2 == 0 ? cosine : sine, y = quarter % 2 == 0 ? sine : cosine;
    const bool left = quarter == 1 || quarter == 2, below = quarter == 2 || quarter == 3;
    return {left ? -radius * x : radius * x, below ? -radius * y : radius * y};
}

/// Number i of the stream into element i of x, column after column. The random words are those of the processor;
/// logarithm, sine and cosine are not: doubles may differ in the last places, floats see gaussian_pair_single.
template <class T>
struct GaussianFill {
    static constexpr int kWide = kFullWidth<T>;
    std::uint64_t seed, stream;
    MatrixView<T> x;
    bool contiguous, packed; // x is without gaps; packs fit its beginning

    HESSAY_HD Index items() const { return (x.rows * x.cols + kWide - 1) / kWide; }
    HESSAY_HD void at(Index item) const
    {
        const Index first = item * kWide, size = x.rows * x.cols;
        Pack<T, kWide> numbers;
        for (int w = 0; w < kWide; w += 2) {
            const auto pair = static_cast<std::uint64_t>((first + w) / 2);
            if constexpr (sizeof(T) < sizeof(double)) {
                const auto both = gaussian_pair_single(seed, stream, pair);
                numbers.value[w] = both[0], numbers.value[w + 1] = both[1];
            } else {
                const auto both = gaussian_pair(seed, stream, pair);
                numbers.value[w] = both[0], numbers.value[w + 1] = both[1];
            }
        }
        if (contiguous && packed && first + kWide <= size) return store(x.data + first, numbers);
        for (int w = 0; w < kWide && first + w < size; ++w) {
            const Index i = first + w;
            (contiguous ? x.data[i] : x(i % x.rows, i / x.rows)) = numbers.value[w]; // divisions take a device long
        }
    }
};

} // namespace hessay::cuda

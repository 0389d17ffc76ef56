#pragma once
#include "hessay/host_device.hpp"

#include <array>
#include <cmath>
#include <cstdint>

namespace hessay {

/// Philox 4x32-10: four 32-bit random words from a 64-bit key and a 128-bit counter, without state.
/// Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
HESSAY_HD inline std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_low,
                                                     std::uint64_t counter_high)
{
    std::array<std::uint32_t, 4> x = {std::uint32_t(counter_low), std::uint32_t(counter_low >> 32),
                                      std::uint32_t(counter_high), std::uint32_t(counter_high >> 32)};
    std::uint32_t k0 = std::uint32_t(key), k1 = std::uint32_t(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t p0 = std::uint64_t(0xD2511F53u) * x[0];
        const std::uint64_t p1 = std::uint64_t(0xCD9E8D57u) * x[2];
        x = {std::uint32_t(p1 >> 32) ^ x[1] ^ k0, std::uint32_t(p1), std::uint32_t(p0 >> 32) ^ x[3] ^ k1,
             std::uint32_t(p0)};
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return x;
}

/// Numbers 2 pair and 2 pair + 1 of a stream of independent N(0, 1) doubles (Box & Muller 1958).
HESSAY_HD inline std::array<double, 2> gaussian_pair(std::uint64_t seed, std::uint64_t stream, std::uint64_t pair)
{
    constexpr double kTwoPi = 6.283185307179586476925;
    const auto w = philox(seed, pair, stream);
    const std::uint64_t bits_radius = (std::uint64_t(w[0]) << 21) ^ (w[1] >> 11);
    const std::uint64_t bits_angle = (std::uint64_t(w[2]) << 21) ^ (w[3] >> 11);
    const double u = (double(bits_radius) + 1.0) * 0x1p-53; // in (0, 1], so the logarithm is finite
    const double radius = std::sqrt(-2.0 * std::log(u));
    const double angle = kTwoPi * double(bits_angle) * 0x1p-53;
#ifdef __CUDA_ARCH__
    double sine = 0, cosine = 0;
    ::sincos(angle, &sine, &cosine); // which have the reduction of the angle in common
    return {radius * cosine, radius * sine};
#else
    return {radius * std::cos(angle), radius * std::sin(angle)};
#endif
}

} // namespace hessay

#include "tile.hpp"

#include <immintrin.h>

namespace hessay::simd::avx512 {

namespace {

using Index = std::int64_t;

template <class T>
struct Simd;

template <>
struct Simd<double> {
    using vec = __m512d;
    static constexpr int width = 8;
    static __mmask8 first(int n) { return static_cast<__mmask8>((1u << n) - 1); }
    static vec load(const double* p) { return _mm512_loadu_pd(p); }
    static void store(double* p, vec x) { _mm512_storeu_pd(p, x); }
    static vec load_first(const double* p, int n) { return _mm512_maskz_loadu_pd(first(n), p); }
    static void store_first(double* p, vec x, int n) { _mm512_mask_storeu_pd(p, first(n), x); }
    static vec broadcast(double x) { return _mm512_set1_pd(x); }
    static vec multiply_add(vec a, vec b, vec c) { return _mm512_fmadd_pd(a, b, c); }
    static double sum(vec x)
    {
        __m256d halves[2];
        __builtin_memcpy(halves, &x, sizeof x);
        const __m256d half = halves[0] + halves[1];
        return (half[0] + half[1]) + (half[2] + half[3]);
    }
};

template <>
struct Simd<float> {
    using vec = __m512;
    static constexpr int width = 16;
    static __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1); }
    static vec load(const float* p) { return _mm512_loadu_ps(p); }
    static void store(float* p, vec x) { _mm512_storeu_ps(p, x); }
    static vec load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
    static void store_first(float* p, vec x, int n) { _mm512_mask_storeu_ps(p, first(n), x); }
    static vec broadcast(float x) { return _mm512_set1_ps(x); }
    static vec multiply_add(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
    static float sum(vec x)
    {
        __m128 quarters[4];
        __builtin_memcpy(quarters, &x, sizeof x);
        const __m128 quarter = (quarters[0] + quarters[1]) + (quarters[2] + quarters[3]);
        return (quarter[0] + quarter[1]) + (quarter[2] + quarter[3]);
    }
};

// 16 sums and 16 factors, some of these read from memory: the multiplications hide it
constexpr int kColumns = 8;

#include "kernels.inc"

} // namespace

void add_tile(const SymmetricTile<float>& tile) { add_all(tile); }
void add_tile(const SymmetricTile<double>& tile) { add_all(tile); }

} // namespace hessay::simd::avx512

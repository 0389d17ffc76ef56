#include "tile.hpp"

#include <immintrin.h>

namespace hessay::simd::avx2 {

namespace {

using Index = std::int64_t;

template <class T>
struct Simd;

template <>
struct Simd<double> {
    using vec = __m256d;
    static constexpr int width = 4;
    static __m256i first(int n) { return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)); }
    static vec load(const double* p) { return _mm256_loadu_pd(p); }
    static void store(double* p, vec x) { _mm256_storeu_pd(p, x); }
    static vec load_first(const double* p, int n) { return _mm256_maskload_pd(p, first(n)); }
    static void store_first(double* p, vec x, int n) { _mm256_maskstore_pd(p, first(n), x); }
    static vec broadcast(double x) { return _mm256_set1_pd(x); }
    static vec multiply_add(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
    static double sum(vec x)
    {
        const __m128d half = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
        return _mm_cvtsd_f64(half) + _mm_cvtsd_f64(_mm_unpackhi_pd(half, half));
    }
};

template <>
struct Simd<float> {
    using vec = __m256;
    static constexpr int width = 8;
    static __m256i first(int n)
    {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
    static vec load(const float* p) { return _mm256_loadu_ps(p); }
    static void store(float* p, vec x) { _mm256_storeu_ps(p, x); }
    static vec load_first(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
    static void store_first(float* p, vec x, int n) { _mm256_maskstore_ps(p, first(n), x); }
    static vec broadcast(float x) { return _mm256_set1_ps(x); }
    static vec multiply_add(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
    static float sum(vec x)
    {
        const __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(pair) + _mm_cvtss_f32(_mm_movehdup_ps(pair));
    }
};

// 8 sums in registers, 8 factors beside them or in the first-level cache: the multiplications hide it
constexpr int kColumns = 4;

#include "kernels.inc"

} // namespace

void add_tile(const SymmetricTile<float>& tile) { add_all(tile); }
void add_tile(const SymmetricTile<double>& tile) { add_all(tile); }

} // namespace hessay::simd::avx2

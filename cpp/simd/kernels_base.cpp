#include "tile.hpp"

namespace hessay::simd::baseline {

namespace {

using Index = std::int64_t;

// 16-byte vectors of GCC and Clang: SSE2 on x86-64, NEON on ARM, two or four scalars elsewhere.
template <class T>
struct Simd {
    typedef T vec __attribute__((vector_size(16)));
    static constexpr int width = 16 / sizeof(T);
    static vec load(const T* p)
    {
        vec x;
        __builtin_memcpy(&x, p, sizeof x);
        return x;
    }
    static void store(T* p, vec x) { __builtin_memcpy(p, &x, sizeof x); }
    static vec load_first(const T* p, int n)
    {
        vec x = {};
        for (int i = 0; i < n; ++i) x[i] = p[i];
        return x;
    }
    static void store_first(T* p, vec x, int n)
    {
        for (int i = 0; i < n; ++i) p[i] = x[i];
    }
    static vec broadcast(T x) { return x - vec{}; } // not vec{} + x: -0 stays -0
    static vec multiply_add(vec a, vec b, vec c) { return a * b + c; }
    static T sum(vec x)
    {
        T total = x[0];
        for (int i = 1; i < width; ++i) total += x[i];
        return total;
    }
};

constexpr int kColumns = 2; // 4 sums and 4 factors in 8 of the 16 registers

#include "kernels.inc"

} // namespace

void add_tile(const SymmetricTile<float>& tile) { add_all(tile); }
void add_tile(const SymmetricTile<double>& tile) { add_all(tile); }

} // namespace hessay::simd::baseline

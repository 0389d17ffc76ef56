#pragma once
#include "hessay/context.hpp"

namespace hessay {

/// out <- A V for a dense symmetric A, reading its lower triangle only: every block below the diagonal serves twice,
///
///     Y_i += A_ij V_j,   Y_j += A_ij' V_i,
///
/// which halves the memory traffic that bounds such products. T is float or double, and so are the sums.
/// a    (d, d), its upper triangle is never read (but must be part of the view)
/// v    (d, b), any b >= 0
/// out  (d, b), overlaps neither a nor v; what it held is overwritten
/// Threads share blocks out and keep sums of their own, added in order: results differ between thread counts by
/// rounding alone, |error| <= d eps |A| |V| element by element. NaN and Inf go where a plain product takes them.
/// Throws ShapeError when the shapes do not fit, ValueError when HESSAY_ISA names a set this machine does not have.
template <class T>
void symmetric_product(Context& ctx, MatrixView<const T> a, MatrixView<const T> v, MatrixView<T> out);

/// The instruction set symmetric_product works with: "avx512", "avx2" or "baseline". The best this processor and this
/// build have, or what the environment variable HESSAY_ISA asks for; read once.
/// Throws ValueError when HESSAY_ISA is none of the three, or one that is not there.
const char* instruction_set();

/// Is symmetric_product the faster way to A V than gemm, for A (d, d) of itemsize bytes an element and b columns? It is
/// where reading A costs most: A beyond the caches, b small (bench/bench_symmetric.py). Throws as instruction_set does.
bool symmetric_product_pays(Index d, Index itemsize, Index b);

/// How far a square matrix is from symmetric, in one pass over it.
struct Asymmetry {
    double difference; ///< largest |A_ij - A_ji|; NaN when A holds NaN or Inf
    double largest;    ///< largest |A_ij|; NaN likewise
};

/// Throws ShapeError when a is not square.
template <class T>
Asymmetry asymmetry(Context& ctx, MatrixView<const T> a);

} // namespace hessay

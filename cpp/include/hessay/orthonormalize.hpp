#pragma once
#include "hessay/context.hpp"
#include "hessay/view.hpp"

namespace hessay {

/// What became of the columns handed to orthonormalize.
struct OrthonormalBlock {
    Index cols = 0;     ///< columns of the new block: min(W.cols, d - Q.cols)
    Index replaced = 0; ///< of these, fresh random directions that stand in for dependent columns
};

/// Splits W = Q C + W_new R + D with [Q W_new] orthonormal: block Gram-Schmidt, rank revealing.
/// q          (d, m), orthonormal columns, m >= 0
/// w          (d, b); its first cols columns become W_new
/// reference  > 0 or 0: a column whose norm falls to rounding of max(own norm, reference) while it is projected depends
///            on what is already there. It is dropped, and a random direction with a zero row of R takes its place
///            while the space has room
/// c          (m, b), r (b, b): coefficients, in double; rows of r beyond cols are zero
/// dropped    (b): norm of each dropped column (the column of D), 0 for the others
/// Two passes: one leaves |Q'W| ~ eps * cond, two bring it to eps (Giraud, Langou & Rozloznik 2005, Comput. Math. Appl.
/// 50, 1069). The test is against the norm before projection, because afterwards rounding noise looks like a vector.
template <class T>
OrthonormalBlock orthonormalize(Context& ctx, MatrixView<const T> q, MatrixView<T> w, double reference,
                                MatrixView<double> c, MatrixView<double> r, double* dropped);

} // namespace hessay

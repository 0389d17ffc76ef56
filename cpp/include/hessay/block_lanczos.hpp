#pragma once
#include "hessay/operator.hpp"

#include <functional>
#include <string>
#include <vector>

namespace hessay {

/// Which end of the spectrum is asked for.
enum class Which { largest, smallest, both_ends, largest_magnitude };

/// How far the answer can be trusted to be the asked-for eigenvalues, and not merely some eigenvalues.
enum class Certificate {
    none,        ///< the budget ended before the check, or the check ended without an answer
    whole_space, ///< the basis spans the whole space: T holds every eigenvalue
    exhausted,   ///< the deflated random block generated an invariant subspace: nothing is left that it could have met
    random_block ///< Lanczos from a deflated random block found nothing beyond; miss_probability says how sure
};

/// How far a run has come, told after every block step.
struct LanczosProgress {
    Index products = 0;          ///< operator columns so far
    Index block_calls = 0;       ///< operator calls so far
    Index converged = 0;         ///< of the k wanted pairs
    double largest_residual = 0; ///< over the k wanted pairs; infinite while there are fewer than k
    double seconds = 0;          ///< wall time so far
    bool checking = false;       ///< the pairs are found, the certificate is being made
};

/// What ended a run before its certificate was as good as asked for.
enum class Stopped { no, products, seconds, cancelled };

struct LanczosOptions {
    Index k = 6;                    ///< eigenpairs wanted, 1 <= k <= d
    Which which = Which::largest;   ///< both_ends takes ceil(k / 2) from the top
    double tol = 1e-8;              ///< residual <= tol * |A|, |A| being the largest Ritz value met; > eps of T
    Index block = 1;                ///< columns per operator call, >= 1
    Index max_basis = 0;            ///< columns kept before a restart; 0 chooses, and the check may have twice as many
    Index max_products = 0;         ///< budget of operator columns; 0: 10 d, at least 1000
    double miss_probability = 1e-3; ///< the certificate stops when a missed eigenvalue is this unlikely, in (0, 1)
    double max_seconds = 0;         ///< budget of wall time, looked at between operator calls; 0: none
    /// Called once a block step; false ends the run with what there is. What it throws comes through.
    std::function<bool(const LanczosProgress&)> progress;
};

struct LanczosStats {
    Index products = 0;    ///< operator columns
    Index block_calls = 0; ///< operator calls
    Index restarts = 0;
    Index replaced = 0;          ///< dependent columns replaced by random ones
    Index check_products = 0;    ///< columns of these spent on the certificate
    double operator_seconds = 0; ///< wall time inside the operator
    double seconds = 0;          ///< wall time in all
    std::size_t peak_bytes = 0;  ///< basis, products and scratch
};

template <class T>
struct LanczosResult {
    std::vector<double> values;    ///< (k), ordered as asked: by value, by value ascending, or by magnitude
    std::vector<T> vectors;        ///< (d, k), column-major, orthonormal
    std::vector<double> residuals; ///< (k), upper estimates of |A x - value x|, the operator's own rounding excluded
    bool converged = false;        ///< every residual passed the test
    Certificate certificate = Certificate::none;
    double miss_probability = 1; ///< probability that an eigenvalue beyond the reported ones was missed
    double norm = 0;             ///< |A| as used in the residual test
    Stopped stopped = Stopped::no;
    LanczosStats stats;
};

/// A Q = Q T + W R E',  Q'Q = I,  Q'W = 0: the k eigenpairs at the asked-for end of a symmetric operator.
///
/// Thick-restart block Lanczos with full two-pass orthogonalisation (Wu & Simon 2000, SIAM J. Matrix Anal. Appl. 22,
/// 602). T is kept full and in double. A small residual certifies an eigenpair, not that it is among the top ones:
/// after convergence a random block, orthogonal to the answer, is run on; it must find nothing beyond the k-th value.
/// How likely a miss remains is bounded from what that run has seen of the spectrum (certificate.hpp).
///
/// start (d, j), j >= 0, need not be orthonormal: what the wanted eigenvectors are thought to be. The run begins from
/// one mixture of them a block column, as explicit restarts do (Saad 2011, Numerical Methods for Large Eigenvalue
/// Problems, chapter 7): one polynomial then cleans all of them at once, which takes fewer products than j columns a
/// call. Dependent and zero columns are left out, and what is missing from the block is Gaussian. The certificate has
/// its own Gaussian block, so a misleading start cannot spoil it.
///
/// Throws ValueError when an option is out of range or the operator is not symmetric, ShapeError when start has other
/// than d rows, NonFinite when start or a product holds NaN or Inf; whatever the operator throws comes through. A spent
/// budget is reported in converged and stopped, not thrown.
template <class T>
LanczosResult<T> block_lanczos(Context& ctx, const LinearOperator<T>& op, const LanczosOptions& options,
                               MatrixView<const T> start = {});

} // namespace hessay

#pragma once
#include "lanczos_bodies.hpp"
#include "network_bodies.hpp"
#include "routines.hpp"
#include "scratch.hpp"

// Block Gram-Schmidt on a device, written once for every device. No routine waits: what the host must know of a block
// is left in one piece of memory, a BlockReport, so that one copy a block step brings it.
//
// Determinism: lengths, Gram matrices and factors are reductions of fixed order in double; Q'W and Q C are narrow
// products of fixed order, or cuBLAS's without atomics and with scratch of their own. The same call gives the same bits
// on the same kind of device.
namespace hessay::cuda {

/// The numbers that orthonormalize_block leaves: a piece of doubles, on the device or copied to the host.
struct BlockReport {
    Index m = 0, b = 0;     // columns of Q and of W
    double* data = nullptr; // size() numbers

    Index size() const { return 2 + b + 2 * m * b + 2 * b * b; }
    double* reference() const { return data; } // in: what else a column is compared with, see orthonormalize
    double* state() const { return data + 1; } // a BlockState
    double* before() const { return data + 2; }
    /// C_1 and C_2, m x b; R_1 and R_2, b x b: W = Q (C_1 + C_2 R_1) + W_new R_2 R_1.
    MatrixView<double> coefficients(Index pass) const { return {before() + b + pass * m * b, m, b, m}; }
    MatrixView<double> factor(Index pass) const { return {before() + b + 2 * m * b + pass * b * b, b, b, b}; }
};

/// gram (b (b + 1) / 2, packed by columns) <- X'X in double, always in the same order.
template <class Device, class T>
void packed_gram(Device& device, MatrixView<const T> x, double* gram)
{
    const Index pairs = packed(0, x.cols), chunks = std::max<Index>(divide_up(x.rows, kChunkRows), 1);
    const MatrixView<double> result{gram, 1, pairs, 1};
    const auto partial = chunks == 1 ? result : device.scratch(chunks, pairs);
    device.lanes(PairSums<T>{x, packs_fit(x), partial});
    if (chunks > 1) reduce_columns<Device, double>(device, Column::sum, partial, nullptr, gram);
}

/// W <- W - Q C with C = Q'W, which is written to c (m, b).
template <class Device, class T>
void project_block(Device& device, MatrixView<const T> q, MatrixView<T> w, MatrixView<double> c)
{
    if (q.cols == 0 || w.cols == 0) return;
    const ScratchScope<Device> scope(device);
    const auto pass = scratch_of<T>(device, q.cols, w.cols);
    device.template product<T>(Transpose::yes, Transpose::no, T(1), q, w, T(0), pass);
    device.template product<T>(Transpose::no, Transpose::no, T(-1), q, pass, T(1), w);
    device.columns(Widen<T>{pass, c});
}

/// Splits W = Q C + W_new R with [Q W_new] orthonormal, as far as that goes without knowing the rank: two passes of
/// projection, each followed by a Cholesky QR of the block in double (CholeskyQR2). Where report says rank_unknown, or
/// without factors asked for, W is projected twice and no more: what orthonormalize_inside begins with.
/// q           (d, m), orthonormal columns; w (d, b)
/// of_product  see FactorGram; the reference stands in the report already
/// Source: Barlow & Smoktunowicz 2013, Numer. Math. 123, 395 (two passes, each with a QR of the block); Fukaya et al.
/// 2014, ScalA '14, algorithm 2.
template <class Device, class T>
void orthonormalize_block(Device& device, MatrixView<const T> q, MatrixView<T> w, bool of_product, bool factors,
                          double rounding, const BlockReport& report)
{
    require<ShapeError>(report.m == q.cols && report.b == w.cols && (q.cols == 0 || q.rows == w.rows), "Q (", q.rows,
                        ", ", q.cols, ") and W (", w.rows, ", ", w.cols, ") do not fit a report of ", report.m, " and ",
                        report.b, " columns");
    const ScratchScope<Device> scope(device);
    const auto gram = device.scratch(packed(0, w.cols), 1);
    column_norms<Device, T>(device, w, report.before());
    for (Index pass = 0; pass < 2; ++pass) {
        const ScratchScope<Device> inner(device);
        project_block<Device, T>(device, q, w, report.coefficients(pass));
        if (!factors) continue;
        packed_gram<Device, T>(device, w, gram.data);
        const double* before = pass == 0 ? report.before() : nullptr;
        device.each(FactorGram{gram.data, before, report.reference(), of_product, rounding, report.factor(pass),
                               report.state()});
        device.columns(SolveUpper<T>{report.factor(pass), w});
    }
}

} // namespace hessay::cuda

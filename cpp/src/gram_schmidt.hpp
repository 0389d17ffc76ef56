#pragma once
#include "hessay/error.hpp"
#include "hessay/orthonormalize.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

// The part of block Gram-Schmidt that finds out how many directions a block has, written over a few steps with long
// columns. Steps is the processor (orthonormalize.cpp) or a device (cuda/device_space.hpp):
//     project_out(q, w, c)  W <- W - Q (Q'W), coefficients added to c, a host matrix
//     norm(column)          Euclidean norm of one column, in double
//     scale(column, factor) column <- factor * column
//     copy(from, to)        one column
//     fill_gaussian(column) the next stream of random numbers
//     scratch(rows, cols)   host scratch until the enclosing Scope(steps) ends
namespace hessay {

/// How small a column must have become, relative to what it was, to be rounding: eps sqrt(d).
template <class T>
double rounding_of(Index d)
{
    return std::numeric_limits<T>::epsilon() * std::sqrt(static_cast<double>(d));
}

/// One unit column orthogonal to q and to the block so far, from a random start.
template <class T, class Steps>
void random_direction(Steps& steps, MatrixView<const T> q, MatrixView<const T> block, MatrixView<T> column)
{
    const typename Steps::Scope scope(steps);
    const auto ignored = steps.scratch(std::max<Index>(q.cols + block.cols, 1), 1);
    // Three passes with a normalisation between them: in a nearly full space most of a random vector is projected away.
    steps.fill_gaussian(column);
    for (int pass = 0; pass < 3; ++pass) {
        std::fill_n(ignored.data, ignored.rows, 0.0);
        steps.project_out(q, column, ignored.block(0, 0, q.cols, 1));
        steps.project_out(block, column, ignored.block(0, 0, block.cols, 1));
        const double length = steps.norm(column);
        require<NonFinite>(length > 0, "a random direction vanished under projection; the basis is not orthonormal");
        steps.scale(column, 1 / length);
    }
}

/// W <- W_new with W = W_new R + D: what orthonormalize does inside a block that was projected off Q twice.
/// before (b): the norms before projection. r, dropped and what is returned: see orthonormalize; r arrives as zeros.
template <class T, class Steps>
OrthonormalBlock orthonormalize_inside(Steps& steps, MatrixView<const T> q, MatrixView<T> w, const double* before,
                                       double reference, MatrixView<double> r, double* dropped)
{
    const Index d = w.rows, b = w.cols;
    const double rounding = rounding_of<T>(d);
    // Column by column; live columns move to the front.
    const Index room = std::min(b, d - q.cols);
    OrthonormalBlock result;
    const typename Steps::Scope scope(steps);
    const auto step = steps.scratch(std::max<Index>(std::max(b, q.cols), 1), 1);
    for (Index j = 0; j < b; ++j) {
        const auto column = w.columns(j, 1);
        const auto done = w.columns(0, result.cols);
        dropped[j] = 0;
        std::fill_n(step.data, step.rows, 0.0);
        steps.project_out(done, column, step.block(0, 0, result.cols, 1));
        steps.project_out(done, column, step.block(0, 0, result.cols, 1));
        for (Index i = 0; i < result.cols; ++i) r(i, j) = step(i, 0);
        const double after = steps.norm(column);
        if (result.cols == room || after <= rounding * std::max(before[j], reference)) {
            dropped[j] = after;
            continue;
        }
        const auto target = w.columns(result.cols, 1);
        if (target.data != column.data) steps.copy(column, target);
        steps.scale(target, 1 / after);
        r(result.cols, j) = after;
        if (after < 0.1 * before[j]) {
            // What is left is small: its error relative to itself is large again, so it is projected once more.
            std::fill_n(step.data, step.rows, 0.0);
            steps.project_out(q, target, step.block(0, 0, q.cols, 1));
            std::fill_n(step.data, step.rows, 0.0);
            steps.project_out(done, target, step.block(0, 0, done.cols, 1));
            steps.scale(target, 1 / steps.norm(target));
        }
        ++result.cols;
    }
    while (result.cols < room) {
        random_direction<T>(steps, q, w.columns(0, result.cols), w.columns(result.cols, 1));
        ++result.cols;
        ++result.replaced;
    }
    return result;
}

} // namespace hessay

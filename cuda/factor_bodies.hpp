#pragma once
#include "elementwise_bodies.hpp"
#include "hessay/curvature.hpp"

#include <cmath>

// Bodies that make the root of the logit curvature: see hessay/curvature.hpp for what it is, and elementwise_bodies.hpp
// for what a body is.
namespace hessay::cuda {

/// share[:, i] <- what the root of sample i is made of: the probabilities p with S = weight^2 (diag(p) - pp'), or the
/// root of a diagonal S, or 1 at the predicted class for the margin. tail[j, i] <- the sum of p beyond j, summed from
/// the end: no cancellation. Paid once: a thread takes a whole sample.
template <class T>
struct LogitShares {
    Curvature kind;
    double unit; // divides the logits
    MatrixView<const T> logits;
    MatrixView<double> share, tail;

    HESSAY_HD Index items() const { return logits.cols; }

    HESSAY_HD void at(Index i) const
    {
        const Index n = logits.rows;
        if (kind == Curvature::mse || kind == Curvature::logistic) return separate(i);
        double largest = static_cast<double>(logits(0, i)), sum = 0;
        Index predicted = 0;
        for (Index c = 1; c < n; ++c) {
            const double value = static_cast<double>(logits(c, i));
            if (value > largest) largest = value, predicted = c;
        }
        for (Index c = 0; c < n; ++c) {
            double& p = share(c, i);
            if (kind == Curvature::margin)
                p = c == predicted ? 1 : 0;
            else if (kind == Curvature::uniform)
                p = 1.0 / static_cast<double>(n);
            else
                sum += p = std::exp((static_cast<double>(logits(c, i)) - largest) / unit);
        }
        double beyond = 0;
        for (Index c = n - 1; c >= 0; --c) {
            if (sum > 0) share(c, i) /= sum;
            tail(c, i) = beyond;
            beyond += share(c, i);
        }
    }

    HESSAY_HD void separate(Index i) const
    {
        const Index n = logits.rows;
        const double part = 1.0 / static_cast<double>(n);
        for (Index c = 0; c < n; ++c) {
            const double z = static_cast<double>(logits(c, i)), half = std::exp(z < 0 ? 0.5 * z : -0.5 * z);
            share(c, i) = kind == Curvature::mse ? std::sqrt(2.0 * part) : std::sqrt(part) * half / (1.0 + half * half);
        }
    }
};

/// root[:, i r + j] <- row j of F_i, F_i'F_i = S_i, from the shares of sample i: hessay/curvature.hpp has the formula.
template <class T>
struct CurvatureRoot {
    using Number = T;
    static constexpr bool kPacks = false;
    Curvature kind;
    double weight;
    Index target, rank; // class of the margin; rows a sample
    MatrixView<const double> share, tail;
    MatrixView<T> root;

    HESSAY_HD Index rows() const { return root.rows; }
    HESSAY_HD Index cols() const { return root.cols; }
    bool aligned() const { return false; }

    template <int Width>
    HESSAY_HD void at(Index c, Index column) const
    {
        static_assert(Width == 1, "one number at a time");
        const Index i = quotient(column, rank), j = column - i * rank;
        root(c, column) = static_cast<T>(entry(c, i, j));
    }

    HESSAY_HD double entry(Index c, Index i, Index j) const
    {
        if (kind == Curvature::margin) return (c == target ? 1.0 : 0.0) - share(c, i);
        if (kind == Curvature::mse || kind == Curvature::logistic) return c == j ? share(c, i) : 0.0;
        const double beyond = tail(j, i), above = beyond + share(j, i);
        if (c < j || !(beyond > 0) || !(above > 0)) return 0; // later probabilities underflowed: S is zero there
        const double size = weight * std::sqrt(share(j, i) * (beyond / above));
        return c == j ? size : -size * (share(c, i) / beyond);
    }
};

} // namespace hessay::cuda

#include "hessay/curvature.hpp"

#include "hessay/error.hpp"
#include "hessay/loss.hpp"
#include "hessay/philox.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace hessay {

namespace {

constexpr std::uint64_t kSketchStreams = std::uint64_t(1) << 63; // apart from the streams a context hands out

bool separate_outputs(Curvature kind) { return kind == Curvature::mse || kind == Curvature::logistic; }

template <class T>
void check_logits(Curvature kind, MatrixView<const T> logits, double scale)
{
    const Index least = separate_outputs(kind) ? 1 : 2;
    require<ShapeError>(logits.rows >= least, "the model must have at least ", least, " logits, got ", logits.rows);
    require(std::isfinite(scale) && scale > 0, "the logit scale must be positive and finite, got ", scale);
    for (Index i = 0; i < logits.cols; ++i)
        for (Index c = 0; c < logits.rows; ++c)
            require<NonFinite>(std::isfinite(logits(c, i)), "logit ", c, " of probe input ", i, " is NaN or Inf");
}

// p <- the distribution with S = weight^2 (diag(p) - pp'); returns the weight.
template <class T>
double multinomial(Curvature kind, const T* z, double scale, std::vector<double>& p)
{
    if (kind == Curvature::uniform) { // I - 11'/C = C (diag(p) - pp') at p = 1/C
        std::fill(p.begin(), p.end(), 1.0 / static_cast<double>(p.size()));
        return std::sqrt(static_cast<double>(p.size()));
    }
    const double unit = kind == Curvature::softened ? scale : 1.0;
    softmax(z, static_cast<Index>(p.size()), unit, p.data());
    return 1.0 / unit;
}

// Root of the diagonal S of losses that treat every output by itself, element c.
double separate_root(Curvature kind, double z, Index n_classes)
{
    const double share = 1.0 / static_cast<double>(n_classes);
    if (kind == Curvature::mse) return std::sqrt(2.0 * share);
    const double half = std::exp(-0.5 * std::abs(z)); // sqrt(q (1 - q)) = exp(-|z|/2) / (1 + exp(-|z|)): no overflow
    return std::sqrt(share) * half / (1.0 + half * half);
}

// Rows sqrt(D_j) (e_j - sum_{i > j} (p_i / q_j) e_i), j = 0 .. C-2, times weight.
template <class T>
void multinomial_root(const std::vector<double>& p, double weight, T* root)
{
    const Index n = static_cast<Index>(p.size());
    std::vector<double> tail(p.size()); // tail[j] = sum of p beyond j, summed from the end: no cancellation
    for (Index j = n - 2; j >= 0; --j) tail[j] = tail[j + 1] + p[j + 1];
    for (Index j = 0; j + 1 < n; ++j) {
        T* row = root + j * n;
        std::fill_n(row, n, T(0));
        const double above = tail[j] + p[j];
        if (!(tail[j] > 0) || !(above > 0)) continue; // all later probabilities underflowed: S is zero there
        const double size = weight * std::sqrt(p[j] * (tail[j] / above));
        row[j] = static_cast<T>(size);
        for (Index i = j + 1; i < n; ++i) row[i] = static_cast<T>(-size * (p[i] / tail[j]));
    }
}

// w <- numbers count j .. count j + count - 1 of the stream of a sample.
void draw(std::uint64_t seed, std::uint64_t sample, Index j, std::vector<double>& w)
{
    const std::uint64_t begin = static_cast<std::uint64_t>(j) * w.size();
    for (std::size_t c = 0; c < w.size();) {
        const std::uint64_t number = begin + c;
        const auto pair = gaussian_pair(seed, kSketchStreams | sample, number / 2);
        w[c++] = pair[number % 2];
        if (number % 2 == 0 && c < w.size()) w[c++] = pair[1];
    }
}

} // namespace

Index curvature_rank(Curvature kind, Index n_classes)
{
    if (kind == Curvature::margin) return 1;
    return separate_outputs(kind) ? n_classes : n_classes - 1;
}

template <class T>
void curvature_root(Curvature kind, MatrixView<const T> logits, double scale, Index target, MatrixView<T> root)
{
    check_logits<T>(kind, logits, scale);
    const Index n_classes = logits.rows, n = logits.cols, rank = curvature_rank(kind, n_classes);
    require<ShapeError>(root.rows == n_classes && root.cols == n * rank && root.contiguous(), "root must be (", n, ", ",
                        rank, ", ", n_classes, ")");
    require(kind != Curvature::margin || (target >= 0 && target < n_classes), "the margin's class must lie in [0, ",
            n_classes, "), got ", target);
    std::vector<double> p(static_cast<std::size_t>(n_classes));
    for (Index i = 0; i < n; ++i) {
        const T* z = logits.column(i);
        T* rows = root.column(i * rank);
        if (kind == Curvature::margin) {
            const Index predicted = std::max_element(z, z + n_classes) - z;
            std::fill_n(rows, n_classes, T(0));
            if (predicted != target) {
                rows[target] = T(1);
                rows[predicted] = T(-1);
            }
        } else if (separate_outputs(kind)) {
            std::fill_n(rows, n_classes * n_classes, T(0));
            for (Index c = 0; c < n_classes; ++c)
                rows[c * n_classes + c] = static_cast<T>(separate_root(kind, static_cast<double>(z[c]), n_classes));
        } else {
            const double weight = multinomial(kind, z, scale, p);
            multinomial_root(p, weight, rows);
        }
    }
}

template <class T>
void curvature_sketch(Context& ctx, Curvature kind, MatrixView<const T> logits, double scale, Index first,
                      MatrixView<T> cotangents)
{
    check_logits<T>(kind, logits, scale);
    require(kind != Curvature::margin, "the margin's curvature has one row a sample; take it as it is");
    require(first >= 0, "the first sample's number must not be negative, got ", first);
    const Index n_classes = logits.rows, n = logits.cols, s = n > 0 ? cotangents.cols / n : 1;
    require<ShapeError>(cotangents.rows == n_classes && s >= 1 && cotangents.cols == n * s, "cotangents must be (", n,
                        ", s, ", n_classes, ") with s >= 1");
    const double unit = 1.0 / std::sqrt(static_cast<double>(s));
    std::vector<double> p(static_cast<std::size_t>(n_classes)), root(p.size()), w(p.size());
    for (Index i = 0; i < n; ++i) {
        const T* z = logits.column(i);
        double weight = unit;
        if (separate_outputs(kind)) {
            for (Index c = 0; c < n_classes; ++c) root[c] = separate_root(kind, static_cast<double>(z[c]), n_classes);
        } else {
            weight *= multinomial(kind, z, scale, p);
            for (Index c = 0; c < n_classes; ++c) root[c] = std::sqrt(p[c]);
        }
        for (Index j = 0; j < s; ++j) {
            draw(ctx.seed(), static_cast<std::uint64_t>(first + i), j, w);
            T* row = cotangents.column(i * s + j);
            double mean = 0; // sqrt(p)'w; zero where S is diagonal
            if (!separate_outputs(kind))
                for (Index c = 0; c < n_classes; ++c) mean += root[c] * w[c];
            for (Index c = 0; c < n_classes; ++c) row[c] = static_cast<T>(weight * root[c] * (w[c] - root[c] * mean));
        }
        ctx.poll();
    }
}

template void curvature_root<float>(Curvature, MatrixView<const float>, double, Index, MatrixView<float>);
template void curvature_root<double>(Curvature, MatrixView<const double>, double, Index, MatrixView<double>);
template void curvature_sketch<float>(Context&, Curvature, MatrixView<const float>, double, Index, MatrixView<float>);
template void curvature_sketch<double>(Context&, Curvature, MatrixView<const double>, double, Index,
                                       MatrixView<double>);

} // namespace hessay

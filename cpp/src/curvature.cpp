#include "hessay/error.hpp"
#include "hessay/factor.hpp"

#include <algorithm>
#include <cmath>

namespace hessay {

namespace {

// p <- softmax(z / scale), shifted by the largest logit so that exp cannot overflow.
template <class T>
void softmax(const T* z, Index n, double scale, std::vector<double>& p)
{
    double largest = static_cast<double>(z[0]);
    for (Index i = 1; i < n; ++i) largest = std::max(largest, static_cast<double>(z[i]));
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += p[i] = std::exp((static_cast<double>(z[i]) - largest) / scale);
    for (Index i = 0; i < n; ++i) p[i] /= sum;
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

} // namespace

Index curvature_rank(Curvature kind, Index n_classes) { return kind == Curvature::margin ? 1 : n_classes - 1; }

template <class T>
void curvature_root(Curvature kind, MatrixView<const T> logits, double scale, Index target, MatrixView<T> root)
{
    const Index n_classes = logits.rows, n = logits.cols, rank = curvature_rank(kind, n_classes);
    require<ShapeError>(n_classes >= 2, "the model must have at least 2 logits, got ", n_classes);
    require<ShapeError>(root.rows == n_classes && root.cols == n * rank && root.contiguous(), "root must be (", n, ", ",
                        rank, ", ", n_classes, ")");
    require(std::isfinite(scale) && scale > 0, "the logit scale must be positive and finite, got ", scale);
    require(kind != Curvature::margin || (target >= 0 && target < n_classes), "the margin's class must lie in [0, ",
            n_classes, "), got ", target);
    std::vector<double> p(static_cast<std::size_t>(n_classes), 1.0 / static_cast<double>(n_classes));
    for (Index i = 0; i < n; ++i) {
        const T* z = logits.column(i);
        for (Index c = 0; c < n_classes; ++c)
            require<NonFinite>(std::isfinite(z[c]), "logit ", c, " of probe input ", i, " is NaN or Inf");
        T* rows = root.column(i * rank);
        switch (kind) {
        case Curvature::labels:
            softmax(z, n_classes, 1.0, p);
            multinomial_root(p, 1.0, rows);
            break;
        case Curvature::softened:
            softmax(z, n_classes, scale, p);
            multinomial_root(p, 1.0 / scale, rows);
            break;
        case Curvature::uniform: // I - 11'/C = C (diag(p) - pp') at p = 1/C
            multinomial_root(p, std::sqrt(static_cast<double>(n_classes)), rows);
            break;
        case Curvature::margin: {
            const Index predicted = std::max_element(z, z + n_classes) - z;
            std::fill_n(rows, n_classes, T(0));
            if (predicted != target) {
                rows[target] = T(1);
                rows[predicted] = T(-1);
            }
            break;
        }
        }
    }
}

template void curvature_root<float>(Curvature, MatrixView<const float>, double, Index, MatrixView<float>);
template void curvature_root<double>(Curvature, MatrixView<const double>, double, Index, MatrixView<double>);

} // namespace hessay

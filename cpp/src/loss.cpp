#include "hessay/loss.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace hessay {

template <class T>
void softmax(const T* z, Index n, double scale, double* p)
{
    const double largest = static_cast<double>(*std::max_element(z, z + n));
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += p[i] = std::exp((static_cast<double>(z[i]) - largest) / scale);
    for (Index i = 0; i < n; ++i) p[i] /= sum;
}

template <class T>
void loss_linearise(Loss loss, const T* z, const T* target, Index n_classes, double scale, T* state, T* gradient)
{
    const double share = 1.0 / static_cast<double>(n_classes);
    switch (loss) {
    case Loss::cross_entropy: {
        std::vector<double> p(static_cast<std::size_t>(n_classes));
        softmax(z, n_classes, scale, p.data());
        for (Index c = 0; c < n_classes; ++c) {
            state[c] = static_cast<T>(p[c]);
            gradient[c] = static_cast<T>((p[c] - static_cast<double>(target[c])) / scale);
        }
        return;
    }
    case Loss::mse:
        for (Index c = 0; c < n_classes; ++c) gradient[c] = static_cast<T>(2 * share) * (z[c] - target[c]);
        return;
    case Loss::logistic:
        for (Index c = 0; c < n_classes; ++c) {
            const double small = std::exp(-std::abs(static_cast<double>(z[c]))); // of p and 1 - p, the smaller over
            const double minor = small / (1 + small), p = z[c] > 0 ? 1 - minor : minor; // their sum, without overflow
            state[c] = static_cast<T>(share * minor * (1 - minor));
            gradient[c] = static_cast<T>(share * (p - static_cast<double>(target[c])));
        }
        return;
    }
}

template <class T>
void loss_curvature(Loss loss, const T* state, Index n_classes, double scale, T* u)
{
    switch (loss) {
    case Loss::cross_entropy: { // S u = p (u - p'u) / scale^2
        const T weight = static_cast<T>(1 / (scale * scale));
        T mean = 0;
        for (Index c = 0; c < n_classes; ++c) mean += state[c] * u[c];
        for (Index c = 0; c < n_classes; ++c) u[c] = weight * state[c] * (u[c] - mean);
        return;
    }
    case Loss::mse: {
        const T weight = T(2) / static_cast<T>(n_classes);
        for (Index c = 0; c < n_classes; ++c) u[c] *= weight;
        return;
    }
    case Loss::logistic:
        for (Index c = 0; c < n_classes; ++c) u[c] *= state[c];
        return;
    }
}

template void softmax<float>(const float*, Index, double, double*);
template void softmax<double>(const double*, Index, double, double*);
template void loss_linearise<float>(Loss, const float*, const float*, Index, double, float*, float*);
template void loss_linearise<double>(Loss, const double*, const double*, Index, double, double*, double*);
template void loss_curvature<float>(Loss, const float*, Index, double, float*);
template void loss_curvature<double>(Loss, const double*, Index, double, double*);

} // namespace hessay

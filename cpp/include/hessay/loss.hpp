#pragma once
#include "hessay/view.hpp"

namespace hessay {

/// Losses of one sample's logits z against a target t, both of length C:
enum class Loss {
    cross_entropy, ///< -t' log softmax(z / scale), t a distribution over the classes
    mse,           ///< |z - t|^2 / C
    logistic       ///< mean over c of softplus(z_c) - t_c z_c, t_c in [0, 1]
};

/// p <- softmax(z / scale) in double, shifted by the largest logit so that exp cannot overflow.
template <class T>
void softmax(const T* z, Index n, double scale, double* p);

/// gradient <- dL/dz; state <- what loss_curvature needs: softmax(z / scale), nothing, or p (1 - p) / C.
/// scale > 0 divides the logits of cross_entropy; the others do not use it.
template <class T>
void loss_linearise(Loss loss, const T* z, const T* target, Index n_classes, double scale, T* state, T* gradient);

/// u <- S u, S = d2L/dz2 at the sample whose state this is.
template <class T>
void loss_curvature(Loss loss, const T* state, Index n_classes, double scale, T* u);

} // namespace hessay

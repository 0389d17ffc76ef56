#pragma once
#include "hessay/host_device.hpp"

#include <cmath>

namespace hessay {

/// Element-wise activations, named as in torch.nn. gelu is the exact one (erf), gelu_tanh its tanh approximation.
enum class Activation { identity, relu, leaky_relu, gelu, gelu_tanh, silu, tanh, sigmoid, softplus, elu };

/// act(x). parameter: negative slope of leaky_relu, alpha of elu, beta of softplus; ignored by the others.
template <class T>
HESSAY_HD T activation_value(Activation act, T parameter, T x)
{
    switch (act) {
    case Activation::identity:
        return x;
    case Activation::relu:
        return x > 0 ? x : T(0);
    case Activation::leaky_relu:
        return x > 0 ? x : parameter * x;
    case Activation::gelu:
        return T(0.5) * x * std::erfc(-x * T(0.70710678118654752440));
    case Activation::gelu_tanh: {
        const T inner = T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
        return T(0.5) * x * (T(1) + std::tanh(inner));
    }
    case Activation::silu:
        return x / (T(1) + std::exp(-x));
    case Activation::tanh:
        return std::tanh(x);
    case Activation::sigmoid:
        return T(1) / (T(1) + std::exp(-x));
    case Activation::softplus: // log(1 + exp(beta x)) / beta without overflow
        return (x > 0 ? x : T(0)) + std::log1p(std::exp(-parameter * std::abs(x))) / parameter;
    case Activation::elu:
        return x > 0 ? x : parameter * std::expm1(x);
    }
    return x;
}

/// act'(x); at a kink the left derivative, as torch takes it.
template <class T>
HESSAY_HD T activation_slope(Activation act, T parameter, T x)
{
    switch (act) {
    case Activation::identity:
        return T(1);
    case Activation::relu:
        return x > 0 ? T(1) : T(0);
    case Activation::leaky_relu:
        return x > 0 ? T(1) : parameter;
    case Activation::gelu: {
        const T density = T(0.39894228040143267794) * std::exp(T(-0.5) * x * x);
        return T(0.5) * std::erfc(-x * T(0.70710678118654752440)) + x * density;
    }
    case Activation::gelu_tanh: {
        const T a = T(0.79788456080286535588), b = T(0.044715);
        const T t = std::tanh(a * (x + b * x * x * x));
        return T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * a * (T(1) + T(3) * b * x * x);
    }
    case Activation::silu: {
        const T s = T(1) / (T(1) + std::exp(-x));
        return s * (T(1) + x * (T(1) - s));
    }
    case Activation::tanh: {
        const T t = std::tanh(x);
        return T(1) - t * t;
    }
    case Activation::sigmoid: {
        const T s = T(1) / (T(1) + std::exp(-x));
        return s * (T(1) - s);
    }
    case Activation::softplus:
        return T(1) / (T(1) + std::exp(-parameter * x));
    case Activation::elu:
        return x > 0 ? T(1) : parameter * std::exp(x);
    }
    return T(1);
}

/// act''(x); zero for the piecewise-linear ones, their kinks included.
template <class T>
HESSAY_HD T activation_curvature(Activation act, T parameter, T x)
{
    switch (act) {
    case Activation::identity:
    case Activation::relu:
    case Activation::leaky_relu:
        return T(0);
    case Activation::gelu:
        return T(0.39894228040143267794) * std::exp(T(-0.5) * x * x) * (T(2) - x * x);
    case Activation::gelu_tanh: {
        const T a = T(0.79788456080286535588), b = T(0.044715);
        const T t = std::tanh(a * (x + b * x * x * x)), sech2 = T(1) - t * t;
        const T inner1 = a * (T(1) + T(3) * b * x * x), inner2 = T(6) * a * b * x;
        return sech2 * inner1 + T(0.5) * x * sech2 * (inner2 - T(2) * t * inner1 * inner1);
    }
    case Activation::silu: {
        const T s = T(1) / (T(1) + std::exp(-x)), slope = s * (T(1) - s);
        return slope * (T(2) + x * (T(1) - T(2) * s));
    }
    case Activation::tanh: {
        const T t = std::tanh(x);
        return T(-2) * t * (T(1) - t * t);
    }
    case Activation::sigmoid: {
        const T s = T(1) / (T(1) + std::exp(-x));
        return s * (T(1) - s) * (T(1) - T(2) * s);
    }
    case Activation::softplus: {
        const T s = T(1) / (T(1) + std::exp(-parameter * x));
        return parameter * s * (T(1) - s);
    }
    case Activation::elu:
        return x > 0 ? T(0) : parameter * std::exp(x);
    }
    return T(0);
}

/// True when act'' vanishes wherever it is defined.
HESSAY_HD inline bool is_piecewise_linear(Activation act)
{
    return act == Activation::identity || act == Activation::relu || act == Activation::leaky_relu;
}

} // namespace hessay

"""How linear operations carry tangents forwards and cotangents backwards: one function each.

A tangent or cotangent at a value of shape (m, *shape) is (m, k, *shape), as in
:mod:`hessay.hessian.tangent.steps`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hessay.hessian.graph.operations import Affine, Convolution, Linear, LinearMap

_STRAIGHT = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)
_FEW_CHANNELS = 4  # up to here one GEMM and a fold beat torch's transposed convolution
Push = Callable[..., Tensor]
Pull = Callable[[Tensor], tuple[Tensor, ...]]
Shape = tuple[int, ...]


def alone(function: Callable[[Tensor], Tensor]) -> Pull:
    """Make a pull to the one source of a function of cotangents."""
    return lambda cotangent: (function(cotangent),)


def both(cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """Pull back a sum."""
    return cotangent, cotangent


def linear(operation: Linear) -> tuple[Push, Pull]:
    """Multiply by the weight, or by its transpose."""
    weight = operation.weight
    return (
        lambda tangent: functional.linear(tangent, weight),
        lambda cotangent: (torch.matmul(cotangent, weight),),
    )


def scaling(operation: Affine) -> Callable[[Tensor], Tensor]:
    """Multiply by the scale: its own transpose."""
    scale = operation.scale
    return (lambda part: part) if scale is None else (lambda part: part * scale)


def reshape(shape: Shape) -> Callable[[Tensor], Tensor]:
    """Give every tangent this shape."""
    return lambda part: _laid_out(part.reshape(*part.shape[:2], *shape))


def _laid_out(images: Tensor) -> Tensor:
    """Lay images (m, k, C, H, W) out with channels last, as convolutions give and take them."""
    if images.ndim != 5:
        return images
    return images.movedim(2, -1).contiguous().movedim(-1, 2)


def _merged(function: Callable[..., Tensor], *parts: Tensor) -> Tensor:
    """Run over the k tangents of all m samples as over one batch."""
    result = function(*(part.flatten(0, 1) for part in parts))
    return result.view(*parts[0].shape[:2], *result.shape[1:])


def _channels_last(image: Tensor) -> Tensor:
    """Stride an image (m, 1, H, W) as channels last, which torch does not see for one channel."""
    if image.ndim != 4 or image.shape[1] != 1:
        return image
    return image.reshape(len(image), *image.shape[2:], 1).movedim(-1, 1)


def convolution(operation: Convolution, before: Shape) -> tuple[Push, Push, Pull]:
    """Value, push and pull of a convolution of values of shape ``before``."""
    weight, groups = operation.weight, operation.groups
    axes = weight.ndim - 2
    if axes == 2:  # the layout that torch's fast kernels take as it is
        weight = weight.contiguous(memory_format=torch.channels_last)
    stride, padding, dilation = operation.stride, operation.padding, operation.dilation
    straight, transposed = _STRAIGHT[axes - 1], _TRANSPOSED[axes - 1]

    def convolved(image: Tensor, bias: Tensor | None = None) -> Tensor:
        image = _channels_last(image)
        return straight(image, weight, bias, stride, padding, dilation, groups)

    def start(value: Tensor) -> Tensor:
        return convolved(value, operation.bias)

    def push(tangent: Tensor) -> Tensor:
        return _merged(convolved, tangent)

    if axes == 2 and groups == 1 and before[0] <= _FEW_CHANNELS:
        columns = weight.flatten(1).T.contiguous()  # (in * kernel, out)

        def pull_few(cotangent: Tensor) -> Tensor:
            spread = torch.matmul(columns, cotangent.flatten(2))
            return functional.fold(spread, before[1:], weight.shape[2:], dilation, padding, stride)

        return start, push, lambda cotangent: (_merged(pull_few, cotangent),)

    def pull_many(cotangent: Tensor) -> Tensor:
        # What the kernel left over on the far side of the input has the cotangent 0.
        over = [
            before[1 + i]
            - ((cotangent.shape[2 + i] - 1) * stride[i] - 2 * padding[i])
            - dilation[i] * (weight.shape[2 + i] - 1)
            - 1
            for i in range(axes)
        ]
        return transposed(cotangent, weight, None, stride, padding, over, groups, dilation)

    return start, push, lambda cotangent: (_merged(pull_many, cotangent),)


def any_map(operation: LinearMap, shapes: tuple[Shape, ...]) -> tuple[Push, Pull]:
    """Push through the function itself; pull as torch differentiates it at 0."""

    def push(*tangents: Tensor) -> Tensor:
        if len(tangents) > 1:  # some may be shared by all samples
            m = max(len(tangent) for tangent in tangents)
            tangents = tuple(tangent.expand(m, *tangent.shape[1:]) for tangent in tangents)
        return _laid_out(_merged(operation.function, *tangents))

    def pull(cotangent: Tensor) -> tuple[Tensor, ...]:
        m, k = cotangent.shape[:2]
        with torch.enable_grad():
            zeros = [cotangent.new_zeros(m * k, *shape).requires_grad_(True) for shape in shapes]
            image = operation.function(*zeros)
            parts = torch.autograd.grad((image * cotangent.flatten(0, 1)).sum(), zeros)
        return tuple(_laid_out(part.view(m, k, *part.shape[1:])) for part in parts)

    return push, pull

"""Translators of the layers with arguments of their own: linear maps, convolution, batch norm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional

from hessay.hessian.graph.operations import Affine, Convolution, Linear, LinearMap, Operation


class Unknown(Exception):
    """Why a call cannot be an operation of the graph, in plain words."""


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor that depends on the input."""

    number: int
    tensor: Tensor  # (rows, *shape)


Emit = Callable[[Operation], int]  # records an operation and returns the number of its value


def _linear(emit: Emit, x: Value, weight: Tensor, bias: Tensor | None = None) -> int:
    return emit(Linear((x.number,), weight.detach(), None if bias is None else bias.detach()))


def _matmul(emit: Emit, x: Value, other: Tensor) -> int:
    if other.ndim != 2 or x.tensor.ndim < 2:
        raise Unknown("matmul is in the graph with a constant matrix on the right only")
    return emit(Linear((x.number,), other.detach().T.contiguous(), None))


def _convolution(
    emit: Emit,
    x: Value,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> int:
    axes = weight.ndim - 2
    need_axes(f"conv{axes}d", x.tensor.ndim - 2, axes)
    source, steps = x.number, _each(dilation, axes)
    if padding == "same":
        # torch pads one more on the right where the total is odd
        total = [step * (size - 1) for step, size in zip(steps, weight.shape[2:], strict=True)]
        if any(t % 2 for t in total):
            pads = [side for t in reversed(total) for side in (t // 2, t - t // 2)]
            source = emit(LinearMap((source,), "pad", lambda value: functional.pad(value, pads)))
            total = [0] * axes
        padding = [t // 2 for t in total]
    elif isinstance(padding, str):
        padding = 0
    return emit(
        Convolution(
            (source,),
            weight.detach(),
            None if bias is None else bias.detach(),
            _each(stride, axes),
            _each(padding, axes),
            steps,
            groups,
        )
    )


def _batch_norm(
    emit: Emit,
    x: Value,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,  # noqa: ARG001 - of the call
    eps: float = 1e-5,
) -> int:
    if training or mean is None or variance is None:
        raise Unknown("batch_norm takes its statistics from the batch")
    scale = (variance.detach().double() + eps).rsqrt()
    if weight is not None:
        scale = scale * weight.detach().double()
    shift = -mean.detach().double() * scale
    if bias is not None:
        shift = shift + bias.detach().double()
    shape = (-1, *[1] * (x.tensor.ndim - 2))
    dtype = x.tensor.dtype
    return emit(Affine((x.number,), scale.to(dtype).view(shape), shift.to(dtype).view(shape)))


def _mean(
    emit: Emit, x: Value, dim: int | Sequence[int] | None = None, keepdim: bool = False
) -> int:
    axes = [] if dim is None else [d % x.tensor.ndim for d in _each(dim, 1)]
    if not axes or 0 in axes:
        raise Unknown("mean over the samples is not in the graph")
    return emit(LinearMap((x.number,), "mean", lambda value: value.mean(axes, keepdim=keepdim)))


def _pad(
    emit: Emit, x: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> int:
    if len(pad) // 2 >= x.tensor.ndim or value not in (None, 0):
        raise Unknown("pad is in the graph with zeros, and off the sample axis, only")
    pads = list(pad)
    return emit(LinearMap((x.number,), "pad", lambda v: functional.pad(v, pads, mode=mode)))


def _permute(emit: Emit, x: Value, *dims: Any) -> int:
    axes = tuple(d % x.tensor.ndim for d in (dims if len(dims) > 1 else dims[0]))
    if axes[0] != 0:
        raise Unknown("permute moves the sample axis")
    return emit(LinearMap((x.number,), "permute", lambda value: value.permute(axes)))


def _transpose(emit: Emit, x: Value, dim0: int, dim1: int) -> int:
    axes = list(range(x.tensor.ndim))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return _permute(emit, x, axes)


def _negative(emit: Emit, x: Value) -> int:
    return emit(Affine((x.number,), x.tensor.new_tensor(-1.0), None))


LAYERS: dict[str, Callable[..., int]] = {
    "linear": _linear,
    "matmul": _matmul,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv3d": _convolution,
    "batch_norm": _batch_norm,
    "mean": _mean,
    "pad": _pad,
    "permute": _permute,
    "transpose": _transpose,
    "neg": _negative,
}


def _each(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * axes
    values = tuple(int(v) for v in value)
    return values * axes if len(values) == 1 else values


def need_axes(name: str, got: int, wanted: int) -> None:
    """Refuse a value without its sample axis, which torch would take for channels."""
    if got != wanted:
        raise Unknown(f"{name} of one unbatched sample is not in the graph")

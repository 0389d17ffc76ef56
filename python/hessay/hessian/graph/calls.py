"""What each torch function means as an operation of the graph: one small translator a function.

A translator takes the arguments of the call, with the values in question as :class:`Value`, and
returns the operations that compute its result, each reading the one before. It raises
:class:`Unknown` with the reason when the call is not what it can translate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hessay.hessian.graph.layers import LAYERS, Emit, Unknown, Value, need_axes
from hessay.hessian.graph.operations import (
    Add,
    Affine,
    Elementwise,
    LinearMap,
    MaxPool,
    Reshape,
)

# name: (function, its one parameter and that one's default, piecewise linear?)
_ELEMENTWISE: dict[str, tuple[Callable[..., Tensor], tuple[str, float] | None, bool]] = {
    "relu": (functional.relu, None, True),
    "relu6": (functional.relu6, None, True),
    "leaky_relu": (functional.leaky_relu, ("negative_slope", 0.01), True),
    "prelu": (torch.prelu, None, True),
    "hardtanh": (functional.hardtanh, None, True),
    "abs": (torch.abs, None, True),
    "clamp": (torch.clamp, None, True),
    "gelu": (functional.gelu, None, False),
    "silu": (functional.silu, None, False),
    "tanh": (torch.tanh, None, False),
    "sigmoid": (torch.sigmoid, None, False),
    "softplus": (functional.softplus, ("beta", 1.0), False),
    "elu": (functional.elu, ("alpha", 1.0), False),
    "selu": (functional.selu, None, False),
    "celu": (functional.celu, ("alpha", 1.0), False),
    "mish": (functional.mish, None, False),
    "hardswish": (functional.hardswish, None, False),
    "softsign": (functional.softsign, None, False),
    "logsigmoid": (functional.logsigmoid, None, False),
}
_SAME = {"contiguous", "clone", "to", "float", "double", "type_as", "requires_grad_"}
_DROPOUT = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"}
_RESHAPE = {"view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "view_as"}
_MAX_POOL = {
    getattr(functional, name): name
    for name in (
        *("max_pool1d", "max_pool2d", "max_pool3d"),
        *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    )
}
_AVERAGE_POOL = {
    name: getattr(functional, name)
    for name in (
        *("avg_pool1d", "avg_pool2d", "avg_pool3d"),
        *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    )
}


def name_of(function: Any) -> str:
    """Name a torch function as its user would; in-place and operator spellings lose their marks."""
    if function in _MAX_POOL:
        return _MAX_POOL[function]
    name = str(getattr(function, "__name__", type(function).__name__))
    if name == "__get__":  # a property of the tensor
        name = str(getattr(function.__self__, "__name__", name))
    if not name.endswith("__"):
        return name.removesuffix("_") if name != "requires_grad_" else name
    plain = name.strip("_")
    return {"truediv": "div", "iadd": "add", "radd": "add", "rmul": "mul"}.get(plain, plain)


def translate(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], result: Tensor, emit: Emit
) -> int:
    """Record a call and return the number of its result.

    Parameters
    ----------
    name : str
        From :func:`name_of`.
    args, kwargs
        Of the call; tensors that depend on the input come as :class:`Value`.
    result : (rows, *shape) tensor
        What the call returned.
    emit : Emit

    Raises
    ------
    Unknown
        The call is none that the graph has.
    """
    x = args[0] if args else None
    if kwargs.pop("out", None) is not None:
        raise Unknown(f"{name} writes into a tensor of its own")
    if name in ("add", "sub", "rsub", "mul", "div"):
        return _arithmetic(name, *args, **kwargs)(emit)
    if name in ("cat", "concat", "concatenate"):
        return emit(_concatenation(result, *args, **kwargs))
    if not isinstance(x, Value):
        raise Unknown(f"{name} does not take the value first")
    rest = args[1:]
    if any(isinstance(a, Value) for a in (*rest, *kwargs.values())) and name != "view_as":
        raise Unknown(f"{name} of two values is not in the graph")
    if name in _SAME:
        if result.dtype != x.tensor.dtype or result.device != x.tensor.device:
            raise Unknown(f"it computes partly in {result.dtype} on {result.device}")
        return x.number
    if name in _DROPOUT:
        return _dropout(x, *rest, **kwargs)
    if name in _RESHAPE:
        if result.shape[:1] != x.tensor.shape[:1] or result.numel() != x.tensor.numel():
            raise Unknown(f"{name} moves the sample axis")
        return emit(Reshape((x.number,), tuple(result.shape[1:])))
    if name in _ELEMENTWISE:
        return emit(_elementwise(name, x, rest, kwargs))
    if name in _MAX_POOL.values():
        return emit(_max_pool(name, x, rest, kwargs))
    if name in _AVERAGE_POOL:
        need_axes(name, x.tensor.ndim - 2, int(name[-2]))
        pool = _AVERAGE_POOL[name]
        return emit(LinearMap((x.number,), name, lambda value: pool(value, *rest, **kwargs)))
    if name in LAYERS:
        try:
            return LAYERS[name](emit, x, *rest, **kwargs)
        except TypeError:
            raise Unknown(f"{name} is called in a way the graph does not have") from None
    raise Unknown(f"{name} is not in the graph")


def _elementwise(name: str, x: Value, rest: Sequence[Any], kwargs: dict[str, Any]) -> Elementwise:
    function, option, piecewise = _ELEMENTWISE[name]
    bound = {key: value for key, value in kwargs.items() if key != "inplace"}
    parameter = 0.0
    if option is not None:
        parameter = float(rest[0] if rest else bound.get(*option))
    if name == "softplus" and bound.get("threshold", rest[1] if len(rest) > 1 else 20.0) < 15:
        raise Unknown("softplus with a threshold this low is not in the graph")
    if name == "gelu" and bound.get("approximate") == "tanh":
        name = "gelu_tanh"
    # F.relu(x, True), F.elu(x, 1.0, True): the flag in a place of its own
    numbers = [value for value in rest if not isinstance(value, bool)]
    return Elementwise(
        (x.number,), name, parameter, piecewise, partial(_call, function, numbers, bound)
    )


def _call(
    function: Callable[..., Tensor], args: Sequence[Any], kwargs: dict[str, Any], value: Tensor
) -> Tensor:
    return function(value, *args, **kwargs)


def _max_pool(name: str, x: Value, rest: Sequence[Any], kwargs: dict[str, Any]) -> MaxPool:
    need_axes(name, x.tensor.ndim - 2, int(name[-2]))
    options = {**kwargs, "return_indices": True}
    if kwargs.get("return_indices"):
        raise Unknown(f"{name} returns indices too")
    pool = getattr(functional, name)
    return MaxPool((x.number,), name, lambda value: pool(value, *rest, **options))


def _dropout(x: Value, p: float = 0.5, training: bool = True, **_: bool) -> int:
    if training and p > 0:
        raise Unknown("dropout is active, whatever the mode of the model")
    return x.number


def _arithmetic(
    name: str, left: Any, other: Any, *, alpha: float = 1, rounding_mode: str | None = None
) -> Callable[[Emit], int]:
    """``left + alpha * other`` and its relatives; one of the two may be constant."""
    if rounding_mode is not None:
        raise Unknown("division with rounding is not in the graph")
    signs = {"add": (1.0, alpha), "sub": (1.0, -alpha), "rsub": (-alpha, 1.0)}

    def emit_all(emit: Emit) -> int:
        if name in ("mul", "div"):
            if isinstance(left, Value) and not isinstance(other, Value):
                factor = _constant(other, left.tensor)
                return emit(Affine((left.number,), 1 / factor if name == "div" else factor, None))
            if isinstance(other, Value) and not isinstance(left, Value) and name == "mul":
                return emit(Affine((other.number,), _constant(left, other.tensor), None))
            raise Unknown("a product or quotient of two values is not in the graph")
        if isinstance(left, Value) and isinstance(other, Value):
            if left.tensor.shape != other.tensor.shape:
                raise Unknown("a sum of values of different shapes is not in the graph")
            first, second = (
                v.number
                if sign == 1
                else emit(Affine((v.number,), v.tensor.new_tensor(sign), None))
                for v, sign in zip((left, other), signs[name], strict=True)
            )
            return emit(Add((first, second)))
        forwards = isinstance(left, Value)
        value, constant = (left, other) if forwards else (other, left)
        own, theirs = signs[name] if forwards else signs[name][::-1]
        scale = None if own == 1 else value.tensor.new_tensor(own)
        return emit(Affine((value.number,), scale, _constant(constant, value.tensor) * theirs))

    return emit_all


def _constant(constant: Any, value: Tensor) -> Tensor:
    """Return a number or tensor as what broadcasts against the axes behind the samples."""
    tensor = torch.as_tensor(constant, device=value.device).detach().to(value.dtype)
    if tensor.ndim == value.ndim and tensor.shape[0] == 1:
        tensor = tensor[0]
    shape = (*[1] * (value.ndim - 1 - tensor.ndim), *tensor.shape)
    if len(shape) != value.ndim - 1 or any(
        own not in (1, size) for own, size in zip(shape, value.shape[1:], strict=True)
    ):
        raise Unknown("a constant with an axis of its own is not in the graph")
    return tensor


def _concatenation(
    result: Tensor, tensors: Sequence[Any], dim: int = 0, axis: int | None = None
) -> LinearMap:
    dim = (dim if axis is None else axis) % result.ndim
    if dim == 0 or not all(isinstance(t, Value) for t in tensors):
        raise Unknown("cat is in the graph for values side by side only")
    return LinearMap(
        tuple(t.number for t in tensors), "cat", lambda *values: torch.cat(values, dim)
    )

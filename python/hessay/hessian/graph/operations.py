"""A network as a straight-line list of typed operations, each naming the earlier values it reads.

Value 0 is the input (n, *shape); operation l gives value l + 1; the last value is the logits. The
sample axis comes first in every value and no operation mixes samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_CONVOLVE = (functional.conv1d, functional.conv2d, functional.conv3d)


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """``value @ weight.T + bias`` on the last axis."""

    sources: tuple[int]
    weight: Tensor  # (out, in)
    bias: Tensor | None  # (out,)

    name = "Linear"
    linear = piecewise_linear = True

    def apply(self, value: Tensor) -> Tensor:
        """Compute the value this operation gives."""
        return functional.linear(value, self.weight, self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """Cross-correlation over one, two or three axes, padded with zeros on both sides alike."""

    sources: tuple[int]
    weight: Tensor  # (out, in / groups, *kernel)
    bias: Tensor | None  # (out,)
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    linear = piecewise_linear = True

    @property
    def name(self) -> str:
        """Name of the layer in torch."""
        return f"Conv{self.weight.ndim - 2}d"

    def apply(self, value: Tensor) -> Tensor:
        """Compute the value this operation gives."""
        convolve = _CONVOLVE[self.weight.ndim - 3]
        options = (self.stride, self.padding, self.dilation, self.groups)
        result: Tensor = convolve(value, self.weight, self.bias, *options)
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """``value * scale + shift``: batch normalisation in eval mode, constant factors and offsets."""

    sources: tuple[int]
    scale: Tensor | None  # broadcast over the axes behind the samples
    shift: Tensor | None  # likewise

    name = "a scaling or offset"
    linear = piecewise_linear = True

    def apply(self, value: Tensor) -> Tensor:
        """Compute the value this operation gives."""
        if self.scale is not None:
            value = value * self.scale
        return value if self.shift is None else value + self.shift


@dataclass(frozen=True, slots=True, eq=False)
class Elementwise:
    """One function of every number; parameters are bound in ``function``."""

    sources: tuple[int]
    name: str  # as torch.nn.functional calls it
    parameter: float  # of the functions that have one number: slope, alpha, beta
    piecewise_linear: bool
    function: Callable[[Tensor], Tensor]

    linear = False

    def apply(self, value: Tensor) -> Tensor:
        """Compute the value this operation gives."""
        return self.function(value)


@dataclass(frozen=True, slots=True, eq=False)
class MaxPool:
    """Largest number of every window; ``function`` returns it and its place in the channel."""

    sources: tuple[int]
    name: str
    function: Callable[[Tensor], tuple[Tensor, Tensor]]

    linear = False
    piecewise_linear = True

    def apply(self, value: Tensor) -> Tensor:
        """Compute the value this operation gives."""
        return self.function(value)[0]


@dataclass(frozen=True, slots=True, eq=False)
class Reshape:
    """The same numbers in another shape behind the sample axis."""

    sources: tuple[int]
    shape: tuple[int, ...]

    name = "a reshape"
    linear = piecewise_linear = True

    def apply(self, value: Tensor) -> Tensor:
        """Compute the value this operation gives."""
        return value.reshape(len(value), *self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Add:
    """The sum of two values of one shape."""

    sources: tuple[int, int]

    name = "add"
    linear = piecewise_linear = True

    def apply(self, value: Tensor, other: Tensor) -> Tensor:
        """Compute the value this operation gives."""
        return value + other


@dataclass(frozen=True, slots=True, eq=False)
class LinearMap:
    """Any other map that is linear in its values and leaves samples apart: means, padding, cat."""

    sources: tuple[int, ...]
    name: str
    function: Callable[..., Tensor]

    linear = piecewise_linear = True

    def apply(self, *values: Tensor) -> Tensor:
        """Compute the value this operation gives."""
        return self.function(*values)


Operation = Linear | Convolution | Affine | Elementwise | MaxPool | Reshape | Add | LinearMap


@dataclass(frozen=True, eq=False)
class Graph:
    """Operations in the order they run, with the shapes of all values behind the sample axis."""

    operations: tuple[Operation, ...]
    shapes: tuple[tuple[int, ...], ...]  # one more than operations: value 0 is the input

    @property
    def piecewise_linear(self) -> bool:
        """Whether the second derivative of every operation is zero, or a jump."""
        return all(operation.piecewise_linear for operation in self.operations)

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """Operations that read each value; one that reads it twice is named twice."""
        found: list[list[int]] = [[] for _ in self.shapes]
        for number, operation in enumerate(self.operations):
            for source in operation.sources:
                found[source].append(number)
        return tuple(map(tuple, found))

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits (n, C) at inputs (n, *shape)."""
        return evaluated(self.operations, inputs)[-1]


def evaluated(operations: Sequence[Operation], inputs: Tensor) -> list[Tensor]:
    """All values at inputs (n, *shape), the inputs first."""
    values = [inputs]
    for operation in operations:
        values.append(operation.apply(*(values[source] for source in operation.sources)))
    return values


def pruned(
    operations: Sequence[Operation], last: int
) -> tuple[tuple[Operation, ...], tuple[int, ...]]:
    """Keep what value ``last`` depends on, in the same order, and the input.

    Returns
    -------
    operations, kept
        The operations, and which of the old values are left; the last one is ``last``.
    """
    needed = {0, last}
    for value in range(last, 0, -1):
        if value in needed:
            needed.update(operations[value - 1].sources)
    kept = sorted(needed)
    number = {value: i for i, value in enumerate(kept)}
    return tuple(renumbered(operations[value - 1], number) for value in kept if value), tuple(kept)


def renumbered(operation: Operation, number: Mapping[int, int]) -> Operation:
    """Return the operation reading values ``number[s]`` for s; those not named stay."""
    sources: Any = tuple(number.get(s, s) for s in operation.sources)
    return replace(operation, sources=sources)


def folded(graph: Graph) -> Graph:
    """Multiply scalings and offsets into the linear layer or convolution they follow.

    Only where nothing else reads that layer. The function stays the same up to rounding.
    """
    operations = list(graph.operations)
    moved: dict[int, int] = {}  # value of a folded Affine -> value of the layer that took it up
    for number, affine in enumerate(graph.operations):
        value = moved.get(affine.sources[0], affine.sources[0])
        if not isinstance(affine, Affine) or value == 0:
            continue
        before = operations[value - 1]
        if (
            not isinstance(before, Linear | Convolution)
            or len(graph.readers[affine.sources[0]]) > 1
        ):
            continue
        axes = len(graph.shapes[value])
        channels = before.weight.shape[0]
        scale, shift = (_per_channel(t, axes, channels) for t in (affine.scale, affine.shift))
        if isinstance(before, Linear) and axes > 1:
            continue  # the features of this layer lie on another axis
        if (affine.scale is not None and scale is None) or (
            affine.shift is not None and shift is None
        ):
            continue
        weight, bias = before.weight, before.bias
        if scale is not None:
            weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
            bias = None if bias is None else bias * scale
        if shift is not None:
            bias = shift if bias is None else bias + shift
        operations[value - 1] = replace(before, weight=weight, bias=bias)
        moved[number + 1] = value
    if not moved:
        return graph
    last = len(operations)
    kept, values = pruned(
        [renumbered(operation, moved) for operation in operations], moved.get(last, last)
    )
    return Graph(kept, tuple(graph.shapes[value] for value in values))


def _per_channel(factor: Tensor | None, axes: int, channels: int) -> Tensor | None:
    """Return the factor (channels,) if it varies along the first of the axes only."""
    if factor is None:
        return None
    shape = (*[1] * (axes - factor.ndim), *factor.shape)
    if any(size != 1 for size in shape[1:]):
        return None
    return factor.reshape(-1).expand(channels)


def slope_and_bend(operation: Elementwise, value: Tensor) -> tuple[Tensor, Tensor | None]:
    """First and second derivative at every number of ``value``, as torch differentiates.

    The second is None for piecewise-linear functions.
    """
    with torch.enable_grad():
        x = value.detach().requires_grad_(True)
        result = operation.function(x).sum()
        smooth = not operation.piecewise_linear
        (slope,) = torch.autograd.grad(result, x, create_graph=smooth)
        if not smooth or not slope.requires_grad:
            return slope.detach(), None
        (bend,) = torch.autograd.grad(slope.sum(), x)
    return slope.detach(), bend

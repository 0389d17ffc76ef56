"""The operations of a graph, prepared for many tangents and cotangents at the same samples.

A tangent or cotangent at a value of shape (m, *shape) is (m, k, *shape): k of them a sample. Where
all samples share them the first axis is 1. ``start`` computes the value at a tile of samples,
``push`` carries tangents forwards, ``pull`` cotangents backwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hessay.hessian.graph.operations import (
    Add,
    Affine,
    Convolution,
    Elementwise,
    Graph,
    Linear,
    LinearMap,
    MaxPool,
    Reshape,
    slope_and_bend,
)
from hessay.hessian.tangent.rules import (
    Pull,
    Push,
    Shape,
    alone,
    any_map,
    both,
    convolution,
    linear,
    reshape,
    scaling,
)

# With parameters that a number's place decides: no function of the number alone.
_BY_CHANNEL = {"prelu", "clamp"}


@dataclass(frozen=True, slots=True, eq=False)
class LinearStep:
    """The same linear map at every sample: nothing is kept."""

    sources: Shape
    target: int
    name: str
    start: Push  # values (m, *shape) to (m, *shape)
    push: Push  # tangents (m, k, *shape) of the sources to those of the target
    pull: Pull  # cotangents (m, k, *shape) of the target to those of the sources


@dataclass(slots=True, eq=False)
class Kept:
    """What a bent step remembers of a tile of m samples."""

    slope: Tensor | None  # first derivative, (m, 1, *shape); None stands for 1
    bend: Tensor | None  # second derivative, times the loss gradient; (m, 1, *shape); None for 0
    place: Tensor | None  # (m, 1, outputs): where each window has its largest, channels last

    @property
    def bytes(self) -> int:
        """Memory taken."""
        tensors = (self.slope, self.bend, self.place)
        return sum(t.numel() * t.element_size() for t in tensors if t is not None)


@dataclass(frozen=True, slots=True, eq=False)
class BentStep:
    """An element-wise function, max pooling, or the first followed by the second.

    Behind a function that nobody else reads, the pool's winners are all that matters: tangents are
    gathered there and cotangents scattered there, and the function is differentiated there alone.
    """

    sources: Shape
    target: int
    name: str
    function: Elementwise | None
    pool: MaxPool | None
    before: Shape  # of the source, (channels, *spatial) where there is a pool
    after: Shape  # of the target

    def start(self, value: Tensor) -> tuple[Tensor, Kept]:
        """Value (m, *after), and what to keep."""
        result, chosen, place = value, value, None
        if self.function is not None:
            result = self.function.apply(value)
        if self.pool is not None:
            result, index = self.pool.function(result)
            channel = torch.arange(self.before[0], device=index.device)
            place = (index.movedim(1, -1) * self.before[0] + channel).flatten(1)
            chosen = value.movedim(1, -1).flatten(1).gather(1, place)
            place = place.unsqueeze(1)
        if self.function is None:
            return result, Kept(None, None, place)
        slope, bend = slope_and_bend(self.function, chosen)
        return result, Kept(slope.unsqueeze(1), None if bend is None else bend.unsqueeze(1), place)

    def push(self, kept: Kept, tangent: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tangents of the target, and those that a bend has met."""
        met = tangent
        if kept.place is not None:
            m, k = len(kept.place), tangent.shape[1]
            flat = tangent.movedim(2, -1).flatten(2).expand(m, k, -1)
            met = flat.gather(2, kept.place.expand(m, k, -1))
        result = met if kept.slope is None else met * kept.slope
        if kept.place is not None:
            result = _channels_first(result, self.after)
        return result, None if kept.bend is None else met

    def pull(self, kept: Kept, cotangent: Tensor, met: Tensor | None) -> Tensor:
        """Cotangents of the source; ``met``, from ``push``, adds second derivatives."""
        flat = self._chosen(kept, cotangent, met)
        if kept.place is None:
            return flat
        m, k = flat.shape[:2]
        full = flat.new_zeros(m, k, math.prod(self.before))
        full.scatter_add_(2, kept.place.expand(m, k, -1), flat)
        return _channels_first(full, self.before)

    def pull_sum(self, kept: Kept, cotangent: Tensor, met: Tensor | None) -> Tensor:
        """Cotangents of the source summed over the samples, (k, *before)."""
        flat = self._chosen(kept, cotangent, met)
        if kept.place is None:
            return flat.sum(dim=0)
        m, k = flat.shape[:2]
        full = flat.new_zeros(k, math.prod(self.before))
        place = kept.place.expand(m, k, -1).transpose(0, 1).reshape(k, -1)
        full.scatter_add_(1, place, flat.transpose(0, 1).reshape(k, -1))
        return _channels_first(full[None], self.before)[0]

    def weigh(self, kept: Kept, gradient: Tensor) -> None:
        """Multiply the bend with the loss gradient (m, 1, *after)."""
        if kept.bend is not None:
            kept.bend = kept.bend * self._flat(kept, gradient)

    def _chosen(self, kept: Kept, cotangent: Tensor, met: Tensor | None) -> Tensor:
        flat = self._flat(kept, cotangent)
        if kept.slope is not None:
            flat = flat * kept.slope
        return flat if met is None or kept.bend is None else flat.addcmul(kept.bend, met)

    def _flat(self, kept: Kept, cotangent: Tensor) -> Tensor:
        return cotangent if kept.place is None else cotangent.movedim(2, -1).flatten(2)


Step = LinearStep | BentStep


def steps_of(graph: Graph) -> tuple[Step, ...]:
    """Prepare every operation; values keep the numbers they have in the graph."""
    fused = {
        number
        for number, operation in enumerate(graph.operations)
        if isinstance(operation, Elementwise)
        and operation.name not in _BY_CHANNEL
        and len(readers := graph.readers[number + 1]) == 1
        and isinstance(graph.operations[readers[0]], MaxPool)
    }
    return tuple(
        _step(graph, number, fused)
        for number in range(len(graph.operations))
        if number not in fused
    )


def _step(graph: Graph, number: int, fused: set[int]) -> Step:
    operation, target = graph.operations[number], number + 1
    before, after = graph.shapes[operation.sources[0]], graph.shapes[target]
    sources, name = operation.sources, operation.name
    match operation:
        case Elementwise():
            return BentStep(sources, target, name, operation, None, before, after)
        case MaxPool():
            function = None
            if sources[0] - 1 in fused:
                found = graph.operations[sources[0] - 1]
                assert isinstance(found, Elementwise)
                function, sources = found, found.sources
            return BentStep(sources, target, name, function, operation, before, after)
        case Linear():
            push, pull = linear(operation)
        case Convolution():
            start, push, pull = convolution(operation, before)
            return LinearStep(sources, target, name, start, push, pull)
        case Affine():
            push = pull_one = scaling(operation)
            pull = alone(pull_one)
        case Reshape():
            push, pull = reshape(after), alone(reshape(before))
        case Add():
            push, pull = torch.add, both
        case LinearMap():
            shapes = tuple(graph.shapes[source] for source in sources)
            push, pull = any_map(operation, shapes)
    return LinearStep(sources, target, name, operation.apply, push, pull)


def _channels_first(flat: Tensor, shape: Shape) -> Tensor:
    """View (m, k, spatial * channels) as (m, k, channels, *spatial)."""
    return flat.view(*flat.shape[:2], *shape[1:], shape[0]).movedim(-1, 2)

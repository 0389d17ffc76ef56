"""A network linearised at every sample, and the two passes over it: tangents and cotangents.

Operations that act alike on all samples, up to the first that does not, are called shared: a
direction that all samples share passes them once, and cotangents that will be averaged are summed
before they do, since d(sum)/dx is all that an average asks for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from hessay.errors import NonFinite
from hessay.hessian.graph.operations import Graph, folded
from hessay.hessian.tangent.steps import Kept, LinearStep, Step, steps_of

# Largest value of a tile, over all its samples and directions: it should lie in a core's cache.
TILE_BYTES = 1 << 22
NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A few consecutive samples, and what the steps keep of them."""

    rows: slice
    kept: dict[int, Kept]  # by the number of the value


class Linearization:
    """A network at given samples, ready to carry tangents forwards and cotangents backwards.

    Kept are n * numbers * itemsize bytes for every activation, twice that for smooth ones where
    second derivatives enter, and n * outputs * 8 more for every max pool. An activation that only
    a max pool reads has the outputs of the pool for its numbers.

    Parameters
    ----------
    graph : Graph
    inputs : (n, *shape) tensor
        In the dtype and on the device of the graph's weights.
    sizes : sequence of int
        Numbers of consecutive samples that one tile must not mix; all of them by default.

    Raises
    ------
    NonFinite
        Some value is NaN or Inf; the message names the operation and the sample.
    """

    def __init__(self, graph: Graph, inputs: Tensor, sizes: Sequence[int] = ()) -> None:
        graph = folded(graph)
        self.shapes = graph.shapes
        self.n = len(inputs)
        self._steps = steps_of(graph)
        self._last = len(graph.operations)
        self.shared = _shared(self._steps)
        self._last_reader = {s: step.target for step in self._steps for s in step.sources}
        largest = max(math.prod(shape) for shape in graph.shapes)
        items = max(1, TILE_BYTES // (largest * inputs.element_size()))
        self.block = items // min(items, self.n)  # directions that go together over a tile
        with plain_tensors():
            ends = list(accumulate(sizes or (self.n,)))
            started = [
                self._start(inputs, slice(first, min(first + items, end)))
                for start, end in pairwise([0, *ends])
                for first in range(start, end, items)
            ]
            self.tiles = [tile for tile, _ in started]
            self.logits = torch.cat([logits for _, logits in started])

    @property
    def bytes(self) -> int:
        """Memory that is kept between products."""
        return sum(kept.bytes for tile in self.tiles for kept in tile.kept.values())

    def bend(self, gradient: Tensor | None) -> None:
        """Weight second derivatives with the gradient (n, C) of the loss; None drops them.

        To be called once, before the products.
        """
        for tile in self.tiles:
            bent = [value for value, kept in tile.kept.items() if kept.bend is not None]
            if gradient is None:
                for value in bent:
                    tile.kept[value].bend = None
            elif bent:
                self.backward(tile, gradient[tile.rows, None], weigh_from=min(bent))

    def shared_forward(self, tangent: Tensor) -> dict[int, Tensor]:
        """Tangents (1, k, *shape) of all shared values, from that of the input."""
        values = {0: tangent}
        for step in self._steps:
            if step.target in self.shared and isinstance(step, LinearStep):
                values[step.target] = step.push(*(values[s] for s in step.sources))
        return values

    def forward(self, tile: Tile, values: Mapping[int, Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        """Carry tangents on from those in ``values``.

        Returns
        -------
        tangent, met
            Of the logits, (m or 1, k, C), and what every step with a bend has met.
        """
        known, met = dict(values), {}
        for step in self._steps:
            if step.target in known:
                continue
            parts = [known[s] for s in step.sources]
            if isinstance(step, LinearStep):
                known[step.target] = step.push(*parts)
            else:
                known[step.target], seen = step.push(tile.kept[step.target], *parts)
                if seen is not None:
                    met[step.target] = seen
            for s in step.sources:  # memory that is still in the cache is given back at once
                if self._last_reader[s] == step.target:
                    known.pop(s, None)
        return known[self._last], met

    def backward(
        self,
        tile: Tile,
        cotangent: Tensor,
        *,
        met: Mapping[int, Tensor] | None = None,
        totals: dict[int, Tensor] | None = None,
        weigh_from: int = 0,
    ) -> Tensor | None:
        """Carry a cotangent (m, k, C) of the logits back.

        Parameters
        ----------
        met
            From :meth:`forward`: second derivatives are then added.
        totals
            Sums over samples so far, (k, *shape) in double, of the cotangents of shared values;
            they are added to and not carried on. Without it cotangents go back to the input.
        weigh_from
            Multiply the kept second derivatives with the cotangents; stop at this value.

        Returns
        -------
        (m, k, *shape) cotangent of the input, None when it was added to ``totals``
        """
        shared = NOTHING if totals is None else self.shared
        waiting: dict[int, Tensor] = {}
        if self._last in shared and totals is not None:
            _add_total(totals, self._last, cotangent.sum(dim=0))
        else:
            waiting[self._last] = cotangent
        for step in reversed(self._steps):
            if step.target < weigh_from:
                return None
            arrived = waiting.pop(step.target, None)
            if arrived is None:
                continue
            parts: tuple[Tensor, ...]
            summed = False
            if isinstance(step, LinearStep):
                parts = step.pull(arrived)
            else:
                kept = tile.kept[step.target]
                if weigh_from:
                    step.weigh(kept, arrived)
                seen = None if met is None else met.get(step.target)
                summed = step.sources[0] in shared
                part = (step.pull_sum if summed else step.pull)(kept, arrived, seen)
                parts = (part,)
            for source, part in zip(step.sources, parts, strict=True):
                if source in shared and totals is not None:
                    _add_total(totals, source, part if summed else part.sum(dim=0))
                elif source in waiting:
                    waiting[source] = waiting[source] + part
                else:
                    waiting[source] = part
        return waiting.get(0)

    def shared_backward(self, totals: Mapping[int, Tensor]) -> Tensor:
        """Cotangent (g, k, *shape) of the input from those of shared values, of the same g, k."""
        waiting = dict(totals)
        for step in reversed(self._steps):
            arrived = waiting.pop(step.target, None)
            if arrived is None or not isinstance(step, LinearStep):
                continue
            for source, part in zip(step.sources, step.pull(arrived), strict=True):
                waiting[source] = waiting[source] + part if source in waiting else part
        return waiting[0]

    def _start(self, inputs: Tensor, rows: slice) -> tuple[Tile, Tensor]:
        values = {0: inputs[rows].detach()}
        kept: dict[int, Kept] = {}
        for step in self._steps:
            parts = [values[s] for s in step.sources]
            if isinstance(step, LinearStep):
                value = step.start(*parts)
            else:
                value, kept[step.target] = step.start(*parts)
            if not bool(value.sum().isfinite()):  # one pass; which sample is asked only then
                self._check_finite(value, step, rows.start)
            values[step.target] = value
            for s in step.sources:
                if self._last_reader[s] == step.target:
                    values.pop(s, None)
        return Tile(rows, kept), values[self._last]

    def _check_finite(self, value: Tensor, step: Step, first: int) -> None:
        finite = value.flatten(1).isfinite().all(dim=1)
        if not bool(finite.all()):
            raise NonFinite(
                f"{step.name}, operation {step.target} of {self._last}, gives NaN or Inf at sample "
                f"{first + int((~finite).nonzero()[0])}; check the weights and the scale of the "
                "inputs"
            )


@contextmanager
def plain_tensors() -> Iterator[None]:
    """Compute without gradients, on tensors that autograd may still be shown later."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def _shared(steps: tuple[Step, ...]) -> frozenset[int]:
    found = {0}
    for step in steps:
        if isinstance(step, LinearStep) and found.issuperset(step.sources):
            found.add(step.target)
    return frozenset(found)


def _add_total(totals: dict[int, Tensor], value: int, part: Tensor) -> None:
    """Sum in double: the tiles are many, and each is rounded once already."""
    if value in totals:
        totals[value] += part
    else:
        totals[value] = part.double()

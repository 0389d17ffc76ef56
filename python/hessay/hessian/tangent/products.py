"""Exact products with the input Hessian by hand-tiled tangent and cotangent passes over a graph.

The linearisation at every sample is computed once and kept; a product is one tangent pass forwards
and one cotangent pass backwards over it, tile by tile, with no autograd graph and no primal.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hessay.hessian.curvature import Curvature
from hessay.hessian.graph.operations import Graph
from hessay.hessian.loss import Loss
from hessay.hessian.tangent.loss import logit_terms
from hessay.hessian.tangent.passes import Linearization, Tile, plain_tensors

_LINE = 16  # numbers


class TangentProducts:
    """Products V -> H_i V per sample, and the Jacobian's rows, for the probe it was built on.

    Memory: that of :class:`Linearization`, and tiles of a few megabytes while a product runs.

    Parameters
    ----------
    graph : Graph
    inputs : (n, *shape) tensor in the dtype and on the device of the graph's weights
    loss : Loss
        With a target for every input.
    curvature : Curvature
        "labels" and "softened": the full Hessian of that loss, network curvature included.
        "uniform" and "margin": J'SJ, which is what they are defined as.

    Raises
    ------
    NonFinite
        Some value of the network is NaN or Inf.
    """

    def __init__(
        self,
        graph: Graph,
        inputs: Tensor,
        loss: Loss,
        curvature: Curvature,
    ) -> None:
        self._passes = Linearization(graph, inputs)
        self.n, self._shape = len(inputs), inputs.shape[1:]
        with plain_tensors():
            self._terms = logit_terms(self._passes.logits, loss, curvature)
            self._passes.bend(self._terms.gradient)

    @property
    def bytes(self) -> int:
        """Memory kept between products."""
        return self._passes.bytes

    def apply(self, directions: Tensor) -> Tensor:
        """H V averaged over the probe, V (d, k)."""
        with plain_tensors():
            out = torch.empty_like(directions, requires_grad=False)
            for columns in _blocks(directions.shape[1], self._passes.block):
                block = directions[:, columns].T.reshape(1, -1, *self._shape)
                shared = self._passes.shared_forward(block)
                totals: dict[int, Tensor] = {}
                for tile in self._passes.tiles:
                    tangent, met = self._passes.forward(tile, shared)
                    weighted = self._terms.curve(tangent, tile.rows)
                    self._passes.backward(tile, weighted, met=met, totals=totals)
                sums = {v: t.div_(self.n).to(block.dtype)[None] for v, t in totals.items()}
                out[:, columns] = self._passes.shared_backward(sums)[0].flatten(1).T
        return out

    def apply_per_sample(self, directions: Tensor) -> Tensor:
        """H_i V_i, V (n, d, k)."""
        with plain_tensors():
            out = torch.empty_like(directions, requires_grad=False)
            # Columns lie side by side: a cache line of them is turned at once, not one by one.
            for line in _blocks(directions.shape[2], _LINE):
                for tile in self._passes.tiles:
                    turned = directions[tile.rows, :, line].transpose(1, 2).contiguous()
                    for columns in _blocks(turned.shape[1], self._passes.block):
                        turned[:, columns] = self._tile_product(tile, turned[:, columns])
                    out[tile.rows, :, line] = turned.transpose(1, 2)
        return out

    def _tile_product(self, tile: Tile, block: Tensor) -> Tensor:
        """H_i V_i for the samples of a tile, V (m, k, d) in rows."""
        tangent, met = self._passes.forward(
            tile, {0: block.reshape(*block.shape[:2], *self._shape)}
        )
        weighted = self._terms.curve(tangent, tile.rows)
        product = self._passes.backward(tile, weighted, met=met)
        assert product is not None
        return product.flatten(2)


def jacobian_rows(graph: Graph, points: Tensor, root_of: Callable[[Tensor], Tensor]) -> Tensor:
    """Pull r cotangents a sample back to the points (n, *shape): rows (n, r, d).

    ``root_of`` gives the cotangents (n, r, C) for the logits (n, C).

    Raises
    ------
    NonFinite
        Some value of the network is NaN or Inf.
    """
    passes = Linearization(graph, points)
    root = root_of(passes.logits)
    with plain_tensors():
        out = root.new_empty(*root.shape[:2], points[0].numel())
        for tile in passes.tiles:
            for columns in _blocks(root.shape[1], passes.block):
                rows = passes.backward(tile, root[tile.rows, columns].clone())
                assert rows is not None
                out[tile.rows, columns] = rows.flatten(2)
    return out


def class_sums(graph: Graph, points: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Sum d logits / dx over the points of each group.

    Parameters
    ----------
    graph : Graph
    points : (n, *shape) tensor in the dtype and on the device of the graph's weights
    group : (n,) int64 tensor, in [0, groups)
    groups : int

    Returns
    -------
    sums, logits
        (groups, C, d) and (n, C).

    Raises
    ------
    NonFinite
        Some value of the network is NaN or Inf.
    """
    order = torch.argsort(group.to(points.device), stable=True)
    sizes = torch.bincount(group, minlength=groups).tolist()
    passes = Linearization(graph, points[order], sizes)
    with plain_tensors():
        logits = torch.empty_like(passes.logits)
        logits[order] = passes.logits
        classes = logits.shape[1]
        each = torch.eye(classes, dtype=points.dtype, device=points.device)
        sums = points.new_zeros(groups, classes, points[0].numel())
        ends = torch.tensor(sizes).cumsum(0)
        for number, size in enumerate(sizes):
            end = int(ends[number])
            own = [tile for tile in passes.tiles if end - size <= tile.rows.start < end]
            for columns in _blocks(classes if own else 0, passes.block):
                totals: dict[int, Tensor] = {}
                for tile in own:
                    m = tile.rows.stop - tile.rows.start
                    passes.backward(tile, each[columns].expand(m, -1, -1), totals=totals)
                found = {value: total.to(points.dtype)[None] for value, total in totals.items()}
                sums[number, columns] = passes.shared_backward(found)[0].flatten(1)
    return sums, logits


def _blocks(count: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]

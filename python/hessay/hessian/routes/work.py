"""What a problem amounts to in counts: all the cost model sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hessay.hessian.curvature import Curvature
from hessay.hessian.graph.operations import Convolution, Elementwise, Graph, Linear
from hessay.hessian.graph.program import LayerProgram


@dataclass(frozen=True, slots=True)
class Work:
    """A problem in counts. Multiply-adds are those of one forward pass of one point."""

    n: int  # points
    d: int  # coordinates of one point
    rank: int  # rows a point of the root of S, or of its sketch
    columns: int | None  # directions the operator is expected to meet; None: nobody knows
    average: bool  # one mean operator, or one a sample
    itemsize: int  # bytes a number
    first: int = 0  # multiply-adds of the first layer of the layer program
    rest: int = 0  # multiply-adds of its other layers
    width: int = 0  # outputs of its first layer; 0: no layer program
    units: int = 0  # outputs of all its layers
    smooth: int = 0  # numbers of the traced network that pass an activation with curvature
    graph: int = 0  # multiply-adds of the traced network; 0: not known
    convolutions: bool = False  # whether some of them are convolutions

    @property
    def expected(self) -> int:
        """Directions expected, a few dozen where nobody knows: what extremal eigenpairs take."""
        return 32 if self.columns is None else self.columns

    @property
    def narrow(self) -> int:
        """Length of a row of B: the first layer stays apart where that pays."""
        return self.width if keeps_lift(self.width, self.d, self.rank, self.average) else self.d

    @property
    def factor_bytes(self) -> int:
        """Bytes of B."""
        return self.n * self.rank * self.narrow * self.itemsize


def keeps_lift(width: int, d: int, rank: int, average: bool) -> bool:
    """Whether a factor of ``rank`` rows a sample keeps the first layer (width, d) apart.

    For directions all samples share, wherever it is narrower than the input. Per sample, where it is
    about as narrow as a sample's rows are many and costs at most half as much again: softmax
    regression, say, whose Jacobian all samples share. There reading multiplied rows takes longer
    than multiplying by them, one direction a sample.
    """
    return 0 < width < d and (average or 2 * width * (d + rank) <= 3 * rank * d)


def work_of(
    graph: Graph | str,
    program: LayerProgram | str,
    curvature: Curvature,
    *,
    n: int,
    d: int,
    n_outputs: int,
    columns: int | None,
    average: bool,
    itemsize: int,
    sketch: int | None,
) -> Work:
    """Count what the network and the question are made of."""
    rank = curvature.rank(n_outputs)
    rank = rank if sketch is None else min(rank, sketch)
    counts: dict[str, int] = {}
    if isinstance(program, LayerProgram):
        sizes = [0 if layer[0] is None else layer[0].size for layer in program.layers]
        widths = program.widths[1:]
        counts = {
            "first": sizes[0],
            "rest": sum(sizes[1:]),
            "width": widths[0],
            "units": sum(widths),
        }
    macs, smooth, convolutions = (0, 0, False) if isinstance(graph, str) else _counts(graph)
    return Work(
        n,
        d,
        rank,
        columns,
        average,
        itemsize,
        graph=macs,
        smooth=smooth,
        convolutions=convolutions,
        **counts,
    )


def _counts(graph: Graph) -> tuple[int, int, bool]:
    """Multiply-adds, numbers through curved activations, and whether there are convolutions."""
    total, smooth, convolutions = 0, 0, False
    for operation, shape in zip(graph.operations, graph.shapes[1:], strict=True):
        if isinstance(operation, Linear | Convolution):
            # Every output number of a channel meets one filter.
            total += math.prod(shape) * operation.weight[0].numel()
            convolutions = convolutions or isinstance(operation, Convolution)
        elif isinstance(operation, Elementwise) and not operation.piecewise_linear:
            smooth += math.prod(shape)
    return total, smooth, convolutions

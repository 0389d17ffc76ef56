"""What a network is made of: a layer program the native core can run, or the reason why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay import _core
from hessay.hessian.graph.operations import Graph
from hessay.hessian.graph.trace import trace
from hessay.hessian.graph.translate import LayerTuple, layers_of


@dataclass(frozen=True, slots=True, eq=False)
class LayerProgram:
    """Linear layers with element-wise activations and sums, in the order the core runs them.

    Value 0 is the input (n, d). Layer l gives value l + 1,
    ``activation(weight @ value[input] + bias + value[skip])``; the last value is the logits.
    """

    # (weight (out, in) or None for the identity, bias (out,) or None, activation, parameter,
    # input, skip or -1)
    layers: tuple[LayerTuple, ...]
    widths: tuple[int, ...]  # of all values, the input first
    piecewise_linear: bool

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Precision of the weights."""
        return next(layer[0].dtype for layer in self.layers if layer[0] is not None)

    @property
    def n_classes(self) -> int:
        """Logits of the last layer."""
        return self.widths[-1]

    def logits(self, inputs: NDArray[np.floating]) -> NDArray[np.floating]:
        """Logits (n, C) at inputs (n, d)."""
        out = np.empty((len(inputs), self.n_classes), dtype=self.dtype)
        _core.network_forward(self.layers, inputs, out)
        return out

    def group_sums(
        self, inputs: NDArray[np.floating], group: NDArray[np.int64], groups: int
    ) -> NDArray[np.floating]:
        """Sum d logits / dx (groups, C, d) over the inputs (n, d) of each group, in [0, groups)."""
        out = np.empty((groups, self.n_classes, inputs.shape[1]), dtype=self.dtype)
        _core.network_grouped_jacobian(self.layers, inputs, np.ascontiguousarray(group), out)
        return out


def follow(
    model: nn.Module, inputs: Tensor, *, up_to_shift: bool = False
) -> tuple[Graph | str, LayerProgram | str]:
    """Trace a network, and translate it for the native core.

    Parameters
    ----------
    model, inputs, up_to_shift
        See :func:`hessay.hessian.graph.trace.trace`.

    Returns
    -------
    graph, program
        Or, in plain words, why there is none. A program is accepted only if it reproduces the
        logits of the graph on a few of the inputs.
    """
    graph = trace(model, inputs, up_to_shift=up_to_shift)
    if isinstance(graph, str):
        return graph, graph
    if inputs.device.type != "cpu":
        return graph, f"the model lives on {inputs.device}"
    return graph, program_of(graph, inputs)


def program_of(graph: Graph, inputs: Tensor) -> LayerProgram | str:
    """Translate a graph into a layer program on the CPU, wherever the network lives."""
    layers = layers_of(graph)
    if isinstance(layers, str):
        return layers
    width = int(np.prod(inputs.shape[1:]))
    program = LayerProgram(layers, _widths(layers, width), graph.piecewise_linear)
    few = inputs[:16].detach()
    native = program.logits(few.flatten(1).cpu().contiguous().numpy()).astype(np.float64)
    with torch.no_grad():
        truth = graph.logits(few).double().cpu().numpy()
    # Two orders of summation: rounding of the dtype times a modest factor for depth and width.
    allowed = 1e4 * np.finfo(program.dtype).eps * max(1.0, float(np.abs(truth).max()))
    if not float(np.abs(native - truth).max()) <= allowed:
        return "the native core gives other logits"
    return program


def _widths(layers: Sequence[LayerTuple], n_inputs: int) -> tuple[int, ...]:
    widths = [n_inputs]
    for weight, _, _, _, source, _ in layers:
        widths.append(widths[source] if weight is None else int(weight.shape[0]))
    return tuple(widths)

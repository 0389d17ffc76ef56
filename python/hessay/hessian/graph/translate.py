"""A graph as layers of the native core: W value[input] + b + value[skip], then an activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessay.hessian.graph.operations import Add, Affine, Elementwise, Graph, Linear, Reshape, folded

# weight (out, in) or None, bias (out,) or None, activation, parameter, input value, skip or -1
LayerTuple = tuple[
    "NDArray[np.floating] | None", "NDArray[np.floating] | None", str, float, int, int
]
_ACTIVATIONS: Final = {
    *("relu", "leaky_relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid", "softplus", "elu"),
}
_MAX_DIAGONAL: Final = 2048  # a scaling that no linear layer takes up becomes a dense matrix


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    weight: Tensor | None
    bias: Tensor | None
    source: int
    activation: str = "identity"
    parameter: float = 0.0
    skip: int = -1


@dataclass(frozen=True, slots=True, eq=False)
class _Scaled:
    """A value of the graph as ``scale * (value of the program) + shift``, flat."""

    number: int
    scale: Tensor | None = None
    shift: Tensor | None = None


class _NotALayer(Exception):
    """Why an operation is no layer, in plain words."""


def layers_of(graph: Graph) -> tuple[LayerTuple, ...] | str:
    """Translate a graph, or say in plain words why it cannot be.

    Scalings and offsets go into the linear layer before them where only they read it, else into
    the linear layers behind them, else they become a layer of their own.
    """
    try:
        layers = _Builder(folded(graph)).layers()
    except _NotALayer as reason:
        return str(reason)
    if all(layer.weight is None for layer in layers):
        return "it has no linear layer"
    return tuple(
        (
            _array(layer.weight),
            _array(layer.bias),
            layer.activation,
            layer.parameter,
            layer.source,
            layer.skip,
        )
        for layer in _without_idle_start(layers)
    )


class _Builder:
    """Layers so far; layer 0 is the identity, so that the input is an ordinary value."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._layers = [_Layer(None, None, 0)]
        self._values = [_Scaled(1)]  # of the graph
        # Reshapes change nothing here: whoever reads their result reads what they read.
        self._root = [0]
        for number, operation in enumerate(graph.operations):
            idle = isinstance(operation, Reshape)
            self._root.append(self._root[operation.sources[0]] if idle else number + 1)
        self._reads = [0] * len(self._root)
        for operation in graph.operations:
            if not isinstance(operation, Reshape):
                for source in operation.sources:
                    self._reads[self._root[source]] += 1

    def layers(self) -> list[_Layer]:
        """Translate all operations; the last layer gives the logits."""
        for operation in self._graph.operations:
            match operation:
                case Reshape():
                    value = self._values[operation.sources[0]]
                case Affine():
                    value = self._affine(operation)
                case Linear():
                    value = self._linear(operation)
                case Elementwise():
                    value = self._elementwise(operation)
                case Add():
                    value = self._sum(operation)
                case _:
                    raise _NotALayer(f"{operation.name} is not in the layer program")
            self._values.append(value)
        if self._plain(len(self._values) - 1) != len(self._layers):
            self._append(_Layer(None, None, self._plain(len(self._values) - 1)))
        return self._layers

    def _append(self, layer: _Layer) -> int:
        self._layers.append(layer)
        return len(self._layers)

    def _plain(self, value: int) -> int:
        """Return the program's value that is this one, from a layer of its own if need be."""
        held = self._values[value]
        if held.scale is None and held.shift is None:
            return held.number
        if held.scale is not None and held.scale.numel() > _MAX_DIAGONAL:
            raise _NotALayer(
                f"a scaling of {held.scale.numel()} numbers that no linear layer takes up"
            )
        weight = None if held.scale is None else torch.diag(held.scale)
        number = self._append(_Layer(weight, held.shift, held.number))
        self._values = [_Scaled(number) if v is held else v for v in self._values]
        return number

    def _affine(self, operation: Affine) -> _Scaled:
        held = self._values[operation.sources[0]]
        shape = self._graph.shapes[operation.sources[0]]
        scale, shift = (
            None if t is None else t.expand(shape).reshape(-1)
            for t in (operation.scale, operation.shift)
        )
        moved = held.shift if scale is None or held.shift is None else held.shift * scale
        return _Scaled(
            held.number,
            held.scale if scale is None else scale if held.scale is None else held.scale * scale,
            moved if shift is None else shift if moved is None else moved + shift,
        )

    def _linear(self, operation: Linear) -> _Scaled:
        source = operation.sources[0]
        if len(self._graph.shapes[source]) != 1:
            raise _NotALayer("a linear layer over one of several axes is not in the layer program")
        held, weight, bias = self._values[source], operation.weight, operation.bias
        if held.shift is not None:
            offset = weight @ held.shift
            bias = offset if bias is None else bias + offset
        if held.scale is not None:
            weight = weight * held.scale
        return _Scaled(self._append(_Layer(weight, bias, held.number)))

    def _elementwise(self, operation: Elementwise) -> _Scaled:
        if operation.name not in _ACTIVATIONS:
            raise _NotALayer(f"{operation.name} is not in the layer program")
        source = operation.sources[0]
        number = self._plain(source)
        layer = self._layers[number - 1]
        if not self._alone(source) or layer.activation != "identity":
            number = self._append(_Layer(None, None, number))
            layer = self._layers[number - 1]
        self._layers[number - 1] = replace(
            layer, activation=operation.name, parameter=operation.parameter
        )
        return _Scaled(number)

    def _sum(self, operation: Add) -> _Scaled:
        first, second = sorted(operation.sources, key=self._plain)
        early, late = self._plain(first), self._plain(second)
        layer = self._layers[late - 1]
        free = layer.activation == "identity" and layer.skip < 0 and late > 1
        if early < late and free and self._alone(second):
            self._retire(late)
            self._layers[late - 1] = replace(layer, skip=early)
            return _Scaled(late)
        return _Scaled(self._append(_Layer(None, None, late, skip=early)))

    def _retire(self, number: int) -> None:
        """Forget the values of a layer whose one reader becomes part of it."""
        self._values = [_Scaled(-1) if v.number == number else v for v in self._values]

    def _alone(self, value: int) -> bool:
        """Whether the layer that gives this value is read by one operation only."""
        number = self._values[value].number
        readers = {self._root[v] for v, held in enumerate(self._values) if held.number == number}
        return sum(self._reads[root] for root in readers) == 1


def _without_idle_start(layers: Sequence[_Layer]) -> list[_Layer]:
    """Drop the identity at the start where the first layer behind it can read the input itself."""
    idle = layers[0].activation == "identity"
    readers = [i for i, layer in enumerate(layers) if i and 1 in (layer.source, layer.skip)]
    if not idle or readers != [1] or layers[1].skip == 1:
        return list(layers)
    return [
        replace(layer, source=layer.source - 1, skip=layer.skip - 1 if layer.skip >= 0 else -1)
        for layer in layers[1:]
    ]


def _array(tensor: Tensor | None) -> NDArray[np.floating] | None:
    return None if tensor is None else tensor.detach().cpu().contiguous().numpy()

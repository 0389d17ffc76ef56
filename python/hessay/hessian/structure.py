"""What a network is made of: a layer program the native core can run, or the reason why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay import _core
from hessay.loading.architectures import FlattenedMLP, ToImage

LayerTuple = tuple[NDArray[np.floating], "NDArray[np.floating] | None", str, float, int, int]

_CONTAINERS = (nn.Sequential, FlattenedMLP)
_SILENT = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_PIECEWISE_LINEAR = (
    *_SILENT,
    nn.Linear,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.Hardtanh,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.ZeroPad2d,
    nn.Unflatten,
    ToImage,
)


@dataclass(frozen=True, slots=True, eq=False)
class LayerProgram:
    """Linear layers with element-wise activations, in the order the native core runs them."""

    layers: tuple[LayerTuple, ...]  # (weight (out, in), bias (out,) or None, activation, parameter)
    piecewise_linear: bool

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Precision of the weights."""
        return self.layers[0][0].dtype

    @property
    def n_classes(self) -> int:
        """Logits of the last layer."""
        return int(self.layers[-1][0].shape[0])

    def logits(self, inputs: NDArray[np.floating]) -> NDArray[np.floating]:
        """Logits (n, C) at inputs (n, d)."""
        out = np.empty((len(inputs), self.n_classes), dtype=self.dtype)
        _core.network_forward(self.layers, inputs, out)
        return out

    def class_sums(
        self, inputs: NDArray[np.floating], group: NDArray[np.int64]
    ) -> NDArray[np.floating]:
        """Sum d logits / dx (C, C, d) over the inputs (n, d) of each group, a class number each."""
        out = np.empty((self.n_classes, self.n_classes, inputs.shape[1]), dtype=self.dtype)
        _core.network_grouped_jacobian(self.layers, inputs, np.ascontiguousarray(group), out)
        return out


def layer_program(model: nn.Module, inputs: Tensor) -> LayerProgram | str:
    """Translate a plain network for the native core.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller.
    inputs : (n, *shape) float tensor
        In the dtype of the model. The translation is accepted only if it reproduces the model's
        logits on a few of them.

    Returns
    -------
    LayerProgram or str
        The program, or in plain words why there is none.
    """
    if inputs.device.type != "cpu":
        return f"the model lives on {inputs.device}"
    if inputs.dtype not in (torch.float32, torch.float64):
        return f"the model computes in {inputs.dtype}"
    found = _translate(model)
    if isinstance(found, str):
        return found
    few = inputs[:16].detach()
    native = found.logits(few.flatten(1).numpy()).astype(np.float64)
    with torch.no_grad():
        truth = model(few).double().numpy()
    # Two orders of summation: rounding of the dtype times a modest factor for depth and width.
    allowed = 1e4 * np.finfo(found.dtype).eps * max(1.0, float(np.abs(truth).max()))
    if native.shape != truth.shape or float(np.abs(native - truth).max()) > allowed:
        return "its forward does something its layers do not say"
    return found


def is_piecewise_linear(model: nn.Module) -> bool:
    """Whether every layer is known to be linear or piecewise linear, called one after another.

    False also when nothing is known: a forward of the user's own can do anything.
    """
    leaves = list(_leaves(model))
    return all(leaf is not None and type(leaf) in _PIECEWISE_LINEAR for leaf in leaves)


def _leaves(module: nn.Module) -> Iterator[nn.Module | None]:
    """Modules in the order they run; None for one whose order of calls is its own affair."""
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
        yield None
    elif isinstance(module, nn.Sequential) and type(module) in _CONTAINERS:
        for child in module:  # children() would name a module that is used twice only once
            yield from _leaves(child)
    elif next(module.children(), None) is None:
        yield module
    else:
        yield None


def _translate(model: nn.Module) -> LayerProgram | str:
    layers: list[LayerTuple] = []
    for leaf in _leaves(model):
        if leaf is None:
            return "it has a forward of its own or hooks"
        if isinstance(leaf, _SILENT):
            continue
        if type(leaf) is nn.Linear:
            layers.append(
                (_array(leaf.weight), _optional_array(leaf.bias), "identity", 0.0, len(layers), -1)
            )
            continue
        activation = _activation(leaf)
        if activation is None:
            return f"{type(leaf).__name__} is not in the layer program"
        if not layers or layers[-1][2] != "identity":
            return f"{type(leaf).__name__} does not follow a linear layer"
        layers[-1] = (*layers[-1][:2], *activation, *layers[-1][4:])
    if not layers:
        return "it has no linear layer"
    kinks = {"identity", "relu", "leaky_relu"}
    return LayerProgram(tuple(layers), all(layer[2] in kinks for layer in layers))


def _activation(leaf: nn.Module) -> tuple[str, float] | None:
    match leaf:
        case nn.ReLU():
            return "relu", 0.0
        case nn.LeakyReLU():
            return "leaky_relu", float(leaf.negative_slope)
        case nn.GELU():
            return ("gelu_tanh" if leaf.approximate == "tanh" else "gelu"), 0.0
        case nn.SiLU():
            return "silu", 0.0
        case nn.Tanh():
            return "tanh", 0.0
        case nn.Sigmoid():
            return "sigmoid", 0.0
        case nn.Softplus():
            return "softplus", float(leaf.beta)
        case nn.ELU():
            return "elu", float(leaf.alpha)
        case _:
            return None


def _optional_array(tensor: Tensor | None) -> NDArray[np.floating] | None:
    return None if tensor is None else _array(tensor)


def _array(tensor: Tensor) -> NDArray[np.floating]:
    array: NDArray[np.floating] = tensor.detach().contiguous().numpy()
    return array

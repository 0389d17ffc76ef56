"""New weights for one linear layer, in closed form: blind to a perturbation, unchanged on clean data.

Let h_i be the layer's clean inputs with a 1 appended, g_ij its inputs when the model's are led by move j, and
W the weights with the bias as last column. The edit D minimises

    mean_i |D h_i|^2 + mean_ij |(W + D) g_ij - W h_i|^2 + lam |D|^2,

a ridge regression with the normal equations  D (H + G + lam I) = mean_ij W (h_i - g_ij) g_ij'.
H and G are the second moments of h and g. Nothing is trained: there is one linear system. What the
layer answers to a perturbed input is pulled back to what it answers to the clean one, and the clean
term keeps the rest in its place.

Source: least squares with a covariance of what must be kept, as in the closed-form weight edits of
Meng et al. 2022, NeurIPS 35, 17359; the use against perturbations is this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.hessian.model.evaluate import call, chunk_rows
from hessay.repairing.patches import copy_of

Matrix = NDArray[np.float64]

RIDGE = 0.1  # lam, as a share of the mean second moment of the clean h
MAX_FEATURES = 4096  # a Gram of 128 MiB


def editable_layers(model: nn.Module, inputs: Tensor) -> list[str]:
    """Names of the linear layers an edit may change, in the order they are run.

    All that are called exactly once with at most 4096 features, less the last, which has too few
    rows to tell a trigger from a class; if there is no other, the last.
    """
    calls: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda _, __, name=name: calls.append(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.in_features <= MAX_FEATURES
    ]
    try:
        with torch.no_grad():
            call(model, inputs[:2])
    finally:
        for handle in handles:
            handle.remove()
    once = [name for name in dict.fromkeys(calls) if calls.count(name) == 1]
    return once[:-1] or once


@dataclass(frozen=True, slots=True, eq=False)
class Edits:
    """The edit of one layer at full strength, fitted to the whole probe and to either half of it."""

    model: nn.Module
    name: str  # of the layer
    whole: Matrix  # D, (out, in + 1)
    halves: tuple[Matrix, Matrix]  # D fitted to the even rows, to the odd rows

    def apply(self, strength: float) -> nn.Module:
        """Return a copy of the model with a share of the edit."""
        return _with_change(self.model, self.name, strength * self.whole)

    def unseen(self, strength: float) -> tuple[nn.Module, nn.Module]:
        """Return a copy whose edit has not seen the odd rows, and one for the even rows."""
        even, odd = (_with_change(self.model, self.name, strength * half) for half in self.halves)
        return even, odd


def fit_edits(
    model: nn.Module,
    name: str,
    inputs: Tensor,
    moves: Sequence[Callable[[Tensor], Tensor]],
) -> Edits:
    """Find the edit of one linear layer that makes it blind to some moves of the inputs.

    Parameters
    ----------
    model : nn.Module
        In eval mode.
    name : str
        Of the layer, one of :func:`editable_layers`.
    inputs : (n, *shape) float tensor
        Clean, in the dtype and on the device of the model; n >= 2.
    moves : sequence of functions of a tensor (n, *shape)
        Each leads all inputs at once; at least one.
    """
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear)  # editable_layers lists no others
    weight = _host(layer.weight)
    # Moments add up over the probes: those of the halves give those of the whole.
    parts = [_moments(model, name, weight, inputs[i::2], moves) for i in range(2)]
    sums = [left + right for left, right in zip(*parts, strict=True)]
    even, odd = (_solve(*part) for part in parts)
    return Edits(model, name, _solve(*sums), (even, odd))


def _moments(
    model: nn.Module,
    name: str,
    weight: Matrix,
    inputs: Tensor,
    moves: Sequence[Callable[[Tensor], Tensor]],
) -> tuple[Matrix, Matrix, Matrix]:
    """Sum over the probes h h', the mean of g g', and the mean of W (h - g) g'."""
    clean = _features(model, name, inputs)
    kept = clean.T @ clean
    moved_moment, pull = np.zeros_like(kept), np.zeros((len(weight), len(kept)))
    for move in moves:
        moved = _features(model, name, move(inputs))
        moved_moment += moved.T @ moved / len(moves)
        # The bias cancels in the difference: the appended 1 is in both.
        pull += (weight @ (clean - moved)[:, :-1].T) @ moved / len(moves)
    return kept, moved_moment, pull


def _solve(kept: Matrix, moved: Matrix, pull: Matrix) -> Matrix:
    system = kept + moved
    # A layer whose inputs are all 0 has nothing to edit; the ridge keeps the system regular.
    ridge = RIDGE * float(np.trace(kept)) / len(kept) or 1.0
    system.flat[:: len(system) + 1] += ridge
    change: Matrix = np.asarray(np.linalg.solve(system, pull.T).T, dtype=np.float64)
    return change


def _with_change(model: nn.Module, name: str, change: Matrix) -> nn.Module:
    copied = copy_of(model)
    layer = copied.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    step = torch.from_numpy(change).to(device=layer.weight.device)
    with torch.no_grad():
        layer.weight.copy_(layer.weight.double() + step[:, :-1])
        if layer.bias is not None:
            layer.bias.copy_(layer.bias.double() + step[:, -1])
    return copied


def _features(model: nn.Module, name: str, inputs: Tensor) -> Matrix:
    """Collect the inputs of a layer, a row for each vector, with a 1 (0 without bias) appended."""
    layer = model.get_submodule(name)
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    try:
        with torch.no_grad():
            for rows in torch.split(inputs, chunk_rows(inputs)):
                call(model, rows)
    finally:
        handle.remove()
    features = _host(torch.cat([part.reshape(-1, part.shape[-1]) for part in seen]))
    constant = 0.0 if getattr(layer, "bias", None) is None else 1.0
    return np.hstack([features, np.full((len(features), 1), constant)])


def _host(values: Tensor) -> Matrix:
    array: Matrix = values.detach().to(device="cpu", dtype=torch.float64).numpy()
    return array

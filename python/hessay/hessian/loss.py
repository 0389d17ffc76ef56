"""The losses a Hessian can be taken of: what they make of the targets, and their derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hessay.errors import ArgumentError, ModelError, ProbeError, ShapeError
from hessay.hessian.curvature import Curvature

LossName = Literal["cross_entropy", "mse", "logistic"]
LOSSES = ("cross_entropy", "mse", "logistic")


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """A loss with the targets of every point, and its derivatives with respect to the logits z.

    "cross_entropy": -log softmax(z / scale)_y. "mse": (1/C) sum_c (z_c - t_c)^2. "logistic":
    (1/C) sum_c softplus(z_c) - t_c z_c. ``rows`` below says which points the logits belong to.
    """

    name: LossName
    targets: Tensor  # on the CPU: (n,) int64 for cross-entropy, (n, C) float64 for the others
    n_outputs: int  # C
    scale: float  # divides the logits of cross-entropy; 1 unless they are softened
    stationary: bool  # whether the gradient is 0 at every point: then H = J'SJ for any network

    def summed(self, logits: Tensor, rows: slice) -> Tensor:
        """Sum of the losses of these points, a scalar with a graph; logits (m, C)."""
        targets = self._at(logits, rows)
        if self.name == "cross_entropy":
            return functional.cross_entropy(logits / self.scale, targets, reduction="sum")
        if self.name == "mse":
            return functional.mse_loss(logits, targets, reduction="sum") / self.n_outputs
        total = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        return total / self.n_outputs

    def gradient(self, logits: Tensor, rows: slice) -> Tensor:
        """Return dL_i / dz, (m, C), at logits (m, C)."""
        targets = self._at(logits, rows)
        if self.name == "cross_entropy":
            own = functional.one_hot(targets, self.n_outputs)
            return (torch.softmax(logits / self.scale, dim=1) - own) / self.scale
        if self.name == "mse":
            return (logits - targets) * (2 / self.n_outputs)
        return (torch.sigmoid(logits) - targets) / self.n_outputs

    def array(self, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        """Targets as (n, C) floats, C-contiguous; class numbers as one-hot rows."""
        rows = self.targets
        if self.name == "cross_entropy":
            rows = functional.one_hot(rows, self.n_outputs)
        return np.ascontiguousarray(rows.numpy(), dtype=dtype)

    def around(self, draws: int) -> Loss:
        """Return the loss of n * draws points around the inputs: each target once for every draw.

        Outputs that stand in for targets are those of the clean inputs, which is no longer where
        the points are: the gradient there is not 0.
        """
        targets = self.targets.repeat_interleave(draws, dim=0)
        return replace(self, targets=targets, stationary=False)

    def _at(self, logits: Tensor, rows: slice) -> Tensor:
        targets = self.targets[rows].to(logits.device)
        return targets if self.name == "cross_entropy" else targets.to(logits.dtype)


def loss_of(
    name: LossName, targets: Tensor | None, logits: NDArray[np.float64], curvature: Curvature
) -> Loss:
    """Check the targets of a probe against the logits (n, C) of its inputs.

    Parameters
    ----------
    name : "cross_entropy", "mse" or "logistic"
    targets : (n,) int64, (n,) or (n, C) floats, or None
        None: the predicted classes stand in for cross-entropy, the outputs themselves for "mse",
        their signs for "logistic". Class numbers become one-hot rows where those losses have
        several outputs.
    logits : (n, C) float64
    curvature : Curvature
        Of the same loss; its scale divides softened logits.

    Raises
    ------
    ModelError
        One output with cross-entropy.
    ProbeError
        Floats for cross-entropy, targets outside [0, 1] for "logistic".
    ShapeError
        Class numbers beyond the outputs, or another number of columns than outputs.
    """
    n_outputs = logits.shape[1]
    scale = curvature.scale if curvature.kind == "softened" else 1.0
    if name == "cross_entropy":
        classes = _classes(targets, logits)
        return Loss(name, classes, n_outputs, scale, stationary=False)
    z = torch.from_numpy(logits)
    if targets is None:
        rows = z if name == "mse" else (z > 0).double()
        return Loss(name, rows, n_outputs, 1.0, stationary=name == "mse")
    rows = _rows(name, targets.cpu(), n_outputs)
    if name == "logistic" and not bool(((rows >= 0) & (rows <= 1)).all()):
        row, column = ((rows < 0) | (rows > 1)).nonzero()[0].tolist()
        raise ProbeError(
            f"target {rows[row, column]:g} of input {row} lies outside [0, 1]; loss='logistic' "
            "takes 0/1 or probabilities, loss='mse' any number"
        )
    return Loss(name, rows, n_outputs, 1.0, stationary=False)


def check_loss(name: str) -> None:
    """Refuse a loss nobody knows."""
    if name not in LOSSES:
        raise ArgumentError(f"loss must be 'cross_entropy', 'mse' or 'logistic', got {name!r}")


def _classes(targets: Tensor | None, logits: NDArray[np.float64]) -> Tensor:
    if logits.shape[1] < 2:
        raise ModelError(
            f"the model must return logits (n, C) with C >= 2 for loss='cross_entropy', got "
            f"{logits.shape}; for one output use loss='logistic' (0/1 targets) or loss='mse'"
        )
    if targets is None:
        return torch.from_numpy(logits.argmax(axis=1))
    if targets.is_floating_point():
        raise ProbeError(
            f"targets are {str(targets.dtype).removeprefix('torch.')} of shape "
            f"{tuple(targets.shape)}, loss='cross_entropy' takes class numbers; pass integers of "
            "shape (n,), or loss='mse' or 'logistic'"
        )
    return _within(targets.cpu(), logits.shape[1])


def _within(classes: Tensor, n_outputs: int) -> Tensor:
    if int(classes.max()) >= n_outputs:
        raise ShapeError(
            f"targets reach {int(classes.max())}, the model has {n_outputs} logits; classes are "
            "numbered from 0"
        )
    return classes


def _rows(name: str, targets: Tensor, n_outputs: int) -> Tensor:
    """Targets (n, C) float64 of a loss that compares each output with a number."""
    if not targets.is_floating_point() and n_outputs > 1:
        return functional.one_hot(_within(targets, n_outputs), n_outputs).double()
    rows = targets[:, None] if targets.ndim == 1 else targets
    if rows.shape[1] != n_outputs:
        raise ShapeError(
            f"targets have shape {tuple(targets.shape)}, the model has {n_outputs} outputs; "
            f"loss={name!r} takes floats of shape ({len(targets)}, {n_outputs}), or class numbers"
        )
    return rows.double()

"""The curvature S of the loss on the logits, and how a caller names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hessay import _core
from hessay.errors import ArgumentError

Weighting = Literal["labels", "softened", "uniform"] | tuple[Literal["margin"], int]


@dataclass(frozen=True, slots=True)
class Curvature:
    """A checked weighting with what it needs: the logit scale, or the margin's class."""

    kind: str  # "labels", "softened", "uniform" or "margin"; "mse", "logistic": S of that loss
    scale: float  # RMS of the centred logits over the probe; divides the logits when softened
    target: int  # class of the margin, 0 for the others

    @property
    def is_loss(self) -> bool:
        """Whether J'SJ plus the network's own curvature is the Hessian of a loss."""
        return self.kind not in ("uniform", "margin")

    def rank(self, n_classes: int) -> int:
        """Rows a sample of the root F, S = F'F."""
        if self.kind in ("mse", "logistic"):
            return n_classes
        return 1 if self.kind == "margin" else n_classes - 1

    def root(self, logits: NDArray[np.floating]) -> NDArray[np.floating]:
        """F (n, r, C) with F'F = S per sample, from logits (n, C)."""
        logits = np.ascontiguousarray(logits)
        n, n_classes = logits.shape
        out = np.empty((n, self.rank(n_classes), n_classes), dtype=logits.dtype)
        _core.curvature_root(self.kind, logits, self.scale, self.target, out)
        return out


def curvature(
    weighting: Weighting, logits: NDArray[np.float64], loss: str = "cross_entropy"
) -> Curvature:
    """Check a weighting against the loss and the logits (n, C) it will be used with.

    Raises
    ------
    ArgumentError
        An unknown weighting, one the loss does not have, a margin class outside [0, C), or
        logits that do not vary.
    """
    if loss != "cross_entropy":
        if weighting != "labels":
            raise ArgumentError(
                f"weighting={weighting!r} belongs to loss='cross_entropy'; loss={loss!r} has "
                "weighting='labels' only, its own curvature"
            )
        return Curvature(loss, 1.0, 0)
    n_classes = logits.shape[1]
    if isinstance(weighting, tuple):
        name, *rest = map(str, weighting)
        if name != "margin" or len(rest) != 1 or not rest[0].lstrip("-").isdigit():
            raise ArgumentError(f"weighting must be ('margin', class), got {weighting!r}")
        target = int(rest[0])
        if not 0 <= target < n_classes:
            raise ArgumentError(f"the margin's class must lie in [0, {n_classes}), got {target}")
        return Curvature("margin", 1.0, target)
    if weighting not in ("labels", "softened", "uniform"):
        raise ArgumentError(
            "weighting must be 'labels', 'softened', 'uniform' or ('margin', class), "
            f"got {weighting!r}"
        )
    scale = logit_scale(logits)
    if weighting == "softened" and not scale > 0:
        raise ArgumentError(
            "softened curvature divides by the spread of the logits, which is 0 on this probe; "
            "use weighting='uniform'"
        )
    return Curvature(weighting, scale if scale > 0 else 1.0, 0)


def logit_scale(logits: NDArray[np.float64]) -> float:
    """Root mean square of the logits (n, C), centred over the classes of each sample."""
    centred = logits - logits.mean(axis=1, keepdims=True)
    return float(np.sqrt(np.mean(centred**2)))

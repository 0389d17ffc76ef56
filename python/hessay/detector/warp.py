"""How much one smooth warp does to the classes: triggers that bend the picture and add nothing to it.

A trigger that bends pictures (WaNet and its kin) changes every one of them otherwise. No universal shift of
the pixels comes near it, and the reach off the data's own directions hardly rises. So pictures are
bent, too: for each class the smooth warp of bounded displacement that leads most probes there is
searched for, and on other probes

    moved_c = share of the margin to class c that it removes + share of the probes it sends to c
    W       = max_c moved_c - median_c moved_c

Shares are compared by their difference and not by their ratio: classes that no warp leads to are all
near zero, and the ratio of two such shares says nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessay.hessian.model.evaluate import Model
from hessay.hessian.model.from_module import FromModule
from hessay.hessian.perturbation import RefinedDirections, refine_warps
from hessay.probe import Probe

WARP_LENGTH = 0.05  # of the picture's shorter side: root mean square of the displacements
WARP_STEPS = 4  # of the refinement
WARP_PROBES = 256  # half of them to find a warp, half to judge it
MIN_SIDE = 8  # pixels
MOST_CHANNELS = 4


def takes_warps(model: Model, shape: tuple[int, ...]) -> bool:
    """Whether inputs of this shape are pictures, (H, W) or (C, H, W), as far as a shape can say."""
    if isinstance(model, FromModule) or len(shape) not in (2, 3):
        return False
    low, high = sorted(shape[-2:])
    return low >= MIN_SIDE and high <= 4 * low and (len(shape) == 2 or shape[0] <= MOST_CHANNELS)


def warp_radius(shape: tuple[int, ...]) -> float:
    """Root mean square displacement of the warps that are tried, pixels."""
    return WARP_LENGTH * min(shape[-2:])


def class_warps(model: Model, probe: Probe) -> RefinedDirections | None:
    """Refine a warp to every class; None where the inputs are no pictures. The model is frozen."""
    if not takes_warps(model, probe.shape):
        return None
    rows = np.unique(np.linspace(0, probe.n - 1, min(WARP_PROBES, probe.n)).round().astype(int))
    return refine_warps(
        model, probe.inputs[rows.tolist()], radii=[warp_radius(probe.shape)], steps=WARP_STEPS
    )


def warp_spread(warps: RefinedDirections) -> NDArray[np.float64]:
    """moved_c less its median over the classes, (C,); W is the largest."""
    moved = np.maximum(warps.margin_drop[-1], 0.0) + warps.flip_rate[-1]
    spread: NDArray[np.float64] = moved - np.median(moved)
    return spread

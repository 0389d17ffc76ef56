"""The ways into a class that its samples are held against: a shift of the input, a warp of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessay.detector.measure import input_range
from hessay.detector.suspects import Suspect
from hessay.hessian.moves import mean_change, warped
from hessay.probe import Probe

# Of the radii of a suspect: the shortest way in is the closest to what was planted. Longer ones
# spend their length on features of the class itself.
RADIUS = 0


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One change of the inputs that leads many of them into one class."""

    index: int  # class number
    bent: bool  # a warp of the picture; else a shift of its numbers
    radius: float  # input units, L2 norm; of a warp pixels, root mean square
    flip_rate: float  # share of the other probes it sends to the class, [0, 1]
    change: NDArray[np.float64]  # (d,): of a warp its mean over the probe; input units, not zero
    warp: NDArray[np.float64] | None  # (p,): parameters of a warp

    def take(self, probe: Probe) -> Tensor:
        """Move the whole probe, (n, *shape)."""
        if self.warp is not None:
            return warped(probe.inputs, self.warp)
        step = torch.from_numpy(self.change).to(probe.inputs).reshape(probe.shape)
        return (probe.inputs + step).clamp(*input_range(probe))

    def undo(self, inputs: Tensor, share: NDArray[np.float64]) -> Tensor:
        """Take ``share`` (m,) of a shift out of inputs (m, *shape), or bend them back."""
        doubled = inputs.double()
        if self.warp is not None:
            return warped(doubled, -self.warp)
        moved = self.change.reshape(1, *inputs.shape[1:])
        step = torch.from_numpy(share.reshape(-1, *[1] * (inputs.ndim - 1)) * moved)
        return doubled - step.to(inputs.device)


def ways_into(suspects: Sequence[Suspect], probe: Probe) -> tuple[Way, ...]:
    """Take for each suspect the way into its class that makes it suspicious."""
    return tuple(_warp(s, probe) if s.bent else _shift(s) for s in suspects)


def _shift(s: Suspect) -> Way:
    rate = float(s.flip_rate[RADIUS])
    return Way(s.index, False, s.radii[RADIUS], rate, s.perturbation[RADIUS], None)


def _warp(s: Suspect, probe: Probe) -> Way:
    if s.warp is not None:
        change = mean_change(probe.inputs, s.warp.parameters)
        if bool(change.any()):  # else there is nothing for a matched filter to look for
            return Way(s.index, True, s.warp.radius, s.warp.flip_rate, change, s.warp.parameters)
    return _shift(s)

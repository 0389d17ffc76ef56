"""What one straight step along a given direction does to the predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.errors import ArgumentError, ShapeError
from hessay.hessian.model.evaluate import like_model, logits_of


@dataclass(frozen=True, slots=True, eq=False)
class FlipRates:
    """Where steps along k directions, forwards and backwards, send the probes."""

    rate: NDArray[np.float64]  # (k, 2, C): share of the probes outside class c that arrive in c
    radius: float  # input units


def flip_rates(
    model: nn.Module,
    inputs: Tensor,
    directions: NDArray[np.float64],
    *,
    radius: float,
    bounds: tuple[float, float],
) -> FlipRates:
    """Step every probe by +-radius along each direction and count where it arrives.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller.
    inputs : (n, *shape) float tensor
        The probe.
    directions : (k, d) float64
        Unit vectors in input space.
    radius : float, > 0, input units
        Length of the step before clipping.
    bounds : (low, high), input units
        Range of valid inputs: the stepped probes are clipped to it.

    Raises
    ------
    ShapeError
        ``directions`` is not (k, d) for inputs of d numbers.
    ArgumentError
        ``radius`` not positive, or ``bounds`` empty.
    ModelError, NonFinite
        The model raised, or its logits are not finite.
    """
    inputs = like_model(model, inputs.detach())
    check_rows(inputs, directions, radius, bounds)
    clean = logits_of(model, inputs).argmax(dim=1)
    steps = torch.from_numpy(directions).to(inputs).reshape(-1, *inputs.shape[1:]) * radius
    rates = []
    for step in steps:
        for signed in (step, -step):
            arrived = logits_of(model, (inputs + signed).clamp(*bounds))
            rates.append(_arrivals(arrived, clean))
    table = torch.stack(rates).reshape(len(steps), 2, -1)
    return FlipRates(table.numpy(), radius)


def _arrivals(logits: Tensor, clean: Tensor) -> Tensor:
    n_classes = logits.shape[1]
    into = nn.functional.one_hot(logits.argmax(dim=1), n_classes).double()
    outside = 1.0 - nn.functional.one_hot(clean, n_classes).double()
    return (into * outside).sum(dim=0) / outside.sum(dim=0).clamp(min=1.0)


def check_rows(
    inputs: Tensor, directions: NDArray[np.float64], radius: float, bounds: tuple[float, float]
) -> None:
    """Refuse directions of another width than the inputs, a radius that is not positive, empty bounds."""
    width = inputs[0].numel()
    if directions.ndim != 2 or directions.shape[1] != width:
        raise ShapeError(
            f"directions must be (k, {width}) for these inputs, got {directions.shape}"
        )
    if not radius > 0:
        raise ArgumentError(f"radius must be positive, in input units, got {radius}")
    if not bounds[0] < bounds[1]:
        raise ArgumentError(f"bounds must be (low, high) with low < high, got {bounds}")

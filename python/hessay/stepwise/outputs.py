"""The outputs on a device: sent there once, then weighted, centred and scaled where they lie."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from hessay.stepwise.design import Array
from hessay.stepwise.streaming import panels_of

_ON_THEIR_WAY: Final = 1 << 20  # numbers at a time: buffers of 8 MB


def receive(y: Array, there: Tensor) -> None:
    """Copy Y (n, C) from the processor into ``there``, of that shape."""
    for first, part in panels_of(y, max(1, _ON_THEIR_WAY // y.shape[1]), there.device):
        there[first : first + len(part)] = part


def standardise(there: Tensor, root: Tensor | None, centre: bool) -> tuple[Tensor, Tensor, float]:
    """Y (n, C) <- root (Y - mean) scale, in place.

    Parameters
    ----------
    there : (n, C) float64
    root : (n,) float64 or None
        Roots of the weights; None for ones.
    centre : bool
        Whether the weighted mean is subtracted.

    Returns
    -------
    mean, largest : (C,) float64
        What was subtracted, and the largest size in each column beforehand.
    scale : float
        A power of two that brings the largest number near 1.
    """
    largest = _largest(there)
    mean = there.new_zeros(there.shape[1])
    for _ in range(2 if centre else 0):  # the second removes what rounding left of the mean
        shift = there.mean(dim=0) if root is None else _mean(there, root * root)
        there -= shift
        mean += shift
    if root is not None:
        there *= root[:, None]
    scale = _power_of_two(float(_largest(there).max()))
    there *= scale
    return mean, largest, scale


def _largest(there: Tensor) -> Tensor:
    low, high = torch.aminmax(there, dim=0)  # no second array of that size
    return torch.maximum(-low, high)


def _mean(there: Tensor, weights: Tensor) -> Tensor:
    return (weights @ there) / weights.sum()


def _power_of_two(size: float) -> float:
    """Near 1 / size; 1 where that is 0 or not finite."""
    if not 0 < size < math.inf:
        return 1.0
    return math.ldexp(1.0, min(1000, max(-1000, 1 - math.frexp(size)[1])))

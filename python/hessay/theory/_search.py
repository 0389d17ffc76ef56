"""Search for the smallest poisoned fraction that reaches a power."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from hessay.errors import ArgumentError
from hessay.theory._checks import open_unit

__all__ = ["first_crossing", "target_power"]

_GRID = np.geomspace(1e-4, 0.999, 28)


def target_power(power: object, alpha: float) -> float:
    """``power`` in (alpha, 1)."""
    goal = open_unit("power", power)
    if goal <= alpha:
        raise ArgumentError(f"power must exceed alpha, got {goal:g} at a level of {alpha:g}")
    return goal


def first_crossing(reached: Callable[[float], float], *, refine: bool) -> float | None:
    """Smallest theta with ``reached >= 0``; by bisection where the function is a step function."""
    below = 0.0
    for theta in _GRID.tolist():
        if reached(theta) < 0:
            below = theta
            continue
        if refine:
            root: float = brentq(reached, below, theta, xtol=1e-14, rtol=1e-12)
            return root
        upper: float = theta
        while upper - below > 0.005 * upper:
            middle = 0.5 * (below + upper)
            below, upper = (middle, upper) if reached(middle) < 0 else (below, middle)
        return upper
    return None

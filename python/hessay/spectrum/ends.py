"""Which end of a spectrum is asked for, in NumPy: the twin of the core's ``ritz.cpp``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def preferred(values: Doubles, which: str) -> NDArray[np.intp]:
    """Positions of values (m,), most wanted first; "BE" takes top and bottom in turn."""
    ascending = np.argsort(values, kind="stable")
    if which == "SA":
        return ascending
    if which == "LA":
        return ascending[::-1]
    if which == "LM":
        return ascending[np.argsort(-np.abs(values[ascending]), kind="stable")]
    half = np.arange(len(values)) // 2
    return ascending[np.where(np.arange(len(values)) % 2 == 0, len(values) - 1 - half, half)]


def report_order(values: Doubles, which: str) -> NDArray[np.intp]:
    """Positions in the order of the report: "SA" ascending, "LM" by magnitude, else descending."""
    if which == "SA":
        return np.argsort(values, kind="stable")
    descending = np.argsort(-values, kind="stable")
    if which != "LM":
        return descending
    return descending[np.argsort(-np.abs(values[descending]), kind="stable")]


def edges(values: Doubles, which: str, slack: float) -> list[tuple[float, int]]:
    """Where nothing may lie beyond the answer (k,): (limit, +1 for above or -1 for below)."""
    if which == "LM":
        least = float(np.abs(values).min()) + slack
        return [(least, 1), (-least, -1)]
    if which == "SA":
        return [(float(values.max()) - slack, -1)]
    if which == "LA":
        return [(float(values.min()) + slack, 1)]
    descending, top = np.sort(values)[::-1], (len(values) + 1) // 2
    found = [(float(descending[top - 1]) + slack, 1)]
    return found if len(values) == 1 else [*found, (float(descending[top]) - slack, -1)]


def beyond(values: Doubles, limits: list[tuple[float, int]]) -> bool:
    """Whether any of values (m,) lies beyond a limit."""
    return any(bool((side * (values - limit) > 0).any()) for limit, side in limits)

"""How long a path may become: counts asked for, rows, memory, and when nothing is left to explain."""

from __future__ import annotations

import math

import numpy as np

from hessay.errors import ArgumentError
from hessay.stepwise.design import Design
from hessay.stepwise.engine import Engine, most_columns
from hessay.stepwise.walk import Limits

_LEAST = 1e-140  # size of y whose squares are still doubles of full precision
_ROUNDING = 64 * np.finfo(np.float64).eps  # of |y|: a residual below it says nothing


def enough_rows(design: Design, columns: int, what: str = "") -> None:
    """Refuse a model that would leave no residual degree of freedom.

    Raises
    ------
    ArgumentError
        Saying how many rows are needed. A ridge needs none.
    """
    needed = columns + design.intercept + 1
    if design.n_rows < needed and design.ridge == 0:
        raise ArgumentError(
            f"{columns} columns{what} {'and an intercept ' if design.intercept else ''}need at least"
            f" {needed} rows, got {design.n_rows}; take fewer columns or more rows"
        )


def _count(name: str, value: object, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ArgumentError(f"{name} must be an integer of at least 0, got {value!r}")
    if value > most:
        raise ArgumentError(f"{name} is {value}, but only {most} columns may enter")
    return int(value)


def limits_of(
    design: Design,
    direction: str,
    name: str | None,
    n_features: int | None,
    max_features: int | None,
    alpha: float,
    max_bytes: int | None,
) -> Limits:
    """Check the counts asked for and find what ends the path, y apart: ``rounding_floor``.

    Raises
    ------
    ArgumentError
        A count out of range, or at odds with direction and criterion.
    """
    free = len(design.free_columns)
    forced = sum(len(design.units[u]) for u in design.forced)
    target = _count("n_features", n_features, free)
    cap = _count("max_features", max_features, max(free, 1 << 62))
    if direction == "both" and (name is None or target is not None):
        raise ArgumentError(
            "direction 'both' needs a criterion and no n_features; limit it with max_features"
        )
    if name is None and target is None and direction == "backward":
        raise ArgumentError("without a criterion, direction 'backward' needs n_features")
    if direction == "backward":
        enough_rows(design, free, " that backward selection starts from")
    if target is not None:
        enough_rows(design, target)
        if target < forced:
            raise ArgumentError(f"n_features is {target}, but {forced} columns are forced in")
    enough_rows(design, forced, " forced in")
    most, reason = free, "every candidate is in the model"
    for value, why in (
        (design.n_rows - design.intercept - 1, "one more column would leave no degree of freedom"),
        (most_columns(design, max_bytes), f"max_bytes = {max_bytes} holds no larger model"),
        (cap, f"max_features = {cap} columns are in"),
    ):
        if value is not None and value < most:
            most, reason = value, why
    if target is not None and target > most and direction == "forward":
        raise ArgumentError(f"n_features is {target}, but at most {most} columns fit: {reason}")
    if name is None and target is None:
        target = most  # nothing else ends the path
    return Limits(target, most, reason, alpha)


def rounding_floor(design: Design, engine: Engine) -> float:
    """Residual sum of squares that rounding of y alone may leave, y^2.

    As if every y were rounded by its output's largest number, and every residual by the spread of y.

    Raises
    ------
    ArgumentError
        y is so large that this overflows, or so small that squares of it underflow.
    """
    spread = float(np.trace(engine.total))
    with np.errstate(over="ignore"):
        largest = engine.largest**2 * design.total_weight
    if not math.isfinite(spread):
        raise ArgumentError("y is so large that its square overflows; scale it down")
    if 0.0 < float(engine.largest.max()) < _LEAST:
        raise ArgumentError("y is so small that its squares underflow; scale it up")
    return float((_ROUNDING**2) * (float(largest.sum()) + design.n_rows * spread))

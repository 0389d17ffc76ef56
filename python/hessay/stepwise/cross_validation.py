"""How many steps of a path to take: K-fold cross-validation, and leave-one-out by leverages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hessay.errors import ArgumentError
from hessay.stepwise.row_inputs import matrix, same_rows, weights
from hessay.stepwise.rows import FittedRows

if TYPE_CHECKING:
    from hessay.stepwise import StepwisePath

Floats = NDArray[np.float64]
_SMALLEST_MARGIN = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class PathScores:
    """Out-of-sample error of every model along a path; number 0 is the one before the first step."""

    path: StepwisePath  # on all rows, as long as the scores
    supports: tuple[tuple[int, ...], ...]  # columns of every model, in order of entry
    errors: Floats  # (steps + 1,) mean squared error per row and output, weighted; y^2
    standard_errors: Floats  # (steps + 1,) between folds, y^2; NaN for leave-one-out
    best: int  # position of the smallest error, the shortest of equal ones
    method: Literal["cv", "loo"]


def supports_along(path: StepwisePath) -> tuple[tuple[int, ...], ...]:
    """Columns of every model of a path in order of entry, the model before the first step first."""
    held = list(path.support)
    for step in reversed(path.steps):
        if step.action == "add":
            held = [c for c in held if c not in step.columns]
        else:
            held += [c for c in step.columns if c not in held]
    found = [tuple(int(c) for c in held)]
    for step in path.steps:
        if step.action == "add":
            held = [*held, *(c for c in step.columns if c not in held)]
        else:
            held = [c for c in held if c not in step.columns]
        found.append(tuple(int(c) for c in held))
    return tuple(found)


def cross_validate_path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    cv: int | Iterable[tuple[ArrayLike, ArrayLike]] = 5,
    seed: int = 0,
    max_features: int | None = None,
    sample_weight: ArrayLike | None = None,
    direction: Literal["forward", "backward"] = "forward",
    **options: Any,
) -> PathScores:
    """K-fold cross-validation of a whole path: every fold selects anew from its training rows.

    Parameters
    ----------
    X : (n, p) real
    y : (n,) or (n, C) real
    cv : int, or pairs of arrays of positions (train, test)
        Folds, 2 .. n / 2; rows are shuffled first.
    seed : int
        Of the shuffling.
    max_features : int or None
        Longest forward path; None: min(p, half of the training rows).
    sample_weight : (n,) float, positive
        For fitting and for the error.
    direction : "forward" or "backward"
    options
        Handed to :func:`hessay.stepwise.stepwise_path`.

    Returns
    -------
    PathScores

    Raises
    ------
    ArgumentError
        ``cv`` is out of range, or ``direction`` is another one: only the models of one chain can
        be compared by their number.
    ShapeError, NonFinite
        The arrays are of other shapes, no numbers, or hold NaN or Inf.

    Source: Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, section 7.10.
    """
    x, outputs, weight = _checked(X, y, sample_weight)
    n = len(x)
    folds = _folds(cv, n, seed)
    smallest = min(len(train) for train, _ in folds)
    walk = _walker(x.shape[1], smallest, direction, max_features, options)
    squares: list[list[float]] = []
    counts: list[float] = []
    for train, fold in folds:
        path = walk(x[train], outputs[train], weight[train])
        supports = supports_along(path)
        whole = _fit(x[train], outputs[train], weight[train], supports, options)
        squares.append([])
        for held in supports:
            missed = outputs[fold] - _two(whole.restricted(held).predict(x[fold]))
            squares[-1].append(float(np.sum(weight[fold, None] * missed**2)))
        counts.append(float(weight[fold].sum()) * outputs.shape[1])
    path = walk(x, outputs, weight)
    supports = supports_along(path)
    length = min(len(supports), *(len(s) for s in squares))
    table = np.array([s[:length] for s in squares])
    count = np.array(counts)
    errors = table.sum(axis=0) / count.sum()
    spread = np.std(table / count[:, None], axis=0, ddof=1) / np.sqrt(len(folds))
    best = int(np.argmin(errors))
    return PathScores(path, supports[:length], errors, spread, best, "cv")


def leave_one_out_path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    max_features: int | None = None,
    sample_weight: ArrayLike | None = None,
    direction: Literal["forward", "backward"] = "forward",
    **options: Any,
) -> PathScores:
    """Exact leave-one-out error of every model along the path of all rows: mean (e / (1 - h))^2.

    The coefficients are fitted without the row, but the columns were chosen with it: unlike
    :func:`cross_validate_path` this does not pay for the choice and favours longer models.

    Parameters
    ----------
    X, y, max_features, sample_weight, direction, options
        As for :func:`cross_validate_path`.

    Returns
    -------
    PathScores

    Raises
    ------
    ArgumentError, ShapeError, NonFinite
        As :func:`cross_validate_path`. A model with a row of 1 - h < 1e-12 has an infinite error.

    Source: Allen 1974, Technometrics 16, 125 (PRESS).
    """
    x, outputs, weight = _checked(X, y, sample_weight)
    path = _walker(x.shape[1], len(x), direction, max_features, options)(x, outputs, weight)
    supports = supports_along(path)
    whole = _fit(x, outputs, weight, supports, options)
    errors = np.array([press(whole.restricted(s), x, outputs, weight) for s in supports])
    errors /= weight.sum() * outputs.shape[1]
    nothing = np.full(len(errors), np.nan)
    return PathScores(path, supports, errors, nothing, int(np.argmin(errors)), "loo")


def _folds(
    cv: int | Iterable[tuple[ArrayLike, ArrayLike]], n: int, seed: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    if isinstance(cv, (int, np.integer)):
        if isinstance(cv, bool) or not 2 <= cv <= n // 2:
            raise ArgumentError(f"cv must lie in 2 .. {n // 2} (half of {n} rows), got {cv!r}")
        shuffled = np.random.default_rng(seed).permutation(n)
        parts = np.array_split(shuffled, cv)
        return [(np.setdiff1d(shuffled, part), part) for part in parts]
    if not isinstance(cv, Iterable):
        raise ArgumentError(f"cv must be an int or pairs of (train, test) positions, got {cv!r}")
    pairs = [(np.asarray(a, dtype=np.intp), np.asarray(b, dtype=np.intp)) for a, b in cv]
    if len(pairs) < 2 or any(len(a) < 2 or not len(b) for a, b in pairs):
        raise ArgumentError(f"cv gives {len(pairs)} folds; at least 2 with rows on both sides")
    return pairs


def press(fit: FittedRows, x: Floats, outputs: Floats, weight: Floats) -> float:
    """Sum of w (e / (1 - h))^2 over the rows and outputs of a fit; inf where 1 - h < 1e-12."""
    margin = 1 - fit.leverage(x, weight)
    if (margin < _SMALLEST_MARGIN).any():
        return float("inf")
    deleted = (outputs - _two(fit.predict(x))) / margin[:, None]
    return float(np.sum(weight[:, None] * deleted**2))


def _two(values: Floats) -> Floats:
    return values[:, None] if values.ndim == 1 else values


def _checked(
    X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    x, outputs = matrix(X, "X", np.float64), matrix(y, "y", np.float64)
    same_rows(x, outputs)
    weight = weights(sample_weight, len(x))
    return x, outputs, np.ones(len(x)) if weight is None else weight


def _walker(
    p: int, n: int, direction: str, max_features: int | None, options: dict[str, Any]
) -> Callable[[Floats, Floats, Floats], StepwisePath]:
    if direction not in ("forward", "backward"):
        raise ArgumentError(
            f"cross-validation compares the models of one chain: direction must be 'forward' or "
            f"'backward', got {direction!r}"
        )
    from hessay.stepwise import stepwise_path

    open_columns = p - len(set(options.get("forbidden", ())))
    longest = min(open_columns, max(1, n // 2)) if max_features is None else max_features
    target = longest if direction == "forward" else max(len(options.get("forced", ())), 1)

    def walk(x: Floats, y: Floats, weight: Floats) -> StepwisePath:
        return stepwise_path(
            x,
            y[:, 0] if y.shape[1] == 1 else y,
            sample_weight=weight,
            **{**options, "direction": direction, "criterion": None, "n_features": target},
        )

    return walk


def _fit(
    x: Floats,
    y: Floats,
    weight: Floats,
    supports: Sequence[tuple[int, ...]],
    options: dict[str, Any],
) -> FittedRows:
    longest = max(supports, key=len)
    return FittedRows(
        x,
        y,
        support=np.array(longest, dtype=np.intp),
        fit_intercept=options.get("fit_intercept", True),
        sample_weight=weight,
        ridge=options.get("ridge", 0.0),
    )

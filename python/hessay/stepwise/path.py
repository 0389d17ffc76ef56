"""Forward, backward and bidirectional selection by residual sum of squares."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from hessay.errors import ArgumentError
from hessay.stepwise.criteria import CriterionName, Judge, checked_name
from hessay.stepwise.design import Array, Design, checked_design
from hessay.stepwise.engine import Engine, opened
from hessay.stepwise.limits import enough_rows, limits_of, rounding_floor
from hessay.stepwise.result import PathStats, Step, StepwisePath
from hessay.stepwise.walk import Walk


def stepwise_path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    direction: Literal["forward", "backward", "both"] = "forward",
    criterion: CriterionName | None = "bic",
    n_features: int | None = None,
    max_features: int | None = None,
    fit_intercept: bool = True,
    sample_weight: ArrayLike | None = None,
    ridge: float = 0.0,
    forced: Iterable[int] = (),
    forbidden: Iterable[int] = (),
    groups: Sequence[Sequence[int]] | None = None,
    alpha_enter: float = 0.05,
    dtype: DTypeLike | None = None,
    max_bytes: int | None = None,
    strategy: Literal["auto", "gram", "stream", "prefetch"] = "auto",
    progress: Callable[[Step], object] | None = None,
    device: str | None = None,
) -> StepwisePath:
    """Select columns of X one after another, exactly: every choice is the best one by least squares.

    An addition is the candidate with the largest fall of the residual sum of squares (a group: per column
    that enters), a removal the column with the smallest rise; with several outputs, sums over them, and
    all outputs share the columns. Falls within rounding of each other count as ties, and the first column
    wins.

    Parameters
    ----------
    X : (n, p) array of real numbers
        Row- or column-major or strided; read where it lies, never copied unless integer. A ``numpy.memmap``
        may be larger than memory. A tensor on a CUDA device is read there, by ``hessay._cuda``.
    y : (n,) or (n, C) array of real numbers
    direction : {"forward", "backward", "both"}
        From nothing upwards; from all candidates downwards (n > p); or the best addition or removal,
        whichever improves the criterion more, from nothing.
    criterion : str or None
        When to stop, see :mod:`hessay.stepwise.criteria`. "f" enters while the best candidate's p-value,
        times the number of candidates, is at most ``alpha_enter``, and drops what is above it.
    n_features : int, optional
        End with as many columns, whatever the criterion says; not with "both".
    max_features : int, optional
        Never more columns than this.
    fit_intercept : bool
        Centre columns and outputs; the intercept is never penalised.
    sample_weight : (n,) array > 0, optional
        Minimises the weighted sum of squares.
    ridge : float >= 0
        Adds ``ridge * sum(coef^2)``, in the unit x^2. Every residual sum of squares in the result then
        contains the penalty: it is that of the rows sqrt(ridge) I under X.
    forced, forbidden : iterable of int
        Columns in the model from the start, and never in it. One of a group stands for the group.
    groups : sequence of sequences of int, optional
        Columns that enter and leave together, such as the dummies of one category.
    alpha_enter : float in (0, 1)
        For "f".
    dtype : float32 or float64, optional
        Precision of products over rows, by default that of X; what follows is float64.
    max_bytes : int, optional
        Memory to work in, X itself not counted; on a device as much again there.
    strategy : {"auto", "gram", "stream", "prefetch"}
        How products between columns are got: all at once, one a pass, 32 likely ones a pass, or whichever
        is measured to pay. The path is the same.
    progress : callable, optional
        Called with each :class:`Step`; the path ends when it returns False.
    device : str, optional
        A CUDA device such as "cuda:0" for the passes over an X of the processor: kept there where it
        fits, otherwise streamed through it. The choice of columns is the same.

    Returns
    -------
    StepwisePath

    Raises
    ------
    ShapeError
        Wrong shapes or types.
    ArgumentError
        Options out of range or at odds with each other.
    NonFinite
        NaN or Inf, with row and column.
    DeviceError
        A device was asked for, and the module, the driver or memory is missing.

    Source: Efroymson 1960; Miller 2002, Subset Selection in Regression, ch. 3.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 5))
    >>> y = 3 * X[:, 2] - X[:, 4] + 0.1 * rng.standard_normal(100)
    >>> stepwise_path(X, y).support
    array([2, 4])
    """
    start = time.perf_counter()
    name = checked_name(criterion)
    if direction not in ("forward", "backward", "both"):
        raise ArgumentError(f"direction must be 'forward', 'backward' or 'both', got {direction!r}")
    if not 0 < alpha_enter < 1:
        raise ArgumentError(f"alpha_enter must lie in (0, 1), got {alpha_enter!r}")
    design = checked_design(
        X,
        y,
        fit_intercept=fit_intercept,
        sample_weight=sample_weight,
        ridge=ridge,
        forced=forced,
        forbidden=forbidden,
        groups=groups,
        dtype=dtype,
        device=device,
    )
    limits = limits_of(design, direction, name, n_features, max_features, alpha_enter, max_bytes)
    engine = opened(design, strategy, max_bytes)
    floor = rounding_floor(design, engine)
    for unit in design.forbidden:
        engine.forbid(unit)
    eligible = design.free_columns
    judge = Judge.of(
        name,
        design.n_rows,
        intercept=design.intercept,
        candidates=len(eligible),
        total=engine.total,
        variance=_full_variance(design, strategy, max_bytes) if name == "cp" else math.nan,
    )
    start_with = [design.units[u] for u in design.forced]
    for unit in design.forced:
        engine.hold(unit)
    if direction == "backward":
        start_with = [unit for u, unit in enumerate(design.units) if u not in design.forbidden]
    _enter(engine, design, start_with)
    walk = Walk(engine, judge, limits, floor, progress)
    {"forward": walk.forward, "backward": walk.backward, "both": walk.both}[direction]()
    return _finished(design, engine, walk, name, strategy, start)


def delta_rss(
    X: ArrayLike,
    y: ArrayLike,
    columns: Iterable[int] = (),
    *,
    fit_intercept: bool = True,
    sample_weight: ArrayLike | None = None,
    ridge: float = 0.0,
    dtype: DTypeLike | None = None,
    max_bytes: int | None = None,
    strategy: Literal["auto", "gram", "stream", "prefetch"] = "auto",
    device: str | None = None,
) -> Array:
    """How far each column alone would lower the residual sum of squares of a model.

    Parameters
    ----------
    X, y, fit_intercept, sample_weight, ridge, dtype, max_bytes, strategy, device
        As for :func:`stepwise_path`.
    columns : iterable of int
        Of the model, any number.

    Returns
    -------
    (p,) float64, >= 0
        In y^2, summed over outputs; 0 for the model's own columns and those it determines.
    """
    base = list(columns)
    design = checked_design(
        X,
        y,
        fit_intercept=fit_intercept,
        sample_weight=sample_weight,
        ridge=ridge,
        forced=base,
        forbidden=(),
        groups=None,
        dtype=dtype,
        device=device,
    )
    enough_rows(design, len(design.forced))
    engine = opened(design, strategy, max_bytes)
    _enter(engine, design, [design.units[u] for u in design.forced])
    return engine.falls()


def _enter(engine: Engine, design: Design, units: list[list[int]]) -> None:
    together = [j for unit in units for j in unit]
    places = {unit[0]: u for u, unit in enumerate(design.units)}
    for unit in units:
        engine.add(places[unit[0]], 1, 0.0, together)


def _full_variance(design: Design, strategy: str, max_bytes: int | None) -> float:
    eligible = design.free_columns
    enough_rows(design, len(eligible), " of the full model that 'cp' compares with")
    engine = opened(design, strategy, max_bytes)
    units = [unit for u, unit in enumerate(design.units) if u not in design.forbidden]
    _enter(engine, design, units)
    judge = Judge.of(
        None, design.n_rows, intercept=design.intercept, candidates=1, total=engine.total
    )
    freedom = design.n_rows - len(engine.columns) - design.intercept
    variance = float(np.trace(engine.cross)) / (max(judge.outputs, 1) * freedom)
    if not variance > 0:
        raise ArgumentError(
            "criterion 'cp' divides by the full model's variance, which is 0 here; use 'bic'"
        )
    return variance


def _finished(
    design: Design, engine: Engine, walk: Walk, name: str | None, strategy: str, start: float
) -> StepwisePath:
    may = set(design.free_columns)
    collinear = tuple(j for j in engine.dependent() if j in may)
    coefficients, intercept, cross = engine.solve()
    stats = engine.stats
    lazy = "prefetch" if stats["fetched"] > stats["misses"] else "stream"
    used = "gram" if stats["full_gram"] else lazy if strategy == "auto" else strategy
    flat = design.flat
    offset: float | Array = 0.0 if flat else np.zeros(design.y.shape[1])
    if design.intercept:
        offset = float(intercept[0]) if flat else np.array(intercept)
    return StepwisePath(
        steps=tuple(walk.steps),
        support=np.array(engine.columns, dtype=np.intp),
        coef=coefficients[:, 0].copy() if flat else np.ascontiguousarray(coefficients.T),
        intercept=offset,
        rss=max(0.0, float(np.trace(cross))),
        tss=float(np.trace(engine.total)),
        n_rows=design.n_rows,
        n_outputs=design.y.shape[1],
        criterion=name,
        stopped=walk.stopped,
        collinear=collinear,
        stats=PathStats(
            stats["passes"],
            stats["hits"],
            stats["misses"],
            stats["fetched"],
            stats["refreshes"],
            used,
            time.perf_counter() - start,
        ),
    )

"""Poison in a table, found by a linear model: which rows share a few shifted columns and a wrong label."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hessay.errors import ArgumentError, ShapeError
from hessay.linear.poison_detached import scan_detached
from hessay.linear.poison_effect import Floats, IndicatorUpdate, indicator_update
from hessay.linear.poison_groups import Group, Index, compare, conspicuous, is_minority, refine
from hessay.linear.poison_responses import Task, column_names, responses
from hessay.linear.poison_result import (
    CandidateGroup,
    PoisonReport,
    SuspectedRow,
    TriggerColumn,
)
from hessay.linear.poison_scan import SMALLEST_GROUP, Problem, Tail, prepare, scan_tails
from hessay.stepwise.row_inputs import matrix, same_rows
from hessay.verdict import Verdict

__all__ = ["PoisonReport", "poison_report"]

_MOST_COMPARED = 60  # conspicuous tails
_LISTED = 20
_SPARE_ROWS = 30  # beyond the coefficients; below it the residuals say too little


def poison_report(
    X: ArrayLike,
    y: ArrayLike,
    *,
    alpha: float = 0.01,
    task: Task = "auto",
    feature_names: Sequence[str] | None = None,
) -> PoisonReport:
    """Look for rows that were given a trigger and another label.

    Every tail of every column, of every column given the others, and of pairs of columns is a
    candidate group, and every group beyond a gap of a column. Its indicator is entered into the linear
    model of y (for a gap: without the columns that mark the group) and tested by the F test of
    FORMULAS 7.5 with the Bonferroni correction for all of them (1); a group is poison-like when
    besides it has one label that the model without it does not predict (2), differs from the rows
    of another label in few columns (3), and lies with those rows, not with its own label, on all
    other columns (4). Only (1) has a level; (2) to (4) keep genuine structure from being flagged.

    Parameters
    ----------
    X : (n, p) real
    y : (n,) labels or values, or (n, C) one-hot
    alpha : float
        Accepted rate of false alarms under Gaussian errors, in (0, 1).
    task : "auto", "classes" or "values"
        "auto": strings, booleans, one-hot rows, and whole numbers of at most 20 values are classes.
    feature_names : sequence of p str or None
        For the report; by default those of a pandas or polars frame, or x0, x1, ...

    Returns
    -------
    PoisonReport
        FLAGGED with the suspected rows; CLEAN; or INCONCLUSIVE with the reason.

    Raises
    ------
    ArgumentError
        ``alpha`` or ``task`` is unknown, or y has one value only.
    ShapeError, NonFinite
        The arrays are of other shapes, no numbers, or hold NaN or Inf.

    Source: FORMULAS 7.1, 7.3 and 7.5; Anderson 2003, Multivariate Statistical Analysis, section 8.4.
    """
    if not 0 < alpha < 1:
        raise ArgumentError(f"alpha must lie in (0, 1), got {alpha}; 0.01 is usual")
    names = column_names(X, feature_names)
    x = matrix(X, "X", np.float64)
    outputs, labels, shown = responses(y, task)
    same_rows(x, outputs)
    names = [f"x{i}" for i in range(x.shape[1])] if names is None else names
    if len(names) != x.shape[1]:
        raise ShapeError(f"{len(names)} feature_names for {x.shape[1]} columns")
    base: dict[str, Any] = {"alpha": alpha, "n_rows": len(x), "n_columns": x.shape[1]}
    needed = x.shape[1] + 1 + outputs.shape[1] + _SPARE_ROWS
    if len(x) < needed:
        return _inconclusive(
            f"{len(x)} rows leave too few residuals for {x.shape[1]} columns; at least {needed} "
            "rows are needed: leave out columns or add rows",
            base,
        )
    problem = prepare(x, outputs, labels)
    if labels is not None and np.bincount(labels).min() < 2 * SMALLEST_GROUP:
        rare = int(np.bincount(labels).argmin())
        return _inconclusive(
            f"label {shown[rare]} has {np.bincount(labels).min()} rows; every label needs "
            f"{2 * SMALLEST_GROUP}, so that poisoned rows can be told from it",
            base,
        )
    if (problem.e**2).sum() <= 1e-16 * ((outputs - outputs.mean(axis=0)) ** 2).sum():
        return _inconclusive(
            "the columns predict y without error, so nothing is left to test; is y one of them?",
            base,
        )
    tails, n_tests, spectrum = scan_tails(problem)
    apart, n_apart = scan_detached(problem)
    n_tests += n_apart
    tails = sorted([*apart, *tails], key=lambda tail: tail.p_value)
    all_columns = np.zeros(x.shape[1])
    all_columns[problem.columns] = spectrum
    base |= {"n_tests": n_tests, "delta_rss": tuple(float(v) for v in all_columns)}
    return _judge(problem, tails, n_tests, alpha, names, shown, base)


def _judge(
    problem: Problem,
    tails: list[Tail],
    n_tests: int,
    alpha: float,
    names: Sequence[str],
    shown: Sequence[str],
    base: dict[str, Any],
) -> PoisonReport:
    passing = [tail for tail in tails if tail.p_value * n_tests <= alpha]
    striking = [tail for tail in passing if conspicuous(problem, tail)][:_MOST_COMPARED]
    groups = [(tail, compare(problem, tail)) for tail in striking]
    suspicious = [group for _, group in groups if group is not None and group.suspicious]
    listed = [
        _candidate(problem, tail, n_tests, shown, _words(group)) for tail, group in groups[:_LISTED]
    ]
    others = [tail for tail in passing if tail not in striking][: _LISTED - len(listed)]
    listed += [
        _candidate(problem, tail, n_tests, shown, "its labels are mixed, or predicted without it")
        for tail in others
    ]
    base["candidates"] = tuple(listed)
    if not suspicious:
        reason = (
            "no tail of a column or pair explains the labels beyond the level"
            if not passing
            else f"{len(passing)} of {n_tests} tails explain labels beyond the level, none like poison"
        )
        return PoisonReport(
            verdict=Verdict.CLEAN,
            reasons=(reason,),
            p_value=1.0,
            target=None,
            trigger=(),
            rows=(),
            update=None,
            **base,
        )
    return _suspected(problem, suspicious, n_tests, names, shown, base)


def _suspected(
    problem: Problem,
    groups: list[Group],
    n_tests: int,
    names: Sequence[str],
    shown: Sequence[str],
    base: dict[str, Any],
) -> PoisonReport:
    # The first group that is a minority of its label; a larger one may be a second mode of it.
    group = groups[0]
    found = refine(problem, group)
    minority = False
    for one in groups:
        rows, scores, shift = refine(problem, one)
        if minority := is_minority(problem, one, rows):
            group, found = one, (rows, scores, shift)
            break
    rows, scores, shift = found
    update, deleted = _effect(problem, group, rows)
    target = group.tail.target
    order = np.argsort(-np.abs(shift), kind="stable")
    trigger = tuple(
        TriggerColumn(
            column=int(problem.columns[group.trigger[i]]),
            name=str(names[problem.columns[group.trigger[i]]]),
            shift=float(shift[i]),
            delta_rss=base["delta_rss"][problem.columns[group.trigger[i]]],
        )
        for i in order
    )
    label = shown[target] if problem.labels is not None else "values alike"
    listed = ", ".join(t.name for t in trigger[:5])
    words = f"{len(rows)} rows of label {label} look like rows of another label but for {listed}"
    reason = (
        f"{words}; look at them before the data are used"
        if minority
        else f"{words}, but they are so large a part of it that they may be a second mode of the "
        "label, as a rule that is not linear makes it; look at some of them"
    )
    return PoisonReport(
        verdict=Verdict.FLAGGED if minority else Verdict.INCONCLUSIVE,
        reasons=(reason,),
        p_value=min(1.0, group.tail.p_value * n_tests),
        target=label,
        trigger=trigger,
        rows=tuple(
            SuspectedRow(int(row), float(scores[row]), float(deleted[i, target]))
            for i, row in enumerate(rows)
        ),
        update=update,
        **base,
    )


def _effect(problem: Problem, group: Group, rows: Index) -> tuple[IndicatorUpdate | None, Floats]:
    with contextlib.suppress(ArgumentError):
        return indicator_update(problem, rows)
    # The group alone fills a column, so look at the model of the columns that others fill too.
    outside = np.delete(problem.x, rows, axis=0)
    useful = np.ptp(outside, axis=0) > 0
    useful[group.trigger] = False
    with contextlib.suppress(ArgumentError):
        others = prepare(problem.x[:, useful], problem.y, problem.labels)
        return indicator_update(others, rows)
    design = np.column_stack([np.ones(len(problem.x)), problem.x])
    kept = np.setdiff1d(np.arange(len(design)), rows)
    w = np.linalg.lstsq(design[kept], problem.y[kept], rcond=None)[0]
    return None, problem.y[rows] - design[rows] @ w


def _words(group: Group | None) -> str:
    if group is None:
        return "most of its label"
    if group.suspicious:
        return "poison-like"
    if not group.sparse:
        return f"differs from every other label in {len(group.trigger)} columns"
    return "lies with its own label on the other columns"


def _candidate(
    problem: Problem, tail: Tail, n_tests: int, shown: Sequence[str], words: str
) -> CandidateGroup:
    return CandidateGroup(
        columns=tuple(int(problem.columns[c]) for c in tail.columns),
        directions=tail.signs,
        residualised=tail.residualised,
        detached=tail.detached,
        n_rows=len(tail.rows),
        label=shown[tail.target] if problem.labels is not None else "values",
        delta_rss=tail.delta_rss,
        p_corrected=min(1.0, tail.p_value * n_tests),
        purity=tail.purity,
        lift=tail.lift,
        verdict=words,
    )


def _inconclusive(reason: str, base: dict[str, Any]) -> PoisonReport:
    nothing: dict[str, Any] = {"n_tests": 0, "delta_rss": (), "candidates": ()}
    return PoisonReport(
        verdict=Verdict.INCONCLUSIVE,
        reasons=(reason,),
        p_value=1.0,
        target=None,
        trigger=(),
        rows=(),
        update=None,
        **{**nothing, **base},
    )

"""Tell a group of relabelled rows with a trigger from the tail of a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hessay.linear.poison_scan import Problem, Tail

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

PURITY = 0.85  # least share of one label in the group
LIFT = 0.25  # least excess of the label over the prediction without the group
VALUE_LIFT = 1.5  # the same for values, residual standard deviations
TRIGGER_SHARE = 0.3  # most columns, of all, in which the group may differ from its source
MINORITY = 0.4  # largest share of the label's rows
VALUE_MINORITY = 0.15  # the same of all rows, for values
POSITION = 0.4  # farthest way from the source (0) to the rest of the label (1)
_LEVEL = 0.05  # family-wise, of the columns in which two groups differ
_ROUNDS = 5
_FEWEST = 5  # rows of a source


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A tail compared with the rows it may have come from."""

    tail: Tail
    trigger: Index  # positions in Problem.x in which it differs from its source
    source: Index  # rows it resembles elsewhere
    position: float  # on the other columns: 0 at the source, 1 at the rest of the label
    sparse: bool  # differs in few columns

    @property
    def suspicious(self) -> bool:
        """Like the source everywhere but in a few columns."""
        return self.sparse and self.position < POSITION


def conspicuous(problem: Problem, tail: Tail) -> bool:
    """Say whether the label of the group is one, and not what the other rows would predict."""
    least = LIFT if problem.labels is not None else VALUE_LIFT
    return tail.purity >= PURITY and tail.lift >= least


def compare(problem: Problem, tail: Tail) -> Group | None:
    """Find the rows that the group resembles most; None when it is most of its label itself."""
    n = len(problem.x)
    inside = np.zeros(n, dtype=bool)
    inside[tail.rows] = True
    same = alike(problem, tail)
    group, rest = np.flatnonzero(inside & same), np.flatnonzero(same & ~inside)
    if len(group) < 2 or (problem.labels is not None and len(rest) < len(group)):
        return None
    best: tuple[Index, Index] | None = None
    for source in _sources(problem, same, inside, tail.target):
        trigger = _different(problem.x, group, source)
        if best is None or len(trigger) < len(best[0]):
            best = trigger, source
    if best is None:
        return None
    trigger, source = best
    p = problem.x.shape[1]
    return Group(
        tail=tail,
        trigger=trigger,
        source=source,
        position=_position(problem.x, np.setdiff1d(np.arange(p), trigger), group, source, rest),
        sparse=0 < len(trigger) <= max(1, int(TRIGGER_SHARE * p)),
    )


def is_minority(problem: Problem, group: Group, rows: Index) -> bool:
    """Say whether the rows are too few to be a mode of their label."""
    if problem.labels is None:
        return len(rows) <= VALUE_MINORITY * len(problem.x)
    return len(rows) <= MINORITY * int(alike(problem, group.tail).sum())


def refine(problem: Problem, group: Group) -> tuple[Index, Floats, Floats]:
    """Follow the trigger to all its rows.

    Returns
    -------
    rows : (m,) intp
        Rows of the label that lie nearer to source + trigger than to the source, strongest first.
    scores : (n,) float64
        Place of every row between the source (0) and source + trigger (1), on the trigger columns.
    shift : (t,) float64
        The trigger, in standard deviations of its columns.
    """
    x = problem.x[:, group.trigger]
    source = x[group.source]
    center, spread = source.mean(axis=0), np.maximum(source.std(axis=0), 1e-6)
    same = alike(problem, group.tail)
    rows = np.intersect1d(group.tail.rows, np.flatnonzero(same))
    scores, shift = np.zeros(len(x)), np.zeros(len(group.trigger))
    for _ in range(_ROUNDS):
        shift = x[rows].mean(axis=0) - center
        weight = shift / spread**2
        scores = (x - center) @ weight / max(float(weight @ shift), 1e-300)
        new = np.flatnonzero(same & (scores > 0.5))
        if not len(new) or np.array_equal(new, rows):
            break
        rows = new
    return rows[np.argsort(-scores[rows], kind="stable")], scores, shift


def alike(problem: Problem, tail: Tail) -> NDArray[np.bool_]:
    """(n,) bool: rows of the label that the group has, or of a value near its median."""
    if problem.labels is not None:
        return np.asarray(problem.labels == tail.target)
    # Values: rows whose y is as far from the median as the group's.
    y = problem.y[:, 0]
    return np.asarray(np.abs(y - np.median(y[tail.rows])) <= 0.5)


def _sources(
    problem: Problem, same: NDArray[np.bool_], inside: NDArray[np.bool_], target: int
) -> list[Index]:
    others = np.flatnonzero(~same & ~inside)
    found = [others]
    if problem.labels is not None and problem.y.shape[1] > 2:
        found += [
            np.flatnonzero((problem.labels == c) & ~inside)
            for c in range(problem.y.shape[1])
            if c != target
        ]
    return [rows for rows in found if len(rows) >= _FEWEST]


def _different(x: Floats, group: Index, source: Index) -> Index:
    a, b = x[group], x[source]
    error = a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b) + 1e-12
    z = (a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(error)
    return np.flatnonzero(np.abs(z) > stats.norm.isf(_LEVEL / 2 / x.shape[1]))


def _position(x: Floats, columns: Index, group: Index, source: Index, rest: Index) -> float:
    """Where the group's mean lies along Fisher's discriminant of source (0) and rest (1)."""
    if not len(columns):
        return 1.0
    if len(rest) < _FEWEST:  # values that only the group has: there is no rest to lie with
        return 0.0
    a, b = x[np.ix_(source, columns)], x[np.ix_(rest, columns)]
    within = np.vstack([a - a.mean(axis=0), b - b.mean(axis=0)])
    cov = within.T @ within / len(within)
    cov += np.eye(len(cov)) * (1e-3 * np.trace(cov) / len(cov) + 1e-9)
    apart = b.mean(axis=0) - a.mean(axis=0)
    weight = np.linalg.solve(cov, apart)
    distance = float(weight @ apart)
    if distance < 1e-12:
        return 0.0
    return float(weight @ (x[np.ix_(group, columns)].mean(axis=0) - a.mean(axis=0)) / distance)

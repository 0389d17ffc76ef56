"""Candidate groups of rows: the tails of single columns and of pairs, and what their indicator explains."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

from hessay.errors import ArgumentError

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

SMALLEST_GROUP = 8  # rows; the F law of the indicator needs a few
LARGEST_SHARE = 0.25  # of all rows: a larger group is a class of its own, not poison
_SIZES = 9  # thresholds a tail, geometric
_KEPT = 0.01  # p-values above are not significant after any correction
_MOST_PAIRS = 2000  # pairs of columns that are looked at


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Data as the scan wants them."""

    x: Floats  # (n, p) columns that vary, standardised
    columns: Index  # (p,) their positions in X
    y: Floats  # (n, C) one-hot labels, or (n, 1) standardised values
    labels: Index | None  # (n,) class of each row; None for values
    q: Floats  # (n, k) orthonormal basis of [1, X]
    inverse: Floats  # (n, k - 1) x residualised on the other columns, and the columns it belongs to
    inverse_of: Index  # (k - 1,)
    e: Floats  # (n, C) residuals

    @property
    def n_responses(self) -> int:
        """Free responses: one-hot columns sum to one."""
        return int(self.y.shape[1]) - (self.labels is not None)


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """The rows beyond a threshold of a score, and the entry test of their indicator."""

    columns: tuple[int, ...]  # positions in Problem.x
    signs: tuple[int, ...]  # +1 the upper tail, -1 the lower one
    residualised: bool  # score = column given the others
    rows: Index  # (m,) positions
    delta_rss: float  # of the indicator, y^2
    f: float  # F statistic on (q, nu - q + 1) degrees of freedom
    p_value: float  # before correction
    target: int  # class of most of the rows; 0 for values
    purity: float  # share of that class; for values of the sign of the residuals
    lift: float  # mean residual at the target once the group has its own intercept
    detached: bool = False  # parted by a gap, and tested without the columns that mark it


def prepare(x: Floats, y: Floats, labels: Index | None) -> Problem:
    """Standardise, and decompose [1, X]; columns that others explain are left out of the basis.

    Raises
    ------
    ArgumentError
        No column varies.
    """
    spread = x.std(axis=0)
    varying = spread > 1e-12 * np.abs(x).max(axis=0, initial=0.0)
    if not varying.any():
        raise ArgumentError("every column of X is constant; there is nothing to look at")
    z = x[:, varying]
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    n = len(z)
    q, r, order = linalg.qr(z, mode="economic", pivoting=True)
    size = np.abs(np.diagonal(r))
    k = int((size > size[0] * 1e-10).sum())
    q, r, order = q[:, :k], r[:k, :k], order[:k]
    # Z (Z'Z)^-1: column j is x_j given the others, up to its scale.
    given = linalg.solve_triangular(r, q.T).T
    given /= np.sqrt((given**2).sum(axis=0))
    basis = np.column_stack([np.full(n, n**-0.5), q])
    e = y - basis @ (basis.T @ y)
    return Problem(z, np.flatnonzero(varying), y, labels, basis, given, order, e)


def scan_tails(problem: Problem) -> tuple[list[Tail], int, Floats]:
    """Test the indicator of every tail by the entry test of FORMULAS 7.5.

    Returns
    -------
    tails : list of Tail
        Those with a corrected p-value below 1 and a plain one below 0.01, smallest first.
    n_tests : int
        How many were looked at: the Bonferroni factor.
    spectrum : (p,) float64
        Largest delta RSS of the tails of every column alone, y^2.
    """
    n, k = problem.q.shape
    free = problem.n_responses
    inverse = np.linalg.pinv(problem.e[:, :free].T @ problem.e[:, :free])
    nu = n - k - 1
    spectrum = np.zeros(problem.x.shape[1])
    found: list[tuple[float, float, float, tuple[_Score, int], NDArray[np.intp]]] = []
    n_tests = 0
    most = int(LARGEST_SHARE * n)
    wanted = np.geomspace(SMALLEST_GROUP, max(most, SMALLEST_GROUP), _SIZES).astype(np.intp)
    for score in _scores(problem):
        ascending = np.argsort(score.values, kind="stable")
        for sign, order in ((1, ascending[::-1]), (-1, ascending)):
            cuts = _cuts(score.values[order], wanted, most)
            if not len(cuts):
                continue
            n_tests += len(cuts)
            starts = np.concatenate([[0], cuts[:-1]])
            rows = order[: cuts[-1]]
            in_span = np.add.reduceat(problem.q[rows], starts, axis=0).cumsum(axis=0)
            left = np.add.reduceat(problem.e[rows], starts, axis=0).cumsum(axis=0)
            length = np.maximum(cuts - (in_span**2).sum(axis=1), 1e-9)  # ||z_p||^2
            share = ((left[:, :free] @ inverse) * left[:, :free]).sum(axis=1) / length
            share = np.minimum(share, 1 - 1e-15)
            f = share / (1 - share) * (nu - free + 1) / free
            p = special.fdtrc(free, nu - free + 1, f)
            fall = (left**2).sum(axis=1) / length
            if len(score.columns) == 1 and not score.residualised:
                column = score.columns[0]
                spectrum[column] = max(spectrum[column], fall.max())
            found += [
                (float(p[i]), float(f[i]), float(fall[i]), (score, sign), order[: cuts[i]])
                for i in np.flatnonzero(p < _KEPT)
            ]
    found = sorted((one for one in found if one[0] * n_tests < 1), key=lambda one: one[0])
    return [_tail(problem, *one) for one in found], n_tests, spectrum


@dataclass(frozen=True, slots=True, eq=False)
class _Score:
    """A direction whose two tails are looked at."""

    columns: tuple[int, ...]
    signs: tuple[int, ...]  # of the upper tail
    residualised: bool
    values: Floats  # (n,)


def _scores(problem: Problem) -> Iterator[_Score]:
    x = problem.x
    p = x.shape[1]
    for j in range(p):
        yield _Score((j,), (1,), False, x[:, j])
    # Rounded, so that equal rows get equal scores and no threshold parts them.
    for i, j in enumerate(problem.inverse_of):
        yield _Score((int(j),), (1,), True, np.round(problem.inverse[:, i], 12))
    if p * (p - 1) // 2 <= _MOST_PAIRS:
        for a, b in itertools.combinations(range(p), 2):
            yield _Score((a, b), (1, 1), False, np.round(x[:, a] + x[:, b], 12))
            yield _Score((a, b), (1, -1), False, np.round(x[:, a] - x[:, b], 12))


def _cuts(ordered: Floats, wanted: Index, most: int) -> Index:
    change = np.flatnonzero(ordered[:-1] != ordered[1:]) + 1  # a cut must not part equal rows
    at = np.searchsorted(change, wanted)
    cuts = np.unique(change[at[at < len(change)]])
    return np.asarray(cuts[(cuts <= most) & (cuts >= SMALLEST_GROUP)])


def _tail(
    problem: Problem, p: float, f: float, fall: float, end: tuple[_Score, int], rows: Index
) -> Tail:
    score, sign = end
    in_span = problem.q[rows].sum(axis=0)
    shift = problem.e[rows].sum(axis=0) / max(len(rows) - in_span @ in_span, 1e-9)
    target, purity, lift = describe(problem, rows, problem.e, shift)
    return Tail(
        columns=score.columns,
        signs=tuple(sign * one for one in score.signs),
        residualised=score.residualised,
        rows=rows,
        delta_rss=fall,
        f=f,
        p_value=p,
        target=target,
        purity=purity,
        lift=lift,
    )


def describe(problem: Problem, rows: Index, e: Floats, shift: Floats) -> tuple[int, float, float]:
    """Label of most of the rows, its share, and its lift.

    Parameters
    ----------
    rows : (m,) positions
    e : (n, C) residuals of the model the group is entered into
    shift : (C,) coefficients of its indicator
    """
    if problem.labels is not None:
        counts = np.bincount(problem.labels[rows], minlength=problem.y.shape[1])
        target = int(counts.argmax())
        return target, float(counts[target]) / len(rows), float(shift[target])
    signs = np.sign(e[rows, 0] + (shift[0] - e[rows, 0].mean()))
    return (
        0,
        float((signs == np.sign(shift[0])).mean()),
        float(abs(shift[0]) / max(np.std(e), 1e-300)),
    )

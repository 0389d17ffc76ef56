"""Groups that stand apart in a column: a trigger that the linear fit takes for a column of its own.

Where a column is the trigger and nothing else, such as a pixel that is dark in every other row, the
indicator of the group lies in the span of X and no entry test sees it. It is entered into the model
without the columns that mark the group. Which groups these are depends on X alone, not on y.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hessay.linear.poison_scan import LARGEST_SHARE, SMALLEST_GROUP, Problem, Tail, describe

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

_GAP = 0.5  # least width of the gap, in ranges of the other rows
_MARKS = 0.5  # |correlation| with the indicator from which a column marks the group


def scan_detached(problem: Problem) -> tuple[list[Tail], int]:
    """Test the groups beyond a gap of a column by the entry test of FORMULAS 7.5.

    Returns
    -------
    tails : list of Tail
        Smallest p-value first.
    n_tests : int
        How many groups there are.
    """
    found: dict[bytes, Tail] = {}
    for column in range(problem.x.shape[1]):
        for sign in (1, -1):
            rows = _beyond_gap(sign * problem.x[:, column])
            key = np.sort(rows).tobytes()
            if len(rows) and key not in found:
                found[key] = _test(problem, column, sign, rows)
    return sorted(found.values(), key=lambda tail: tail.p_value), len(found)


def _beyond_gap(score: Floats) -> Index:
    n = len(score)
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    sizes = np.arange(SMALLEST_GROUP, int(LARGEST_SHARE * n) + 1)
    if not len(sizes):
        return order[:0]
    gap, rest = ordered[sizes - 1] - ordered[sizes], ordered[sizes] - ordered[-1]
    wide = (gap > _GAP * rest) & (gap > 0)
    return order[: sizes[np.argmax(np.where(wide, gap, 0))]] if wide.any() else order[:0]


def _test(problem: Problem, column: int, sign: int, rows: Index) -> Tail:
    n = len(problem.x)
    indicator = np.zeros(n)
    indicator[rows] = 1
    centered = indicator - indicator.mean()
    marks = np.abs(problem.x.T @ centered) / np.sqrt(n * (centered @ centered)) >= _MARKS
    q, _ = np.linalg.qr(np.column_stack([np.ones(n), problem.x[:, ~marks]]))
    e = problem.y - q @ (q.T @ problem.y)
    left = indicator - q @ (q.T @ indicator)
    length = max(float(left @ left), 1e-9)
    free, nu = problem.n_responses, n - q.shape[1] - 1
    b = left @ e
    share = float(b[:free] @ np.linalg.pinv(e[:, :free].T @ e[:, :free]) @ b[:free]) / length
    share = min(max(share, 0.0), 1 - 1e-15)
    f = share / (1 - share) * (nu - free + 1) / free
    target, purity, lift = describe(problem, rows, e, b / length)
    return Tail(
        columns=(column,),
        signs=(sign,),
        residualised=False,
        rows=rows,
        delta_rss=float(b @ b) / length,
        f=f,
        p_value=float(stats.f.sf(f, free, nu - free + 1)),
        target=target,
        purity=purity,
        lift=lift,
        detached=True,
    )

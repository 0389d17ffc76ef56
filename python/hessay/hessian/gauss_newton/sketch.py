"""Random rows in the place of all rows of the logit curvature, and what they cost in accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessay import _core
from hessay.errors import ArgumentError
from hessay.hessian.curvature import Curvature


def sketch_rows(
    curvature: Curvature,
    logits: NDArray[np.floating],
    s: int,
    *,
    seed: int = 0,
    first: int = 0,
) -> NDArray[np.floating]:
    """Draw s independent Gaussian rows g a sample with E[sum g g'] = S, from logits (n, C).

    Parameters
    ----------
    curvature : Curvature
        Any but the margin, which has one row of its own.
    logits : (n, C) floats
    s : int >= 1
    seed : int >= 0
    first : int >= 0
        Number of the first of these samples in the probe. A sample's rows depend on its number,
        its logits and the seed, not on the chunk it comes in.

    Returns
    -------
    (n, s, C) floats

    Raises
    ------
    ArgumentError, NonFinite
        A number out of range; logits with NaN or Inf.
    """
    if s < 1 or seed < 0:
        raise ArgumentError(f"s must be at least 1 and seed at least 0, got {s} and {seed}")
    logits = np.ascontiguousarray(logits)
    out = np.empty((len(logits), s, logits.shape[1]), dtype=logits.dtype)
    _core.curvature_sketch(curvature.kind, logits, curvature.scale, seed, first, out)
    return out


def standard_error(
    rows: NDArray[np.floating], directions: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Estimate the standard error (k,) of v'Hv = (1/n) sum (row v)^2 from sketched rows (n, s, m).

    Given the sample, s (row v)^2 is v'H_i v times an independent chi-square with one degree of
    freedom. So t_i = sum_j (row_ij v)^2 has variance 2 (v'H_i v)^2 / s, and 2 t_i^2 / (s + 2) is
    the unbiased estimate of it with the least variance (t_i is complete and sufficient).
    Directions (m, k); the sum over the samples is divided by n^2.
    """
    n, s, m = rows.shape
    along = rows.reshape(-1, m) @ directions
    each = np.square(along, dtype=np.float64).reshape(n, s, -1).sum(axis=1)  # t_i (n, k)
    error: NDArray[np.float64] = np.sqrt(2.0 / (s + 2.0) * np.square(each).sum(axis=0)) / n
    return error


def relative_error(rows: NDArray[np.floating], lift: NDArray[np.floating] | None) -> float:
    """Estimate |H - E H| / |E H| in Frobenius norms from sketched rows (n, s, m), s >= 2.

    The first a and the last b of a sample's rows give independent unbiased estimates A and B with
    H = (a A + b B) / s, so E|A - B|^2 a b / s^2 = E|H - E H|^2, and E<A, B> = |E H|^2.
    """
    n, s, m = rows.shape
    if s < 2:
        raise ArgumentError(f"an error estimate needs at least 2 rows a sample, got {s}")
    a = s // 2
    halves = []
    for part, count in ((rows[:, :a], a), (rows[:, a:], s - a)):
        half = np.zeros((m, m), order="F")
        _core.moment_add(np.ascontiguousarray(part), half)
        halves.append(half * (s / count / n))
    difference = halves[0] - halves[1]
    if lift is not None:  # tr(W'DW W'DW) = tr(DG DG), G = W W'
        wide = lift.astype(np.float64)
        gram = wide @ wide.T
        halves = [half @ gram for half in halves]
        difference = difference @ gram
    squared = float((difference * difference.T).sum()) * a * (s - a) / s**2
    size = float((halves[0] * halves[1].T).sum())
    if not size > 0:  # both halves vanish, or nothing of one is seen by the other
        return 0.0 if squared <= 0 else float("inf")
    return float(np.sqrt(max(squared, 0.0) / size))

"""Source-specific backdoors: how easily one class is turned into one other.

A trigger that works on a single source class, with cover samples that keep it harmless on the others,
raises the reach of one pair of classes and of nothing else:

    reach_sc = |Q M_sc| / m_sc,   M_sc = mean over the probes predicted as s of (J[c] - J[s]),
                                  m_sc = mean over them of (z_s - z_c)
    x_sc = log reach_sc less its mean, row and column effects, by least squares over s != c
    z_sc = (x_sc - mean_sc) / sqrt((v_sc + v) / 2 (1 + 1 / k)),   P = max_sc z_sc

with mean and variance v_sc of the pair over k clean references, v the mean variance of all pairs. What
is left without row and column belongs to the pair alone; an all-to-one backdoor is mostly in its column.
Clean networks have pairs that are natural outliers (shirt and pullover), the same ones in all networks
that were trained alike, and other ones in networks that were not. So this is a test only beside
references of the scanned model's own architecture and recipe. Values of references are held within three
robust standard deviations of their median: one poisoned reference among several hides little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessay.detector.statistics import PrincipalDirections
from hessay.errors import ArgumentError, ShapeError
from hessay.hessian.jacobian import ClassJacobians

MIN_PAIR_REFERENCES = 9  # the fewest the law of P was measured with
_MARGIN_FLOOR = 0.15  # of the size of the logits: a pair that is hardly told apart is no short way
_FARTHEST = 3.0  # robust standard deviations
_NORMAL = 1.4826  # median absolute deviation of a normal variable to its standard deviation
_SPREAD_FLOOR = 0.03  # no two trainings agree better; guards against copies of one network


def pair_reach(
    jacobians: ClassJacobians, directions: PrincipalDirections
) -> NDArray[np.float64] | None:
    """Measure log(|Q M_sc| / m_sc) of every ordered pair, (C, C), 1 / input; 0 on the diagonal.

    None where the pairs were not formed, or where a pair has no slope off the data.

    Parameters
    ----------
    jacobians : ClassJacobians
        Of the model on the probe, smoothed.
    directions : PrincipalDirections
        Of the same probe.
    """
    if jacobians.mean is None:
        return None
    n_classes, _, width = jacobians.mean.shape
    towards = (jacobians.mean - jacobians.own[:, None]).reshape(-1, width)
    slope = np.linalg.norm(directions.remove(towards), axis=1).reshape(n_classes, n_classes)
    margin = pair_margins(jacobians.logits)
    pairs = off_diagonal(n_classes)
    if not bool((slope[pairs] > 0.0).all()):
        return None
    reach = np.ones_like(slope)
    np.divide(slope, margin, out=reach, where=pairs)
    log_reach: NDArray[np.float64] = np.log(reach)
    return log_reach


def pair_margins(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """m_sc of every ordered pair from logits (n, C): (C, C), at least 0.15 of the logits' size."""
    n, n_classes = logits.shape
    predicted = logits.argmax(axis=1)
    gaps = logits[np.arange(n), predicted][:, None] - logits
    sums = np.zeros((n_classes, n_classes))
    np.add.at(sums, predicted, gaps)
    size = float(np.sqrt(np.square(logits - logits.mean(axis=1, keepdims=True)).mean()))
    counts = np.maximum(np.bincount(predicted, minlength=n_classes), 1)[:, None]
    margins: NDArray[np.float64] = np.maximum(sums / counts, _MARGIN_FLOOR * size)
    return margins


def off_diagonal(n_classes: int) -> NDArray[np.bool_]:
    """Mark the ordered pairs of different classes, (C, C)."""
    mask: NDArray[np.bool_] = ~np.eye(n_classes, dtype=bool)
    return mask


def pair_residual(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take mean, row and column effects out of a (C, C) table of pairs; the diagonal is 0.

    Least squares over the pairs s != c has a closed form: with R_s and K_c the sums of the row and the
    column, T of all,

        mu = T / (C (C - 1)),   a_s = ((C - 1) R_s + K_s - T) / (C (C - 2)),
        b_c = ((C - 1) K_c + R_c - T) / (C (C - 2)).

    Raises
    ------
    ShapeError
        Not (C, C) with C >= 4.

    Source: diallel crosses without selfs, Griffing 1956, Aust. J. Biol. Sci. 9, 463.
    """
    c = len(table)
    if table.shape != (c, c) or c < 4:
        raise ShapeError(f"a table of pairs is (C, C) with C >= 4, got {table.shape}")
    pairs = off_diagonal(c)
    held = np.where(pairs, table, 0.0)
    rows, columns, total = held.sum(axis=1), held.sum(axis=0), held.sum()
    source = ((c - 1) * rows + columns - total) / (c * (c - 2))
    target = ((c - 1) * columns + rows - total) / (c * (c - 2))
    left = held - total / (c * (c - 1)) - source[:, None] - target
    return np.where(pairs, left, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class PairProfile:
    """Where the pairs of classes of clean networks lie, and how closely."""

    centre: NDArray[np.float64]  # (C, C): mean of x_sc, logarithm of a ratio
    spread: NDArray[np.float64]  # (C, C): standard deviation of one network about it
    n_references: int  # k

    def deviations(self, log_reach: NDArray[np.float64]) -> NDArray[np.float64]:
        """z_sc of one network, (C, C), from its log reaches; -inf on the diagonal.

        Raises
        ------
        ShapeError
            Another number of classes.
        """
        if log_reach.shape != self.centre.shape:
            raise ShapeError(
                f"the profile has pairs of shape {self.centre.shape}, got {log_reach.shape}"
            )
        z = np.full_like(self.centre, -np.inf)
        pairs = off_diagonal(len(z))
        off = pair_residual(log_reach) - self.centre
        z[pairs] = off[pairs] / (self.spread[pairs] * np.sqrt(1.0 + 1.0 / self.n_references))
        return z


def fit_pairs(
    log_reaches: NDArray[np.float64] | Sequence[NDArray[np.float64]],
) -> PairProfile:
    """Fit the profile to clean references.

    Parameters
    ----------
    log_reaches : (k, C, C) float64, k >= 4
        Of every reference, on one probe, as :func:`pair_reach` gives them.

    Raises
    ------
    ArgumentError
        Fewer than 4 references.
    """
    if len(log_reaches) < 4:
        raise ArgumentError(f"a profile of pairs needs 4 references, got {len(log_reaches)}")
    table = np.stack([pair_residual(np.asarray(row)) for row in log_reaches])
    pairs = off_diagonal(table.shape[1])
    median = np.median(table, axis=0)
    usual = _NORMAL * float(np.median(np.abs(table - median)[:, pairs]))
    held = np.clip(table, median - _FARTHEST * usual, median + _FARTHEST * usual)
    centre = held.mean(axis=0)
    variance = np.square(held - centre).sum(axis=0) / (len(table) - 1)
    pooled = float(variance[pairs].mean())
    spread = np.sqrt(0.5 * variance + 0.5 * pooled)
    return PairProfile(centre, np.maximum(spread, _SPREAD_FLOOR), len(table))


def left_out_pairs(log_reaches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest z of every network in turn under the profile of all others, (k,), for (k, C, C).

    Networks that were drawn alike have exchangeable values, whatever their law.
    """
    table = np.asarray(log_reaches, dtype=np.float64)
    return np.array(
        [
            fit_pairs(np.delete(table, i, axis=0)).deviations(row).max()
            for i, row in enumerate(table)
        ]
    )

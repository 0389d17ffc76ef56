"""From what contenders said to rates with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

BUDGET = 1.5  # samples looked at, in units of the number of poisoned ones


def auroc(clean: Sequence[float], poisoned: Sequence[float]) -> float:
    """Chance that a poisoned model scores above a clean one; ties count half."""
    m, n = len(poisoned), len(clean)
    ranks = rankdata([*poisoned, *clean])
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))


def auroc_interval(area: float, m: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of an AUROC of ``area`` from ``m`` and ``n`` models, not degenerate at 0 and 1.

    Source: Newcombe 2006, Statistics in Medicine 25, 559, method 5: the values whose own standard
    error reaches the observed one.
    """
    z = float(norm.ppf((1 + level) / 2))
    both = (m + n) / 2

    def reach(true: float) -> float:
        spread = 2 * both - 1 - (3 * both - 3) / ((2 - true) * (1 + true))
        return z * math.sqrt(true * (1 - true) * spread / (m * n))

    # At an area of 0 or 1 the observed value is itself a root; the end is the other one.
    near = 1e-9
    low = 0.0 if area <= near else float(brentq(lambda t: area - t - reach(t), 0.0, area - near))
    high = (
        1.0 if area >= 1 - near else float(brentq(lambda t: t - area - reach(t), area + near, 1.0))
    )
    return low, high


def recall_at_budget(scores: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
    """Share of the poisoned ``rows`` among the 1.5 m that score highest, m = len(rows).

    Rows that tie at the cut count by their chance to be taken.
    """
    budget = min(len(scores), round(BUDGET * len(rows)))
    cut = np.sort(scores)[-budget]
    above, tied = scores > cut, scores == cut
    chance = (budget - above.sum()) / tied.sum()
    return float((above[rows].sum() + chance * tied[rows].sum()) / len(rows))


def recall_within_label(
    scores: NDArray[np.float64],
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    target: int,
) -> float:
    """Do the same for a defence that is told the target: only samples of that label compete."""
    return recall_at_budget(np.where(labels == target, scores, -np.inf), rows)

"""How long poison in arriving data stays unseen when every so many batches are scanned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hessay._laws import probabilities
from hessay.errors import ShapeError
from hessay.theory._checks import count

__all__ = ["Delay", "detection_delay", "scan_delay"]


@dataclass(frozen=True, slots=True)
class Delay:
    """Expected time from the first poisoned batch to the alarm, censored at the horizon."""

    at_least: float  # batches
    at_most: float  # batches; simulated delays lie near this end
    missed: float  # chance of no alarm within the horizon, at most, in [0, 1]
    scans: int  # within the horizon


def detection_delay(powers: Sequence[float]) -> tuple[float, float]:
    """Bounds of the expected number of scans until the first alarm, censored at the last one.

    Parameters
    ----------
    powers : (K,) in [0, 1], K >= 1
        Chance that scan j alone gives an alarm.

    Returns
    -------
    (at_least, at_most)
        The upper bound ``1 + sum_{j<K} (1 - max_{i<=j} P_i)`` always holds. The lower one,
        ``1 + sum_{j<K} prod_{i<=j} (1 - P_i)``, needs scans that are not negatively dependent:
        scans that share data are positively dependent, and real delays lie near the upper bound.

    Raises
    ------
    ArgumentError
        A value lies outside [0, 1].
    ShapeError
        ``powers`` is empty or not a vector.

    Source: docs/random-matrix-theory.md eq. 8.4, derived independently.

    Examples
    --------
    >>> detection_delay([0.5, 0.5, 0.5])
    (1.75, 2.0)
    """
    p = probabilities("powers", powers)
    if p.ndim != 1 or not p.size:
        raise ShapeError(f"powers must have shape (K,) with K at least 1, got {p.shape}")
    before = p[:-1]
    lower = 1 + float(np.cumprod(1 - before).sum())
    upper = 1 + float((1 - np.maximum.accumulate(before)).sum())
    return lower, upper


def scan_delay(power_at: Callable[[int, int], float], *, every: int, horizon: int) -> Delay:
    """Delay in batches when every ``every`` batches are scanned, up to ``horizon``.

    Parameters
    ----------
    power_at : (batches, scans) -> [0, 1]
        Power of a scan after so many poisoned batches when the level is shared by ``scans``.
    every : int >= 1
        Batches between scans.
    horizon : int >= every
        Batches after which an alarm no longer counts.

    Returns
    -------
    Delay
        The first poisoned batch comes at a random place between two scans, so the first scan after
        it sees from 1 to ``every`` poisoned batches, each with the same chance.

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 8.4, derived independently; averaged over the place of
    the onset instead of adding ``(every - 1) / 2``.
    """
    step, last = count("every", every, 1), count("horizon", horizon, 1)
    count("horizon", last, step)
    scans = last // step
    known: dict[int, float] = {}
    lower = upper = missed = 0.0
    for first in range(1, step + 1):
        batches = [first + i * step for i in range(scans) if first + i * step <= last]
        for j in batches:
            if j not in known:
                known[j] = power_at(j, scans)
        powers = [known[j] for j in batches]
        low, high = detection_delay(powers)
        # Waiting for scan i costs first + (i - 1) step batches.
        lower += (first + (low - 1) * step) / step
        upper += (first + (high - 1) * step) / step
        missed += (1 - max(powers)) / step
    return Delay(at_least=lower, at_most=upper, missed=missed, scans=scans)

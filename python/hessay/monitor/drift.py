"""Whether a series of statistics has begun to rise, with a stated time between false alarms."""

from __future__ import annotations

import bisect
import hashlib
import math
from dataclasses import dataclass

from hessay.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class Drift:
    """The state of the test after one statistic."""

    p_value: float  # conformal: rank of the statistic among all so far, in (0, 1]
    evidence: float  # the detector's sum, dimensionless; an alarm at average_run_length
    alarm: bool


class DriftDetector:
    """Shiryaev-Roberts sum of conformal e-values, an e-detector.

    As long as the statistics are exchangeable, whatever their law, their randomised ranks are
    independent and uniform, each bet on small ones has mean one, and the time to a false alarm is
    on average at least ``average_run_length`` scans. It says that a series changed, not why: a
    model that still learns changes too. A change after few scans is hardly seen, since a rank among n
    is never far below 1/n.

    Source: ranks: Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world", section
    8.2; sum and its run length: Shin, Ramdas & Rinaldo 2024, "E-detectors", NEJSDS 2, definition 2.2
    and theorem 2.4; bet: Vovk & Wang 2021, Annals of Statistics 49, eq. (2), kappa averaged over (0, 1).

    Examples
    --------
    >>> detector = DriftDetector(average_run_length=1000.0)
    >>> before = [detector.update(0.1 + 0.01 * (i % 7), key=i) for i in range(100)]
    >>> after = [detector.update(0.5 + 0.01 * i, key=100 + i) for i in range(10)]
    >>> any(d.alarm for d in before), any(d.alarm for d in after)
    (False, True)
    """

    def __init__(self, *, average_run_length: float, seed: int = 0) -> None:
        """Start with no evidence.

        Parameters
        ----------
        average_run_length : float > 1
            Mean number of scans between false alarms, at least.
        seed : int >= 0
            Of the random numbers that break ties between equal statistics.

        Raises
        ------
        ArgumentError
            A value is out of range.
        """
        if not 1 < average_run_length < math.inf:
            raise ArgumentError(
                f"average_run_length must be above 1 and finite, got {average_run_length}"
            )
        if seed < 0:
            raise ArgumentError(f"seed must be at least 0, got {seed}")
        self._limit = average_run_length
        self._seed = seed
        self._sorted: list[float] = []
        self._evidence = 0.0

    def update(self, statistic: float, *, key: int) -> Drift:
        """Take in the next statistic.

        Parameters
        ----------
        statistic : float
            Large where something is wrong; finite.
        key : int >= 0
            Of this scan: the same series gives the same random numbers.

        Raises
        ------
        ArgumentError
            ``statistic`` is not finite.
        """
        if not math.isfinite(statistic):
            raise ArgumentError(f"a series has finite statistics, got {statistic}")
        bisect.insort(self._sorted, statistic)
        n = len(self._sorted)
        last = bisect.bisect_right(self._sorted, statistic)
        equal = last - bisect.bisect_left(self._sorted, statistic)  # itself included
        uniform = _uniform(self._seed, key)
        p_value = (n - last + uniform * equal) / n
        self._evidence = (1.0 + self._evidence) * bet(p_value)
        reached, alarm = self._evidence, self._evidence >= self._limit
        if alarm:
            self._evidence = 0.0  # the next alarm takes evidence of its own
        return Drift(p_value, reached, alarm)


def _uniform(seed: int, key: int) -> float:
    """Hash a seed and a key to a number in (0, 1], by BLAKE2b."""
    words = hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest()
    return ((int.from_bytes(words, "big") >> 11) + 1) * 2.0**-53


def bet(p_value: float) -> float:
    """Mean over kappa in (0, 1) of ``kappa p^(kappa - 1)``: an e-value from a p-value.

    Source: Vovk & Wang 2021, Annals of Statistics 49, 1736, eq. (2).
    """
    t = -math.log(p_value)
    if t < 1e-2:  # (1 - e^-t (1 + t)) / (e^-t t^2) cancels; its series to a relative 1e-9
        return math.exp(t) * (0.5 - t / 3 + t**2 / 8 - t**3 / 30 + t**4 / 144)
    return (1.0 - p_value * (1.0 + t)) / (p_value * t * t)

"""Whether a series of statistics has begun to rise, with a stated time between false alarms."""

from __future__ import annotations

import bisect
import hashlib
import math
from dataclasses import dataclass
from typing import Protocol

from hessay.errors import ArgumentError
from hessay.store import Kind

_LARGEST_LOG = 600.0  # nats: beyond it exp and one more product could overflow


@dataclass(frozen=True, slots=True)
class Drift:
    """The state of the test after one statistic."""

    p_value: float  # conformal, the rank among all so far; of an e-value at most 1/e; in (0, 1]
    evidence: float  # the detector's sum, dimensionless; an alarm at average_run_length
    alarm: bool


class Detector(Protocol):
    """What takes the statistics of a series one by one."""

    def update(self, statistic: float, *, key: int) -> Drift:
        """Take in the next statistic; see :class:`DriftDetector`."""
        ...


class _Sum:
    """Shiryaev-Roberts sum: starts again at an alarm, since the next takes evidence of its own."""

    def __init__(self, average_run_length: float) -> None:
        if not 1 < average_run_length < math.inf:
            raise ArgumentError(
                f"average_run_length must be above 1 and finite, got {average_run_length}"
            )
        self._limit = average_run_length
        self._evidence = 0.0

    def add(self, e_value: float, p_value: float) -> Drift:
        reached = (1.0 + self._evidence) * e_value
        alarm = reached >= self._limit
        self._evidence = 0.0 if alarm else reached
        return Drift(p_value, reached, alarm)


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
        self._sum = _Sum(average_run_length)
        if seed < 0:
            raise ArgumentError(f"seed must be at least 0, got {seed}")
        self._seed = seed
        self._sorted: list[float] = []

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
        return self._sum.add(bet(p_value), p_value)


class EvidenceDetector:
    """Shiryaev-Roberts sum of e-values that the statistics are the logarithms of.

    While each has mean one at most given those before it, the time to a false alarm is on average at
    least ``average_run_length`` statistics. It needs no series before it to compare with.

    Source: Shin, Ramdas & Rinaldo 2024, "E-detectors", NEJSDS 2, definition 2.2 and theorem 2.4.

    Examples
    --------
    >>> detector = EvidenceDetector(average_run_length=100.0)
    >>> [detector.update(log_e, key=i).alarm for i, log_e in enumerate((-1.0, 0.5, 5.0))]
    [False, False, True]
    """

    def __init__(self, *, average_run_length: float) -> None:
        """Start with no evidence; raises as :class:`DriftDetector`."""
        self._sum = _Sum(average_run_length)

    def update(self, statistic: float, *, key: int) -> Drift:
        """Take in the next logarithm of an e-value, nats, finite; ``key`` does not matter.

        Raises
        ------
        ArgumentError
            ``statistic`` is not finite.
        """
        del key
        if not math.isfinite(statistic):
            raise ArgumentError(f"a series has finite statistics, got {statistic}")
        e_value = math.exp(min(statistic, _LARGEST_LOG))
        return self._sum.add(e_value, min(1.0, 1.0 / e_value) if e_value > 0 else 1.0)


def detector_for(kind: Kind, *, average_run_length: float) -> Detector:
    """Make a series' test: models are compared with each other, batches bring their own evidence."""
    if kind == "data batch":
        return EvidenceDetector(average_run_length=average_run_length)
    return DriftDetector(average_run_length=average_run_length)


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

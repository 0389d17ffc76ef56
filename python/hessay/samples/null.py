"""How large the statistic gets on clean samples: from the probe alone, out to small p-values.

The training class itself cannot say: more than half of it may be poison. The probe has too few
inputs of one class (about 50 of 512) to resolve p-values near 0.001, so the classes are pooled:
each probe gives its distance from the median of the others of its class, and a training sample its
distance from the median of the class it is labelled with. Beyond the 0.9 quantile the excess is
taken as exponential with the mean that the probe shows; averaged over the error of that mean,

    P(S >= s) = P(S > u) (1 + (s - u) / (k e))^-k,   u the quantile, k probes above it, e their mean excess

Below, the p-value is the rank (1 + #{probes >= s}) / (n + 1), exact for exchangeable samples.

Some classes have heavier tails than others, and the pool makes theirs too light. The class's own probes give
a second estimate by the same formula, right but rough. The p-value is the geometric mean of the two, where the
class has 10 probes; with fewer it is the pool's.

Sources: Bates, Candes, Lei, Romano & Sesia 2023, Ann. Statist. 51, 149 (ranks, and why
Benjamini-Hochberg may be used on them); Pickands 1975, Ann. Statist. 3, 119 (the tail).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAIL = 0.1  # share of the probes that the fitted tail describes
MIN_TAIL = 5  # probes that the mean excess is taken over, at least
MIN_OF_CLASS = 10  # probes of a class below which their median and tail are not its own


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """Survival function of distances of clean samples: their ranks, and a fitted tail beyond."""

    values: NDArray[np.float64]  # (n,) ascending: distances of the probes from their class's median
    start: float  # u, where the fitted tail begins; unit of the statistic
    scale: float  # e > 0, mean excess above it; unit of the statistic
    n_tail: int  # k, probes above it

    @classmethod
    def of(cls, distances: NDArray[np.float64], tiny: float) -> Tail:
        """Fit it to distances (n,), n >= 2 MIN_TAIL; a scale is at least ``tiny``."""
        ascending = np.sort(distances)
        n_tail = max(MIN_TAIL, round(TAIL * len(ascending)))
        start = float(ascending[-n_tail - 1])
        scale = max(float(ascending[-n_tail:].mean()) - start, tiny)
        return cls(ascending, start, scale, n_tail)

    def p_value(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return P(S >= distances), (m,) in (0, 1]."""
        n, k = len(self.values), self.n_tail
        above = n - np.searchsorted(self.values, distances, side="left")
        rank = (1.0 + above) / (n + 1.0)
        excess = np.maximum(distances - self.start, 0.0) / (k * self.scale)
        tail = (1.0 + k) / (n + 1.0) * np.exp(-k * np.log1p(excess))
        p: NDArray[np.float64] = np.where(distances > self.start, tail, rank)
        return np.maximum(p, np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True, eq=False)
class SampleNull:
    """Law of one statistic over clean samples."""

    centre: NDArray[np.float64]  # (C,): median of each class, unit of the statistic
    pool: Tail  # of all probes
    own: dict[int, Tail]  # of the classes with enough probes
    spread: float  # > 0: standard deviation of the probes' middle half if it were normal

    @classmethod
    def fit(
        cls, values: NDArray[np.float64], labels: NDArray[np.int64], n_classes: int
    ) -> SampleNull:
        """Fit it to the probe.

        Parameters
        ----------
        values : (n,) float64, n >= 2 * MIN_TAIL
            The statistic of each clean probe.
        labels : (n,) int64 in [0, n_classes)
        n_classes : int
        """
        everyone = float(np.median(values))
        centre = np.full(n_classes, everyone)
        distance = values - everyone
        tiny = float(np.finfo(np.float64).eps * (1.0 + np.abs(distance).max()))
        own = {}
        for c in np.unique(labels):
            mine = labels == c
            if int(mine.sum()) >= MIN_OF_CLASS:
                centre[c] = np.median(values[mine])
                distance[mine] = values[mine] - _medians_of_the_others(values[mine])
                own[int(c)] = Tail.of(distance[mine], tiny)
        low, high = np.quantile(distance, (0.25, 0.75))
        # 1.349: quartiles of a normal law, in standard deviations.
        spread = max(float(high - low) / 1.349, tiny)
        return cls(centre, Tail.of(distance, tiny), own, spread)

    def standardise(
        self, values: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return distances from the class's median in units of ``spread``, (m,)."""
        standard: NDArray[np.float64] = (values - self.centre[labels]) / self.spread
        return standard

    def p_value(
        self, values: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return P(S >= values) for clean samples with these labels, (m,) in (0, 1]."""
        distance = values - self.centre[labels]
        p = self.pool.p_value(distance)
        for c in np.unique(labels):
            if (tail := self.own.get(int(c))) is not None:
                mine = labels == c
                p[mine] = np.sqrt(p[mine]) * np.sqrt(tail.p_value(distance[mine]))
        return p


def _medians_of_the_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of all values but the i-th, for each i; (n,), n >= 2."""
    order = np.argsort(values, kind="stable")
    rank = np.empty(len(values), dtype=np.intp)
    rank[order] = np.arange(len(values))
    ascending = values[order]
    m = len(values) - 1
    low, high = (m - 1) // 2, m // 2  # of the others, in their own order
    others: NDArray[np.float64] = 0.5 * (
        ascending[low + (rank <= low)] + ascending[high + (rank <= high)]
    )
    return others


def benjamini_hochberg(p_values: NDArray[np.float64], fdr: float) -> NDArray[np.bool_]:
    """Return which of m hypotheses are rejected with false discovery rate at most ``fdr``, (m,).

    For independent p-values, and for those that depend positively on each subset of true nulls,
    as p-values from one common null sample do.

    Source: Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57, 289; Benjamini & Yekutieli 2001, Ann.
    Statist. 29, 1165 (dependence).
    """
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    passed = np.flatnonzero(p_values[order] <= fdr * np.arange(1, m + 1) / max(m, 1))
    chosen = np.zeros(m, dtype=np.bool_)
    if len(passed) > 0:
        chosen[order[: passed[-1] + 1]] = True
    return chosen

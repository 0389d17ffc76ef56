"""From the statistic to a p-value: a fitted null without references, conformal ranks with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessay.errors import ArgumentError, NonFinite

TAIL = 0.1  # share of the clean models the fitted tail describes


@dataclass(frozen=True, slots=True)
class CleanNull:
    """Upper tail of a statistic S over clean models.

    Above its 0.9 quantile the tail is taken as exponential (peaks over threshold, shape 0):
    P(S >= s) = 0.1 exp(-(s - start) / scale). Below the start the same formula, capped at 1, is
    monotone but no longer calibrated. The tail is heavier than a normal one on purpose: models
    outside the tuning population vary more than those inside.

    Source: Pickands 1975, Ann. Statist. 3, 119.
    """

    start: float  # 0.9 quantile of S, dimensionless
    scale: float  # mean excess of S above it, > 0, dimensionless
    n_models: int  # clean models it was fitted to
    n_classes: int  # classes of those models

    @staticmethod
    def fit(statistics: Sequence[float], n_classes: int) -> CleanNull:
        """Fit the quantile and the mean excess.

        Raises
        ------
        ArgumentError
            Fewer than 50 values, or no excess.
        NonFinite
            A value is NaN or Inf.
        """
        values = np.asarray(statistics, dtype=np.float64)
        if len(values) < 50:
            raise ArgumentError(f"a null needs at least 50 clean models, got {len(values)}")
        if not bool(np.isfinite(values).all()):
            raise NonFinite(f"{int((~np.isfinite(values)).sum())} statistics are NaN or Inf")
        start = float(np.quantile(values, 1.0 - TAIL))
        excess = values[values > start] - start
        if len(excess) == 0:
            raise ArgumentError("the largest statistics are all equal; a tail cannot be fitted")
        return CleanNull(start, float(excess.mean()), len(values), n_classes)

    def p_value(self, statistic: float, n_classes: int) -> float:
        """P(S >= statistic) for a clean model with this many classes, in [0, 1].

        The fit holds for ``self.n_classes``; the maximum over g times as many classes exceeds a
        value with probability 1 - (1 - p)^g. Fewer classes are not credited: their median is less
        steady.
        """
        exponent = (self.start - statistic) / self.scale + math.log(TAIL)
        if exponent >= 0.0:
            return 1.0
        return -math.expm1(self._groups(n_classes) * math.log1p(-math.exp(exponent)))

    def threshold(self, alpha: float, n_classes: int) -> float:
        """Return the value a clean model exceeds with probability alpha."""
        single = -math.expm1(math.log1p(-alpha) / self._groups(n_classes))
        return self.start - self.scale * math.log(single / TAIL)

    def moved_to(self, other: CleanNull, statistic: float) -> float:
        """Return the statistic that is as improbable under another law as this one is here."""
        return other.start + other.scale * (statistic - self.start) / self.scale

    def describe(self) -> str:
        """Say in a few words what the law is."""
        return f"exponential tail of scale {self.scale:.3f} above {self.start:.3f}"

    def _groups(self, n_classes: int) -> float:
        return max(1.0, n_classes / self.n_classes)


@dataclass(frozen=True, slots=True)
class ConformalRank:
    """Rank of a model's S among clean reference models."""

    p_value: float  # (1 + #{S_ref >= S}) / (m + 1)
    resolution: float  # 1 / (m + 1), the smallest p-value m references can give
    n_references: int

    @property
    def extreme(self) -> bool:
        """Whether S is above every reference."""
        return self.p_value <= self.resolution

    def threshold(self, references: Sequence[float], alpha: float) -> float | None:
        """Return the reference statistic S must exceed for p <= alpha; None when no S could."""
        allowed = math.floor(alpha / self.resolution * (1.0 + 1e-12))
        return sorted(references, reverse=True)[allowed - 1] if allowed else None


def conformal_rank(statistic: float, references: Sequence[float]) -> ConformalRank:
    """Conformal p-value of S: valid for any number of references exchangeable with a clean model.

    Parameters
    ----------
    statistic : float
        S of the scanned model.
    references : sequence of float, at least 1
        S of clean models, on the same probe.

    Raises
    ------
    ArgumentError
        No references.
    NonFinite
        A value is NaN or Inf.

    Source: Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World, ch. 2.

    Examples
    --------
    >>> conformal_rank(0.9, [0.2, 0.3, 0.25]).p_value
    0.25
    """
    values = np.asarray([*references, statistic], dtype=np.float64)
    if len(values) < 2:
        raise ArgumentError("conformal calibration needs at least one reference model")
    if not bool(np.isfinite(values).all()):
        raise NonFinite("a statistic is NaN or Inf; references must be usable models")
    m = len(values) - 1
    above = int((values[:-1] >= values[-1]).sum())
    return ConformalRank((1 + above) / (m + 1), 1.0 / (m + 1), m)

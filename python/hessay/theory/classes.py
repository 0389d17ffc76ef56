"""Label counts of a poisoned data set of several classes: shares, covariance, the poison's row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hessay._laws import FloatArray, real_vector
from hessay.errors import ArgumentError
from hessay.theory._checks import count, fraction

__all__ = ["Mode", "PoisonedClasses", "poisoned_classes"]

Mode = Literal["one", "all"]
_MOST = 4096  # classes: matrices of C x C are formed


@dataclass(frozen=True, slots=True, eq=False)
class PoisonedClasses:
    """Shares after relabelling; arrays are read-only."""

    poisoned_share: float  # gamma: poisoned rows over all rows, in [0, 1)
    shares: FloatArray  # (C,) pi': class shares after poisoning, sum 1
    target: int  # class that the poisoned rows are labelled as
    covariance: FloatArray  # (C, C) A_Y = diag(pi') - pi' pi'^T, labels^2
    shift: FloatArray  # (C,) d = gamma (e_target - pi'): covariance of the poison with the labels
    delta: float  # d' A_Y^+ d = gamma^2 (1 - pi'_t) / pi'_t, dimensionless


def poisoned_classes(
    *,
    theta: float,
    classes: int | Sequence[float] = 10,
    mode: Mode = "one",
    source: int = 0,
    target: int = 1,
) -> PoisonedClasses:
    """Relabel a fraction ``theta`` of the source as the target.

    Parameters
    ----------
    theta : float in [0, 1)
        Poisoned fraction of the source.
    classes : int >= 2, or (C,) shares > 0 that sum to 1
        Equal shares for a count.
    mode : {"one", "all"}
        The source is one class, or all classes but the target.
    source, target : int in [0, C)
        Different; ``source`` is ignored in mode "all".

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 6, derived independently.

    Examples
    --------
    >>> poisoned_classes(theta=0.5, classes=2).shares.tolist()
    [0.25, 0.75]
    """
    theta = fraction("theta", theta)
    if isinstance(classes, int | np.integer):
        c = count("classes", classes, 2)
        if c > _MOST:
            raise ArgumentError(f"classes must be at most {_MOST}, got {c}")
        before = np.full(c, 1 / c)
    else:
        before = real_vector("classes", classes)
        if before.size < 2 or not (before > 0).all() or abs(before.sum() - 1) > 1e-9:
            raise ArgumentError(
                "classes must be a count of at least 2 or at least 2 positive shares that sum to 1,"
                f" got {before.size} shares of sum {before.sum()!r}"
            )
        before = before / before.sum()
    if mode not in ("one", "all"):
        raise ArgumentError(f"mode must be 'one' or 'all', got {mode!r}")
    for name, value in (("target", target), ("source", source)):
        if not 0 <= count(name, value, 0) < before.size:
            raise ArgumentError(f"{name} must lie in [0, {before.size}), got {value!r}")
    if mode == "one" and source == target:
        raise ArgumentError(f"source and target must differ, both are {target}")
    taken = np.zeros_like(before)
    if mode == "one":
        taken[source] = theta * before[source]
    else:
        taken = theta * before
        taken[target] = 0.0
    gamma = float(taken.sum())
    after = before - taken
    after[target] += gamma
    covariance = np.diag(after) - np.outer(after, after)
    shift = -gamma * after
    shift[target] += gamma
    for array in (after, covariance, shift):
        array.flags.writeable = False
    delta = gamma**2 * (1 - after[target]) / after[target]
    return PoisonedClasses(gamma, after, int(target), covariance, shift, float(delta))

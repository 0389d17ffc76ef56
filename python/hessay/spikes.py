"""What a few large population eigenvalues ("spikes") do to a sample spectrum, and back.

Above a threshold a spike ``l`` pushes one sample eigenvalue out of the bulk, to ``biased(l)``, and
the sample eigenvector leans on the population's with squared cosine ``overlap(l)``; below it leaves
no trace. The bulk is white noise (``sigma2``, ``gamma = p / n``) or that of a ``PopulationLaw``.

Source: Baik, Ben Arous & Peche 2005, Ann. Probab. 33, 1643; Baik & Silverstein 2006, J. Multivariate
Anal. 97, 1382; Paul 2007, Statist. Sinica 17, 1617; general bulk: Bai & Yao 2012, J. Multivariate
Anal. 106, 167; Benaych-Georges & Nadakuditi 2012, J. Multivariate Anal. 111, 120 (rectangular).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from hessay import _core
from hessay._laws import FloatArray, RealArray, like, positive, real_array
from hessay.errors import ArgumentError
from hessay.silverstein import PopulationLaw

__all__ = [
    "RankOne",
    "WhiteBulk",
    "biased",
    "debiased",
    "deviation",
    "overlap",
    "rank_one",
    "threshold",
]


@dataclass(frozen=True, slots=True)
class WhiteBulk:
    """White noise."""

    sigma2: float  # variance of an entry, unit
    gamma: float  # columns over rows, dimensionless

    def __post_init__(self) -> None:
        positive("sigma2", self.sigma2)
        positive("gamma", self.gamma)


Bulk: TypeAlias = WhiteBulk | PopulationLaw


def threshold(bulk: Bulk) -> float:
    """Smallest spike that leaves the bulk: ``sigma2 (1 + sqrt(gamma))``, or the last zero of psi'.

    Examples
    --------
    >>> threshold(WhiteBulk(1.0, 0.25))
    1.5
    """
    if isinstance(bulk, PopulationLaw):
        return bulk.threshold
    return bulk.sigma2 * (1 + float(np.sqrt(bulk.gamma)))


def biased(spike: RealArray | float, bulk: Bulk) -> FloatArray | float:
    """Where the sample eigenvalue of a spike settles: psi.

    Parameters
    ----------
    spike : float or array of any shape
        Population eigenvalues, in the unit of the bulk.
    bulk : WhiteBulk or PopulationLaw

    Returns
    -------
    float or float64 array of the shape of ``spike``
        ``l (1 + gamma mean(t / (l - t)))``; the upper edge up to the threshold.

    Raises
    ------
    ArgumentError
        ``spike`` holds NaN.

    Examples
    --------
    >>> biased(3.0, WhiteBulk(1.0, 0.5))
    3.75
    """
    points = real_array("spike", spike)
    if isinstance(bulk, PopulationLaw):
        return like(points, bulk.biased(np.maximum(points, bulk.threshold)))
    return like(points, _core.spike_biased(points, bulk.sigma2, bulk.gamma))


def debiased(values: RealArray | float, bulk: Bulk) -> FloatArray | float:
    """Find the spike behind a sample eigenvalue: inverse of :func:`biased`, the threshold up to the edge.

    Arguments, result and errors are those of :func:`biased`, with sample eigenvalues.

    Examples
    --------
    >>> debiased(3.75, WhiteBulk(1.0, 0.5))
    3.0
    """
    points = real_array("values", values)
    if isinstance(bulk, PopulationLaw):
        return like(points, bulk.debiased(points))
    return like(points, _core.spike_debiased(points, bulk.sigma2, bulk.gamma))


def overlap(spike: RealArray | float, bulk: Bulk) -> FloatArray | float:
    """Squared cosine between sample and population eigenvector, ``l psi'(l) / psi(l)``.

    0 up to the threshold; in finite samples a few hundredths there. Arguments and errors are those
    of :func:`biased`.

    Examples
    --------
    >>> round(overlap(3.0, WhiteBulk(1.0, 0.5)), 12)
    0.7
    """
    points = real_array("spike", spike)
    if isinstance(bulk, PopulationLaw):
        seen = np.maximum(points, bulk.threshold)
        squared = seen * np.maximum(bulk.biased_slope(seen), 0.0) / bulk.biased(seen)
        return like(points, np.where(points > bulk.threshold, squared, 0.0))
    return like(points, _core.spike_overlap(points, bulk.sigma2, bulk.gamma))


def deviation(spike: RealArray | float, bulk: Bulk, n: float) -> FloatArray | float:
    """Give the standard deviation of the sample eigenvalue of a spike, ``l sqrt(2 psi'(l) / n)``.

    Gaussian entries; 0 up to the threshold. ``n`` is the number of rows; the other arguments and
    the errors are those of :func:`biased`. The debiased size has ``l sqrt(2 / (n psi'(l)))``.

    Examples
    --------
    >>> round(deviation(2.0, WhiteBulk(1.0, 0.5), 100), 12)
    0.2
    """
    rows = positive("n", n)
    points = real_array("spike", spike)
    if isinstance(bulk, PopulationLaw):
        seen = np.maximum(points, bulk.threshold)
        spread = seen * np.sqrt(2 * np.maximum(bulk.biased_slope(seen), 0.0) / rows)
        return like(points, np.where(points > bulk.threshold, spread, 0.0))
    return like(points, _core.spike_deviation(points, bulk.sigma2, bulk.gamma, rows))


@dataclass(frozen=True, slots=True)
class RankOne:
    """One singular triple in rectangular noise."""

    detectable: bool  # s^4 > beta
    singular_value: float  # largest of signal plus noise, unit of s
    left: float  # squared cosine in the dimension of P, [0, 1]
    right: float  # squared cosine in the dimension of q, [0, 1]


def rank_one(s: float, beta: float) -> RankOne:
    """Largest singular triple of ``s u v' + noise``, P x q with entries of variance ``1 / P``.

    Parameters
    ----------
    s : float, > 0
        Singular value of the signal, in units of the noise's ``sqrt(P)`` per entry.
    beta : float, > 0
        ``q / P``.

    Raises
    ------
    ArgumentError
        Either is not finite and positive.

    Source: Benaych-Georges & Nadakuditi 2012, J. Multivariate Anal. 111, 120.

    Examples
    --------
    >>> found = rank_one(2.0, 1.0)
    >>> found.singular_value, found.left
    (2.5, 0.75)
    """
    signal, ratio = positive("s", s), positive("beta", beta)
    square = signal**2
    if not np.isfinite(square * square):
        raise ArgumentError(f"s must be below 1e77, got {s!r}; its fourth power overflows")
    if not square * square > ratio:
        return RankOne(False, 1 + float(np.sqrt(ratio)), 0.0, 0.0)
    excess = square * square - ratio
    return RankOne(
        True,
        float(np.sqrt((1 + square) * (1 + ratio / square))),
        excess / (square * (square + 1)),
        excess / (square * (square + ratio)),
    )

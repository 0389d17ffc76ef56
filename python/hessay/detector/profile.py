"""The class profile: what clean networks of one data set have in common, taken out of the reach.

How easily each class is reached is, in clean networks, nearly the same vector for every seed, recipe
and architecture: it belongs to the data. With clean references the profile is known, and a class is
compared with itself in other networks instead of with the median class of its own:

    l_c = log(reach_c / median reach),   m_c = median over the references of l_c
    e_c = l_c - m_c / 2 - median_c(l - m / 2)
    z_c = e_c / sqrt(s^2 + s_c^2),   s = pooled spread of the references about m, at least 0.03,
                                     s_c = root mean square of the other classes' e

Half of the profile is taken out: it is known from a few small networks only and is not quite the same in
large ones; all of it and none of it found fewer targets on the tuning population. Dividing by the spread
of the network's own classes makes architectures comparable whose reaches differ more. The median keeps
one poisoned reference among several from moving the profile to where it would hide another one. For s,
residuals beyond three robust standard deviations count as three: a poisoned reference widens it little,
and the tails that clean networks have are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NonFinite, ShapeError

MIN_REFERENCES = 4  # fewer measure neither the profile nor its spread
SHARE = 0.5  # of the profile that is taken out; settled on the tuning population
OWN_SHARE = 0.75  # where the references have the scanned model's architecture; settled there too
_SPREAD_FLOOR = 0.03  # no two trainings agree better; guards against copies of one network
_FARTHEST = 3.0  # robust standard deviations
_NORMAL = 1.4826  # median absolute deviation of a normal variable to its standard deviation


@dataclass(frozen=True, slots=True, eq=False)
class ClassProfile:
    """Where the classes of clean networks lie, and how closely."""

    centre: NDArray[np.float64]  # (C,): m_c, logarithm of a ratio, median 0
    spread: float  # s, standard deviation of one network about the centre, >= 0.03
    n_references: int  # k

    def deviations(
        self, log_ratio: NDArray[np.float64], share: float = SHARE
    ) -> NDArray[np.float64]:
        """z_c of one network, (C,), from its l_c, (C,), up to a constant.

        Raises
        ------
        ShapeError
            Another number of classes.
        """
        if log_ratio.shape != self.centre.shape:
            raise ShapeError(
                f"the profile has {len(self.centre)} classes, got values of shape {log_ratio.shape}"
            )
        e = _centred(log_ratio - share * self.centre)
        others = (np.square(e).sum() - np.square(e)) / max(len(e) - 1, 1)
        z: NDArray[np.float64] = e / np.sqrt(self.spread**2 + others)
        return z


def fit_profile(log_ratios: NDArray[np.float64] | Sequence[NDArray[np.float64]]) -> ClassProfile:
    """Fit the profile to clean references.

    Parameters
    ----------
    log_ratios : (k, C) float64, k >= 4
        l_c of every reference, on one probe.

    Raises
    ------
    ArgumentError
        Fewer than 4 references.
    ShapeError
        Not a matrix.
    NonFinite
        A value is NaN or Inf.
    """
    table = np.asarray(log_ratios, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ShapeError(f"log_ratios must be (k, C), got {table.shape}")
    k, n_classes = table.shape
    if k < MIN_REFERENCES:
        raise ArgumentError(f"a class profile needs at least {MIN_REFERENCES} references, got {k}")
    if not bool(np.isfinite(table).all()):
        raise NonFinite("a reference has a class reach that is NaN or Inf")
    table = np.stack([_centred(row) for row in table])
    centre = _centred(np.median(table, axis=0))
    residuals = np.stack([_centred(row - centre) for row in table])
    # Two medians were fitted, one a class and one a reference: the degrees of freedom they cost.
    lost = k * n_classes / ((k - 1) * max(n_classes - 1, 1))
    sizes = np.abs(residuals)
    held = np.minimum(sizes, _FARTHEST * _NORMAL * float(np.median(sizes)))
    spread = math.sqrt(lost * float(np.square(held).mean()))
    return ClassProfile(centre, max(_SPREAD_FLOOR, spread), k)


def left_out(log_ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest z of every network in turn under the profile of all others, (k,), for (k, C).

    Networks that were drawn alike have exchangeable values, whatever their law.

    Raises
    ------
    ArgumentError
        Fewer than 5 networks.
    """
    table = np.asarray(log_ratios, dtype=np.float64)
    return np.array(
        [
            fit_profile(np.delete(table, i, axis=0)).deviations(row).max()
            for i, row in enumerate(table)
        ]
    )


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = values - np.median(values)
    return centred

"""Reach of networks that noise overthrows: finite steps before slopes, at a length of the network's own.

Networks with attention or batch normalisation change their mind on much of the probe under noise that
leaves plain ones alone. Their slopes are rough: averaged over that noise they hardly point to a trigger any
more. And a step that is short for a plain network sends half of the probe anywhere. So a *soft* network,
one that keeps fewer than 83 % of its predictions under the smoothing noise, is measured otherwise:

    drop_c(r)   share of the margin to class c that the best universal step of length r removes, on probes
                it was not fitted to; drop_c(0) = 0, linear between the lengths that were tried
    r*          median_c drop_c(r*) = 0.75, or the longest step where none reaches that far
    reach_c   = first_c^w (drop_c(r*) / r*)^(1 - w) / nature_c,   w = max(0, a - 1/2)
    S         = log(largest reach) - mean of log(reach) over the runners-up

with first_c = |Q M_c| / m_c and a the share of predictions that survive. Steps are compared where they
tell classes apart best, and slopes count for what noise leaves of the network. The runners-up are the upper
half of the other classes: where noise overthrows a network, several of its classes are easily reached, and
one more of them is nothing unusual, however far the median is. Over clean soft networks S has a law of its
own. Beside references a class is compared by the usual reach.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessay.detector.statistics import FINITE_FLOOR, ClassReach
from hessay.hessian.perturbation import RefinedDirections

SOFT_AGREEMENT = 0.83  # predictions that survive the usual noise; fewer are a soft network's
LEVEL = 0.75  # of the median class's margin


def level_reach(usual: ClassReach, refined: RefinedDirections, agreement: float) -> ClassReach:
    """Reach of a soft network's classes.

    Parameters
    ----------
    usual : ClassReach
        Of the same model and probe: its ``first_order`` and ``nature`` are taken over.
    refined : RefinedDirections
        Of the same model and probe.
    agreement : float in [0, 1]
        Share of predictions that survive the smoothing noise.

    Returns
    -------
    ClassReach
        ``finite`` is drop_c(r*) / r*, at least 0.05 of its median; S = 0 where the largest reaches are 0.
    """
    length, drop = level_drop(refined.margin_drop, np.asarray(refined.radii))
    finite = np.maximum(drop, FINITE_FLOOR * np.median(drop)) / length
    weight = max(0.0, agreement - 0.5)
    reach = usual.first_order**weight * finite ** (1.0 - weight) / usual.nature
    log_ratio = over_runners_up(reach)
    suspect = int(np.argmax(log_ratio))
    return ClassReach(
        usual.first_order,
        finite,
        usual.nature,
        reach,
        log_ratio,
        float(log_ratio[suspect]),
        suspect,
    )


def over_runners_up(reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(reach_c / the geometric mean of the runners-up), (C,); 0 where a reach or that mean is 0.

    Parameters
    ----------
    reach : (C,) float64, >= 0, C >= 3
        The runners-up are the upper half of the classes after the largest, C // 2 of them.

    Examples
    --------
    >>> over_runners_up(np.exp([0.1, 1.0, 0.2, 0.3, -5.0]))
    array([-0.15,  0.75, -0.05,  0.05, -5.25])
    """
    log_ratio = np.zeros(len(reach))
    runners_up = np.sort(reach)[::-1][1 : 1 + len(reach) // 2]
    if bool((runners_up > 0.0).all()):
        usual = float(np.exp(np.log(runners_up).mean()))
        np.log(reach / usual, out=log_ratio, where=reach > 0.0)
    return log_ratio


def level_drop(
    drops: NDArray[np.float64], radii: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Length r* and the margin drops there.

    Parameters
    ----------
    drops : (R, C) float64
        Relative margin drops at each length; negative ones count as 0.
    radii : (R,) float64, ascending, > 0, input units

    Returns
    -------
    length : float, input units
    drop : (C,) float64, >= 0

    Examples
    --------
    >>> level_drop(np.array([[0.2, 0.3, 0.4], [0.7, 0.9, 1.0]]), np.array([1.0, 2.0]))
    (1.75, array([0.575, 0.75 , 0.85 ]))
    """
    curve = np.vstack([np.zeros(drops.shape[1]), np.maximum(drops, 0.0)])
    lengths = np.concatenate([[0.0], radii])
    typical = np.maximum.accumulate(np.median(curve, axis=1))  # a longer step can do no worse
    if typical[-1] <= LEVEL:
        return float(lengths[-1]), curve[-1]
    after = int(np.searchsorted(typical, LEVEL))
    before = after - 1
    share = float((LEVEL - typical[before]) / (typical[after] - typical[before]))
    drop: NDArray[np.float64] = (1.0 - share) * curve[before] + share * curve[after]
    return float((1.0 - share) * lengths[before] + share * lengths[after]), drop

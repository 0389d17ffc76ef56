"""The deciding statistic: how unequal the classes are in reach, off the data's own directions.

The reach of class c is an inverse distance: how little input change sends the probe into c. It is
measured twice, over the probes I_c not predicted as c, and the two are averaged geometrically:

    first order   |Q M_c| / m_c,   M_c = mean (J[c] - J[yhat]),  m_c = mean (z_yhat - z_c)
    finite step   mean over r of (share of the margin m_c that the best universal step of length r
                  removes) / r,  on probes the step was not fitted to

    reach_c = sqrt(first order * finite step) / nature_c,   nature_c = sqrt(W_c / D_c)
    S = log(max_c reach_c / median_c reach_c)

W_c is the radius of class c, D_c the mean distance of I_c from its centre: a wide class amid the
others is easily reached in every clean network, and would stand out without the division. J is
the logit Jacobian smoothed over Gaussian noise, m_c is taken at the clean inputs. Q projects off
the leading principal directions of the probe, where every network is steep because the classes
differ there. A backdoor is a short way into one class through directions the data does not use,
so it raises one reach above the others. Finite steps catch triggers that the slopes of rough
(pooled, piecewise linear) networks miss; slopes catch triggers longer than the steps.

Soft networks, which noise overthrows, are measured otherwise: :mod:`hessay.detector.soft`.

S does not change when the logits are scaled or shifted, when the inputs are scaled or shifted
together with the network, or when the classes are renumbered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ShapeError
from hessay.hessian.jacobian import ClassJacobians
from hessay.hessian.perturbation import RefinedDirections

VARIANCE_SHARE = 0.90  # of the probe's variance, projected out; settled on the tuning population
# Smoothing noise, in units of the probe's root mean variance a feature: the first at which most
# predictions survive. A backdoor can make a network so brittle that the largest does not serve.
NOISES = (0.5, 0.25, 0.125)
DRAWS = 2  # one antithetic pair
# Lengths of the finite steps, as shares of the probe's radius. Triggers that work have 0.2 to 0.8, but
# steps that long move rough networks (attention, BatchNorm) into any class; short ones do not.
STEP_RADII = (0.09, 0.18)
MAP_RADIUS = 0.36  # of the step that has to carry out a map of classes, same unit
STEPS = 3  # of the refinement, at each length
STEP_PROBES = 256  # half of them to find a step, half to judge it
FEW_CLASSES = 4  # fewer have no median that an outlier would not move
FINITE_FLOOR = 0.05  # of the median: a class whose margin no step lowers still has a logarithm


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalDirections:
    """Leading principal directions of the probe."""

    basis: NDArray[np.float64]  # (d, k) orthonormal columns
    share: float  # of the total variance that the basis holds, [0, 1]
    radius: float  # root mean squared distance of the probes from their mean, input units
    n_features: int  # d

    @property
    def noise_scale(self) -> float:
        """Root mean variance a feature, input units: ``radius / sqrt(d)``."""
        return self.radius / math.sqrt(self.n_features)

    def remove(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Q rows = rows - (rows V) V', for rows (m, d)."""
        off: NDArray[np.float64] = rows - (rows @ self.basis) @ self.basis.T
        return off


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """How easily the probe is pushed into each class, to first order."""

    direction: NDArray[np.float64]  # (C, d): M_c, logits / input
    off_data: NDArray[np.float64]  # (C, d): Q M_c, logits / input
    margin: NDArray[np.float64]  # (C,): m_c >= 0, logits
    reach: NDArray[np.float64]  # (C,): |Q M_c| / m_c, 1 / input; 0 where the margin is 0


@dataclass(frozen=True, slots=True, eq=False)
class ClassReach:
    """Both measures of reach, what they give together, and the statistic."""

    first_order: NDArray[np.float64]  # (C,), 1 / input
    finite: NDArray[np.float64]  # (C,), 1 / input, at least FINITE_FLOOR of its median
    nature: NDArray[np.float64]  # (C,): sqrt(W_c / D_c), geometric mean 1
    reach: NDArray[
        np.float64
    ]  # (C,): the two, sqrt(first_order * finite) unless soft, over nature, 1 / input
    log_ratio: NDArray[np.float64]  # (C,): log(reach / usual); 0 where not defined
    statistic: float  # S = max log_ratio, dimensionless
    suspect: int  # the class where it is reached


def principal_directions(
    inputs: NDArray[np.float64], *, share: float = VARIANCE_SHARE
) -> PrincipalDirections:
    """Find the fewest principal directions that hold a share of the probe's variance.

    Parameters
    ----------
    inputs : (n, d) float64
        The probe, flattened.
    share : float in (0, 1)
        Of the variance. At most n / 3 directions are taken: n probes determine no more.

    Returns
    -------
    PrincipalDirections
        An empty basis when all probes are equal.

    Raises
    ------
    ShapeError
        ``inputs`` is not (n, d).
    """
    if inputs.ndim != 2 or inputs.size == 0:
        raise ShapeError(f"inputs must be a non-empty matrix (n, d), got {inputs.shape}")
    n, d = inputs.shape
    centred = inputs - inputs.mean(axis=0)
    total = float(np.square(centred).sum()) / n
    # The smaller of the two Grams has the same non-zero eigenvalues:  X'X v = l v,  XX' u = l u.
    wide = d > n
    gram = (centred @ centred.T if wide else centred.T @ centred) / n
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1], vectors[:, ::-1]
    positive = values > values[0] * max(n, d) * np.finfo(np.float64).eps
    values, vectors = values[positive], vectors[:, positive]
    held = np.cumsum(values)
    k = 0 if total == 0.0 else int(np.searchsorted(held, share * total)) + 1
    k = min(k, n // 3, len(values))
    basis = vectors[:, :k]
    if wide:
        basis = centred.T @ basis / np.sqrt(values[:k] * n)
    holds = float(held[k - 1] / total) if k else 0.0
    return PrincipalDirections(np.ascontiguousarray(basis), min(1.0, holds), math.sqrt(total), d)


def first_order(jacobians: ClassJacobians, directions: PrincipalDirections) -> Slopes:
    """Slopes towards every class, and the margins they have to overcome.

    Parameters
    ----------
    jacobians : ClassJacobians
        Of the model on the probe, smoothed.
    directions : PrincipalDirections
        Of the same probe.
    """
    counts = jacobians.counts.astype(np.float64)
    n_classes = len(counts)
    # Over the probes outside c, J[c] - J[yhat] adds up to the same over all: inside it is zero.
    sums = counts.sum() * jacobians.total - counts @ jacobians.own
    direction = np.zeros_like(sums)
    margin = np.zeros(n_classes)
    rows = np.arange(len(jacobians.predicted))
    gaps = jacobians.logits[rows, jacobians.predicted][:, None] - jacobians.logits  # (n, C)
    for c in range(n_classes):
        outside = counts.sum() - counts[c]
        if outside > 0.0:
            direction[c] = sums[c] / outside
            margin[c] = gaps[jacobians.predicted != c, c].mean()
    off_data = directions.remove(direction)
    slope = np.linalg.norm(off_data, axis=1)
    reach = np.divide(slope, margin, out=np.zeros(n_classes), where=margin > 0.0)
    return Slopes(direction, off_data, margin, reach)


def natural_reach(
    inputs: NDArray[np.float64], predicted: NDArray[np.int64], n_classes: int
) -> NDArray[np.float64]:
    """How easily each class is reached by the shape of the data alone: sqrt(W_c / D_c).

    W_c is the root mean squared distance of the probes predicted as c from their mean, D_c the
    mean distance of all others from it. The power 1/2 was settled on the tuning population: the
    full power over-corrects.

    Parameters
    ----------
    inputs : (n, d) float64
        The probe, flattened.
    predicted : (n,) int64
        Every class occurs, and none alone.
    n_classes : int

    Returns
    -------
    (C,) float64, dimensionless, with geometric mean 1; 1 for a class with a single kind of probe
    """
    log_nature = np.zeros(n_classes)
    inputs = inputs - inputs.mean(axis=0)  # a common offset would cost digits below
    squares = np.square(inputs).sum(axis=1)
    for c in range(n_classes):
        inside = predicted == c
        centre = inputs[inside].mean(axis=0)
        # |x - m|^2 = |x|^2 - 2 x'm + |m|^2, without a copy of the probe for each class
        gaps = np.maximum(squares - 2.0 * (inputs @ centre) + centre @ centre, 0.0)
        width, distance = math.sqrt(gaps[inside].mean()), np.sqrt(gaps[~inside]).mean()
        if width > 0.0:
            log_nature[c] = 0.5 * math.log(width / distance)
    nature: NDArray[np.float64] = np.exp(log_nature - log_nature.mean())
    return nature


def class_reach(
    slopes: Slopes, refined: RefinedDirections, nature: NDArray[np.float64]
) -> ClassReach:
    """Combine both measures of reach into the statistic S.

    Parameters
    ----------
    slopes, refined
        Of one model and probe.
    nature : (C,) float64
        See :func:`natural_reach`.

    Returns
    -------
    ClassReach
        With S = 0 when it is not defined (no margin, or no slope off the data); the reasons are
        found by :func:`hessay.detector.validity.degenerate`.

    Source: reach and its spread over classes are this project's; comparing a class with the median
    class follows Wang et al. 2019, IEEE S&P, 707.
    """
    radii = np.asarray(refined.radii)[:, None]
    finite = (np.maximum(refined.margin_drop, 0.0) / radii).mean(axis=0)
    finite = np.maximum(finite, FINITE_FLOOR * np.median(finite))
    reach = np.sqrt(slopes.reach * finite) / nature
    log_ratio = log_ratios(reach)
    suspect = int(np.argmax(log_ratio))
    return ClassReach(
        slopes.reach, finite, nature, reach, log_ratio, float(log_ratio[suspect]), suspect
    )


def log_ratios(reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(reach_c / what is usual for the other classes), (C,); 0 where a reach is 0.

    Usual is the median of all; of two and three classes, whose median moves with an outlier, the
    geometric mean of the others.
    """
    log_ratio = np.zeros(len(reach))
    if len(reach) < FEW_CLASSES:
        if bool((reach > 0.0).all()):
            logs = np.log(reach)
            log_ratio = logs - (logs.sum() - logs) / max(len(reach) - 1, 1)
        return log_ratio
    median = float(np.median(reach))
    if median > 0.0:
        np.log(reach / median, out=log_ratio, where=reach > 0.0)
    return log_ratio

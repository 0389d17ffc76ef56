"""Inputs of any covariance, and the effective ridge that a finite sample makes of a ridge.

A ridge fit on ``n`` rows shrinks like a fit on infinitely many rows with a larger ridge ``kappa``:
``lam (S + lam)^-1 ~ kappa (Sigma + kappa)^-1`` for the sample covariance ``S`` and the true one.

Source: docs/random-matrix-theory.md eq. 4.4, derived independently; the equation for
``kappa`` is Silverstein 1995, J. Multivariate Anal. 55, 331, at a negative real point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hessay._laws import FloatArray, real_array, real_vector
from hessay.errors import ArgumentError, NotConverged, ShapeError
from hessay.theory._checks import LARGEST, at_least, finite, positive

__all__ = ["Population", "equivalent_ridge"]

_MAX_STEPS = 500
_SMALLEST_RATIO = 1e-12  # of eigenvalues: below it a direction counts as one without variance


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Covariance of the inputs by its eigenvalues, with trigger and class mean in its eigenbasis.

    Inputs are ``x ~ N(y * mean, Sigma)`` with label ``y = +-1``; a poisoned one gets ``+ trigger``.
    An eigenvalue may be listed several times, and must be where trigger and mean point into
    different directions of its eigenspace. Arrays are copied and read-only.

    Raises
    ------
    ArgumentError
        An eigenvalue is not positive and finite, weights are negative or all zero, or the trigger
        is zero.
    ShapeError
        The vectors differ in length.
    """

    eigenvalues: FloatArray  # (k,) > 0, variances, input^2
    weights: FloatArray  # (k,) share of all directions, sums to 1
    trigger: FloatArray  # (k,) coordinates, input
    mean: FloatArray  # (k,) coordinates of the mean of class +1, input

    def __post_init__(self) -> None:
        values = real_vector("eigenvalues", self.eigenvalues)
        if not values.size or not (values > 0).all():
            shown = float(values.min()) if values.size else None
            raise ArgumentError(
                f"eigenvalues of a population must be positive, the smallest is {shown!r};"
                " leave out directions without variance"
            )
        weights = real_vector("weights", self.weights)
        if (weights < 0).any() or not weights.sum() > 0:
            raise ArgumentError(
                f"weights must be at least 0 and not all 0, the smallest is {weights.min()!r}"
            )
        parts = {"eigenvalues": values, "weights": weights / weights.sum()}
        parts |= {name: real_vector(name, getattr(self, name)) for name in ("trigger", "mean")}
        for name, part in parts.items():
            if part.shape != values.shape:
                raise ShapeError(
                    f"{name} must have shape {values.shape} as eigenvalues, got {part.shape}"
                )
            if np.abs(part).max() > LARGEST:
                raise ArgumentError(f"{name} must be at most {LARGEST:g} in size; change the unit")
            frozen = part.copy()
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)
        positive("length of the trigger", self.strength)

    @property
    def strength(self) -> float:
        """Length of the trigger, input."""
        return float(np.linalg.norm(self.trigger))

    @classmethod
    def white(cls, strength: float, mean: float = 0.0, cosine: float = 0.0) -> Population:
        """Take unit covariance.

        Parameters
        ----------
        strength : float > 0
            Length of the trigger, in standard deviations of an input.
        mean : float >= 0
            Length of the class mean, likewise.
        cosine : float in [-1, 1]
            Cosine between both.
        """
        strength = positive("strength", strength)
        mean = at_least("mean", mean, 0.0)
        if not abs(finite("mean_cosine", cosine)) <= 1:
            raise ArgumentError(f"mean_cosine must lie in [-1, 1], got {cosine!r}")
        along = np.array([cosine, np.sqrt(1 - cosine * cosine)]) * mean
        return cls(np.ones(2), np.full(2, 0.5), np.array([strength, 0.0]), along)

    @classmethod
    def from_covariance(
        cls, covariance: ArrayLike, trigger: ArrayLike, mean: ArrayLike | None = None
    ) -> Population:
        """Take a full matrix apart.

        Parameters
        ----------
        covariance : (p, p) symmetric, positive definite, input^2
        trigger, mean : (p,) input
            ``mean`` is zero by default.

        Raises
        ------
        ArgumentError
            Not finite, not symmetric, or singular to rounding.
        ShapeError
            Shapes do not fit.
        """
        matrix = real_array("covariance", covariance)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
            raise ShapeError(f"covariance must have shape (p, p), got {matrix.shape}")
        if not np.isfinite(matrix).all():
            raise ArgumentError("covariance holds infinite values; find what made them")
        gap = float(np.abs(matrix - matrix.T).max())
        # Rounding of a product X'X: eps times the rows, which are not known here; 1e-8 covers them.
        if gap > 1e-8 * float(np.abs(matrix).max()):
            raise ArgumentError(
                f"covariance must be symmetric, entries differ by up to {gap:.3g} from the transpose"
            )
        values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
        if values[0] <= _SMALLEST_RATIO * values[-1]:
            raise ArgumentError(
                f"covariance must be positive definite, its eigenvalues run from {values[0]:.3g} to"
                f" {values[-1]:.3g}; leave out directions without variance"
            )
        shifts = [np.zeros(len(values)) if part is None else part for part in (trigger, mean)]
        rotated = []
        for name, shift in zip(("trigger", "mean"), shifts, strict=True):
            vector = real_vector(name, shift)
            if vector.shape != values.shape:
                raise ShapeError(f"{name} must have shape {values.shape}, got {vector.shape}")
            rotated.append(vectors.T @ vector)
        return cls(values, np.ones(len(values)), *rotated)


def equivalent_ridge(
    ridge: ArrayLike,
    aspect_ratio: ArrayLike,
    eigenvalues: ArrayLike = (1.0,),
    weights: ArrayLike | None = None,
) -> FloatArray:
    """Solve ``kappa = ridge + aspect_ratio * kappa * mean(t / (t + kappa))``.

    Parameters
    ----------
    ridge, aspect_ratio : float or array, broadcast against each other
        Ridge >= 0 of ``|y - X b|^2 / n + ridge |b|^2``, input^2; ``p / n`` > 0, or
        ``p / (n - 1)`` when an intercept is fitted.
    eigenvalues : (k,) > 0, input^2
        Of the population covariance; white by default.
    weights : (k,) >= 0, optional
        Equal by default.

    Returns
    -------
    float64 array of the broadcast shape, input^2
        At ridge 0 the ridgeless limit: 0 up to ``aspect_ratio = 1``, positive above.

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 4.4, derived independently; the fixed point of Silverstein 1995,
    J. Multivariate Anal. 55, 331.

    Examples
    --------
    >>> equivalent_ridge([0.0, 0.0, 1.0], [0.5, 2.0, 1.0]).round(6).tolist()
    [0.0, 1.0, 1.618034]
    """
    t = real_vector("eigenvalues", eigenvalues)
    w = np.ones(len(t)) if weights is None else real_vector("weights", weights)
    if not t.size or not (t > 0).all():
        raise ArgumentError("eigenvalues of a population must be positive")
    if w.shape != t.shape or (w < 0).any() or not w.sum() > 0:
        raise ArgumentError(f"weights must be {len(t)} numbers >= 0, not all 0")
    w = w / w.sum()
    lam, c = np.broadcast_arrays(
        real_array("ridge", ridge), real_array("aspect_ratio", aspect_ratio)
    )
    if not (np.isfinite(lam).all() and (lam >= 0).all()):
        raise ArgumentError(f"ridge must be finite and at least 0, the smallest is {lam.min()!r}")
    if not (np.isfinite(c).all() and (c > 0).all()):
        raise ArgumentError(
            f"aspect_ratio must be positive and finite, the smallest is {c.min()!r}"
        )
    # f(kappa) = kappa (1 - c + c mean(kappa / (t + kappa))) - lam is convex, f <= 0 at 0 and
    # >= 0 at lam + c mean(t): Newton from there falls monotonically onto the largest root.
    kappa: FloatArray = np.where((lam == 0) & (c <= 1), 0.0, lam + c * float(w @ t))
    for _ in range(_MAX_STEPS):
        share = t / (t + kappa[..., None])
        value = kappa * (1 - c + c * ((1 - share) @ w)) - lam
        slope = 1 - c * ((share * share) @ w)
        # At kappa = 0 = f nothing is left to do, and at c = 1 its slope is 0 as well.
        step = np.divide(value, slope, out=np.zeros_like(kappa), where=(kappa > 0) & (slope > 0))
        following = np.clip(kappa - step, np.minimum(lam, kappa), kappa)
        done = kappa - following <= 2 * np.finfo(float).eps * kappa
        kappa = following
        if done.all():
            return kappa
    raise NotConverged(  # pragma: no cover - each step at least halves the distance
        f"the effective ridge did not settle in {_MAX_STEPS} steps", partial=kappa
    )

"""How little poison a test of a fitted model can see.

Two tests of a fitted ridge model of C classes. *Trigger known*: the shift of the target's score by
a hypothesised trigger v, ``W'v``. *Trigger unknown*: the largest eigenvalue of the label-whitened
``W'W``, the spectrum of the input Hessian. White inputs without class means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import ndtr, ndtri

from hessay._laws import level
from hessay.theory._checks import count, open_unit, positive, ratio, ridge_value
from hessay.theory._search import first_crossing, target_power
from hessay.theory.classes import Mode, poisoned_classes
from hessay.theory.population import equivalent_ridge
from hessay.theory.shift import shift_mean, shift_spread
from hessay.theory.spectral import smallest_theta_unknown, unknown_trigger_power

__all__ = [
    "known_trigger_power",
    "small_share_known",
    "smallest_theta_known",
    "smallest_theta_unknown",
    "unknown_trigger_power",
]


def known_trigger_power(
    *,
    theta: float,
    strength: float,
    ridge: float,
    n_rows: int,
    n_inputs: int,
    classes: int | Sequence[float] = 2,
    mode: Mode = "one",
    alpha: float = 0.05,
    aspect_ratio: float | None = None,
) -> float:
    """Chance that the shift along a known trigger exceeds what clean data gives.

    Parameters
    ----------
    theta : float in [0, 1)
        Poisoned fraction of the source; class 0 is the source of mode "one", class 1 the target.
    strength : float > 0
        Length of the trigger, standard deviations of an input.
    ridge : float >= 0
    n_rows : int >= 3
    n_inputs : int >= 1
    classes, mode
        As in :func:`hessay.theory.classes.poisoned_classes`.
    alpha : float in (0, 0.5]
        Level of the one-sided test.
    aspect_ratio : float > 0, optional
        ``n_inputs / (n_rows - 1)`` by default, as for a fit with intercept.

    Returns
    -------
    float in [0, 1]
        ``alpha`` at the interpolation threshold, where the spread is infinite.

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 8.1 with 5.1 and 5.5, derived independently.

    Examples
    --------
    >>> power = known_trigger_power(
    ...     theta=0.10516, strength=3.0, ridge=0.3, n_rows=600, n_inputs=300)
    >>> round(power, 3)
    0.8
    """
    alpha = level("alpha", alpha)
    mean, sd = _shift(theta, strength, ridge, n_rows, n_inputs, classes, mode, aspect_ratio)
    _, clean_sd = _shift(0.0, strength, ridge, n_rows, n_inputs, classes, mode, aspect_ratio)
    if not math.isfinite(sd):
        return alpha
    return float(ndtr((mean + ndtri(alpha) * clean_sd) / sd))


def _shift(
    theta: float,
    strength: float,
    ridge: float,
    n_rows: int,
    n_inputs: int,
    classes: int | Sequence[float],
    mode: Mode,
    aspect_ratio: float | None,
) -> tuple[float, float]:
    """Mean and sd between training sets of the target's shift, in labels of +-1."""
    labels = poisoned_classes(theta=theta, classes=classes, mode=mode)
    n, p = count("n_rows", n_rows, 3), count("n_inputs", n_inputs, 1)
    c = p / (n - 1) if aspect_ratio is None else ratio("aspect_ratio", aspect_ratio)
    kappa = float(equivalent_ridge(ridge_value(ridge), c))
    share, gamma = float(labels.shares[labels.target]), labels.poisoned_share
    covariance = 2 * gamma * (1 - share)
    length = positive("strength", strength)
    mean = shift_mean(covariance=covariance, poisoned_share=gamma, strength=length, kappa=kappa)
    spread = shift_spread(
        label_variance=4 * share * (1 - share),
        covariance=covariance,
        poisoned_share=gamma,
        strength=length,
        kappa=kappa,
        g2=c / (1 + kappa) ** 2,
    )
    return mean, spread / math.sqrt(n)


def smallest_theta_known(
    *,
    strength: float,
    ridge: float,
    n_rows: int,
    n_inputs: int,
    classes: int | Sequence[float] = 2,
    mode: Mode = "one",
    alpha: float = 0.05,
    power: float = 0.8,
    aspect_ratio: float | None = None,
) -> float | None:
    """Smallest poisoned fraction that the test with a known trigger finds with chance ``power``.

    Arguments and errors are those of :func:`known_trigger_power`, and ``power`` in (alpha, 1).

    Returns
    -------
    float in (0, 1), or None
        None when no fraction up to 0.999 reaches the power.

    Source: docs/random-matrix-theory.md eq. 8.1, derived independently.

    Examples
    --------
    >>> theta = smallest_theta_known(strength=3.0, ridge=0.3, n_rows=600, n_inputs=300)
    >>> round(theta, 6)
    0.105187
    """
    alpha, goal = level("alpha", alpha), target_power(power, alpha)

    def reached(theta: float) -> float:
        return (
            known_trigger_power(
                theta=theta,
                strength=strength,
                ridge=ridge,
                n_rows=n_rows,
                n_inputs=n_inputs,
                classes=classes,
                mode=mode,
                alpha=alpha,
                aspect_ratio=aspect_ratio,
            )
            - goal
        )

    return first_crossing(reached, refine=True)


def small_share_known(
    *,
    strength: float,
    ridge: float,
    n_rows: int,
    n_inputs: int,
    prior: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
    aspect_ratio: float | None = None,
) -> float:
    """Poisoned share of all rows that a known trigger needs, to first order: optimistic.

    ``(z_alpha + z_beta) sqrt(m2 A / n) / (2 (1 - prior) |v| m1)``; 20 to 50 % below the exact
    root at n of a few hundred. It may exceed 1.

    Arguments and errors are those of :func:`smallest_theta_known`; ``prior`` in (0, 1) is the share
    of the target's label before poisoning.

    Source: docs/random-matrix-theory.md eq. 8.1, derived independently.

    Examples
    --------
    >>> share = small_share_known(strength=3.0, ridge=0.3, n_rows=600, n_inputs=300)
    >>> round(2 * share, 6)
    0.077417
    """
    alpha = level("alpha", alpha)
    units = float(ndtri(target_power(power, alpha)) - ndtri(alpha))
    prior, n = open_unit("prior", prior), count("n_rows", n_rows, 3)
    p = count("n_inputs", n_inputs, 1)
    c = p / (n - 1) if aspect_ratio is None else ratio("aspect_ratio", aspect_ratio)
    kappa = float(equivalent_ridge(ridge_value(ridge), c))
    g2 = c / (1 + kappa) ** 2
    if g2 >= 1:
        return math.inf
    deviation = math.sqrt(4 * prior * (1 - prior) / (n * (1 - g2)))
    return units * deviation / (2 * (1 - prior) * positive("strength", strength))

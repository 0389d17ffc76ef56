"""How little poison the spectrum of the input Hessian shows when the trigger is not known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hessay._laws import level
from hessay.errors import ArgumentError
from hessay.theory._checks import positive
from hessay.theory._search import first_crossing, target_power
from hessay.theory.classes import Mode, poisoned_classes
from hessay.theory.haar import PoisonDraws

__all__ = ["smallest_theta_unknown", "unknown_trigger_power"]


def unknown_trigger_power(
    draws: PoisonDraws,
    *,
    theta: float,
    strength: float,
    classes: int | Sequence[float],
    mode: Mode = "one",
    alpha: float = 0.05,
) -> float:
    """Chance that the largest eigenvalue exceeds the ``1 - alpha`` quantile of the null.

    Parameters
    ----------
    draws : PoisonDraws
        At the size and ridge in question; its directions are ``classes`` less one.
    theta, strength, classes, mode, alpha
        As in :func:`hessay.theory.planning.known_trigger_power`.

    Returns
    -------
    float in [0, 1]
        Share of the draws; standard error at most ``1 / (2 sqrt(number of draws))``.

    Raises
    ------
    ArgumentError
        A value is out of range, or there are fewer than ``1 / alpha`` draws.

    Source: docs/random-matrix-theory.md eq. 8.2 and 6.8, derived independently.
    """
    limit = _critical(draws, strength, level("alpha", alpha))
    return _spectral_power(draws, theta, strength, classes, mode, limit)


def _critical(draws: PoisonDraws, strength: float, alpha: float) -> float:
    number = len(draws.moments[0])
    if number * alpha < 1:
        raise ArgumentError(
            f"{number} draws cannot tell a level of {alpha:g}; draw at least {math.ceil(1 / alpha)}"
        )
    clean = draws.tops(poisoned_share=0.0, target_share=0.5, strength=strength)
    return float(np.quantile(clean, 1 - alpha, method="higher"))


def _spectral_power(
    draws: PoisonDraws,
    theta: float,
    strength: float,
    classes: int | Sequence[float],
    mode: Mode,
    limit: float,
) -> float:
    labels = poisoned_classes(theta=theta, classes=classes, mode=mode)
    if len(labels.shares) != draws.n_directions + 1:
        raise ArgumentError(
            f"draws are for {draws.n_directions + 1} classes, got {len(labels.shares)}"
        )
    tops = draws.tops(
        poisoned_share=labels.poisoned_share,
        target_share=float(labels.shares[labels.target]),
        strength=positive("strength", strength),
    )
    return float((tops > limit).mean())


def smallest_theta_unknown(
    draws: PoisonDraws,
    *,
    strength: float,
    classes: int | Sequence[float],
    mode: Mode = "one",
    alpha: float = 0.05,
    power: float = 0.8,
) -> float | None:
    """Smallest poisoned fraction that the spectrum shows with chance ``power``.

    Arguments and errors are those of :func:`unknown_trigger_power`, and ``power`` in (alpha, 1).

    Returns
    -------
    float in (0, 1), or None
        None when no fraction up to 0.999 reaches the power: at this ridge the spectrum does not
        show this poison. The power need not rise all the way; the first crossing counts.

    Source: docs/random-matrix-theory.md eq. 8.2 and 6.8, derived independently.

    Examples
    --------
    >>> draws = PoisonDraws.draw(n_rows=600, n_inputs=300, n_directions=9, ridge=0.1)
    >>> smallest_theta_unknown(draws, strength=5.0, classes=10) is None
    True
    """
    alpha = level("alpha", alpha)
    goal, limit = target_power(power, alpha), _critical(draws, strength, alpha)

    def reached(theta: float) -> float:
        return _spectral_power(draws, theta, strength, classes, mode, limit) - goal

    return first_crossing(reached, refine=False)

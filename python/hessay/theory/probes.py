"""How many probes a rate, a difference of rates, a shift or a spike needs."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import bdtrc, ndtri

from hessay._laws import level, number
from hessay.errors import ArgumentError
from hessay.theory._checks import count, open_unit, positive
from hessay.theory._search import target_power

__all__ = ["probes_for_difference", "probes_for_rate", "probes_for_shift", "probes_for_spike"]

_CLOSEST = 1e-9  # rates; nearer ones need more than 1e16 probes
_MOST_EXACT = 2000  # probes; beyond, the Gaussian limit is off by less than one in a hundred


def probes_for_rate(rate: float, *, error: float, confidence: float = 0.95) -> int:
    """Count the triggered inputs needed to know a success rate to ``+- error``.

    ``z^2 P (1 - P) / error^2``, and where P is near 0 or 1 at least so many that a rate ``error``
    away would have shown: ``log(1 - confidence) / log(1 - error)``.

    Parameters
    ----------
    rate : float in [0, 1]
        The rate expected; 1/2 is the worst case.
    error : float in (0, 1)
    confidence : float in (0, 1)

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 8.3; the Gaussian limit of the binomial law.

    Examples
    --------
    >>> probes_for_rate(0.5, error=0.05)
    385
    """
    rate = _rate("rate", rate)
    z = float(ndtri(0.5 + 0.5 * open_unit("confidence", confidence)))
    error = positive("error", open_unit("error", error))
    certain = math.log1p(-confidence) / math.log1p(-error)
    return math.ceil(max(certain, z * z * rate * (1 - rate) / error**2))


def probes_for_difference(
    clean: float, poisoned: float, *, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Count the triggered inputs that tell a success rate from the rate of a clean model.

    The smallest number for which an exact binomial test has the level and the power.

    Parameters
    ----------
    clean, poisoned : float in [0, 1], at least 1e-9 apart
    alpha : float in (0, 0.5]
        Level of the one-sided test.
    power : float in (alpha, 1)

    Raises
    ------
    ArgumentError
        A value is out of range, or both rates are (almost) equal.

    Source: docs/random-matrix-theory.md eq. 8.3; the exact binomial test, its Gaussian limit above
    2000.

    Examples
    --------
    >>> probes_for_difference(0.5, 0.7)
    37
    """
    p0, p1 = _rate("clean", clean), _rate("poisoned", poisoned)
    alpha = level("alpha", alpha)
    goal = target_power(power, alpha)
    if abs(p0 - p1) < _CLOSEST:
        raise ArgumentError(
            f"clean and poisoned rates are {p0:g} and {p1:g}; no number of probes tells them apart"
        )
    if p1 < p0:  # count the failures instead
        p0, p1 = 1 - p0, 1 - p1
    beta = float(ndtri(goal))
    spread = -float(ndtri(alpha)) * math.sqrt(p0 * (1 - p0)) + beta * math.sqrt(p1 * (1 - p1))
    limit = math.ceil((spread / (p1 - p0)) ** 2)  # the Gaussian limit
    if limit > _MOST_EXACT:
        return limit
    for m in range(1, 4 * limit + 200):
        hits = np.arange(m + 1)
        # bdtrc(k, m, p): chance of more than k of m. The least k at level alpha has the most power.
        k = int(np.argmax(bdtrc(hits, m, p0) <= alpha))
        if bdtrc(k, m, p1) >= goal:
            return m
    return limit  # pragma: no cover - the exact number lies within 200 of the limit


def probes_for_shift(
    shift: float, variance: float, *, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Count the inputs per arm, with and without trigger, that show a mean shift of the score.

    ``2 variance (z_alpha + z_beta)^2 / shift^2``; unpaired. Of a linear model one input with and
    without the trigger shows the shift exactly.

    Parameters
    ----------
    shift : float, not 0, label
    variance : float > 0, label^2
    alpha, power
        As in :func:`probes_for_difference`.

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 8.3; the two-sample Gaussian test.

    Examples
    --------
    >>> probes_for_shift(0.5, 1.0)
    50
    """
    alpha = level("alpha", alpha)
    units = float(ndtri(target_power(power, alpha)) - ndtri(alpha))
    size = positive("size of shift", abs(number("shift", shift)))
    return max(1, math.ceil(2 * positive("variance", variance) * (units / size) ** 2))


def probes_for_spike(spike: float, *, n_inputs: int) -> int | None:
    """Probes above which a population spike leaves the bulk: ``p / (spike - 1)^2``, rounded up.

    A heuristic for networks: it takes probe gradients for independent and white. Of a linear model
    the Hessian is the same at every input and one probe is enough.

    Parameters
    ----------
    spike : float > 0
        Population eigenvalue over the bulk level, dimensionless.
    n_inputs : int >= 1

    Returns
    -------
    int >= 1, or None
        None for a spike of at most 1, which no number of probes shows.

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 8.3; threshold of Baik, Ben Arous & Peche 2005, Ann.
    Probab. 33, 1643.

    Examples
    --------
    >>> probes_for_spike(3.0, n_inputs=784)
    197
    """
    size, p = positive("spike", spike), count("n_inputs", n_inputs, 1)
    return None if size <= 1 else math.floor(p / (size - 1) ** 2) + 1


def _rate(name: str, value: float) -> float:
    rate = number(name, value)
    if not 0 <= rate <= 1:
        raise ArgumentError(f"{name} must lie in [0, 1], got {value!r}")
    return rate

"""Law of ``beta'v`` between training sets: one column of labels, white inputs, no class means."""

from __future__ import annotations

import math

__all__ = ["shift_mean", "shift_spread"]


def shift_mean(*, covariance: float, poisoned_share: float, strength: float, kappa: float) -> float:
    """Limit of ``beta'v``: ``b s phi / (1 + a s phi)`` with ``phi = 1 / (1 + kappa)``.

    Parameters
    ----------
    covariance : float
        b, of the poison indicator with the label, label.
    poisoned_share : float in [0, 1)
        gamma; ``a = gamma (1 - gamma)``.
    strength : float > 0
        ``|v|``, standard deviations of an input; ``s = |v|^2``.
    kappa : float >= 0
        Effective ridge.

    Source: docs/random-matrix-theory.md eq. 5.1, derived independently.
    """
    a, s = poisoned_share * (1 - poisoned_share), strength**2
    return covariance * s / (1 + kappa + a * s)


def shift_spread(
    *,
    label_variance: float,
    covariance: float,
    poisoned_share: float,
    strength: float,
    kappa: float,
    g2: float,
) -> float:
    """``sqrt(n)`` times the standard deviation of ``beta'v`` between training sets.

    Labels and poisoned rows are fixed, the inputs are drawn anew. ``g2 = c phi^2`` in [0, 1]; at
    ``g2 = 1``, the interpolation threshold, the result is ``inf``. The other arguments are those of
    :func:`shift_mean`, and ``label_variance``, A, in label^2.

    Source: docs/random-matrix-theory.md eq. 5.5, derived independently. Written there with ``m1 = 1 / kappa``; multiplied
    through by ``kappa^2`` here, so that the ridgeless limit needs no case of its own.
    """
    if g2 >= 1:
        return math.inf
    a, s = poisoned_share * (1 - poisoned_share), strength**2
    r = 1 / (1 - g2)
    e = shift_mean(
        covariance=covariance, poisoned_share=poisoned_share, strength=strength, kappa=kappa
    )
    e /= strength
    b = covariance
    leftover = label_variance - 2 * e * strength * b + e**2 * s * a
    omega = b - e * strength * a
    first = r * (label_variance - 4 * e * strength * b + 4 * e**2 * s * a)
    total = first + 2 * r * e**2 + s * g2 * r * (a * leftover + omega**2)
    return math.sqrt(s * total) / (1 + kappa + a * s)

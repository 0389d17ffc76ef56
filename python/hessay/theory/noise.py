"""How a ridge fit spreads pure noise over its outputs: the weights D, their moments, the edge.

A multi-output ridge fit of labels that have nothing to do with the inputs has, in label-whitened
coordinates, ``W'W = Q' D Q``: Q a Haar frame of q columns in the n - 1 centred rows, and
``D = x / (x + ridge)^2`` over the eigenvalues x of ``X X' / n``. It is not a Wishart matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from hessay import marchenko_pastur
from hessay._laws import FloatArray
from hessay.errors import ArgumentError
from hessay.theory._checks import count, ratio, ridge_value

__all__ = ["NoiseLaw", "noise_law", "noise_weights"]

_MOST_NODES = 1 << 18


@dataclass(frozen=True, slots=True)
class NoiseLaw:
    """Limit of the noise spectrum of ``W'W`` for white inputs, label-whitened."""

    g: float  # mean of D: every eigenvalue without spread, 1 / input^2
    p_eff: float  # effective number of directions: the spread is 1 / p_eff, dimensionless
    edge: float  # upper end of the spectrum over g, dimensionless, > 1


def noise_weights(eigenvalues: FloatArray, ridge: float) -> FloatArray:
    """``D = x / (x + ridge)^2``; 0 where x is 0, in 1 / input^2.

    Source: docs/random-matrix-theory.md eq. 6.3, derived independently.

    Examples
    --------
    >>> noise_weights(np.array([0.0, 1.0]), 1.0).tolist()
    [0.0, 0.25]
    """
    x = np.asarray(eigenvalues, dtype=np.float64)
    out: FloatArray = np.divide(x, (x + ridge) ** 2, out=np.zeros_like(x), where=x > 0)
    return out


def noise_law(*, ridge: float, aspect_ratio: float, n_rows: int, n_directions: int) -> NoiseLaw:
    """Mean, effective dimension and upper edge of the noise spectrum, white inputs.

    Parameters
    ----------
    ridge : float >= 0
        0 only off the interpolation threshold ``aspect_ratio = 1``, where the noise diverges.
    aspect_ratio : float > 0
        ``p / n``, or ``p / (n - 1)`` with intercept.
    n_rows : int >= 2
    n_directions : int >= 1, < n_rows
        q, classes less one.

    Raises
    ------
    ArgumentError
        A value is out of range, or ridge and ``aspect_ratio`` sit at the divergence.

    Source: docs/random-matrix-theory.md eq. 6.3 and 6.4, derived independently: the edge is that of
    a free compression, the least ``z - (1 - q/n) / G(z)`` above the largest weight, G the Cauchy
    transform of D.

    Examples
    --------
    >>> law = noise_law(ridge=1.0, aspect_ratio=0.2, n_rows=1500, n_directions=9)
    >>> round(law.g, 6), round(law.p_eff, 3), round(law.edge, 6)
    (0.04727, 373.122, 1.327965)
    """
    lam, c = ridge_value(ridge), ratio("aspect_ratio", aspect_ratio)
    n, q = count("n_rows", n_rows, 2), count("n_directions", n_directions, 1)
    if q >= n:
        raise ArgumentError(f"n_directions must be below n_rows, got {q} and {n}")
    lower, upper = marchenko_pastur.support(1.0, c)
    closest = math.sqrt((lower + lam) / (upper - lower))
    # Gauss-Chebyshev nodes: the error falls as exp(-4 nodes * closest), the distance of the pole of
    # D from the support; 20 / closest is far beyond rounding.
    nodes = 20 / closest if closest > 0 else math.inf
    if nodes > _MOST_NODES:
        raise ArgumentError(
            f"ridge {lam:g} at aspect_ratio {c:g} is too close to the interpolation threshold, where"
            " the noise diverges; give a larger ridge"
        )
    angles = np.pi * (np.arange(k := max(256, math.ceil(nodes))) + 0.5) / k
    x = lower + (upper - lower) * np.sin(angles / 2) ** 2
    # Marchenko-Pastur mass of the n eigenvalues of XX'/n; the rest, if any, sits at x = 0 = D.
    density = ((upper - lower) / 2 * np.sin(angles)) ** 2 / (2 * np.pi) * (np.pi / k)
    mass = density / x  # c / (c x): the n eigenvalues, p of which carry the law
    weights = noise_weights(x, lam)
    g = float(density @ (1 / (x + lam) ** 2))
    zero = max(0.0, 1 - float(mass.sum()))
    p_eff = n * g**2 / (float(mass @ (weights - g) ** 2) + zero * g**2)
    scaled = weights / g
    top = float(scaled.max())

    def outside(distance: float) -> float:
        z = top * (1 + math.exp(distance))
        return z - (1 - q / n) / (float(mass @ (1 / (z - scaled))) + zero / z)

    found = minimize_scalar(
        outside, bounds=(-30.0, 10.0), method="bounded", options={"xatol": 1e-9}
    )
    return NoiseLaw(g=g, p_eff=p_eff, edge=float(found.fun))

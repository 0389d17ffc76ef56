"""Spectra of simulated noise, without the matrices."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from hessay._laws import FloatArray, positive, whole


def sample(n: int, p: int, sigma2: float = 1.0, *, seed: int | np.random.Generator) -> FloatArray:
    """Eigenvalues of ``X.T @ X / n`` for one simulated ``(n, p)`` matrix of N(0, sigma2) entries.

    Householder reflections from both sides leave a bidiagonal matrix of independent chi variables,
    which is drawn instead: O(min(n, p)) memory, and time O(min(n, p)^2).

    Parameters
    ----------
    n, p : int, >= 1
        Rows and columns.
    sigma2 : float, > 0
        Variance of an entry; eigenvalues carry its unit.
    seed : int >= 0 or numpy Generator
        The same seed gives the same eigenvalues.

    Returns
    -------
    (p,) float64, descending
        The ``p - n`` eigenvalues that are 0 when ``p > n`` come last.

    Raises
    ------
    ArgumentError
        A count is not a positive whole number, or ``sigma2`` is not finite and positive.

    Source: Dumitriu & Edelman 2002, J. Math. Phys. 43, 5830.

    Examples
    --------
    >>> values = sample(400, 100, seed=0)
    >>> values.shape, bool(1.9 < values[0] < 2.6)
    ((100,), True)
    """
    rows, columns = whole("n", n), whole("p", p)
    unit = positive("sigma2", sigma2) / rows
    rng = np.random.default_rng(seed)
    shorter, longer = min(rows, columns), max(rows, columns)
    main = np.sqrt(rng.chisquare(longer - np.arange(shorter)))
    off = np.sqrt(rng.chisquare(np.arange(shorter - 1, 0, -1)))
    # B B' of the lower bidiagonal B
    diagonal = main**2
    diagonal[1:] += off**2
    values = np.zeros(columns)
    found = eigvalsh_tridiagonal(diagonal, main[:-1] * off)
    values[:shorter] = unit * np.maximum(found[::-1], 0.0)
    return values

"""The Marchenko-Pastur law: where the eigenvalues of pure noise lie.

The limit of the eigenvalues of ``X.T @ X / n`` for an ``(n, p)`` matrix ``X`` of independent
entries of variance ``sigma2``, with ``gamma = p / n``. Above ``gamma = 1`` the law has an atom
``1 - 1/gamma`` at 0; the rest is continuous on ``support(sigma2, gamma)``.

Source: Marchenko & Pastur 1967, Math. USSR-Sbornik 1, 457.
"""

from hessay.marchenko_pastur.law import atom, cdf, density, moment, quantile, sf, support
from hessay.marchenko_pastur.sampling import sample
from hessay.marchenko_pastur.transforms import (
    companion,
    companion_slope,
    kappa,
    stieltjes,
    stieltjes_slope,
)

__all__ = [
    "atom",
    "cdf",
    "companion",
    "companion_slope",
    "density",
    "kappa",
    "moment",
    "quantile",
    "sample",
    "sf",
    "stieltjes",
    "stieltjes_slope",
    "support",
]

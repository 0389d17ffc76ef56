"""Stieltjes transforms of the Marchenko-Pastur law, their slopes, and the effective ridge.

``m(z)`` is the mean of ``1 / (eigenvalue - z)`` over the ``p`` eigenvalues, the companion that over
the ``n`` eigenvalues of ``X @ X.T / n``. Real ``z`` gives real results and must lie off the
support; complex ``z`` gives complex ones, on the branch with ``Im m Im z >= 0``, and with no
imaginary part inside the support the limit from above.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from hessay import _core
from hessay._laws import (
    ComplexArray,
    FloatArray,
    RealArray,
    complex_array,
    like,
    positive,
    real_array,
)
from hessay.errors import ArgumentError

Points: TypeAlias = RealArray | NDArray[np.complexfloating] | complex
Result: TypeAlias = FloatArray | ComplexArray | float | complex


@overload
def stieltjes(z: float, sigma2: float, gamma: float) -> float: ...
@overload
def stieltjes(z: complex, sigma2: float, gamma: float) -> complex: ...
@overload
def stieltjes(z: RealArray, sigma2: float, gamma: float) -> FloatArray: ...
@overload
def stieltjes(z: NDArray[np.complexfloating], sigma2: float, gamma: float) -> ComplexArray: ...
def stieltjes(z: Points, sigma2: float, gamma: float) -> Result:
    """Stieltjes transform: the mean of ``1 / (eigenvalue - z)``.

    Parameters
    ----------
    z : float, complex, or array of any shape
        Finite. Real: not inside the support and not at the atom; the edges are allowed.
    sigma2, gamma : float, > 0
        Variance of an entry, whose unit the eigenvalues carry, and columns over rows.

    Returns
    -------
    float or complex, or array of the shape of ``z``
        In 1 / unit of ``sigma2``; relative error below 1e-12.

    Raises
    ------
    ArgumentError
        ``z`` is NaN, infinite, inside the support or at the atom, or a parameter is not finite
        and positive.

    Source: Silverstein & Bai 1995, J. Multivariate Anal. 54, 175.

    Examples
    --------
    >>> round(stieltjes(-1.0, 1.0, 1.0), 6)
    0.618034
    >>> bool(stieltjes(1.0 + 0j, 1.0, 0.5).imag > 0)
    True
    """
    return _transform("stieltjes", z, sigma2, gamma)


@overload
def companion(z: float, sigma2: float, gamma: float) -> float: ...
@overload
def companion(z: complex, sigma2: float, gamma: float) -> complex: ...
@overload
def companion(z: RealArray, sigma2: float, gamma: float) -> FloatArray: ...
@overload
def companion(z: NDArray[np.complexfloating], sigma2: float, gamma: float) -> ComplexArray: ...
def companion(z: Points, sigma2: float, gamma: float) -> Result:
    """Stieltjes transform of the ``n`` eigenvalues of ``X @ X.T / n``.

    Equal to ``gamma * stieltjes(z) - (1 - gamma) / z``, without its cancellation.

    Arguments, result and errors are those of :func:`stieltjes`; here ``z = 0`` needs ``gamma > 1``.

    Examples
    --------
    >>> round(companion(-1.0, 1.0, 1.0), 6)
    0.618034
    """
    return _transform("companion", z, sigma2, gamma)


@overload
def stieltjes_slope(z: float, sigma2: float, gamma: float) -> float: ...
@overload
def stieltjes_slope(z: complex, sigma2: float, gamma: float) -> complex: ...
@overload
def stieltjes_slope(z: RealArray, sigma2: float, gamma: float) -> FloatArray: ...
@overload
def stieltjes_slope(
    z: NDArray[np.complexfloating], sigma2: float, gamma: float
) -> ComplexArray: ...
def stieltjes_slope(z: Points, sigma2: float, gamma: float) -> Result:
    """Differentiate :func:`stieltjes`: the mean of ``1 / (eigenvalue - z)**2``.

    Arguments and errors are those of :func:`stieltjes`; infinite at an edge.

    Examples
    --------
    >>> round(stieltjes_slope(-1.0, 1.0, 0.5), 6)
    0.348875
    """
    return _transform("stieltjes_slope", z, sigma2, gamma)


@overload
def companion_slope(z: float, sigma2: float, gamma: float) -> float: ...
@overload
def companion_slope(z: complex, sigma2: float, gamma: float) -> complex: ...
@overload
def companion_slope(z: RealArray, sigma2: float, gamma: float) -> FloatArray: ...
@overload
def companion_slope(
    z: NDArray[np.complexfloating], sigma2: float, gamma: float
) -> ComplexArray: ...
def companion_slope(z: Points, sigma2: float, gamma: float) -> Result:
    """Differentiate :func:`companion`.

    Arguments and errors are those of :func:`companion`; infinite at an edge.

    Examples
    --------
    >>> round(companion_slope(-1.0, 1.0, 0.5), 6)
    0.674437
    """
    return _transform("companion_slope", z, sigma2, gamma)


@overload
def kappa(lam: float, sigma2: float, gamma: float) -> float: ...
@overload
def kappa(lam: RealArray, sigma2: float, gamma: float) -> FloatArray: ...
def kappa(lam: RealArray | float, sigma2: float, gamma: float) -> FloatArray | float:
    """Effective ridge ``1 / companion(-lam)``: what a population direction feels of a ridge ``lam``.

    Parameters
    ----------
    lam : float or array of any shape, >= 0
        In the unit of ``sigma2``; at 0 the limit ``max(0, sigma2 (gamma - 1))``.
    sigma2, gamma : float, > 0
        As for :func:`stieltjes`.

    Returns
    -------
    float or float64 array of the shape of ``lam``

    Raises
    ------
    ArgumentError
        ``lam`` is negative, NaN or infinite, or a parameter is not finite and positive.

    Source: Dobriban & Wager 2018, Ann. Statist. 46, 247.

    Examples
    --------
    >>> round(kappa(1.0, 1.0, 1.0), 6)
    1.618034
    """
    ridges = real_array("lam", lam)
    parameters = positive("sigma2", sigma2), positive("gamma", gamma)
    return like(ridges, _core.marchenko_pastur_kappa(ridges, *parameters))


def _transform(name: str, z: Points, sigma2: float, gamma: float) -> Result:
    parameters = positive("sigma2", sigma2), positive("gamma", gamma)
    if np.asarray(z).dtype.kind == "c":
        points = complex_array("z", z)
        function: Callable[..., ComplexArray] = getattr(_core, f"marchenko_pastur_{name}_complex")
        values = function(points, *parameters)
        return values if points.ndim else complex(values)
    real = real_array("z", z)
    if np.isinf(real).any():
        raise ArgumentError("z must be finite, got an infinite value; the transforms vanish there")
    of_real: Callable[..., FloatArray] = getattr(_core, f"marchenko_pastur_{name}")
    return like(real, of_real(real, *parameters))

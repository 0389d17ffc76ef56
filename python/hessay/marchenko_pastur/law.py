"""Edges, density, distribution, quantiles and moments of the Marchenko-Pastur law."""

from __future__ import annotations

from typing import overload

from hessay import _core
from hessay._laws import FloatArray, RealArray, like, positive, probabilities, real_array


def support(sigma2: float, gamma: float) -> tuple[float, float]:
    """Edges ``sigma2 * (1 -+ sqrt(gamma))**2`` of the continuous part.

    Parameters
    ----------
    sigma2 : float, > 0
        Variance of an entry; eigenvalues carry its unit.
    gamma : float, > 0
        Columns over rows, ``p / n``, dimensionless.

    Returns
    -------
    (lower, upper)
        In the unit of ``sigma2``. The atom at 0 of ``gamma > 1`` lies outside.

    Raises
    ------
    ArgumentError
        Either argument is not finite and positive.

    Examples
    --------
    >>> support(1.0, 0.25)
    (0.25, 2.25)
    """
    lower, upper = _core.marchenko_pastur_support(*_parameters(sigma2, gamma))
    return lower, upper


def atom(gamma: float) -> float:
    """Mass at 0, ``max(0, 1 - 1 / gamma)``.

    Parameters
    ----------
    gamma : float, > 0
        Columns over rows, dimensionless.

    Returns
    -------
    float in [0, 1)

    Raises
    ------
    ArgumentError
        ``gamma`` is not finite and positive.

    Examples
    --------
    >>> atom(4.0)
    0.75
    """
    return _core.marchenko_pastur_atom(positive("gamma", gamma))


@overload
def density(x: float, sigma2: float, gamma: float) -> float: ...
@overload
def density(x: RealArray, sigma2: float, gamma: float) -> FloatArray: ...
def density(x: RealArray | float, sigma2: float, gamma: float) -> FloatArray | float:
    """Density of the continuous part.

    Parameters
    ----------
    x : float or array of any shape
        Eigenvalues, in the unit of ``sigma2``.
    sigma2, gamma : float, > 0
        As for :func:`support`.

    Returns
    -------
    float or float64 array of the shape of ``x``
        ``sqrt((upper - x) (x - lower)) / (2 pi sigma2 gamma x)``, in 1 / unit; 0 off the support,
        infinite at ``x = 0`` when ``gamma = 1``. The atom of ``gamma > 1`` is not part of it.

    Raises
    ------
    ArgumentError
        ``x`` holds NaN, or a parameter is not finite and positive.

    Examples
    --------
    >>> round(density(1.0, 1.0, 1.0), 6)
    0.275664
    """
    points = real_array("x", x)
    return like(points, _core.marchenko_pastur_density(points, *_parameters(sigma2, gamma)))


@overload
def cdf(x: float, sigma2: float, gamma: float) -> float: ...
@overload
def cdf(x: RealArray, sigma2: float, gamma: float) -> FloatArray: ...
def cdf(x: RealArray | float, sigma2: float, gamma: float) -> FloatArray | float:
    """Probability that an eigenvalue is at most ``x``, atom included.

    Parameters
    ----------
    x : float or array of any shape
        Eigenvalues, in the unit of ``sigma2``; infinities are allowed.
    sigma2, gamma : float, > 0
        As for :func:`support`.

    Returns
    -------
    float or float64 array of the shape of ``x``, in [0, 1]
        Closed form; absolute error below 1e-14.

    Raises
    ------
    ArgumentError
        ``x`` holds NaN, or a parameter is not finite and positive.

    Examples
    --------
    >>> cdf([-1.0, 0.0, 9.0], 1.0, 4.0).tolist()
    [0.0, 0.75, 1.0]
    """
    points = real_array("x", x)
    return like(points, _core.marchenko_pastur_cdf(points, *_parameters(sigma2, gamma)))


@overload
def sf(x: float, sigma2: float, gamma: float) -> float: ...
@overload
def sf(x: RealArray, sigma2: float, gamma: float) -> FloatArray: ...
def sf(x: RealArray | float, sigma2: float, gamma: float) -> FloatArray | float:
    """Probability that an eigenvalue exceeds ``x``, accurate in ratio near the upper edge.

    Parameters
    ----------
    x : float or array of any shape
        Eigenvalues, in the unit of ``sigma2``; infinities are allowed.
    sigma2, gamma : float, > 0
        As for :func:`support`.

    Returns
    -------
    float or float64 array of the shape of ``x``, in [0, 1]

    Raises
    ------
    ArgumentError
        As for :func:`cdf`.

    Examples
    --------
    >>> sf(0.0, 1.0, 4.0)
    0.25
    """
    points = real_array("x", x)
    return like(points, _core.marchenko_pastur_sf(points, *_parameters(sigma2, gamma)))


@overload
def quantile(p: float, sigma2: float, gamma: float) -> float: ...
@overload
def quantile(p: RealArray, sigma2: float, gamma: float) -> FloatArray: ...
def quantile(p: RealArray | float, sigma2: float, gamma: float) -> FloatArray | float:
    """Smallest point of the law's support whose ``cdf`` reaches ``p``.

    Parameters
    ----------
    p : float or array of any shape, in [0, 1]
        Probabilities; anything up to the atom gives 0.
    sigma2, gamma : float, > 0
        As for :func:`support`.

    Returns
    -------
    float or float64 array of the shape of ``p``
        In the unit of ``sigma2``.

    Raises
    ------
    ArgumentError
        ``p`` holds NaN or leaves [0, 1], or a parameter is not finite and positive.

    Examples
    --------
    >>> quantile([0.5, 1.0], 1.0, 4.0).tolist()
    [0.0, 9.0]
    """
    levels = probabilities("p", p)
    return like(levels, _core.marchenko_pastur_quantile(levels, *_parameters(sigma2, gamma)))


def moment(k: int, sigma2: float, gamma: float) -> float:
    """Mean of the ``k``-th power of an eigenvalue.

    Parameters
    ----------
    k : int, >= -2
        Order; -1 and -2 need ``gamma < 1``.
    sigma2, gamma : float, > 0
        As for :func:`support`.

    Returns
    -------
    float
        In unit**k; ``sum_{r<k} gamma^r / (r + 1) C(k, r) C(k - 1, r)`` times ``sigma2**k``.

    Raises
    ------
    ArgumentError
        The moment is infinite or not known, or a parameter is not finite and positive.

    Examples
    --------
    >>> moment(2, 1.0, 0.5)
    1.5
    """
    return _core.marchenko_pastur_moment(k, *_parameters(sigma2, gamma))


def _parameters(sigma2: float, gamma: float) -> tuple[float, float]:
    return positive("sigma2", sigma2), positive("gamma", gamma)

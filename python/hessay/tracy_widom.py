"""The Tracy-Widom laws: how far above its edge the largest eigenvalue of noise falls.

``beta`` is 1 for real symmetric matrices (every Hessian), 2 for Hermitian and 4 for quaternion
ones. ``beta = 4`` is scaled as in Tracy & Widom 1996, with mean -2.3069.

Source: Tracy & Widom 1994, Comm. Math. Phys. 159, 151; 1996, Comm. Math. Phys. 177, 727.
"""

from __future__ import annotations

from typing import Literal, overload

from hessay import _core
from hessay._laws import FloatArray, RealArray, like, number, probabilities, real_array
from hessay.errors import ArgumentError

__all__ = ["cdf", "isf", "largest_eigenvalue_scaling", "quantile", "sf"]

Beta = Literal[1, 2, 4]


@overload
def cdf(s: float, beta: Beta = 1) -> float: ...
@overload
def cdf(s: RealArray, beta: Beta = 1) -> FloatArray: ...
def cdf(s: RealArray | float, beta: Beta = 1) -> FloatArray | float:
    """Probability that the scaled largest eigenvalue is at most ``s``.

    Parameters
    ----------
    s : float or array of any shape
        ``(largest - center) / scale`` of :func:`largest_eigenvalue_scaling`, dimensionless;
        infinities are allowed.
    beta : {1, 2, 4}
        Symmetry class.

    Returns
    -------
    float or float64 array of the shape of ``s``, in [0, 1]
        Absolute error below 1e-15.

    Raises
    ------
    ArgumentError
        ``s`` holds NaN, or ``beta`` is another number.

    Examples
    --------
    >>> round(cdf(0.0), 10)
    0.8319080662
    """
    points = real_array("s", s)
    return like(points, _core.tracy_widom_cdf(points, _beta(beta)))


@overload
def sf(s: float, beta: Beta = 1) -> float: ...
@overload
def sf(s: RealArray, beta: Beta = 1) -> FloatArray: ...
def sf(s: RealArray | float, beta: Beta = 1) -> FloatArray | float:
    """Probability that the scaled largest eigenvalue of noise exceeds ``s``: a p-value.

    Parameters
    ----------
    s : float or array of any shape
        As for :func:`cdf`.
    beta : {1, 2, 4}
        Symmetry class.

    Returns
    -------
    float or float64 array of the shape of ``s``, in [0, 1]
        Relative error below 1e-12 down to 1e-300.

    Raises
    ------
    ArgumentError
        ``s`` holds NaN, or ``beta`` is another number.

    Examples
    --------
    >>> round(sf(2.0234492813801883), 12)
    0.01
    """
    points = real_array("s", s)
    return like(points, _core.tracy_widom_sf(points, _beta(beta)))


@overload
def quantile(p: float, beta: Beta = 1) -> float: ...
@overload
def quantile(p: RealArray, beta: Beta = 1) -> FloatArray: ...
def quantile(p: RealArray | float, beta: Beta = 1) -> FloatArray | float:
    """Point with ``cdf(point) = p``.

    Parameters
    ----------
    p : float or array of any shape, in [0, 1]
        Probabilities; 0 and 1 give the infinities. For ``p`` near 1 use :func:`isf`.
    beta : {1, 2, 4}
        Symmetry class.

    Returns
    -------
    float or float64 array of the shape of ``p``

    Raises
    ------
    ArgumentError
        ``p`` holds NaN or leaves [0, 1], or ``beta`` is another number.

    Examples
    --------
    >>> round(quantile(0.5), 9)
    -1.268574617
    """
    levels = probabilities("p", p)
    return like(levels, _core.tracy_widom_quantile(levels, _beta(beta)))


@overload
def isf(p: float, beta: Beta = 1) -> float: ...
@overload
def isf(p: RealArray, beta: Beta = 1) -> FloatArray: ...
def isf(p: RealArray | float, beta: Beta = 1) -> FloatArray | float:
    """Point with ``sf(point) = p``: the threshold of a test at level ``p``.

    Parameters
    ----------
    p : float or array of any shape, in [0, 1]
        Levels; as small as 1e-300 keep their digits.
    beta : {1, 2, 4}
        Symmetry class.

    Returns
    -------
    float or float64 array of the shape of ``p``

    Raises
    ------
    ArgumentError
        ``p`` holds NaN or leaves [0, 1], or ``beta`` is another number.

    Examples
    --------
    >>> round(isf(0.01), 9)
    2.023449281
    """
    levels = probabilities("p", p)
    return like(levels, _core.tracy_widom_isf(levels, _beta(beta)))


def largest_eigenvalue_scaling(
    n: float, p: float, *, centering: Literal["ma", "johnstone"] = "ma"
) -> tuple[float, float]:
    """Centre and scale that turn the largest eigenvalue of noise into Tracy-Widom, ``beta = 1``.

    Parameters
    ----------
    n, p : float, > 1/2
        Rows and columns of ``X`` with independent N(0, 1) entries; ``n - 1`` for ``n`` when the
        columns are centred by their mean.
    centering : {"ma", "johnstone"}
        ``"ma"``: error ``O(min(n, p)^(-2/3))``. ``"johnstone"``: the first-order form with
        ``sqrt(n - 1)`` and ``sqrt(p)``, the longer side as ``n``, for comparison with older tables.

    Returns
    -------
    (center, scale)
        Of the largest eigenvalue of ``X.T @ X``, not divided by ``n``; symmetric in n and p.

    Raises
    ------
    ArgumentError
        Either is not finite or not above 1/2, or ``centering`` is another word.

    Source: Johnstone 2001, Ann. Statist. 29, 295; Ma 2012, Bernoulli 18, 322.

    Examples
    --------
    >>> round(largest_eigenvalue_scaling(100, 100)[0], 6)
    398.0
    """
    sizes: list[float] = []
    for name, value in (("n", n), ("p", p)):
        size = number(name, value)
        if not 0.5 < size < float("inf"):
            raise ArgumentError(f"{name} must be finite and above 1/2, got {value!r}; pass a count")
        sizes.append(size)
    if centering not in ("ma", "johnstone"):
        raise ArgumentError(f"centering must be 'ma' or 'johnstone', got {centering!r}")
    center, scale = _core.largest_eigenvalue_scaling(sizes[0], sizes[1], centering == "ma")
    return center, scale


def _beta(beta: int) -> int:
    if beta not in (1, 2, 4):
        raise ArgumentError(f"beta must be 1, 2 or 4, got {beta!r}; Hessians are real, beta=1")
    return int(beta)

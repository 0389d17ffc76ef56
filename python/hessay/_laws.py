"""Argument checks shared by the laws, the edge fit and the outlier test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError, ShapeError

FloatArray: TypeAlias = NDArray[np.float64]
ComplexArray: TypeAlias = NDArray[np.complex128]
RealArray: TypeAlias = NDArray[np.floating] | NDArray[np.integer] | Sequence[float]


def real_array(name: str, values: object) -> FloatArray:
    """``values`` as float64, any shape; NaN, complex and non-numeric input are refused."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ShapeError(
            f"{name} must hold real numbers, got dtype {array.dtype}; convert to float64"
        )
    array = array.astype(np.float64, copy=False)
    missing = np.isnan(array)
    if missing.any():
        where = tuple(int(i) for i in np.argwhere(missing)[0])
        place = f" at position {where[0] if len(where) == 1 else where}" if where else ""
        raise ArgumentError(
            f"{name} holds {int(missing.sum())} NaN of {array.size} values, the first{place};"
            " remove them or find what made them"
        )
    return array


def complex_array(name: str, values: object) -> ComplexArray:
    """``values`` as complex128, any shape; what is not finite or no number is refused."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiubc":
        raise ShapeError(
            f"{name} must hold numbers, got dtype {array.dtype}; convert to complex128"
        )
    array = array.astype(np.complex128, copy=False)
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise ArgumentError(f"{name} holds {bad} values that are not finite; remove them")
    return array


def real_vector(name: str, values: object) -> FloatArray:
    """``values`` as a finite float64 vector."""
    array = real_array(name, values)
    if array.ndim != 1:
        raise ShapeError(f"{name} must have shape (k,), got {array.shape}; pass a flat vector")
    infinite = np.isinf(array)
    if infinite.any():
        raise ArgumentError(
            f"{name} holds {int(infinite.sum())} infinite values, the first at position"
            f" {int(np.argmax(infinite))}; remove them or find what made them"
        )
    return array


def number(name: str, value: object) -> float:
    """``value`` as a float."""
    try:
        return float(value)  # type: ignore[arg-type]  # the point is to try
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name} must be a number, got {value!r}") from error


def positive(name: str, value: object) -> float:
    """``value`` as a finite float above zero."""
    result = number(name, value)
    if not (math.isfinite(result) and result > 0):
        raise ArgumentError(f"{name} must be positive and finite, got {value!r}")
    return result


def whole(name: str, value: object) -> int:
    """``value`` as an int >= 1; what is not whole is refused."""
    result = number(name, value)
    if not (result >= 1 and result == math.floor(result) and math.isfinite(result)):
        raise ArgumentError(f"{name} must be a whole number >= 1, got {value!r}; pass a count")
    return int(result)


def level(name: str, value: object) -> float:
    """``value`` as a significance level in (0, 0.5]."""
    result = number(name, value)
    if not 0 < result <= 0.5:
        raise ArgumentError(f"{name} must lie in (0, 0.5], got {value!r}; 0.01 is usual")
    return result


def probabilities(name: str, values: object) -> FloatArray:
    """``values`` as float64, every one in [0, 1]."""
    array = real_array(name, values)
    outside = (array < 0) | (array > 1)
    if outside.any():
        bad = float(array[outside].flat[0])
        raise ArgumentError(f"{name} must lie in [0, 1], got {bad!r}; pass probabilities")
    return array


def like(points: FloatArray, values: FloatArray) -> FloatArray | float:
    """``values``, as a plain float where ``points`` was one."""
    return values if points.ndim else float(values)

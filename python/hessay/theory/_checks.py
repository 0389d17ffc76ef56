"""Argument checks of the theory: ranges of rates, ridges, ratios and counts."""

from __future__ import annotations

import math

from hessay._laws import number
from hessay._laws import positive as _positive
from hessay.errors import ArgumentError

__all__ = [
    "LARGEST",
    "at_least",
    "count",
    "finite",
    "fraction",
    "open_unit",
    "positive",
    "ratio",
    "ridge_value",
]

# Fourth powers of a length and squares of a ridge are formed: beyond, they leave double precision.
LARGEST = 1e30
_MOST = 10**12  # rows or inputs, and the largest ratio of both


def positive(name: str, value: object) -> float:
    """``value`` in [1e-30, 1e30]: positive, and its powers are still doubles."""
    result = _positive(name, value)
    if not 1 / LARGEST <= result <= LARGEST:
        raise ArgumentError(
            f"{name} must lie between {1 / LARGEST:g} and {LARGEST:g}, got {value!r}; change the unit"
        )
    return result


def ratio(name: str, value: object) -> float:
    """``value`` as inputs per row, from 1e-12 to 1e12."""
    result = _positive(name, value)
    if not 1 / _MOST <= result <= _MOST:
        raise ArgumentError(
            f"{name} must lie between {1 / _MOST:g} and {_MOST:g}, got {value!r}; it is inputs / rows"
        )
    return result


def finite(name: str, value: object) -> float:
    """``value`` as a finite float."""
    result = number(name, value)
    if not math.isfinite(result):
        raise ArgumentError(f"{name} must be finite, got {value!r}")
    return result


def at_least(name: str, value: object, lowest: float) -> float:
    """``value`` as a finite float, ``lowest`` or more."""
    result = number(name, value)
    if not lowest <= result <= LARGEST:
        raise ArgumentError(
            f"{name} must be finite and at least {lowest:g}, at most {LARGEST:g}, got {value!r}"
        )
    return result


def fraction(name: str, value: object) -> float:
    """``value`` in [0, 1): a share of rows that leaves some of them clean."""
    result = number(name, value)
    if not 0 <= result < 1:
        raise ArgumentError(
            f"{name} must lie in [0, 1), got {value!r}; it is the poisoned share of the source"
        )
    return result


def open_unit(name: str, value: object) -> float:
    """``value`` strictly between 0 and 1."""
    result = number(name, value)
    if not 0 < result < 1:
        raise ArgumentError(f"{name} must lie strictly between 0 and 1, got {value!r}")
    return result


def ridge_value(value: object) -> float:
    """``value`` as a ridge, 0 (the ridgeless limit) or more."""
    result = number("ridge", value)
    if not 0 <= result <= LARGEST:
        raise ArgumentError(
            f"ridge must be finite and at least 0, at most {LARGEST:g}, got {value!r}; 0 is the"
            " ridgeless limit, sklearn's alpha is ridge times the number of rows"
        )
    return result


def count(name: str, value: object, lowest: int) -> int:
    """``value`` as an integer, ``lowest`` or more."""
    result = number(name, value)
    if not (math.isfinite(result) and result == int(result) and result >= lowest):
        raise ArgumentError(f"{name} must be an integer of at least {lowest}, got {value!r}")
    if result > _MOST and name != "seed":
        raise ArgumentError(f"{name} must be at most {_MOST:g}, got {value!r}")
    return int(value) if isinstance(value, int) else int(result)

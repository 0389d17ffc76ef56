"""Rows as the row operations take them: finite, of one width, scaled by the root of their weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hessay.errors import ArgumentError, DeviceError, NonFinite, ShapeError
from hessay.stepwise.design import lies_on_device

Floats = NDArray[Any]


class NonFiniteData(NonFinite, ValueError):
    """NaN or Inf in the data; a ValueError too, as users of scikit-learn expect."""


def matrix(values: ArrayLike, name: str, dtype: type[Any]) -> Floats:
    """Give a finite two-dimensional array of ``dtype``; one dimension is one column.

    Parameters
    ----------
    values : (n, p) or (n,) array-like of real numbers
    name : str
        Of the argument, for errors.
    dtype : float32 or float64

    Raises
    ------
    ShapeError
        Not one- or two-dimensional, or not numbers.
    NonFinite
        NaN or Inf; the message names the first row and column.
    DeviceError
        The array lies on a CUDA device.
    """
    if lies_on_device(values):
        raise DeviceError(
            f"{name} lies on a CUDA device, where only stepwise_path, delta_rss and "
            f"StepwiseRegression's fit and predict read it; pass {name}.cpu().numpy()"
        )
    array = np.asarray(values)
    if array.dtype.kind == "O":
        array = _numbers(array, name)
    if array.dtype.kind not in "fiub":
        raise ShapeError(
            f"{name} has dtype {array.dtype}, not real numbers; encode categories as columns of 0 and 1"
        )
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ShapeError(f"{name} must have shape (n, p) or (n,), got {array.shape}")
    array = array.astype(dtype, copy=False)
    # One pass without a mask: a sum is finite when every term is, short of overflow.
    if not np.isfinite(array.sum(dtype=np.float64)):
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            row, column = bad[0]
            raise NonFiniteData(
                f"{name} is {_word(array[row, column])} in row {row}, column {column} "
                f"({len(bad)} such entries); drop or fill them first"
            )
    return array


def _word(value: Any) -> str:
    return "NaN" if np.isnan(value) else str(value)


def _numbers(array: NDArray[Any], name: str) -> Floats:
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        first = next((v for v in array.ravel() if not isinstance(v, (int, float))), None)
        raise ShapeError(
            f"{name} holds {first!r}, which is no number; encode categories as columns of 0 and 1"
        ) from None


def weights(values: ArrayLike | None, n: int, *, allow_zero: bool = False) -> Floats | None:
    """Check sample weights: (n,) finite and positive, None for all ones.

    Raises
    ------
    ShapeError
        Not (n,).
    ArgumentError
        Not finite, negative, or zero where ``allow_zero`` is false; the message names the row.
    """
    if values is None:
        return None
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0:
        array = np.full(n, float(array))
    if array.shape != (n,):
        raise ShapeError(f"sample_weight must have shape ({n},), got {array.shape}")
    wrong = ~np.isfinite(array) | (array < 0) | ((array == 0) & (not allow_zero))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ArgumentError(
            f"sample_weight is {array[row]} in row {row}; weights must be finite and "
            + ("not negative" if allow_zero else "positive; leave out rows of weight zero")
        )
    return array


def support_indices(support: ArrayLike | Sequence[int] | None, p: int) -> NDArray[np.intp]:
    """Give column positions, each once, from positions or a mask; None is every column.

    Raises
    ------
    ArgumentError
        A position outside 0 .. p - 1, or one given twice.
    """
    if support is None:
        return np.arange(p)
    given = np.asarray(support)
    if given.dtype == bool:
        if given.shape != (p,):
            raise ArgumentError(f"a support mask must have shape ({p},), got {given.shape}")
        return np.flatnonzero(given)
    if given.size and given.dtype.kind not in "iu":
        raise ArgumentError(f"support must hold column positions or be a mask, got {given.dtype}")
    chosen = given.astype(np.intp).ravel()
    if chosen.size and (chosen.min() < 0 or chosen.max() >= p):
        raise ArgumentError(f"support must lie in 0 .. {p - 1}, got {chosen.tolist()}")
    if len(set(chosen.tolist())) != chosen.size:
        raise ArgumentError(f"support holds a column twice: {chosen.tolist()}")
    return chosen


def same_rows(x: Floats, y: Floats) -> None:
    """Raise ShapeError unless both have the same number of rows."""
    if len(x) != len(y):
        raise ShapeError(f"X has {len(x)} rows, y has {len(y)}; they must be the same samples")


def on_kept_rows(cv: Any, sample_weight: Any) -> Any:
    """Folds count the rows given; those of weight zero are left out before anything is fitted."""
    if sample_weight is None or not isinstance(cv, Iterable):
        return cv
    kept = np.asarray(sample_weight) > 0
    place = np.cumsum(kept) - 1
    parts = [[np.asarray(one, dtype=np.intp) for one in pair] for pair in cv]
    return [tuple(place[part[kept[part]]] for part in pair) for pair in parts]

"""Labels or values of a table as the linear model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hessay.errors import ArgumentError, ShapeError
from hessay.stepwise.row_inputs import matrix

_FEW_VALUES = 20  # whole numbers of at most so many values are labels
Task = Literal["auto", "classes", "values"]


def column_names(X: Any, given: Sequence[str] | None) -> list[str] | None:
    """Names given, or of a pandas or polars frame, or None."""
    if given is not None:
        return [str(name) for name in given]
    columns = getattr(X, "columns", None)
    return None if columns is None or callable(columns) else [str(name) for name in columns]


def responses(
    y: ArrayLike, task: Task
) -> tuple[NDArray[np.float64], NDArray[np.intp] | None, list[str]]:
    """Give the responses, the class of every row (None for values), and the labels as text.

    Returns
    -------
    y : (n, C) one-hot, or (n, 1) standardised values
    labels : (n,) intp or None
    shown : list of str

    Raises
    ------
    ArgumentError
        An unknown task, several outputs that are not one-hot, or one value only.
    ShapeError, NonFinite
        Not (n,) or (n, C), or NaN or Inf among numbers.
    """
    if task not in ("auto", "classes", "values"):
        raise ArgumentError(f"task must be 'auto', 'classes' or 'values', got {task!r}")
    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        numbers = matrix(array, "y", np.float64)
        if task == "values" or not (
            np.isin(numbers, (0.0, 1.0)).all() and (numbers.sum(axis=1) == 1).all()
        ):
            raise ArgumentError(
                f"y of shape {array.shape} is not one-hot; give labels, one-hot rows, or one output"
            )
        return _one_hot(numbers.argmax(axis=1), [str(c) for c in range(array.shape[1])])
    if array.ndim != 1:
        raise ShapeError(f"y must have shape (n,) or (n, C), got {array.shape}")
    text = array.dtype.kind in "USOb"
    if not text:
        numbers = matrix(array, "y", np.float64)[:, 0]
        whole = bool((numbers == np.round(numbers)).all())
        text = task == "classes" or (
            task == "auto" and whole and len(np.unique(numbers)) <= _FEW_VALUES
        )
    elif task == "values":
        raise ArgumentError(f"task='values' needs numbers, y has dtype {array.dtype}")
    if text:
        values, labels = np.unique(array.astype(str) if array.dtype.kind == "O" else array,
                                   return_inverse=True)  # fmt: skip
        return _one_hot(labels, [str(v) for v in values])
    spread = numbers.std()
    if not spread:
        raise ArgumentError("y has one value only; there is nothing to explain")
    return ((numbers - numbers.mean()) / spread)[:, None], None, ["values"]


def _one_hot(
    labels: NDArray[np.intp], shown: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.intp], list[str]]:
    present, dense = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        raise ArgumentError("y has one label only; there is nothing to explain")
    return np.eye(len(present))[dense], dense.astype(np.intp), [shown[c] for c in present]

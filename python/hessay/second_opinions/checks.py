"""What the defences on representations ask of labels and values before they look at them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hessay.errors import ProbeError, ShapeError
from hessay.probe import Probe


def labels_of(data: Probe, n_classes: int) -> Tensor:
    """Labels (N,) int64 of the data.

    Raises
    ------
    ProbeError
        There are none, they are floats, or one is no class of the model.
    """
    targets = data.class_numbers
    if targets is None:
        raise ProbeError("the training data have no labels; pass data=(inputs, targets)")
    if int(targets.max()) >= n_classes:
        raise ProbeError(
            f"the training data have label {int(targets.max())}, but the model has only classes 0 "
            f"to {n_classes - 1}; number the classes as in training"
        )
    return targets


def require_width(values: NDArray[np.float64]) -> None:
    """Refuse anything but a matrix of at least one row and one column.

    Raises
    ------
    ShapeError
        It is not (n, h), n >= 1, h >= 1.
    """
    if values.ndim != 2 or 0 in values.shape:
        raise ShapeError(
            f"representations must have shape (n, h) with no empty axis, got {values.shape}"
        )

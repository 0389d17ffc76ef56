"""Ridge fits with intercept: one column of targets, several, or class labels as one-hot columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hessay._laws import FloatArray
from hessay.errors import ArgumentError, ShapeError
from hessay.linear.inputs import CentredInputs, centred_inputs, finite_matrix
from hessay.theory._checks import ridge_value

__all__ = ["RidgeModel", "fit_classes", "fit_ridge"]


@dataclass(frozen=True, slots=True, eq=False)
class RidgeModel:
    """A fitted ``inputs @ weights + intercept``; arrays are read-only."""

    weights: FloatArray  # (p, C), target / input
    intercept: FloatArray  # (C,), target
    ridge: float  # of |Y - b - X W|^2 / n + ridge |W|^2, input^2
    inputs: CentredInputs  # what it was fitted to
    targets: FloatArray  # (n, C) as given, one-hot for class labels
    classes: NDArray[np.int64] | None  # (C,) labels of the columns, ascending; None for targets

    def scores(self, inputs: ArrayLike) -> FloatArray:
        """Scores (m, C) of inputs (m, p), target.

        Raises
        ------
        ShapeError, NonFinite
            Not a finite matrix of p columns.
        """
        matrix = finite_matrix("inputs", inputs)
        if matrix.shape[1] != len(self.weights):
            raise ShapeError(
                f"inputs must have {len(self.weights)} columns as fitted, got {matrix.shape[1]}"
            )
        result: FloatArray = matrix @ self.weights + self.intercept
        return result


def fit_ridge(inputs: ArrayLike | CentredInputs, targets: ArrayLike, *, ridge: float) -> RidgeModel:
    """Minimise ``|Y - b - X W|^2 / n + ridge |W|^2`` over W and the free intercept b.

    Parameters
    ----------
    inputs : (n, p) real, or CentredInputs
        The latter saves the decomposition when several ridges or targets share the inputs.
    targets : (n,) or (n, C) real
        Labels of +-1, one-hot rows, or anything real.
    ridge : float >= 0, input^2
        sklearn's ``alpha / n``. 0 is least squares, of smallest norm where it is not unique.

    Returns
    -------
    RidgeModel
        ``weights`` has C columns, one for a vector of targets.

    Raises
    ------
    ShapeError
        Shapes do not fit.
    NonFinite
        NaN or infinite entries.
    ArgumentError
        The ridge is negative or not finite, or all rows are equal.

    Source: docs/random-matrix-theory.md eq. 0.

    Examples
    --------
    >>> fit_ridge([[0.0], [1.0]], [-1.0, 1.0], ridge=0.25).weights.round(9).tolist()
    [[1.0]]
    """
    lam = ridge_value(ridge)
    data = inputs if isinstance(inputs, CentredInputs) else centred_inputs(inputs)
    columns = np.asarray(targets)
    matrix = finite_matrix("targets", columns[:, None] if columns.ndim == 1 else columns)
    if len(matrix) != data.n_rows or not matrix.shape[1]:
        raise ShapeError(
            f"targets must have shape ({data.n_rows},) or ({data.n_rows}, C), got {columns.shape}"
        )
    return _fit(data, matrix, lam, None)


def fit_classes(
    inputs: ArrayLike | CentredInputs, labels: ArrayLike, *, ridge: float
) -> RidgeModel:
    """Ridge fit of one-hot labels.

    Parameters
    ----------
    inputs, ridge
        As in :func:`fit_ridge`.
    labels : (n,) integers
        Any values; at least two different ones.

    Raises
    ------
    ShapeError
        ``labels`` is no vector of n integers.
    ArgumentError
        Fewer than two classes, or as :func:`fit_ridge`.
    NonFinite
        As :func:`fit_ridge`.

    Source: docs/random-matrix-theory.md eq. 6.

    Examples
    --------
    >>> model = fit_classes([[0.0], [1.0], [2.0]], [7, 7, 9], ridge=0.1)
    >>> model.classes.tolist(), model.weights.shape
    ([7, 9], (1, 2))
    """
    lam = ridge_value(ridge)
    data = inputs if isinstance(inputs, CentredInputs) else centred_inputs(inputs)
    given = np.asarray(labels)
    if given.ndim != 1 or given.dtype.kind not in "iub" or len(given) != data.n_rows:
        raise ShapeError(
            f"labels must be {data.n_rows} integers, got shape {given.shape} of dtype {given.dtype}"
        )
    if given.size and given.max() > np.iinfo(np.int64).max:
        raise ArgumentError(f"labels must fit in int64, the largest is {given.max()}")
    classes, index = np.unique(given.astype(np.int64), return_inverse=True)
    if len(classes) < 2:
        raise ArgumentError(
            f"labels hold one class only, {classes.tolist()}; at least 2 are needed"
        )
    hot = np.zeros((data.n_rows, len(classes)))
    hot[np.arange(data.n_rows), index] = 1.0
    classes.flags.writeable = False
    return _fit(data, hot, lam, classes)


def _fit(
    data: CentredInputs, targets: FloatArray, ridge: float, classes: NDArray[np.int64] | None
) -> RidgeModel:
    # W = V (x + ridge)^-1 sqrt(x) U' Y / sqrt(n), X = sqrt(n) U sqrt(x) V'
    shrunk = np.sqrt(data.values) / ((data.values + ridge) * np.sqrt(data.n_rows))
    weights = data.directions @ (shrunk[:, None] * (data.scores.T @ targets))
    intercept = targets.mean(axis=0) - data.mean @ weights
    for array in (weights, intercept, targets):
        array.flags.writeable = False
    return RidgeModel(weights, intercept, ridge, data, targets, classes)

"""Centred inputs taken apart once, so that every ridge costs two products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from hessay._laws import FloatArray
from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.theory._checks import LARGEST

__all__ = ["CentredInputs", "centred_inputs", "finite_matrix"]


@dataclass(frozen=True, slots=True, eq=False)
class CentredInputs:
    """Eigenvalues of the sample covariance and its principal directions; arrays are read-only."""

    n_rows: int
    n_inputs: int
    mean: FloatArray  # (p,) of the rows, input
    rows: FloatArray  # (n, p) centred, input
    values: FloatArray  # (r,) descending, > 0, of X'X / n after centring, input^2
    directions: FloatArray  # (p, r) orthonormal principal directions
    scores: FloatArray  # (n, r) orthonormal; rows = scores * sqrt(n values) * directions'
    route: Literal["primal", "dual"]  # which Gram matrix was taken apart: p x p, or n x n

    @property
    def dimensions(self) -> int:
        """Dimensions that centred rows can fill, ``n_rows - 1``."""
        return self.n_rows - 1

    @property
    def spectrum(self) -> FloatArray:
        """All ``n_rows - 1`` eigenvalues of ``X X' / n`` on centred rows, zeros included, input^2."""
        full = np.zeros(self.dimensions)
        full[: len(self.values)] = self.values
        return full


def centred_inputs(inputs: ArrayLike) -> CentredInputs:
    """Centre inputs and take the smaller Gram matrix apart.

    Parameters
    ----------
    inputs : (n, p) real, n >= 2, p >= 1

    Raises
    ------
    ShapeError
        Not a matrix of real numbers, or too few rows.
    NonFinite
        NaN or infinite entries.
    ArgumentError
        All rows are equal.

    Source: docs/random-matrix-theory.md eq. 0; the dual form of ridge regression, Saunders,
    Gammerman & Vovk 1998, ICML, 515.
    """
    matrix = finite_matrix("inputs", inputs)
    n, p = matrix.shape
    if n < 2 or p < 1:
        raise ShapeError(f"inputs must have at least 2 rows and 1 column, got {matrix.shape}")
    mean = matrix.mean(axis=0)
    rows = matrix - mean
    widest = float(np.abs(rows).max())
    if 0 < widest < 1 / LARGEST:
        raise ArgumentError(
            f"inputs differ by at most {widest:.3g}, below {1 / LARGEST:g}; give them in a smaller unit"
        )
    route: Literal["primal", "dual"] = "primal" if p <= n else "dual"
    gram = rows.T @ rows if route == "primal" else rows @ rows.T
    values, vectors = np.linalg.eigh(gram / n)
    values, vectors = values[::-1], vectors[:, ::-1]
    # A Gram matrix knows its zeros to eps * size * largest.
    floor = np.finfo(float).eps * max(n, p) * max(float(values[0]), 0.0)
    kept = int(np.count_nonzero(values > floor))
    kept = min(kept, n - 1)
    if kept == 0:
        raise ArgumentError(f"all {n} rows of inputs are equal; there is nothing to fit")
    values, vectors = values[:kept].copy(), np.ascontiguousarray(vectors[:, :kept])
    scale = np.sqrt(n * values)
    other = (rows @ vectors if route == "primal" else rows.T @ vectors) / scale
    directions, scores = (vectors, other) if route == "primal" else (other, vectors)
    for array in (mean, rows, values, directions, scores):
        array.flags.writeable = False
    return CentredInputs(n, p, mean, rows, values, directions, scores, route)


def finite_matrix(name: str, values: ArrayLike) -> FloatArray:
    """``values`` as a finite float64 matrix."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != 2:
        raise ShapeError(f"{name} must be a matrix, got shape {array.shape}; flatten each row")
    matrix = np.array(array, dtype=np.float64)
    bad = ~np.isfinite(matrix)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise NonFinite(
            f"{name} holds {int(bad.sum())} NaN or infinite entries, the first in row {row}, column"
            f" {column}; remove such rows or fill them in"
        )
    if matrix.size and np.abs(matrix).max() > LARGEST:
        raise ArgumentError(
            f"{name} must be at most {LARGEST:g} in size, the largest is"
            f" {float(np.abs(matrix).max()):.3g}; give them in a larger unit"
        )
    return matrix

"""What an edge is fitted to: the positive part of a spectrum, full or as quadrature nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessay._laws import FloatArray, RealArray, real_vector, whole
from hessay.errors import ArgumentError, ShapeError

MIN_VALUES = 20
_WEIGHT_SUM = 1e-6  # how far the weights may be from one: their rounding, and that of the caller


@dataclass(frozen=True, slots=True, eq=False)
class PositivePart:
    """Positive eigenvalues, descending."""

    values: FloatArray  # (m,) unit of the input
    counts: FloatArray | None  # (m,) eigenvalues each stands for; None: one each
    total: float  # sum of counts, or m
    zeros: float  # eigenvalues that are zero up to rounding

    @property
    def heaviest(self) -> float:
        """Eigenvalues the heaviest entry stands for."""
        return 1.0 if self.counts is None else float(self.counts.max())


def checked(
    values: RealArray, weights: RealArray | None = None, dimension: int | None = None
) -> PositivePart:
    """Check a spectrum and keep its positive part.

    Parameters
    ----------
    values : (k,) array
        Eigenvalues, or quadrature nodes, in any order.
    weights : (k,) array, optional
        Share of the eigenvalues at each node, >= 0, sum 1.
    dimension : int, optional
        Eigenvalues in all; needed with weights, and only then.

    Raises
    ------
    ArgumentError
        Fewer than 20 positive values, all equal, negative beyond rounding, NaN or infinite;
        weights that are negative or do not sum to one; weights without a dimension, or the reverse.
    ShapeError
        Not vectors of real numbers, or of different lengths.
    """
    array = real_vector("values", values)
    if (weights is None) != (dimension is None):
        raise ArgumentError(
            f"weights and dimension go together, got {'no' if weights is None else 'only'} weights;"
            " pass density.nodes, weights=density.weights, dimension=density.d"
        )
    counts = None if weights is None else _counts(array, weights, whole("dimension", dimension))
    size = float(array.size if counts is None else counts.sum())
    single = np.asarray(values).dtype in (np.float32, np.float16)
    largest = float(array.max(initial=0.0))
    if array.size and largest <= 0:
        raise ArgumentError(
            f"values has no positive eigenvalue, the largest is {float(array.max())!r};"
            " a zero or negative matrix has no noise bulk"
        )
    # What an eigensolver leaves of a zero: size * eps * largest.
    rounding = size * float(np.finfo(np.float32 if single else np.float64).eps) * largest
    if array.size and float(array.min()) < -rounding:
        raise ArgumentError(
            f"values holds {int((array < -rounding).sum())} negative eigenvalues, the smallest"
            f" {float(array.min())!r}; pass the spectrum of a positive semidefinite matrix"
        )
    order = np.argsort(-array, kind="stable") if np.any(np.diff(array) > 0) else slice(None)
    ordered = np.ascontiguousarray(array[order])
    kept = int(np.count_nonzero(ordered > rounding))
    bulk = ordered[:kept]
    held = None if counts is None else np.ascontiguousarray(counts[order][:kept])
    total = float(kept if held is None else held.sum())
    if min(kept, total) < MIN_VALUES:
        raise ArgumentError(
            f"values holds {min(kept, int(total))} positive eigenvalues, an edge fit needs"
            f" {MIN_VALUES}; pass the whole spectrum or use a larger probe"
        )
    if float(bulk[0] - bulk[-1]) <= rounding:
        raise ArgumentError(
            f"all {kept} positive values equal {float(bulk[0])!r}; a multiple of the identity"
            " has no bulk to fit"
        )
    return PositivePart(bulk, held, total, size - total)


def check_zeros(spectrum: PositivePart, ratio: float) -> None:
    """Refuse zeros that contradict a known aspect ratio; none at all is the positive part alone.

    ``p / n`` counts ``max(0, p - n)`` zeros. One row more or less, as centring takes, is allowed.
    """
    if spectrum.zeros < 0.5:
        return
    found = (spectrum.total + spectrum.zeros) / spectrum.total
    if abs(found - max(ratio, 1.0)) > found * (0.01 + 2 / spectrum.total):
        raise ArgumentError(
            f"values holds {spectrum.zeros:.0f} zeros beside {spectrum.total:.0f} positive"
            f" eigenvalues, which is an aspect ratio of {found:.4g}, got {ratio:.4g}; pass columns"
            " over rows of the data, or the positive eigenvalues alone"
        )


def _counts(array: FloatArray, weights: RealArray, dimension: int) -> FloatArray:
    shares = real_vector("weights", weights)
    if shares.shape != array.shape:
        raise ShapeError(
            f"weights must have the shape of values, {array.shape}, got {shares.shape}"
        )
    if shares.size and float(shares.min()) < 0:
        raise ArgumentError(f"weights must not be negative, got {float(shares.min())!r}")
    total = float(shares.sum())
    if abs(total - 1) > _WEIGHT_SUM:
        raise ArgumentError(
            f"weights must sum to one, got {total!r}; pass density.weights, or divide by the sum"
        )
    # A node of no weight stands for nothing; the smallest share keeps the order statistics apart.
    return np.maximum(shares, np.finfo(np.float64).tiny) * dimension

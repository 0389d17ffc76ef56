"""A symmetric operator as counted, checked products in double."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.spectrum import Operator

Block = NDArray[np.float64]

ALLOWED_ASYMMETRY = 1e-3  # of |A|: single-precision products are symmetric to about 1e-6
_IDENTITY_COLUMNS = 64  # of the identity a call, when the matrix is formed from products
_ROUNDING = {4: float(np.finfo(np.float32).eps), 8: float(np.finfo(np.float64).eps)}
_FORMED = ("factor", "moment", "dense")  # routes whose dense() needs no products


class Products:
    """V to A V with shapes, dtypes and finiteness checked, columns counted and time taken.

    Parameters
    ----------
    operator : InputHessian, MetricHessian, square array or tensor, LinearOperator, or (callable, d)
        Symmetric (d, d); the callable maps a float64 block (d, b) to its product.

    Raises
    ------
    ArgumentError, ShapeError, NonFinite
        It is not square, has no rows, is complex, or is a matrix that is not symmetric or not finite.
    """

    def __init__(self, operator: Operator) -> None:
        self.count = 0  # columns
        self.calls = 0
        self.seconds = 0.0
        self.matrix: Block | None = None
        self._form: Callable[[], NDArray[np.floating]] | None = None
        dtype: np.dtype[Any] = np.dtype(np.float64)
        if isinstance(operator, tuple):
            self._apply, d = _pair(operator)
        else:
            shape = getattr(operator, "shape", None)
            if shape is None or len(shape) != 2 or shape[0] != shape[1]:
                raise ShapeError(f"the operator must be square, (d, d), got {shape}")
            if getattr(operator, "average", True) is not True:
                raise ArgumentError("the operator works per sample; pass one with average=True")
            d, self._apply = shape[0], operator.__matmul__
            dtype = (
                np.dtype(getattr(operator, "dtype", None) or dtype)
                if not hasattr(operator, "__dlpack__")
                else dtype
            )
        if d < 1:
            raise ShapeError(f"the operator has size {d}; it must be positive")
        self.d = int(d)
        self.precision = np.dtype(np.float32 if dtype == np.float32 else np.float64)
        if hasattr(operator, "__dlpack__"):
            self.matrix = symmetric(_array(operator))
        elif getattr(operator, "backend", None) in _FORMED:
            self._form = getattr(operator, "dense", None)

    @property
    def at_hand(self) -> bool:
        """Whether the matrix itself is there, or is formed without products."""
        return self.matrix is not None or self._form is not None

    @property
    def rounding(self) -> float:
        """Relative rounding of a product: eps * sqrt(d) of its precision."""
        return _ROUNDING[self.precision.itemsize] * float(np.sqrt(self.d))

    def __call__(self, v: Block) -> Block:
        """Multiply: A V (d, b) for V (d, b)."""
        start = time.perf_counter()
        if self.matrix is not None:
            product: Block = self.matrix @ v
        else:
            product = self._checked(v)
        self.seconds += time.perf_counter() - start
        self.count += v.shape[1]
        self.calls += 1
        return product

    def dense(self) -> Block:
        """Return A (d, d): as it is, from its route, or from d products; symmetrised."""
        if self.matrix is not None:
            return self.matrix
        start = time.perf_counter()
        if self._form is not None:
            full = np.asarray(self._form(), dtype=np.float64)
            self.seconds += time.perf_counter() - start
        else:
            full = np.empty((self.d, self.d))
            for first in range(0, self.d, _IDENTITY_COLUMNS):
                columns = range(first, min(first + _IDENTITY_COLUMNS, self.d))
                unit = np.zeros((self.d, len(columns)))
                unit[columns, range(len(columns))] = 1.0
                full[:, columns] = self(unit)
        return symmetric(full)

    def _checked(self, v: Block) -> Block:
        raw = self._apply(v.astype(self.precision, copy=False))
        out = _array(raw)
        if out.shape != v.shape:
            raise ShapeError(f"the operator maps {v.shape} to {out.shape}; it must keep the shape")
        if not np.isfinite(out).all():
            raise NonFinite(f"the operator returned NaN or Inf in product number {self.count + 1}")
        return out.astype(np.float64, copy=False)


def symmetric(matrix: NDArray[Any]) -> Block:
    """Return (A + A') / 2 of a matrix (d, d) that is symmetric up to rounding.

    Raises
    ------
    NonFinite, ArgumentError
        It holds NaN or Inf, or is not symmetric.
    """
    array = matrix.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        raise NonFinite("the matrix holds NaN or Inf")
    asymmetry = float(np.abs(array - array.T).max(initial=0.0))
    if asymmetry > ALLOWED_ASYMMETRY * float(np.abs(array).max(initial=0.0)):
        raise ArgumentError(
            f"the matrix is not symmetric: |A - A'| reaches {asymmetry:g}; pass (A + A') / 2"
        )
    return (array + array.T) / 2


def _array(value: Any) -> NDArray[Any]:
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if array.dtype.kind not in "fiu":
        raise ShapeError(f"the operator has or returns dtype {array.dtype}; it must be real")
    return array


def _pair(operator: tuple[Any, ...]) -> tuple[Callable[[NDArray[Any]], Any], int]:
    if len(operator) != 2 or not callable(operator[0]):
        raise ArgumentError(f"the operator must be (callable, d), got {operator!r}")
    if not isinstance(operator[1], int | np.integer) or isinstance(operator[1], bool):
        raise ArgumentError(
            f"the operator's size d must be a positive integer, got {operator[1]!r}"
        )
    return operator[0], int(operator[1])

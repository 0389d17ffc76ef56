"""The regression problem, checked: arrays, weights, groups, columns that must or must not enter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from hessay.errors import ArgumentError, NonFinite, ShapeError

Array = NDArray[np.float64]
_DLPACK_CUDA = (2, 13)  # device memory, and managed memory


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """A checked problem; X is kept as it lies in memory."""

    x: Any  # (n, p) float32 or float64, any strides; a NumPy array, or a tensor on a CUDA device
    y: Array  # (n, C)
    flat: bool  # y had one axis
    weights: Array  # (n,) > 0, or empty
    intercept: bool
    ridge: float  # x^2
    units: list[list[int]]  # columns that move together; each column in exactly one
    forced: list[int]  # units
    forbidden: list[int]  # units
    double: bool  # precision of the products
    mapped: bool  # X is a mapping whose pages may be handed back once read
    device: str | None = (
        None  # where passes over an X of the processor are made; None: where X lies
    )

    @property
    def n_rows(self) -> int:
        """Rows n."""
        return int(self.x.shape[0])

    @property
    def n_columns(self) -> int:
        """Columns p."""
        return int(self.x.shape[1])

    @property
    def on_device(self) -> bool:
        """Whether passes over X are made on a CUDA device."""
        return self.device is not None or lies_on_device(self.x)

    @property
    def free_columns(self) -> list[int]:
        """Columns that may enter or are forced."""
        forbidden = set(self.forbidden)
        return [j for u, unit in enumerate(self.units) if u not in forbidden for j in unit]

    @property
    def total_weight(self) -> float:
        """Sum of the weights, of ones where none were given."""
        return float(self.weights.sum()) if self.weights.size else float(self.n_rows)


def lies_on_device(array: object) -> bool:
    """Whether an array lies on a CUDA device, by what it says of itself to DLPack."""
    ask = getattr(array, "__dlpack_device__", None)
    return ask is not None and int(ask()[0]) in _DLPACK_CUDA


def checked_design(
    x: ArrayLike,
    y: ArrayLike,
    *,
    fit_intercept: bool,
    sample_weight: ArrayLike | None,
    ridge: float,
    forced: Iterable[int],
    forbidden: Iterable[int],
    groups: Sequence[Sequence[int]] | None,
    dtype: DTypeLike | None,
    device: str | None = None,
) -> Design:
    """Check everything that can be checked without a pass over X.

    Raises
    ------
    ShapeError
        Wrong shapes or types.
    ArgumentError
        An option outside its range, or contradicting another.
    NonFinite
        NaN or Inf in y or the weights. In X it is found by the first pass.
    """
    matrix = _tensor(x) if lies_on_device(x) else _matrix(x)
    n, p = matrix.shape
    outputs, flat = _outputs(on_host(y), n)
    weights = _weights(on_host(sample_weight), n)
    if isinstance(ridge, bool) or not (math.isfinite(ridge) and ridge >= 0):
        raise ArgumentError(f"ridge must be finite and at least 0, got {ridge!r}")
    units = _units(groups, p)
    unit_of = {j: u for u, unit in enumerate(units) for j in unit}
    must = dict.fromkeys(unit_of[j] for j in _columns("forced", forced, p))
    never = dict.fromkeys(unit_of[j] for j in _columns("forbidden", forbidden, p))
    both = sorted(j for u in must if u in never for j in units[u])
    if both:
        raise ArgumentError(
            f"columns {both} are both forced and forbidden (a group counts as one); choose one"
        )
    arithmetic = np.dtype(_dtype_of(matrix) if dtype is None else dtype)
    if arithmetic not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ArgumentError(f"dtype must be float32 or float64, got {arithmetic}")
    mapped = isinstance(x, np.memmap) and x.mode in ("r", "r+") and matrix is x
    return Design(
        matrix,
        outputs,
        flat,
        weights,
        bool(fit_intercept),
        float(ridge),
        units,
        list(must),
        list(never),
        arithmetic == np.dtype(np.float64),
        mapped,
        device,
    )


def on_host(array: Any) -> Any:
    """Copy what lies on a CUDA device; everything else as it is."""
    return array.detach().cpu().numpy() if lies_on_device(array) else array


def _dtype_of(matrix: Any) -> str:
    # torch writes its dtypes as "torch.float32"
    return str(matrix.dtype).removeprefix("torch.")


def _tensor(x: Any) -> Any:
    if x.is_complex():
        raise ShapeError(f"X must hold real numbers, got dtype {x.dtype}; take its real part")
    _check_shape(tuple(x.shape))
    if not x.is_floating_point():
        return x.double()
    return x if x.element_size() >= 4 else x.float()


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) != 2:
        raise ShapeError(f"X must have shape (n, p), got {shape}; pass two axes")
    if shape[1] == 0:
        raise ShapeError("X has no columns (p = 0); pass at least one")
    if shape[0] < 2:
        raise ShapeError(f"X has {shape[0]} rows; at least two are needed")


def _matrix(x: ArrayLike) -> NDArray[np.floating]:
    matrix: NDArray[Any] = x if isinstance(x, np.ndarray) else np.asarray(x)
    if matrix.dtype.kind not in "fiub":
        raise ShapeError(
            f"X must hold real numbers, got dtype {matrix.dtype}; encode categories as numbers"
            " (one column each, grouped with groups=) and convert to float64"
        )
    _check_shape(matrix.shape)
    if matrix.dtype.kind != "f" or matrix.dtype.itemsize > 8:
        return matrix.astype(np.float64)
    if matrix.dtype.itemsize < 4:
        return matrix.astype(np.float32)
    if not matrix.dtype.isnative:
        return matrix.astype(matrix.dtype.newbyteorder("="))
    if any(stride % matrix.itemsize for stride in matrix.strides) or not matrix.flags.aligned:
        return np.ascontiguousarray(matrix)
    return matrix


def _outputs(y: ArrayLike, n: int) -> tuple[Array, bool]:
    array = np.asarray(y)
    if array.dtype.kind not in "fiub":
        raise ShapeError(
            f"y must hold real numbers, got dtype {array.dtype}; encode classes one-hot as float64"
        )
    if array.ndim not in (1, 2) or len(array) != n or array.size == 0:
        raise ShapeError(f"y must have shape ({n},) or ({n}, C), C >= 1, got {array.shape}")
    outputs = np.ascontiguousarray(array.reshape(n, -1), dtype=np.float64)
    if not _surely_finite(outputs):
        bad = np.argwhere(~np.isfinite(outputs))
        if len(bad):
            row, output = (int(i) for i in bad[0])
            raise NonFinite(
                f"y holds {outputs[row, output]} in row {row}, output {output}"
                f" ({len(bad)} such values); drop these rows"
            )
    return outputs, array.ndim == 1


def _surely_finite(values: Array) -> bool:
    """Whether the sum of squares is finite: one pass, and no array beside it.

    It is not where one number is not, nor where a square overflows: then look at every number.
    """
    flat = values.ravel()
    with np.errstate(all="ignore"):
        return math.isfinite(np.dot(flat, flat))


def _weights(weights: ArrayLike | None, n: int) -> Array:
    if weights is None:
        return np.empty(0)
    array = np.asarray(weights)
    if array.dtype.kind not in "fiub" or array.shape != (n,):
        raise ShapeError(
            f"sample_weight must hold {n} real numbers, one a row, got shape {array.shape}"
            f" and dtype {array.dtype}"
        )
    out = np.ascontiguousarray(array, dtype=np.float64)
    if not np.isfinite(out).all():
        row = int(np.argmin(np.isfinite(out)))
        raise NonFinite(f"sample_weight holds {out[row]} in row {row}; drop the row")
    if (out <= 0).any():
        row = int(np.argmax(out <= 0))
        raise ArgumentError(
            f"sample_weight must be positive, got {out[row]} in row {row}; drop rows of weight 0"
        )
    return out


def _columns(name: str, columns: Iterable[int], p: int) -> list[int]:
    out = []
    for column in columns:
        if isinstance(column, bool) or not isinstance(column, (int, np.integer)):
            raise ArgumentError(f"{name} must hold column positions, got {column!r}")
        if not 0 <= column < p:
            raise ArgumentError(f"{name} names column {column}; X has columns 0 to {p - 1}")
        out.append(int(column))
    return out


def _units(groups: Sequence[Sequence[int]] | None, p: int) -> list[list[int]]:
    named = [_columns("groups", group, p) for group in groups or ()]
    seen: set[int] = set()
    for group in named:
        if not group:
            raise ArgumentError("groups holds an empty group; leave it out")
        for column in group:
            if column in seen:
                raise ArgumentError(f"groups names column {column} twice; a column has one group")
            seen.add(column)
    units = named + [[j] for j in range(p) if j not in seen]
    return sorted(units, key=min)

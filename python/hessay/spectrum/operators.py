"""What counts as a symmetric operator, and how the core is given each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hessay import _core
from hessay.errors import ArgumentError, NonFinite, ShapeError

Precision: TypeAlias = type[np.float32 | np.float64]
# options by name, seed, start block or None; to the answer by name
Solve: TypeAlias = Callable[[Mapping[str, Any], int, Any], Mapping[str, Any]]


@runtime_checkable
class SupportsMatmul(Protocol):
    """Anything with a square shape that multiplies a block (d, k) from the left."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    def __matmul__(self, other: Any, /) -> Any: ...


# A product that waits for a stored matrix takes a second vector at little more than the price of one,
# and two vectors a call need 1.3 times the columns of one; four need twice as many
# (`python bench/bench_eigs.py --blocks`). A matrix below this size stays in the processor's cache.
_STORED_BLOCK = 2
_LEAST_STORED_BYTES = 8_000_000

Operator: TypeAlias = SupportsMatmul | tuple[Callable[[Any], Any], Any]


@dataclass(frozen=True, slots=True)
class Recognised:
    """An operator that a solver can work with, in the core or on a CUDA device."""

    size: int  # d
    dtype: Precision  # the precision of the solve
    solve: Solve
    block: int = 1  # columns a call that cost the least time; 1 costs the fewest products
    start: Callable[[Any], Any] | None = None  # what brings start vectors to a device

    def start_block(self, start: Any) -> Any:
        """Bring start vectors, (d,) or (d, j), an array or tensor, to the solve's precision.

        Raises
        ------
        ShapeError
            Other than d rows, or no column.
        ArgumentError
            Not real numbers.
        NonFinite
            NaN or Inf among them.
        """
        return _start_block(start, self) if self.start is None else self.start(start)


def recognise(operator: Operator) -> Recognised:
    """Find out what an operator is.

    Parameters
    ----------
    operator : see :func:`hessay.spectrum.eigsh`
        A matrix, sparse or dense, NumPy's, SciPy's or torch's; an object with ``shape`` and ``@``;
        (callable, d) or (callable, tensor). Tensors on a CUDA device, and an InputHessian whose
        products are hessay's own there, are solved on the device where ``hessay._cuda`` is.

    Raises
    ------
    ArgumentError
        A dense matrix is not symmetric, a dtype is not real, d is no positive integer, or the
        operator works per sample.
    ShapeError
        The operator is not square.
    """
    if isinstance(operator, tuple):
        function, like = _pair(operator)
        if hasattr(like, "new_tensor"):
            return _torch_callable(function, like, int(like.shape[0]) if like.ndim else 0)
        return _callable(function, like, np.float64)
    if getattr(operator, "average", True) is False:
        raise ArgumentError("this operator is one of every sample: use eigsh_batch for all of them")
    shape = getattr(operator, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != shape[1]:
        raise ShapeError(f"the operator must be square, (d, d), got {shape}")
    if hasattr(operator, "new_tensor"):
        return _tensor(operator, int(shape[0]))
    if hasattr(operator, "__dlpack__"):
        return _dense(operator)
    there = getattr(operator, "device_operator", lambda: None)()
    if there is not None:
        return _solved_there(there, int(shape[0]), _precision(operator))
    if getattr(operator, "backend", None) == "factor":
        factor = operator.factor()  # type: ignore[attr-defined]
        precision = np.float32 if np.dtype(factor.rows.dtype) == np.float32 else np.float64
        return Recognised(
            int(shape[0]),
            precision,
            lambda options, seed, start: _core.lanczos_factor(
                factor.rows, factor.lift, _core.LanczosOptions(**options), seed, start
            ),
            _STORED_BLOCK,
        )
    return _callable(operator.__matmul__, int(shape[0]), _precision(operator))


def _precision(operator: Any) -> Precision:
    named = getattr(operator, "dtype", None)
    try:
        dtype = np.dtype(named or np.float64)
    except TypeError:
        raise ArgumentError(
            f"the operator's dtype {named} is not NumPy's; if it multiplies tensors, pass "
            "(operator.__matmul__, tensor), a tensor of shape (d,) that blocks are to be like"
        ) from None
    if dtype.kind not in "fiub":
        raise ArgumentError(f"the operator must be real, got dtype {dtype}")
    return np.float32 if dtype == np.float32 else np.float64


def _dense(matrix: Any) -> Recognised:
    array = np.asarray(matrix)
    if array.dtype.kind not in "fiub":
        raise ArgumentError(f"the matrix must be real, got dtype {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    # A symmetric matrix is its own transpose: one stored by rows is taken as it lies.
    held = array.T if array.flags.c_contiguous else np.asfortranarray(array)
    asymmetry, largest = _core.asymmetry(held)
    if not asymmetry <= 1e-3 * largest:
        raise ArgumentError(
            f"the matrix is not symmetric (or not finite): |A - A'| reaches {asymmetry:g}; "
            "pass (A + A') / 2"
        )
    return Recognised(
        len(held),
        held.dtype.type,
        lambda options, seed, start: _core.lanczos_dense(
            held, _core.LanczosOptions(**options), seed, start
        ),
        _STORED_BLOCK if held.nbytes >= _LEAST_STORED_BYTES else 1,
    )


def _callable(product: Callable[[Any], Any], d: Any, precision: Precision) -> Recognised:
    if not isinstance(d, int | np.integer) or d < 1:
        raise ArgumentError(
            "the operator's size d must be a positive integer (or a tensor of shape (d,) that "
            f"blocks are to be like), got {d!r}"
        )

    def apply(v: NDArray[Any]) -> NDArray[Any]:
        out = as_array(product(v))
        if out.shape != v.shape:
            raise ShapeError(f"the operator maps {v.shape} to {out.shape}; it must keep the shape")
        if out.dtype.kind not in "fiu":
            raise ShapeError(f"the operator returned dtype {out.dtype}; it must be real")
        return out.astype(precision, copy=False)

    return Recognised(
        int(d),
        precision,
        lambda options, seed, start: _core.lanczos_callback(
            apply,
            int(d),
            precision is np.float32,
            _core.LanczosOptions(**options),
            seed,
            start,
        ),
    )


def _torch_callable(product: Callable[[Any], Any], like: Any, d: int) -> Recognised:
    name = str(like.dtype)
    if name not in ("torch.float32", "torch.float64"):
        raise ArgumentError(f"blocks must be float32 or float64 tensors, got {name}")
    precision = _tensor_precision(like)
    if not _is_cuda(like):
        return _callable(lambda v: product(like.new_tensor(v)), d, precision)
    from hessay.hessian.device.lanczos import DeviceOperator
    from hessay.hessian.device.module import available

    if available(like.device):
        return _solved_there(DeviceOperator(like.new_empty(0), d, function=product), d, precision)
    known = _callable(lambda v: product(like.new_tensor(v)), d, precision)

    def solve(options: Mapping[str, Any], seed: int, start: Any) -> Mapping[str, Any]:
        found = known.solve(options, seed, start)
        return {**found, "vectors": like.new_tensor(found["vectors"])}

    return replace(known, solve=solve)


def _tensor(matrix: Any, d: int) -> Recognised:
    """Take a torch matrix: on the CPU as it is, elsewhere or sparse by its products."""
    held = matrix.detach()
    if not str(matrix.layout).endswith("strided"):
        entries = (held.coalesce() if held.is_sparse else held).values()
        return _torch_callable(held.__matmul__, entries, d)
    if _is_cuda(held) and str(held.dtype) in ("torch.float32", "torch.float64"):
        from hessay.hessian.device.lanczos import dense_operator
        from hessay.hessian.device.module import available

        if available(held.device):
            stored = held.element_size() * d * d >= _LEAST_STORED_BYTES
            there = dense_operator(held)
            return _solved_there(there, d, _tensor_precision(held), _STORED_BLOCK if stored else 1)
    if held.device.type != "cpu":
        return _torch_callable(held.__matmul__, held, d)
    return _dense(held)


def _solved_there(there: Any, d: int, precision: Precision, block: int = 1) -> Recognised:
    """Take a :class:`hessay.hessian.device.lanczos.DeviceOperator`."""
    return Recognised(d, precision, there.solve, block, there.start_block)


def _tensor_precision(tensor: Any) -> Precision:
    return np.float32 if str(tensor.dtype) == "torch.float32" else np.float64


def _is_cuda(tensor: Any) -> bool:
    return bool(tensor.device.type == "cuda")


def _pair(operator: tuple[Any, ...]) -> tuple[Callable[[Any], Any], Any]:
    if len(operator) != 2 or not callable(operator[0]):
        raise ArgumentError("an operator given as a tuple is (callable, d) or (callable, tensor)")
    return operator[0], operator[1]


def _start_block(start: Any, known: Recognised) -> NDArray[Any]:
    array = as_array(start)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[0] != known.size or array.shape[1] == 0:
        raise ShapeError(
            f"start must hold vectors of length d = {known.size}, as (d,) or (d, j), got shape "
            f"{array.shape}"
        )
    if array.dtype.kind not in "fiub":
        raise ArgumentError(f"start must be real, got dtype {array.dtype}")
    with np.errstate(over="ignore"):  # what overflows is reported below
        block = np.asfortranarray(array[:, : known.size], dtype=known.dtype)
    if not np.isfinite(block).all():
        raise NonFinite(f"start holds NaN or Inf (as {block.dtype})")
    return block


def as_array(value: Any) -> NDArray[Any]:
    """Bring an array or tensor of any device to NumPy."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)

"""Extremal eigenpairs of many small operators in one call: the Hessians of single samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NotConverged, ShapeError
from hessay.spectrum.exact import factored_pairs
from hessay.spectrum.lanczos import WhichEnd
from hessay.spectrum.lockstep import Lockstep

_Product: TypeAlias = Callable[[NDArray[np.float64]], NDArray[Any]]
_ENDS = ("LM", "LA", "SA", "BE")


@dataclass(frozen=True, slots=True, eq=False)
class EigenpairsBatch:
    """The asked-for end of n spectra, each with residuals and a certificate of its own."""

    values: NDArray[np.float64]  # (n, k) in the operators' unit, ordered as asked
    vectors: NDArray[np.floating]  # (n, d, k), orthonormal columns for each sample
    residuals: NDArray[np.float64]  # (n, k), |A x - value x|
    converged: NDArray[np.bool_]  # (n,) every residual is within tol * |A_i|
    certified: NDArray[np.bool_]  # (n,) and nothing beyond was missed but for miss_limit
    miss_probability: NDArray[np.float64]  # (n,) that an eigenvalue beyond was missed
    miss_limit: float  # the probability asked for
    norm: NDArray[np.float64]  # (n,) |A_i| as used in the residual test
    route: Literal["factor", "lanczos"]  # exact from B_i, or by products
    products: NDArray[
        np.intp
    ]  # (n,) operator columns until the sample was finished; 0 from factors
    calls: int  # operator calls, one column of every sample each

    def __len__(self) -> int:
        return len(self.values)


def eigsh_batch(
    operators: Any,
    k: int = 10,
    which: WhichEnd = "LM",
    tol: float = 1e-5,
    *,
    seed: int = 0,
    max_products: int | None = None,
    miss_probability: float = 1e-3,
    partial: bool = False,
) -> EigenpairsBatch:
    """Find the k eigenpairs at one end of each of n symmetric operators of one size.

    All samples step together, one column of each in a call; a finished one rides along as zeros and
    is no longer counted. Memory is that of the longest chain, n d steps numbers.

    Parameters
    ----------
    operators : InputHessian(average=False), (n, d, d) array or tensor, or (callable, (n, d))
        The callable maps (n, d, 1) to (n, d, 1), sample by sample. An InputHessian held as a factor
        is not iterated: H_i = B_i'B_i is solved exactly from its B_i, r x d.
    k : int, 1 <= k <= d
        Eigenpairs wanted of every operator.
    which, tol, seed, miss_probability
        As for :func:`hessay.spectrum.eigsh`, for each operator by itself.
    max_products : int, optional
        Columns an operator may take, at least k; 10 d and at least 1000 by default.
    partial : bool
        Return what there is, marked, where an operator spends its budget.

    Raises
    ------
    ArgumentError, ShapeError
        An option out of range, or operators or products of another shape, or not symmetric.
    NonFinite
        A product holds NaN or Inf; the message names the sample.
    NotConverged
        A budget was spent; ``partial`` of the exception holds the result so far.

    Source: Saad 2011, Numerical Methods for Large Eigenvalue Problems, 6.6 (explicit deflation);
    certificate as for :func:`hessay.spectrum.eigsh`.

    Examples
    --------
    >>> stack = np.stack([np.diag([1.0, 5.0, 3.0]), np.diag([2.0, -4.0, 1.0])])
    >>> pairs = eigsh_batch(stack, k=2, which="LA")
    >>> pairs.values.round(6).tolist(), pairs.certified.tolist()
    ([[5.0, 3.0], [2.0, 1.0]], [True, True])
    """
    product, (n, d), dtype = _recognise(operators)
    eps = float(np.finfo(dtype).eps)
    _check(k, d, which, tol, eps, seed, max_products, miss_probability)
    if getattr(operators, "backend", None) == "factor":
        route: Literal["factor", "lanczos"] = "factor"
        factor, rng = operators.factor(), np.random.default_rng(seed)
        values, vectors, residuals, norm = factored_pairs(
            factor.rows, factor.lift, factor.n // n, k, which, rng
        )
        miss, products, calls = np.zeros(n), np.zeros(n, np.intp), 0
    else:
        route = "lanczos"
        budget = max_products or max(1000, 10 * d)
        found = Lockstep(product, (n, d), k, which, tol, eps, miss_probability, budget, seed).run()
        values, vectors, residuals = found.values, found.vectors, found.residuals
        norm, miss = found.norm, found.miss_probability
        products, calls = found.products, found.calls
    converged = np.asarray((residuals <= tol * norm[:, None]).all(axis=1))
    result = EigenpairsBatch(
        values=values,
        vectors=vectors.astype(dtype, copy=False),
        residuals=residuals,
        converged=converged,
        certified=converged & (miss <= miss_probability),
        miss_probability=miss,
        miss_limit=miss_probability,
        norm=norm,
        route=route,
        products=products,
        calls=calls,
    )
    if not converged.all() and not partial:
        raise NotConverged(
            f"{int((~converged).sum())} of {n} operators did not converge to tol = {tol:g} within "
            f"{int(products.max())} products each; raise max_products, or pass partial=True",
            partial=result,
        )
    return result


def _check(
    k: int,
    d: int,
    which: str,
    tol: float,
    eps: float,
    seed: int,
    max_products: int | None,
    miss_probability: float,
) -> None:
    for name, number in (("k", k), ("seed", seed)):
        if not isinstance(number, int | np.integer):
            raise ArgumentError(f"{name} must be an integer, got {number!r}")
    if not 1 <= k <= d:
        raise ArgumentError(f"k must lie in [1, {d}], the size of the operators, got {k}")
    if seed < 0:
        raise ArgumentError(f"seed must not be negative, got {seed}")
    if which not in _ENDS:
        raise ArgumentError(f"which must be 'LM', 'LA', 'SA' or 'BE', got {which!r}")
    if not 10 * eps <= tol < 1:
        raise ArgumentError(f"tol must lie in [{10 * eps:g}, 1) for this precision, got {tol}")
    if not 0 < miss_probability < 1:
        raise ArgumentError(f"miss_probability must lie in (0, 1), got {miss_probability}")
    if max_products is not None and max_products < k:
        raise ArgumentError(f"max_products must be at least k = {k}, got {max_products}")


def _recognise(operators: Any) -> tuple[_Product, tuple[int, int], type[np.floating[Any]]]:
    """Products (n, d, 1) -> (n, d, 1), the shape (n, d), and the precision of the products."""
    if isinstance(operators, tuple):
        if len(operators) != 2 or not callable(operators[0]):
            raise ArgumentError("operators given as a tuple are (callable, (n, d))")
        product, shape = operators
        return _guarded(product), _sizes(shape), np.float64
    if getattr(operators, "average", None) is False:  # n Hessians, applied to (n, d, k)
        sizes = _sizes((operators.n, operators.d))
        return _guarded(operators.__matmul__), sizes, operators.dtype.type
    if getattr(operators, "average", None):
        raise ArgumentError(
            "this operator is averaged over its samples: make it with average=False, or use eigsh"
        )
    stack = np.asarray(operators.detach().cpu() if hasattr(operators, "detach") else operators)
    if stack.ndim != 3 or stack.shape[1] != stack.shape[2]:
        raise ShapeError(f"a stack of operators must have shape (n, d, d), got {stack.shape}")
    if stack.dtype.kind not in "fiub":
        raise ArgumentError(f"operators must be real, got dtype {stack.dtype}")
    single = stack.dtype == np.float32
    stack = stack if single else stack.astype(np.float64, copy=False)
    sizes = _sizes(stack.shape[:2])
    return _guarded(stack.__matmul__), sizes, np.float32 if single else np.float64


def _sizes(shape: Any) -> tuple[int, int]:
    """(n, d), both positive integers."""
    sizes = tuple(shape) if isinstance(shape, tuple | list) else ()
    if len(sizes) != 2 or not all(isinstance(s, int | np.integer) and s >= 1 for s in sizes):
        raise ArgumentError(f"n and d must be positive integers, (n, d), got {shape!r}")
    return int(sizes[0]), int(sizes[1])


def _guarded(product: Callable[[Any], Any]) -> _Product:
    """Refuse products of another shape or kind."""

    def apply(block: NDArray[np.float64]) -> NDArray[Any]:
        out = product(block)
        out = np.asarray(out.detach().cpu() if hasattr(out, "detach") else out)
        if out.shape != block.shape:
            raise ShapeError(
                f"the operators map {block.shape} to {out.shape}; they must keep the shape"
            )
        if out.dtype.kind not in "fiu":
            raise ShapeError(f"the operators returned dtype {out.dtype}; it must be real")
        return out

    return apply

"""Step 4 of the flow: extremal eigenpairs that say how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hessay import _core
from hessay.errors import ArgumentError, NotConverged, ShapeError

WhichEnd = Literal["LM", "LA", "SA", "BE"]
_PROBABLY = {
    "whole_space": "the basis spans the whole space, so every eigenvalue was seen",
    "exhausted": "a random block orthogonal to the answer generated an invariant subspace without "
    "anything beyond it",
    "none": "not certified: nothing was found beyond the answer, but the check ended without saying "
    "how likely a miss is",
}


@runtime_checkable
class SupportsMatmul(Protocol):
    """Anything with a square shape that multiplies a block (d, k) from the left."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    def __matmul__(self, other: Any, /) -> Any: ...


Operator = SupportsMatmul | tuple[Callable[[NDArray[Any]], Any], int]


@dataclass(frozen=True, slots=True)
class LanczosStats:
    """What a solve cost."""

    products: int  # operator columns
    block_calls: int  # operator calls
    restarts: int
    replaced: int  # dependent directions replaced by random ones
    check_products: int  # columns of these spent on the certificate
    operator_seconds: float  # wall time inside the operator
    seconds: float  # wall time in all
    peak_bytes: int  # basis and scratch of the solver


@dataclass(frozen=True, slots=True, eq=False)
class Eigenpairs:
    """The asked-for end of a spectrum, with residuals and a certificate."""

    values: NDArray[np.float64]  # (k,) in the operator's unit, ordered as asked
    vectors: NDArray[np.floating]  # (d, k), orthonormal columns
    residuals: NDArray[np.float64]  # (k,) upper estimates of |A x - value x|
    converged: bool  # every residual is within tol * |A|
    certificate: Literal["whole_space", "exhausted", "random_block", "none"]
    miss_probability: float  # that an eigenvalue beyond the reported ones was missed
    miss_limit: float  # the probability asked for
    norm: float  # |A| as used in the residual test
    stats: LanczosStats

    @property
    def certified(self) -> bool:
        """Residuals are small, and nothing beyond was missed but for ``miss_limit``."""
        return self.converged and self.miss_probability <= self.miss_limit

    def explain(self) -> str:
        """Say in plain words what is certified, and how."""
        if not self.converged:
            return "not converged: the budget of products was spent first"
        if self.certificate == "random_block":
            return (
                "Lanczos from a random block orthogonal to the answer found nothing beyond it; a "
                f"miss has probability {self.miss_probability:.2g} at most"
            )
        return _PROBABLY[self.certificate]


def eigsh(
    operator: Operator,
    k: int = 10,
    which: WhichEnd = "LM",
    tol: float = 1e-5,
    *,
    seed: int = 0,
    block: int = 1,
    max_basis: int | None = None,
    max_products: int | None = None,
    miss_probability: float = 1e-3,
    partial: bool = False,
) -> Eigenpairs:
    """Find the k eigenpairs at one end of a symmetric operator, and certify them.

    Parameters
    ----------
    operator : InputHessian, square array or tensor, SciPy LinearOperator, or (callable, d)
        Symmetric; the callable maps a float64 block (d, b) to its product.
    k : int, 1 <= k <= d
        Eigenpairs wanted.
    which : "LM", "LA", "SA" or "BE"
        Largest magnitude, largest (descending), smallest (ascending), or both ends with ceil(k/2)
        from the top (descending).
    tol : float, below 1
        Residuals are at most ``tol * |A|``; at least 10 times the rounding unit of the dtype.
    seed : int
        Of the start block and of the certificate's.
    block : int
        Columns a call. 1 needs the fewest products; more pays where a block costs little more than
        a vector. Multiple eigenvalues are found either way.
    max_basis, max_products : int, optional
        Columns kept before a restart (multiple eigenvalues may widen the block, and the basis with
        it); operator columns in all (10 d, at least 1000, by default).
    miss_probability : float in (0, 1)
        The certificate runs until a missed eigenvalue is less likely than this, or until its basis
        is full.
    partial : bool
        Return what there is, marked ``converged=False``, when the budget is spent.

    Raises
    ------
    ArgumentError, ShapeError
        An option out of range, an operator that is not square or not symmetric, or a product of
        another shape.
    NonFinite
        The operator returned NaN or Inf.
    NotConverged
        The budget was spent; ``partial`` of the exception holds the result so far.

    Source: Wu & Simon 2000, SIAM J. Matrix Anal. Appl. 22, 602; certificate: a hidden eigenvector
    would have to be nearly orthogonal to a Gaussian block, bounded by the Christoffel function of
    the block's spectral measure (Golub & Meurant 2010, Matrices, Moments and Quadrature, 2).

    Examples
    --------
    >>> bulk = np.linspace(0.0, 1.0, 97)
    >>> pairs = eigsh(np.diag(np.concatenate([bulk, [4.0, 6.0, 9.0]])), k=3, which="LA")
    >>> pairs.values.round(6).tolist(), pairs.certified
    ([9.0, 6.0, 4.0], True)
    """
    for name, number in (("k", k), ("seed", seed)):
        if not isinstance(number, int | np.integer):
            raise ArgumentError(f"{name} must be an integer, got {number!r}")
    if seed < 0:
        raise ArgumentError(f"seed must not be negative, got {seed}")
    if which not in ("LM", "LA", "SA", "BE"):
        raise ArgumentError(f"which must be 'LM', 'LA', 'SA' or 'BE', got {which!r}")
    for name, limit in (("block", block), ("max_basis", max_basis), ("max_products", max_products)):
        if limit is not None and limit < 1:
            raise ArgumentError(f"{name} must be at least 1, got {limit}")

    options = _core.LanczosOptions(
        k=int(k),
        which=which,
        tol=float(tol),
        block=block,
        max_basis=max_basis or 0,
        max_products=max_products or 0,
        miss_probability=float(miss_probability),
    )
    found = _solve(operator, options, int(seed))
    result = _eigenpairs(found, miss_probability)
    if not result.converged and not partial:
        raise NotConverged(
            f"{k} eigenpairs did not converge to tol = {tol:g} within {result.stats.products} "
            f"products (largest residual {result.residuals.max(initial=np.inf):.3g}, |A| = "
            f"{result.norm:.3g}); raise max_products, or pass partial=True",
            partial=result,
        )
    return result


def _solve(operator: Operator, options: _core.LanczosOptions, seed: int) -> Mapping[str, Any]:
    if isinstance(operator, tuple):
        function, d = operator
        return _callback(function, d, np.dtype(np.float64), options, seed)
    shape = getattr(operator, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != shape[1]:
        raise ShapeError(f"the operator must be square, (d, d), got {shape}")
    if hasattr(operator, "__dlpack__"):
        dense = operator.detach() if hasattr(operator, "detach") else operator
        array = np.asarray(dense)
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float64)
        asymmetry = float(np.abs(array - array.T).max(initial=0.0))
        if not asymmetry <= 1e-3 * float(np.abs(array).max(initial=0.0)):
            raise ArgumentError(
                f"the matrix is not symmetric (or not finite): |A - A'| reaches {asymmetry:g}; "
                "pass (A + A') / 2"
            )
        return _core.lanczos_dense(np.asfortranarray(array), options, seed)
    if getattr(operator, "backend", None) == "factor" and getattr(operator, "average", True):
        factor = operator.factor()  # type: ignore[attr-defined]
        return _core.lanczos_factor(factor.rows, factor.lift, options, seed)
    dtype = np.dtype(getattr(operator, "dtype", None) or np.float64)
    return _callback(operator.__matmul__, int(shape[0]), dtype, options, seed)


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and int(value) >= 1


def _callback(
    product: Callable[[NDArray[Any]], Any],
    d: int,
    dtype: np.dtype[Any],
    options: _core.LanczosOptions,
    seed: int,
) -> Mapping[str, Any]:
    if not _is_count(d):
        raise ArgumentError(f"the operator's size d must be a positive integer, got {d!r}")
    precision = np.float32 if dtype == np.float32 else np.float64

    def apply(v: NDArray[Any]) -> NDArray[Any]:
        raw = product(v)
        out = np.asarray(raw.detach() if hasattr(raw, "detach") else raw)
        if out.shape != v.shape:
            raise ShapeError(f"the operator maps {v.shape} to {out.shape}; it must keep the shape")
        if out.dtype.kind not in "fiu":
            raise ShapeError(f"the operator returned dtype {out.dtype}; it must be real")
        return out.astype(precision, copy=False)

    return _core.lanczos_callback(apply, int(d), precision is np.float32, options, seed)


def _eigenpairs(found: Mapping[str, Any], miss_limit: float) -> Eigenpairs:
    return Eigenpairs(
        values=found["values"][:, 0],
        vectors=found["vectors"],
        residuals=found["residuals"][:, 0],
        converged=found["converged"],
        certificate=found["certificate"],
        miss_probability=found["miss_probability"],
        miss_limit=miss_limit,
        norm=found["norm"],
        stats=LanczosStats(**found["stats"]),
    )

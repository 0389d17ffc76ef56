"""Step 4 of the flow: extremal eigenpairs that say how sure they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NotConverged
from hessay.spectrum.operators import Operator, SupportsMatmul, recognise

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Eigenpairs",
    "LanczosStats",
    "Operator",
    "Progress",
    "Stopped",
    "SupportsMatmul",
    "WhichEnd",
    "eigsh",
]

Stopped: TypeAlias = Literal["no", "products", "seconds", "cancelled"]
WhichEnd = Literal["LM", "LA", "SA", "BE"]
_PROBABLY = {
    "whole_space": "the basis spans the whole space, so every eigenvalue was seen",
    "exhausted": "a random block orthogonal to the answer generated an invariant subspace without "
    "anything beyond it",
    "none": "not certified: nothing was found beyond the answer, but the check ended without saying "
    "how likely a miss is",
}
_STOPPED = {
    "no": "",
    "products": "the budget of products was spent first",
    "seconds": "the budget of time was spent first",
    "cancelled": "the progress callback ended the run first",
}
_REMEDY = {"products": "raise max_products, or ", "seconds": "raise max_seconds, or "}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a solve is; told after every block step."""

    products: int  # operator columns so far
    block_calls: int  # operator calls so far
    converged: int  # of the k wanted pairs
    largest_residual: float  # over the k wanted pairs; inf while the basis holds fewer than k
    seconds: float  # wall time so far
    checking: bool  # the pairs are found; the certificate is being made


@dataclass(frozen=True, slots=True)
class LanczosStats:
    """What a solve cost."""

    products: int  # operator columns
    block_calls: int  # operator calls
    restarts: int
    replaced: int  # dependent directions replaced by random ones
    check_products: int  # columns of these spent on the certificate
    operator_seconds: float  # wall time inside the operator; on a device, launching block steps
    seconds: float  # wall time in all
    peak_bytes: int  # basis and scratch of the solver


@dataclass(frozen=True, slots=True, eq=False)
class Eigenpairs:
    """The asked-for end of a spectrum, with residuals and a certificate."""

    values: NDArray[np.float64]  # (k,) in the operator's unit, ordered as asked
    # (d, k), orthonormal columns; an array, or a tensor on the device of an operator of CUDA tensors
    vectors: Any
    residuals: NDArray[np.float64]  # (k,) upper estimates of |A x - value x|
    converged: bool  # every residual is within tol * |A|
    certificate: Literal["whole_space", "exhausted", "random_block", "none"]
    miss_probability: float  # that an eigenvalue beyond the reported ones was missed
    miss_limit: float  # the probability asked for
    norm: float  # |A| as used in the residual test
    stats: LanczosStats
    stopped: Stopped = "no"  # what ended the run before its certificate was as good as asked for

    @property
    def certified(self) -> bool:
        """Residuals are small, and nothing beyond was missed but for ``miss_limit``."""
        return self.converged and self.miss_probability <= self.miss_limit

    def explain(self) -> str:
        """Say in plain words what is certified, and how."""
        if not self.converged:
            return f"not converged: {_STOPPED[self.stopped]}"
        early = "" if self.stopped == "no" else f" ({_STOPPED[self.stopped]})"
        if self.certificate == "random_block":
            return (
                "Lanczos from a random block orthogonal to the answer found nothing beyond it; a "
                f"miss has probability {self.miss_probability:.2g} at most{early}"
            )
        return _PROBABLY[self.certificate] + early

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the eigenvalues with their residuals as error bars.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; on a figure of its own by default, which ``ax.figure`` gives.

        Raises
        ------
        ArgumentError
            matplotlib is missing (extra ``plot``), or ``ax`` is not an Axes.
        """
        from hessay.plotting import draw_eigenvalues

        title = "certified" if self.certified else "not certified"
        title = title if self.converged else "not converged"
        return draw_eigenvalues(self.values, self.residuals, title=title, ax=ax)


def eigsh(
    operator: Operator,
    k: int = 10,
    which: WhichEnd = "LM",
    tol: float = 1e-5,
    *,
    seed: int = 0,
    block: int | None = None,
    max_basis: int | None = None,
    max_products: int | None = None,
    max_seconds: float | None = None,
    miss_probability: float = 1e-3,
    start: Any = None,
    progress: Callable[[Progress], bool | None] | None = None,
    partial: bool = False,
) -> Eigenpairs:
    """Find the k eigenpairs at one end of a symmetric operator, and certify them.

    Parameters
    ----------
    operator : InputHessian, matrix, LinearOperator, (callable, d) or (callable, tensor)
        Symmetric. A matrix is NumPy's, SciPy's or torch's, dense or sparse. The callable maps a
        block (d, b) to its product: a float64 array, or, with a tensor of shape (d,) or (d, b) in
        place of d, a tensor of that tensor's dtype and device.

        On a CUDA device: for a tensor there, a callable over such tensors, and an InputHessian
        with ``backend="native"`` there, ``vectors`` of the result is a tensor on the device. Where
        ``hessay._cuda`` is installed the basis stays there too; only sums come to the processor.
    k : int, 1 <= k <= d
        Eigenpairs wanted.
    which : "LM", "LA", "SA" or "BE"
        Largest magnitude, largest (descending), smallest (ascending), or both ends with ceil(k/2)
        from the top (descending).
    tol : float, below 1
        Residuals are at most ``tol * |A|``; at least 10 times the rounding unit of the dtype.
    seed : int
        Of the start block and of the certificate's.
    block : int, optional
        Columns a call. By default 1, which needs the fewest products; 2 where products read a stored
        matrix (a dense one of 8 MB or more, a factor), which serves a second vector almost for
        nothing; at least the multiplicity of the most multiple eigenvalue of a ``start`` that is
        Eigenpairs. Multiple eigenvalues are found either way.
    max_basis, max_products : int, optional
        Columns kept before a restart (multiple eigenvalues may widen the block, and the basis with
        it); operator columns in all (10 d, at least 1000, by default).
    max_seconds : float, optional
        Wall time, looked at between operator calls: a run ends at most one call and one step of
        the solver late.
    miss_probability : float in (0, 1)
        The certificate runs until a missed eigenvalue is less likely than this, or until its basis
        is full.
    start : (d,) or (d, j) array or tensor, or Eigenpairs, optional
        What the eigenvectors are thought to be, most wanted first: those of a similar operator,
        say. The solve begins from ``block`` mixtures of them. Saves about a quarter of the
        products where the operator has moved by one percent, more where eigenvalues are multiple
        (pass the Eigenpairs: their values say so); at least k are needed whatever the start. The
        certificate does not depend on it.
    progress : callable, optional
        Called with a :class:`Progress` after every block step. Returning False ends the run; what
        it raises comes through.
    partial : bool
        Return what there is, marked ``converged=False``, when a budget is spent or ``progress``
        ended the run. A run that ends with every residual small, during its certificate, returns
        in any case; ``stopped`` and ``miss_probability`` say how far the certificate came.

    Raises
    ------
    ArgumentError, ShapeError
        An option out of range, an operator that is not square or not symmetric, a product or a
        start of another shape.
    NonFinite
        The operator returned NaN or Inf, or the start holds one.
    DeviceError
        On a CUDA device: its memory ran out, or a product is on another device.
    NotConverged
        A budget was spent, or the run was cancelled; ``partial`` of the exception holds the result
        so far.

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

    if max_seconds is not None and not (max_seconds > 0 and math.isfinite(max_seconds)):
        raise ArgumentError(f"max_seconds must be positive and finite, got {max_seconds!r}")

    known = recognise(operator)
    multiplicity = _multiplicity(start, tol) if isinstance(start, Eigenpairs) else 1
    options = {
        "k": int(k),
        "which": which,
        "tol": float(tol),
        # No more columns than there are dimensions.
        "block": block or min(max(known.block, multiplicity), known.size),
        "max_basis": max_basis or 0,
        "max_products": max_products or 0,
        "miss_probability": float(miss_probability),
        "max_seconds": float(max_seconds or 0.0),
        "progress": None if progress is None else _teller(progress),
    }
    vectors = start.vectors if isinstance(start, Eigenpairs) else start
    first = None if vectors is None else known.start_block(vectors)
    result = _eigenpairs(known.solve(options, int(seed), first), miss_probability)
    if not result.converged and not partial:
        raise NotConverged(
            f"{k} eigenpairs did not converge to tol = {tol:g} within {result.stats.products} "
            f"products and {result.stats.seconds:.3g} s: {_STOPPED[result.stopped]} (largest "
            f"residual {result.residuals.max(initial=0.0 if len(result.residuals) else np.inf):.3g}"
            f", |A| = {result.norm:.3g}); {_REMEDY.get(result.stopped, '')}pass partial=True",
            partial=result,
        )
    return result


def _teller(progress: Callable[[Progress], bool | None]) -> Callable[..., bool]:
    def tell(*numbers: Any) -> bool:
        go_on = progress(Progress(*numbers))
        return not isinstance(go_on, bool | np.bool_) or bool(go_on)

    return tell


def _multiplicity(pairs: Eigenpairs, tol: float) -> int:
    """Count the copies of the most multiple eigenvalue.

    One mixture of eigenvectors holds one copy of each, as many mixtures as copies hold all. Copies
    agree to about the square of a residual, distinct values that are closer than tol |A| / 10 need
    not be told apart. Zeros are not counted: any vector outside the range will do for them.
    """
    values = np.sort(pairs.values[np.abs(pairs.values) > tol * pairs.norm])
    longest = copies = 1
    for close in np.diff(values) <= 0.1 * tol * pairs.norm:
        copies = copies + 1 if close else 1
        longest = max(longest, copies)
    return longest


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
        stopped=found["stopped"],
    )

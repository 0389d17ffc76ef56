"""``scipy.sparse.linalg.eigsh``'s call and return, answered by :func:`hessay.spectrum.eigsh`."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hessay.errors import ArgumentError
from hessay.spectrum.lanczos import eigsh
from hessay.spectrum.operators import Operator, as_array, recognise

ScipyWhich = Literal["LM", "LA", "SA", "BE", "SM"]
_Vectors = NDArray[np.floating]


@overload
def scipy_eigsh(
    A: Operator,
    k: int = ...,
    *,
    which: ScipyWhich = ...,
    v0: ArrayLike | None = ...,
    ncv: int | None = ...,
    maxiter: int | None = ...,
    tol: float = ...,
    return_eigenvectors: Literal[True] = ...,
) -> tuple[_Vectors, _Vectors]: ...
@overload
def scipy_eigsh(
    A: Operator,
    k: int = ...,
    *,
    which: ScipyWhich = ...,
    v0: ArrayLike | None = ...,
    ncv: int | None = ...,
    maxiter: int | None = ...,
    tol: float = ...,
    return_eigenvectors: Literal[False],
) -> _Vectors: ...
def scipy_eigsh(
    A: Operator,
    k: int = 6,
    *,
    which: ScipyWhich = "LM",
    v0: ArrayLike | None = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    return_eigenvectors: bool = True,
) -> Any:
    """Find eigenpairs with SciPy's keywords and SciPy's return value.

    A function of its own rather than more keywords of :func:`hessay.spectrum.eigsh`: SciPy returns
    a bare tuple in ascending order, which has no room for residuals and a certificate, and two
    return types in one function would be worse than two functions.

    Parameters
    ----------
    A : anything :func:`hessay.spectrum.eigsh` takes
        Real symmetric (d, d).
    k : int, 1 <= k <= d
        Eigenpairs wanted. SciPy stops at d - 1.
    which : "LM", "LA", "SA" or "BE"
        As SciPy's, "BE" with one more from the high end where k is odd. "SM" is refused: interior
        eigenvalues need a factorisation. With one at hand, pass the inverse as the operator, ask
        for "LM", and invert the values; for a positive semidefinite operator ask for "SA".
    v0 : (d,) array, optional
        Start vector; (d, j) starts from several.
    ncv : int, optional
        Columns kept before a restart; widened to k + 3 at least.
    maxiter : int, optional
        Restarts, as SciPy counts them: ncv products, then ncv - k for each further one, ncv being
        max(2 k + 1, 20) unless given. The certificate is paid from the same budget.
    tol : float
        Residuals relative to |A|; 0 stands for rounding, 10 eps sqrt(d).
    return_eigenvectors : bool
        Whether vectors are returned beside the values.

    Returns
    -------
    (k,) values, ascending whatever ``which``, in the precision of A; and, unless declined, (d, k)
    vectors, orthonormal columns in the same order.

    Raises
    ------
    ArgumentError
        ``which`` is "SM" or unknown, or an option is out of range.
    NotConverged
        In place of SciPy's ArpackNoConvergence; ``partial`` holds the pairs and their residuals.

    Source: keywords and order of scipy.sparse.linalg.eigsh, SciPy 1.17 reference.

    Examples
    --------
    >>> scipy_eigsh(np.diag([1.0, -5.0, 2.0, 3.0]), k=2, return_eigenvectors=False).round(6).tolist()
    [-5.0, 3.0]
    """
    if which == "SM":
        raise ArgumentError(
            "which='SM' needs a factorisation and is not offered: pass the inverse as a "
            "LinearOperator with which='LM' and invert the values, or which='SA' where A is "
            "positive semidefinite"
        )
    for name, limit in (("maxiter", maxiter), ("ncv", ncv)):
        if limit is not None and limit < 1:
            raise ArgumentError(f"{name} must be at least 1, got {limit}")
    if not tol >= 0:
        raise ArgumentError(f"tol must not be negative, got {tol}")
    known = recognise(A)
    rounding = 10 * float(np.finfo(known.dtype).eps)
    columns = min(known.size, ncv or max(2 * k + 1, 20))
    found = eigsh(
        A,
        k,
        which,
        max(float(tol), rounding) if tol else rounding * known.size**0.5,
        max_basis=None if ncv is None else min(known.size, max(ncv, k + 3)),
        max_products=None if maxiter is None else columns + (maxiter - 1) * max(columns - k, 1),
        start=v0,
    )
    order = np.argsort(found.values, kind="stable")
    values = found.values[order].astype(known.dtype, copy=False)
    return (values, as_array(found.vectors)[:, order]) if return_eigenvectors else values

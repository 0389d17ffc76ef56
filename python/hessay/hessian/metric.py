"""Operators seen through another metric, composed and never formed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from hessay.errors import NonFinite, ShapeError
from hessay.hessian.covariance import Covariance, as_covariance, check_orthonormal

if TYPE_CHECKING:
    from hessay.hessian.gauss_newton.factor import Factor
    from hessay.hessian.operator import InputHessian

SymmetricMap = Callable[[NDArray[np.floating]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Projector:
    """Q = I - V V' for orthonormal columns V."""

    basis: NDArray[np.float64]  # (d, j), j < d

    def apply(self, v: NDArray[np.floating]) -> NDArray[np.float64]:
        """Q V for V (d,) or (d, k)."""
        array = np.asarray(v, dtype=np.float64)
        projected: NDArray[np.float64] = array - self.basis @ (self.basis.T @ array)
        return projected


def projector(basis: NDArray[np.floating] | Tensor, d: int) -> Projector:
    """Check a basis (d, j) to be projected out.

    Raises
    ------
    ShapeError
        It does not have d rows, or leaves nothing.
    ArgumentError
        Its columns are not orthonormal.
    """
    array = basis.detach().cpu().numpy() if isinstance(basis, Tensor) else np.asarray(basis)
    if array.ndim != 2 or array.shape[0] != d:
        raise ShapeError(f"basis must have shape ({d}, j), got {array.shape}")
    if array.shape[1] >= d:
        raise ShapeError(f"basis of {array.shape[1]} columns leaves nothing of {d}")
    v = np.ascontiguousarray(array, dtype=np.float64)
    check_orthonormal(v)
    return Projector(v)


class MetricHessian:
    """M H M with a symmetric M: H off a subspace, whitened, or both, in any order.

    Made by ``project_out`` (M = I - V V': what is left of H off the directions V) and ``whiten``
    (M = C^(-1/2): its eigenvalues are those of H v = lambda C v, with v = C^(-1/2) u) of an
    operator or of another MetricHessian, whose M is then the inner one.

    Parameters
    ----------
    hessian : InputHessian or MetricHessian
        Averaged over its probe.
    metric : callable
        V (d, k) to M V in double.
    """

    def __init__(self, hessian: InputHessian | MetricHessian, metric: SymmetricMap) -> None:
        self.hessian = hessian
        self.metric = metric

    @property
    def shape(self) -> tuple[int, int]:
        """(d, d)."""
        return self.hessian.shape

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Precision of products."""
        return self.hessian.dtype

    @property
    def backend(self) -> str:
        """Route the products with H take."""
        return self.hessian.backend

    @overload
    def __matmul__(self, directions: Tensor) -> Tensor: ...
    @overload
    def __matmul__(self, directions: NDArray[Any]) -> NDArray[np.floating]: ...
    def __matmul__(self, directions: Tensor | NDArray[Any]) -> Tensor | NDArray[np.floating]:
        """M H M V for V (d,) or (d, k); NumPy or torch, as given."""
        if isinstance(directions, Tensor):
            product = self @ directions.detach().cpu().numpy()
            return from_numpy(np.ascontiguousarray(product)).to(directions)
        v, d = np.asarray(directions), self.shape[0]
        if v.ndim not in (1, 2) or len(v) != d:
            raise ShapeError(f"directions must have shape ({d},) or ({d}, k), got {v.shape}")
        if v.dtype.kind not in "fiu":
            raise ShapeError(f"directions must be real numbers, got dtype {v.dtype}")
        if not np.isfinite(v).all():
            raise NonFinite("directions hold NaN or Inf")
        return self.metric(self.hessian @ self.metric(v)).astype(self.dtype, copy=False)

    def factor(self) -> Factor:
        """Return B M: the factor of M H M.

        Raises
        ------
        ArgumentError
            H is not held as a factor.
        """
        return self.hessian.factor().through(self.metric)

    def dense(self) -> NDArray[np.float64]:
        """M H M (d, d) in double."""
        full = self.metric(self.metric(self.hessian.dense()).T)
        symmetric: NDArray[np.float64] = (full + full.T) / 2
        return symmetric

    def project_out(self, basis: NDArray[np.floating] | Tensor) -> MetricHessian:
        """Q A Q with Q = I - V V' for an orthonormal basis V (d, j), A this operator."""
        return projected(self, basis)

    def whiten(self, covariance: Covariance | NDArray[np.floating] | Tensor) -> MetricHessian:
        """C^(-1/2) A C^(-1/2) for a covariance C (d, d), A this operator."""
        return whitened(self, covariance)


def projected(
    hessian: InputHessian | MetricHessian, basis: NDArray[np.floating] | Tensor
) -> MetricHessian:
    """Q H Q with Q = I - V V': what is left of H off a subspace.

    Raises
    ------
    ShapeError, ArgumentError
        As :func:`projector`.
    """
    return MetricHessian(hessian, projector(basis, hessian.shape[0]).apply)


def whitened(
    hessian: InputHessian | MetricHessian, covariance: Covariance | NDArray[np.floating] | Tensor
) -> MetricHessian:
    """C^(-1/2) H C^(-1/2): H with directions of large variance played down.

    Raises
    ------
    ShapeError, NonFinite, ArgumentError
        As :func:`hessay.hessian.covariance.as_covariance`.
    """
    return MetricHessian(hessian, as_covariance(covariance, hessian.shape[0]).inverse_root)

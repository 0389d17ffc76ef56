"""Operators seen through another metric, composed and never formed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hessay.errors import ArgumentError, ShapeError
from hessay.hessian.factor import Factor

if TYPE_CHECKING:
    from hessay.hessian.operator import InputHessian


class ProjectedHessian:
    """Q H Q with Q = I - V V': what is left of H off a subspace the data explain.

    Parameters
    ----------
    hessian : InputHessian
        Averaged over its probe.
    basis : (d, j) float array or tensor
        Orthonormal columns V, j < d.

    Raises
    ------
    ShapeError
        The basis does not have d rows.
    ArgumentError
        Its columns are not orthonormal.
    """

    def __init__(self, hessian: InputHessian, basis: NDArray[np.floating] | Tensor) -> None:
        array = basis.detach().cpu().numpy() if isinstance(basis, Tensor) else np.asarray(basis)
        if array.ndim != 2 or array.shape[0] != hessian.shape[0]:
            raise ShapeError(f"basis must have shape ({hessian.shape[0]}, j), got {array.shape}")
        if array.shape[1] >= array.shape[0]:
            raise ShapeError(
                f"basis of {array.shape[1]} columns leaves nothing of {array.shape[0]}"
            )
        v = np.ascontiguousarray(array, dtype=np.float64)
        gap = float(np.abs(v.T @ v - np.eye(v.shape[1])).max()) if v.shape[1] else 0.0
        if not gap < 1e-4:  # single-precision bases are orthonormal to about 1e-6
            raise ArgumentError(
                f"basis columns are not orthonormal (V'V differs from I by {gap:.3g}); "
                "pass np.linalg.qr(basis)[0]"
            )
        self.hessian = hessian
        self.basis = v

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
        """Route the products take, "factor" or "autograd"."""
        return self.hessian.backend

    def __matmul__(self, directions: NDArray[Any]) -> NDArray[np.floating]:
        """Q H Q V for V (d,) or (d, k)."""
        return self._project(self.hessian @ self._project(np.asarray(directions)))

    def factor(self) -> Factor:
        """Return B Q: the factor of Q H Q."""
        return self.hessian.factor().project_out(self.basis)

    def dense(self) -> NDArray[np.float64]:
        """Q H Q (d, d) in double."""
        basis, full = self.basis, self.hessian.dense()
        half = full - basis @ (basis.T @ full)
        projected: NDArray[np.float64] = half - (half @ basis) @ basis.T
        return projected

    def _project(self, v: NDArray[np.floating]) -> NDArray[np.floating]:
        projected = v - self.basis @ (self.basis.T @ v)
        return projected.astype(v.dtype, copy=False)

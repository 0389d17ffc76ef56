"""H = W' M W: averaged products from the second moment of a factor's rows, which are not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hessay import _core
from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.hessian.covariance import Covariance, as_covariance
from hessay.hessian.metric import projector


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """M = (1/n) sum rows'rows with H = lift' M lift: what a factor is for averaged products.

    Takes (m, m) doubles whatever the number of samples, and 2 m^2 operations a column beside the
    lift. A factor takes 4 n r m: the moment pays back once there are more than about m / 4
    columns, or when the rows do not fit into memory. Products per sample are not possible.
    """

    second: NDArray[np.float64]  # M (m, m), symmetric, positive semidefinite
    lift: NDArray[np.floating] | None  # (m, d); None: m = d
    n: int  # samples
    dtype: np.dtype[np.floating]  # precision of products

    @classmethod
    def from_chunks(
        cls, chunks: Iterable[NDArray[np.floating]], lift: NDArray[np.floating] | None = None
    ) -> Moment:
        """Add up chunks of rows (n_i, r, m), all of one precision; r may differ between chunks.

        Single-precision rows are multiplied in single precision, 256 at a time, and added in
        double: elements are right to about 1e-7 of the largest. Doubles are summed in double.

        Raises
        ------
        ArgumentError
            There are no chunks.
        ShapeError
            A chunk, or the lift, has another shape or precision than the rest.
        NonFinite
            A row holds NaN or Inf, or is too large to be squared.
        """
        second: NDArray[np.float64] | None = None
        dtype: np.dtype[np.floating] = np.dtype(np.float64)
        n = 0
        for chunk in chunks:
            if chunk.ndim != 3 or (second is not None and chunk.shape[2] != len(second)):
                wanted = "m" if second is None else len(second)
                raise ShapeError(f"rows must have shape (n, r, {wanted}), got {chunk.shape}")
            if second is None:
                second, dtype = np.zeros((chunk.shape[2],) * 2, order="F"), chunk.dtype
            if chunk.dtype != dtype:
                raise ShapeError(f"rows must all be {dtype}, got {chunk.dtype}")
            _core.moment_add(np.ascontiguousarray(chunk), second)
            n += len(chunk)
        if second is None or n == 0:
            raise ArgumentError("a moment needs at least one row; the chunks held none")
        if lift is not None:
            if lift.ndim != 2 or len(lift) != len(second) or lift.dtype != dtype:
                raise ShapeError(
                    f"lift must be {dtype} of shape ({len(second)}, d), got {lift.dtype} of "
                    f"{lift.shape}"
                )
            lift = np.ascontiguousarray(lift)
        if not np.isfinite(second).all():
            raise NonFinite("the rows hold NaN or Inf, or are too large to be squared")
        second /= n
        return cls(second, lift, n, dtype)

    @property
    def d(self) -> int:
        """Size of H."""
        return int(self.second.shape[0] if self.lift is None else self.lift.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(d, d)."""
        return (self.d, self.d)

    def apply(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H V, averaged over the samples, for V (d, k)."""
        v = np.asfortranarray(directions, dtype=self.dtype)
        out = np.empty_like(v, order="F")
        _core.moment_apply(self.second, self.lift, v, out)
        return out

    def apply_per_sample(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """Refuse: the samples' own rows are gone."""
        raise ArgumentError(
            f"products per sample ({directions.shape}) need the rows of every sample, and a moment "
            "keeps their average alone; use a factor"
        )

    def dense(self) -> NDArray[np.float64]:
        """H (d, d): to the rounding of double, or to about 1e-6 of max |H| in single precision."""
        if self.lift is None:
            return self.second.copy(order="F")
        out = np.empty(self.shape, dtype=np.float64, order="F")
        _core.moment_dense(self.second, self.lift, out)
        return out

    def eigh(self, count: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Eigenvalues (k,) descending and eigenvectors (d, k), all min(d, m) by default.

        Eigenvalues below 1e-7 of the largest are rounding if the rows were single precision; a
        factor's are not.

        Raises
        ------
        ArgumentError
            ``count`` is negative or above min(d, m).
        """
        if count is not None and count < 0:
            raise ArgumentError(f"count must not be negative, got {count}")
        values, vectors = _core.moment_eigen(self.second, self.lift, -1 if count is None else count)
        return values[:, 0], vectors

    def project_out(self, basis: NDArray[np.floating] | Tensor) -> Moment:
        """Moment of Q H Q, Q = I - V V' for an orthonormal basis V (d, j)."""
        return self.through(projector(basis, self.d).apply)

    def whiten(self, covariance: Covariance | NDArray[np.floating] | Tensor) -> Moment:
        """Moment of C^(-1/2) H C^(-1/2) for a covariance C (d, d)."""
        return self.through(as_covariance(covariance, self.d).inverse_root)

    def through(self, metric: Callable[[NDArray[np.floating]], NDArray[np.float64]]) -> Moment:
        """Moment of M H M for a symmetric map M of V (d, k)."""
        if self.lift is not None:
            lift = np.ascontiguousarray(metric(self.lift.T).T, dtype=self.dtype)
            return Moment(self.second, lift, self.n, self.dtype)
        full = metric(metric(self.second).T)
        return Moment(np.asfortranarray((full + full.T) / 2), None, self.n, self.dtype)

"""Covariances of data as low rank plus ridge, with their roots, never formed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hessay.errors import ArgumentError, NonFinite, ShapeError

_ORTHONORMAL = 1e-4  # single-precision bases are orthonormal to about 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Covariance:
    """C = U diag(s) U' + rho I, and what whitening needs of it: C^(1/2) V and C^(-1/2) V.

    Raises
    ------
    ShapeError
        The parts do not fit.
    NonFinite
        They hold NaN or Inf.
    ArgumentError
        U is not orthonormal, a variance is negative, or the ridge is not positive.
    """

    basis: NDArray[np.float64]  # U (d, r), orthonormal columns
    variances: NDArray[np.float64]  # s (r,) >= 0, above the ridge; input^2
    ridge: float  # rho > 0, the variance of every direction outside the basis; input^2

    def __post_init__(self) -> None:
        basis = np.ascontiguousarray(self.basis, dtype=np.float64)
        variances = np.ascontiguousarray(self.variances, dtype=np.float64)
        if basis.ndim != 2 or variances.shape != basis.shape[1:] or len(basis) < basis.shape[1]:
            raise ShapeError(
                "a covariance needs a basis (d, r) with r <= d and variances (r,), "
                f"got {basis.shape} and {variances.shape}"
            )
        if not (np.isfinite(basis).all() and np.isfinite(variances).all()):
            raise NonFinite("the covariance's basis or variances hold NaN or Inf")
        check_orthonormal(basis)
        if variances.min(initial=0.0) < 0:
            raise ArgumentError(f"variances must not be negative, got {variances.min():.3g}")
        if not 0 < self.ridge < np.inf:
            raise ArgumentError(f"ridge must be positive and finite, got {self.ridge}")
        object.__setattr__(self, "basis", basis)
        object.__setattr__(self, "variances", variances)
        object.__setattr__(self, "ridge", float(self.ridge))

    @property
    def d(self) -> int:
        """Size of C."""
        return len(self.basis)

    @classmethod
    def from_samples(
        cls,
        samples: NDArray[np.floating] | Tensor,
        rank: int | None = None,
        ridge: float | None = None,
    ) -> Covariance:
        """Estimate C from samples (n, d).

        Parameters
        ----------
        samples : (n, d) float array or tensor, n >= 2
        rank : int in [0, min(n - 1, d)], optional
            Leading principal directions kept apart; all of them by default.
        ridge : float > 0, optional
            Added to the sample covariance of the kept directions, and the variance of the others.
            By default the mean variance of the directions left out, which with the kept ones as
            they are is the maximum-likelihood fit (Tipping & Bishop 1999, J. R. Stat. Soc. B 61,
            611). Where nothing is left out, C = (1 - a) S + a mean(variance) I, with the a that
            makes the least expected squared error (Ledoit & Wolf 2004, J. Multivar. Anal. 88, 365).

        Raises
        ------
        ShapeError
            The samples are not two-dimensional, or fewer than 2.
        NonFinite
            They hold NaN or Inf.
        ArgumentError
            They do not vary, or an option is out of range.
        """
        raw = samples.detach().cpu().numpy() if isinstance(samples, Tensor) else samples
        x = np.asarray(raw, dtype=np.float64)
        if x.ndim != 2 or len(x) < 2 or x.shape[1] < 1:
            raise ShapeError(
                f"samples must have shape (n, d) with n >= 2, got {x.shape}; flatten images first"
            )
        if not np.isfinite(x).all():
            raise NonFinite("samples hold NaN or Inf")
        n, d = x.shape
        available = min(n - 1, d)
        if rank is None:
            rank = available
        if not 0 <= rank <= available:
            raise ArgumentError(f"rank must lie in [0, {available}] for {n} samples, got {rank}")
        x = x - x.mean(axis=0)
        _, sizes, directions = np.linalg.svd(x, full_matrices=False)
        values = sizes**2 / (n - 1)
        # Sums of squares carry a rounding of eps times their total: less than that is no variance.
        total = float(values.sum())
        if not total > 0:
            raise ArgumentError("the samples do not vary, so they have no covariance")
        left_out = float(values[rank:].sum())
        kept, basis = values[:rank], directions[:rank].T
        if ridge is not None:
            return cls(basis, kept, ridge)
        if left_out > total * np.finfo(np.float64).eps * max(n, d):
            floor = left_out / (d - rank)
            return cls(basis, np.maximum(kept - floor, 0.0), floor)
        weight, mean = _shrinkage(x, values)
        return cls(basis, (1 - weight) * kept, weight * mean)

    @classmethod
    def from_matrix(cls, matrix: NDArray[np.floating] | Tensor) -> Covariance:
        """Factor a symmetric positive definite (d, d) matrix.

        Raises
        ------
        ShapeError
            It is not square.
        NonFinite
            It holds NaN or Inf.
        ArgumentError
            It is not symmetric, or not positive definite up to its rounding.
        """
        raw = matrix.detach().cpu().numpy() if isinstance(matrix, Tensor) else np.asarray(matrix)
        if raw.ndim != 2 or raw.shape[0] != raw.shape[1] or not len(raw):
            raise ShapeError(f"a covariance must have shape (d, d), got {raw.shape}")
        if raw.dtype.kind not in "fiu":
            raise ShapeError(f"a covariance must be real numbers, got dtype {raw.dtype}")
        c = raw.astype(np.float64)
        if not np.isfinite(c).all():
            raise NonFinite("the covariance holds NaN or Inf")
        # What a product of the array's own precision leaves behind: eps a term, d terms.
        precision = np.finfo(raw.dtype if raw.dtype.kind == "f" else np.float64).eps * len(c)
        gap, size = float(np.abs(c - c.T).max()), float(np.abs(c).max())
        if gap > 10 * precision * size:
            raise ArgumentError(
                f"the covariance is not symmetric: |C - C'| reaches {gap:.3g}; pass (C + C') / 2"
            )
        values, basis = np.linalg.eigh((c + c.T) / 2)
        if not values[0] > precision * values[-1]:
            raise ArgumentError(
                f"the covariance is not positive definite: its eigenvalues run from {values[0]:.3g}"
                f" to {values[-1]:.3g}; add a ridge, or use Covariance.from_samples"
            )
        return cls(basis, values - values[0], float(values[0]))

    def root(self, v: NDArray[np.floating]) -> NDArray[np.float64]:
        """C^(1/2) V for V (d,) or (d, k)."""
        return self._scaled(v, 0.5)

    def inverse_root(self, v: NDArray[np.floating]) -> NDArray[np.float64]:
        """C^(-1/2) V for V (d,) or (d, k)."""
        return self._scaled(v, -0.5)

    def _scaled(self, v: NDArray[np.floating], power: float) -> NDArray[np.float64]:
        """C^power V = U (s + rho)^power U'V + rho^power (V - U U'V)."""
        array = np.asarray(v, dtype=np.float64)
        if array.ndim not in (1, 2) or len(array) != self.d:
            raise ShapeError(f"V must have shape ({self.d},) or ({self.d}, k), got {array.shape}")
        inside = self.basis.T @ array
        factors = (self.variances + self.ridge) ** power
        scaled = self.basis @ (inside * (factors if array.ndim == 1 else factors[:, None]))
        if self.basis.shape[1] < self.d:
            scaled += (array - self.basis @ inside) * self.ridge**power
        result: NDArray[np.float64] = scaled
        return result


def as_covariance(covariance: Covariance | NDArray[np.floating] | Tensor, d: int) -> Covariance:
    """Return a covariance of size d, from an array (d, d) where it is none yet.

    Raises
    ------
    ShapeError, NonFinite, ArgumentError
        As :meth:`Covariance.from_matrix`; the size is not d.
    """
    if not isinstance(covariance, Covariance):
        covariance = Covariance.from_matrix(covariance)
    if covariance.d != d:
        raise ShapeError(f"the covariance must be ({d}, {d}), got ({covariance.d}, {covariance.d})")
    return covariance


def check_orthonormal(basis: NDArray[np.float64]) -> None:
    """Refuse a basis (d, j) whose columns are not orthonormal, NaN included."""
    gap = float(np.abs(basis.T @ basis - np.eye(basis.shape[1])).max(initial=0.0))
    if not gap < _ORTHONORMAL:
        raise ArgumentError(
            f"basis columns are not orthonormal (V'V differs from I by {gap:.3g}); "
            "pass np.linalg.qr(basis)[0]"
        )


def _shrinkage(x: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float]:
    """Ledoit and Wolf's weight a in (0, 1] and the mean variance; x (n, d) centred."""
    n, d = x.shape
    biased = values * ((n - 1) / n)  # eigenvalues of S = x'x / n; the others are zero
    squares = float((biased**2).sum())
    spread = squares - float(biased.sum()) ** 2 / d  # |S - mean I|^2
    noise = (float((np.einsum("ij,ij->i", x, x) ** 2).mean()) - squares) / n  # E |S - C|^2
    if noise <= np.finfo(np.float64).eps * max(n, d) * squares:  # the rounding of the difference
        raise ArgumentError(
            f"{n} samples that differ in sign alone say nothing about the noise in their "
            "covariance; pass ridge"
        )
    return min(noise / spread, 1.0) if spread > 0 else 1.0, float(values.sum()) / d

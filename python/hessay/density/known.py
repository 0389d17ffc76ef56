"""The subspace whose Ritz values count as eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Columns less than this away from those before, relative to their length, are left out: their
# products would be known to no more than rounding / _DEPENDENT.
_DEPENDENT = 1e-3


class Known:
    """U with A U = U H + R,  U'U = I,  U'R = 0: every Krylov space that was run through.

    Counting the eigenvalues of H as eigenvalues of A, and the complement's beside them, drops the
    coupling R. The sum of |errors| over all d eigenvalues is at most the nuclear norm of the
    dropped part, 2 |R|_* (Lidskii; Bhatia 1997, Matrix Analysis, IV.3.4), and a run of any length
    adds rank 1 to R. So a whole Krylov space is deflated for 2 beta, converged or not.

    Parameters
    ----------
    d : int
        Size of A; U starts empty.
    """

    def __init__(self, d: int) -> None:
        self._basis = np.empty((d, 0))
        self._images = np.empty((d, 0))
        self.values = np.empty(0)  # (k,) eigenvalues of H, ascending
        self.residuals = np.empty(0)  # (k,) |A x - value x|
        self.coupling = 0.0  # |R|_*, the operator's unit
        self.norm = 0.0  # the longest product met: at most |A|

    @property
    def count(self) -> int:
        """Columns k of U."""
        return self._basis.shape[1]

    def met(self, length: float) -> None:
        """Learn of a product of this length of a unit vector."""
        self.norm = max(self.norm, length)

    def remove(self, v: Array) -> Array:
        """(I - U U') v for v (d,)."""
        if self.count == 0:
            return v
        out: Array = v - self._basis @ (self._basis.T @ v)
        return out

    def absorb(self, spaces: Sequence[tuple[Array, Array]]) -> None:
        """Take in bases (d, m) orthogonal to U, with their products; no product is spent."""
        for basis, images in spaces:
            self._append(basis, images)
        u, image = self._basis, self._images
        h = u.T @ image
        values, vectors = np.linalg.eigh((h + h.T) / 2)
        rest = image - u @ h
        self.values = values
        self.residuals = np.linalg.norm(rest @ vectors, axis=0)
        squares = np.linalg.eigvalsh(rest.T @ rest)
        # Below rounding there is nothing but noise, which the root would lift.
        floor = self.norm**2 * np.finfo(np.float64).eps * len(h)
        self.coupling = float(np.sqrt(squares[squares > floor]).sum())

    def _append(self, basis: Array, images: Array) -> None:
        # Q <- Q - U U'Q, A Q <- A Q - A U U'Q, then Q <- Q V s^-1 for the singular pairs that count.
        c = self._basis.T @ basis
        rest, rest_images = basis - self._basis @ c, images - self._images @ c
        squares, v = np.linalg.eigh(rest.T @ rest)
        kept = squares > _DEPENDENT**2
        turn = v[:, kept] / np.sqrt(squares[kept])
        fresh, fresh_images = rest @ turn, rest_images @ turn
        c = self._basis.T @ fresh
        fresh, fresh_images = fresh - self._basis @ c, fresh_images - self._images @ c
        q, r = np.linalg.qr(fresh)
        inverse = np.linalg.inv(r)
        self._basis = np.concatenate([self._basis, q], axis=1)
        self._images = np.concatenate([self._images, fresh_images @ inverse], axis=1)

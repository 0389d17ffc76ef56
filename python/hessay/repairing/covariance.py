"""The regularised inverse covariance of the probe, as a product, and the matched filters it gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

RIDGE = 0.1  # of the mean variance of a feature, added to every variance
_DEPENDENT = 1e-2  # singular values below this share of the largest add no direction


@dataclass(frozen=True, slots=True, eq=False)
class CleanCovariance:
    """Mean mu and covariance Sigma + lam I of clean inputs; no d x d matrix where d is large."""

    mean: Matrix  # (d,), input units
    centred: Matrix  # (n, d)
    ridge: float  # lam, input units squared

    @staticmethod
    def of(inputs: Matrix) -> CleanCovariance:
        """Take the moments of inputs (n, d)."""
        mean = inputs.mean(axis=0)
        centred = inputs - mean
        return CleanCovariance(mean, centred, RIDGE * float(np.square(centred).mean()))

    def solve(self, columns: Matrix) -> Matrix:
        """Return (Sigma + lam I)^-1 times columns (d, k).

        Through the smaller of the two Grams, with X the centred inputs:
        (X'X/n + lam I)^-1 b = (b - X'(X X' + n lam I)^-1 X b) / lam  (Woodbury).
        """
        n, d = self.centred.shape
        if d <= n:
            dense = self.centred.T @ self.centred / n
            dense.flat[:: d + 1] += self.ridge
            solved = np.linalg.solve(dense, columns)
        else:
            gram = self.centred @ self.centred.T
            gram.flat[:: n + 1] += n * self.ridge
            inner = np.linalg.solve(gram, self.centred @ columns)
            solved = (columns - self.centred.T @ inner) / self.ridge
        return np.asarray(solved, dtype=np.float64)

    def filters(self, basis: Matrix) -> Matrix:
        """Return F = A B (B'AB)^-1 with A = (Sigma + lam I)^-1, so that F'B = I.

        Parameters
        ----------
        basis : (d, k) float64
            B, linearly independent columns.

        Returns
        -------
        (d, k) float64
            The projection x - B F'(x - mu) takes the span of B out of x and moves clean inputs as
            little as possible, in the sense of F'Sigma F.

        Source: the linearly constrained minimum variance filter, Frost 1972, Proc. IEEE 60, 926.
        """
        weighted = self.solve(basis)
        coupling = basis.T @ weighted
        return np.asarray(np.linalg.solve(coupling, weighted.T).T, dtype=np.float64)


def independent(rows: Matrix) -> Matrix:
    """Orthonormal basis (d, k) of what the rows (m, d) span, each counted alike; zero rows add nothing."""
    norms = np.linalg.norm(rows, axis=1)
    kept = rows[norms > 0.0] / norms[norms > 0.0, None]
    if not len(kept):
        return np.zeros((rows.shape[1], 0))
    _, sizes, span = np.linalg.svd(kept, full_matrices=False)
    return np.ascontiguousarray(span[sizes > _DEPENDENT * sizes[0]].T)

"""All that B_i'B_i has for eigenpairs, from B_i (r, d) with few rows: no iteration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessay.spectrum.ends import report_order

Doubles = NDArray[np.float64]
_CHUNK_BYTES = 64 << 20  # of B_i multiplied out in double


def factored_pairs(
    rows: NDArray[np.floating],
    lift: NDArray[np.floating] | None,
    draws: int,
    k: int,
    which: str,
    rng: np.random.Generator,
) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Eigenpairs of H_i = B_i'B_i at one end, through the singular values of B_i.

    The Gram matrix B_i B_i' would be cheaper by a constant and would lose half of the digits of the
    small eigenvectors. What the row space does not hold has eigenvalue zero: any orthonormal basis
    of it will do, and a random one is taken.

    Parameters
    ----------
    rows : (n draws, r, m)
        Factor rows; ``draws`` consecutive points belong to one sample, H_i is their mean.
    lift : (m, d) or None
        The first layer, where it is kept apart.
    draws, k, which
        Points a sample; pairs wanted, 1 <= k <= d; "LM", "LA", "SA" or "BE".
    rng : np.random.Generator
        Of the basis of the null space.

    Returns
    -------
    (n, k) values, (n, d, k) vectors, (n, k) residuals |H_i x - value x|, and (n,) norms |H_i|.

    Source: Golub & Van Loan 2013, Matrix Computations, 8.6.
    """
    n, d = len(rows) // draws, rows.shape[2] if lift is None else lift.shape[1]
    values, vectors, residuals = np.zeros((n, k)), np.zeros((n, d, k)), np.zeros((n, k))
    norm = np.zeros(n)
    chunk = max(1, _CHUNK_BYTES // (8 * d * max(rows.shape[1] * draws, k)))
    for first in range(0, n, chunk):
        here = slice(first, min(first + chunk, n))
        b = rows[here.start * draws : here.stop * draws].astype(np.float64)
        if lift is not None:
            b = b @ lift.astype(np.float64)
        b = b.reshape(here.stop - here.start, -1, d) / draws**0.5
        singular, right = np.linalg.svd(b, full_matrices=False)[1:]
        chosen, null = _positions(singular.shape[1], d, k, which)
        x = right[:, chosen].swapaxes(1, 2)
        if null:
            x = np.concatenate([x, _complement(right, null, rng)], axis=2)
        found = np.concatenate([singular[:, chosen] ** 2, np.zeros((len(b), null))], axis=1)
        order = np.stack([report_order(row, which) for row in found])
        found = np.take_along_axis(found, order, axis=1)
        x = np.take_along_axis(x, order[:, None, :], axis=2)
        image = b.swapaxes(1, 2) @ (b @ x)
        values[here], vectors[here] = found, x
        residuals[here] = np.linalg.norm(image - x * found[:, None, :], axis=1)
        norm[here] = singular[:, 0] ** 2
    return values, vectors, residuals, norm


def _positions(held: int, d: int, k: int, which: str) -> tuple[list[int], int]:
    """Which singular triplets (descending) are wanted, and how many null vectors beside them."""
    bottom = {"SA": k, "BE": k // 2}.get(which, 0)
    top = k - bottom
    below_top = max(0, top - held)
    null = below_top + min(bottom, d - held - below_top)
    tail = k - min(top, held) - null
    return [*range(min(top, held)), *range(held - tail, held)], null


def _complement(right: Doubles, count: int, rng: np.random.Generator) -> Doubles:
    """Orthonormal (n, d, count) off the orthonormal rows right (n, m, d)."""
    x = rng.standard_normal((len(right), right.shape[2], count))
    for _ in range(3):  # in a nearly full space most of it goes, and the rest must be clean
        x -= right.swapaxes(1, 2) @ (right @ x)
        x = np.linalg.qr(x)[0]
    return x

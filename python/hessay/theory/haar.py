"""Exact simulation of a label-whitened fit: the null of a test, and the same with poison in it.

Rotating the rows of Gaussian inputs changes nothing, so the labels meet the eigenvectors of
``X X'`` in a Haar frame. Whatever the sizes, a draw needs n times q Gaussians, not a fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hessay import marchenko_pastur
from hessay._laws import FloatArray, real_vector
from hessay.errors import ArgumentError
from hessay.theory._checks import LARGEST, at_least, count, fraction, positive
from hessay.theory.noise import noise_weights

__all__ = ["PoisonDraws", "null_spectra"]

_BATCH = 1 << 19  # Gaussians held at once
_LARGEST = 10**6  # dimensions of a simulated spectrum
_MOST = 1 << 35  # Gaussians drawn in one call, some minutes


def null_spectra(
    weights: FloatArray, n_directions: int, *, draws: int = 1999, seed: int = 0
) -> FloatArray:
    """Spectra of ``Q' D Q`` for Haar frames Q: label-whitened ``W'W`` when labels are noise.

    Exact at every size for Gaussian inputs of any covariance, given the eigenvalues of ``X X' / n``
    (centred rows), because class counts are fixed and the rows are exchangeable under rotations.

    Parameters
    ----------
    weights : (m,) >= 0
        The diagonal of D over all m centred dimensions (n - 1 with intercept), zeros included;
        1 / input^2.
    n_directions : int >= 1, <= m
        q, classes less one.
    draws : int >= 1
    seed : int >= 0

    Returns
    -------
    (draws, q) float64, descending in each row, read-only
        In the unit of ``weights``; remembered for the last few arguments.

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 6.7, derived independently.

    Examples
    --------
    >>> null_spectra(np.ones(50), 3, draws=2).round(12).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    diagonal = real_vector("weights", weights)
    q = count("n_directions", n_directions, 1)
    if (diagonal < 0).any():
        raise ArgumentError(f"weights must be at least 0, the smallest is {diagonal.min()!r}")
    if (diagonal > LARGEST**4).any():
        raise ArgumentError(
            f"weights must be at most {LARGEST**4:g}, the largest is {diagonal.max()!r}; change the"
            " unit"
        )
    if q > diagonal.size:
        raise ArgumentError(
            f"n_directions must be at most {diagonal.size}, the dimensions, got {q}"
        )
    return _null_spectra(diagonal.tobytes(), q, count("draws", draws, 1), count("seed", seed, 0))


@lru_cache(maxsize=16)
def _null_spectra(diagonal: bytes, q: int, draws: int, seed: int) -> FloatArray:
    weights = np.frombuffer(diagonal)
    rng = np.random.default_rng(seed)
    kept = weights[weights > 0]
    zeros = len(weights) - len(kept)
    gram, seen = _moments(rng, draws, q, (np.ones_like(kept), kept), zeros, (1.0, 0.0))
    lower = np.linalg.inv(np.linalg.cholesky(gram))
    descending = np.linalg.eigvalsh(lower @ seen @ lower.swapaxes(1, 2))[:, ::-1]
    values: FloatArray = np.asarray(descending, dtype=np.float64)
    values.flags.writeable = False
    return values


def _moments(
    rng: np.random.Generator,
    draws: int,
    columns: int,
    functions: tuple[FloatArray, ...],
    zeros: int,
    at_zero: tuple[float, ...],
) -> list[FloatArray]:
    """``G' diag(f) G`` of the same Gaussian G for every f, each (draws, columns, columns).

    The last ``zeros`` rows of G have one value of f each: their Gram matrix is one Wishart draw.
    """
    size = len(functions[0])
    if draws * columns * max(size, columns) > _MOST:
        raise ArgumentError(
            f"{draws} draws of {columns} columns in {size} dimensions are too many numbers; ask for"
            " fewer draws or classes"
        )
    if 0 < zeros < columns + 1:  # too few for a Wishart matrix of full rank
        pairs = zip(functions, at_zero, strict=True)
        functions = tuple(np.concatenate([f, np.full(zeros, at)]) for f, at in pairs)
        size, zeros = size + zeros, 0
    sums = [np.empty((draws, columns, columns)) for _ in functions]
    batch = max(1, _BATCH // max(1, size * columns))
    for first in range(0, draws, batch):
        part = slice(first, min(first + batch, draws))
        g = rng.standard_normal((part.stop - first, size, columns))
        for total, f in zip(sums, functions, strict=True):
            total[part] = g.swapaxes(1, 2) @ (g * f[:, None])
    if zeros:
        # Bartlett: the Gram matrix of m Gaussian rows is L L', chi on L's diagonal, Gaussians below
        lower = np.tril(rng.standard_normal((draws, columns, columns)), -1)
        chi = rng.chisquare(zeros - np.arange(columns), (draws, columns))
        index = np.arange(columns)
        lower[:, index, index] = np.sqrt(chi)
        wishart = lower @ lower.swapaxes(1, 2)
        for total, at in zip(sums, at_zero, strict=True):
            total += at * wishart
    return sums


@dataclass(frozen=True, slots=True, eq=False)
class PoisonDraws:
    """Random inputs and labels at one size and ridge, reusable for every poison.

    The same draws answer every poisoned share and strength, so that a search over them compares
    like with like. White Gaussian inputs, no class means.
    """

    n_rows: int
    n_inputs: int
    n_directions: int  # q, classes less one
    ridge: float  # input^2
    moments: tuple[FloatArray, FloatArray, FloatArray]  # G'G, G'RG, G'DG; (draws, q + 2, q + 2)

    @classmethod
    def draw(
        cls,
        *,
        n_rows: int,
        n_inputs: int,
        n_directions: int,
        ridge: float,
        draws: int = 400,
        seed: int = 0,
    ) -> PoisonDraws:
        """Draw.

        Parameters
        ----------
        n_rows : int >= 3
        n_inputs : int >= 2
        n_directions : int >= 1, <= n_rows - 3
            q, classes less one.
        ridge : float > 0, input^2
        draws : int >= 1
        seed : int >= 0

        Raises
        ------
        ArgumentError
            A value is out of range.

        Source: docs/random-matrix-theory.md eq. 6.8, derived independently. The one approximation:
        the spectrum of the inputs off the trigger is put at Marchenko-Pastur quantiles.
        """
        n, p = count("n_rows", n_rows, 3), count("n_inputs", n_inputs, 2)
        q = count("n_directions", n_directions, 1)
        lam = positive("ridge", ridge)
        if q > n - 3:
            raise ArgumentError(f"n_directions must be at most n_rows - 3 = {n - 3}, got {q}")
        dimensions, others = n - 1, p - 1
        size = min(dimensions, others)
        if size > _LARGEST:
            raise ArgumentError(
                f"n_rows and n_inputs are both above {_LARGEST}, got {n} and {p}; plan for fewer"
            )
        # Upper quantiles of the longer side's law: `size` positive eigenvalues out of `others`
        levels = (others - size + np.arange(size) + 0.5) / others
        positive_part = marchenko_pastur.quantile(levels, dimensions / n, others / dimensions)
        resolvent = 1 / (positive_part + lam)
        moments = _moments(
            np.random.default_rng(count("seed", seed, 0)),
            count("draws", draws, 1),
            q + 2,
            (np.ones(size), resolvent, positive_part * resolvent**2),
            dimensions - size,
            (1.0, 1 / lam, 0.0),
        )
        return cls(n, p, q, lam, (moments[0], moments[1], moments[2]))

    def tops(self, *, poisoned_share: float, target_share: float, strength: float) -> FloatArray:
        """Largest eigenvalue of the label-whitened ``W'W`` of every draw, 1 / input^2.

        Parameters
        ----------
        poisoned_share : float in [0, 1)
            gamma, of all rows; all of them carry the target's label.
        target_share : float in (0, 1)
            Rows labelled as the target, poisoned ones included; at least ``poisoned_share``.
        strength : float >= 0
            Length of the trigger, standard deviations of an input.

        Returns
        -------
        (draws,) float64
        """
        gamma = fraction("poisoned_share", poisoned_share)
        s = at_least("strength", strength, 0.0)
        if not gamma <= target_share < 1 or target_share <= 0:
            raise ArgumentError(
                f"target_share must lie in [poisoned_share, 1), got {target_share!r} with a"
                f" poisoned share of {gamma!r}"
            )
        n, q = self.n_rows, self.n_directions
        size = q + 2
        # Columns of G: q label directions, one for the rest of the poison indicator, the inputs
        # along the trigger. Gram-Schmidt turns the first q + 1 into a Haar frame.
        frame = np.linalg.inv(np.linalg.cholesky(self.moments[0][:, : q + 1, : q + 1]))
        combine = np.zeros((len(frame), size, q + 1))
        combine[:, : q + 1, :q] = frame.swapaxes(1, 2)[:, :, :q]
        delta = gamma**2 * (1 - target_share) / target_share
        along = np.sqrt(n * delta)
        across = np.sqrt(max(0.0, n * (gamma * (1 - gamma) - delta)))
        # z = strength * indicator + inputs along the trigger
        combine[:, : q + 1, q] = s * (along * frame[:, 0, :] + across * frame[:, q, :])
        combine[:, q + 1, q] = 1.0
        first, second = (
            combine.swapaxes(1, 2) @ m @ combine for m in (self.moments[1], self.moments[2])
        )
        # M = (K + lam)^-1 Z = R Z - R z w',  K = K0 + z z' / n,  w = Z'Rz / (n + z'Rz)
        # W'W = M'KM = M'K0M + n w w',  since z'M = n w';  D = R K0 R. Nothing large cancels.
        w = first[:, :q, q] / (n + first[:, q, q])[:, None]
        cross = second[:, :q, q, None] * w[:, None, :]
        square = w[:, :, None] * w[:, None, :]
        product = second[:, :q, :q] - cross - cross.swapaxes(1, 2)
        product = product + (second[:, q, q] + n)[:, None, None] * square
        return np.asarray(np.linalg.eigvalsh(product)[:, -1], dtype=np.float64)


def mean_weight(eigenvalues: FloatArray, ridge: float) -> float:
    """Mean of D over centred dimensions: g of the data at hand, 1 / input^2."""
    return float(noise_weights(eigenvalues, ridge).mean())

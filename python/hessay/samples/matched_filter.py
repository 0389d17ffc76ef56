"""The matched filter: how much of a perturbation an input carries, told apart from the data.

With mu and Sigma of clean data, A = Sigma + lam I and z = x - mu,

    t(x) = u'A^-1 z / u'A^-1 u        the share of u that x carries: of all linear statistics that
                                      answer 1 to u itself, the one that varies least on clean data
    s(x) = a / sqrt(z'A^-1 z - a^2),  a = u'A^-1 z / sqrt(u'A^-1 u)
                                      cotangent of the angle between z and u after whitening

t is in units the reader understands; s decides. Unusual inputs are unusual in every direction, so
the tails of t are heavy; s compares the component along u with all the others of the same input,
and its law is the same for all elliptical data, however heavy their tails.

Sources: Capon 1969, Proc. IEEE 57, 1408 (t); Kraut, Scharf & McWhorter 2001, IEEE Trans. Signal
Process. 49, 1 (the adaptive coherence, cos^2 where s is the cotangent).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from hessay.errors import ArgumentError, NonFinite, ShapeError

RIDGE = 0.1  # lam over the mean variance a feature


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """What k filters answer to m inputs."""

    share: NDArray[np.float64]  # (m, k): t, 0 for the mean, 1 more for each u added
    cotangent: NDArray[np.float64]  # (m, k): s, dimensionless


@dataclass(frozen=True, slots=True, eq=False)
class RidgedCovariance:
    """A = Z'Z/n + lam I of centred inputs Z (n, d), by its Cholesky factor, the smaller of two.

    Where d > n neither A nor its inverse is formed (Woodbury):

        A^-1 = (I - Z' (Z Z' + n lam I)^-1 Z) / lam
    """

    centred: NDArray[np.float64]  # Z (n, d), input units
    ridge: float  # lam > 0, input^2
    factor: NDArray[np.float64]  # lower Cholesky factor of A (d, d), or of Z Z' + n lam I (n, n)

    @classmethod
    def of(cls, centred: NDArray[np.float64], ridge: float) -> RidgedCovariance:
        """Factor it."""
        n, d = centred.shape
        gram = centred.T @ centred / n if d <= n else centred @ centred.T
        gram.flat[:: len(gram) + 1] += ridge if d <= n else n * ridge
        factor = cho_factor(gram, lower=True, overwrite_a=True)[0]
        return cls(centred, ridge, np.tril(factor))

    @property
    def dual(self) -> bool:
        """Whether the factor is that of the n x n matrix."""
        n, d = self.centred.shape
        return bool(d > n)

    def solve(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return A^-1 right for right (d, k)."""
        if not self.dual:
            solved: NDArray[np.float64] = cho_solve((self.factor, True), right)
            return solved
        inside = cho_solve((self.factor, True), self.centred @ right)
        return np.asarray((right - self.centred.T @ inside) / self.ridge)

    def lengths(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return z'A^-1 z, (m,), for the rows of z (m, d)."""
        right = self.centred @ z.T if self.dual else z.T
        whitened = solve_triangular(self.factor, right, lower=True, overwrite_b=self.dual)
        squares: NDArray[np.float64] = np.einsum("nm,nm->m", whitened, whitened)
        if self.dual:
            squares = (np.einsum("md,md->m", z, z) - squares) / self.ridge
        return squares


@dataclass(frozen=True, slots=True, eq=False)
class MatchedFilter:
    """Filters for k perturbations, and what they answer to the clean inputs they were built from."""

    mean: NDArray[np.float64]  # (d,): mu, input units
    covariance: RidgedCovariance
    weights: NDArray[np.float64]  # (d, k): A^-1 u / u'A^-1 u, 1 / input units
    power: NDArray[np.float64]  # (k,): u'A^-1 u > 0, dimensionless
    clean: Response  # (n, k): of each clean input, by the filter built without it

    @classmethod
    def fit(
        cls,
        clean: NDArray[np.float64],
        perturbation: NDArray[np.float64],
        *,
        ridge: float = RIDGE,
    ) -> MatchedFilter:
        """Build the filters.

        Parameters
        ----------
        clean : (n, d) float64, n >= 3
            Inputs that carry no perturbation.
        perturbation : (k, d) float64
            One row for each filter, none of them zero; input units.
        ridge : float, > 0
            lam over the mean variance a feature, dimensionless.

        Raises
        ------
        ShapeError
            Fewer than 3 inputs, or widths that differ.
        NonFinite
            NaN or Inf in either array.
        ArgumentError
            A perturbation is zero, the inputs do not vary, or ``ridge`` is not positive.
        """
        if clean.ndim != 2 or perturbation.ndim != 2 or clean.shape[1] != perturbation.shape[1]:
            raise ShapeError(
                "a matched filter needs inputs (n, d) and perturbations (k, d), got "
                f"{clean.shape} and {perturbation.shape}"
            )
        n, d = clean.shape
        if n < 3:
            raise ShapeError(f"a matched filter needs at least 3 clean inputs, got {n}")
        if not (np.isfinite(clean).all() and np.isfinite(perturbation).all()):
            raise NonFinite("the clean inputs or the perturbations hold NaN or Inf")
        if not 0.0 < ridge < np.inf:
            raise ArgumentError(f"ridge must be positive and finite, got {ridge}")
        if not bool(np.any(perturbation, axis=1).all()):
            raise ArgumentError("a perturbation is zero: there is nothing to filter for")
        mean: NDArray[np.float64] = clean.mean(axis=0)
        z = clean - mean
        lam = ridge * float(np.einsum("ij,ij->", z, z)) / (n * d)
        if not lam > 0:
            raise ArgumentError("the clean inputs do not vary, so they have no covariance")
        covariance = RidgedCovariance.of(z, lam)
        solved = covariance.solve(perturbation.T)
        power = np.einsum("kd,dk->k", perturbation, solved)
        left_out = _left_out(z @ solved, covariance.lengths(z), power)
        return cls(mean, covariance, solved / power, power, left_out)

    def respond(self, inputs: NDArray[np.float64]) -> Response:
        """Filter inputs (m, d), in input units."""
        z = inputs - self.mean
        share = z @ self.weights
        return Response(share, _cotangent(share, self.covariance.lengths(z)[:, None], self.power))


def _cotangent(
    share: NDArray[np.float64], length: NDArray[np.float64], power: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a / sqrt(length - a^2) with a = share sqrt(power); arrays that broadcast to (m, k)."""
    along = share * np.sqrt(power)
    # Rounding leaves something of order eps where an input is u itself; the mean input has s = 0.
    across = np.maximum(length - along**2, np.finfo(np.float64).eps * (1.0 + along**2))
    cotangent: NDArray[np.float64] = along / np.sqrt(across)
    return cotangent


def _left_out(
    response: NDArray[np.float64], length: NDArray[np.float64], power: NDArray[np.float64]
) -> Response:
    """Answer to each clean input of the filter built without it; lam is kept.

    A filter is made to be quiet on the inputs it is built from, so what it says of them is too
    quiet for a null. Without input i the scatter loses  n / (n - 1) z_i z_i'  and the mean moves
    by  z_i / (n - 1); Sherman and Morrison (1950, Ann. Math. Stat. 21, 124) do the rest.

    response  (n, k)  z_i'A^-1 u
    length    (n,)    z_i'A^-1 z_i
    power     (k,)    u'A^-1 u
    """
    lost = 1.0 / (len(response) - 1)  # A without i is A - lost z_i z_i'
    rest = (1.0 - lost * length)[:, None]  # > 0 because A - lost z_i z_i' is positive definite
    own_power = power + lost * response**2 / rest
    share = (1.0 + lost) * response / rest / own_power
    own_length = (1.0 + lost) ** 2 * length[:, None] / rest
    return Response(share, _cotangent(share, own_length, own_power))

"""Silverstein's law: where the eigenvalues of correlated noise lie.

The limit of the eigenvalues of ``X.T @ X / n`` when the rows of ``X`` have a covariance with known
eigenvalues, ``gamma = p / n``: the Marchenko-Pastur law of a general population.

Source: Silverstein & Choi 1995, J. Multivariate Anal. 54, 295.
"""

from __future__ import annotations

from typing import TypeAlias, overload

import numpy as np
from scipy.optimize import nnls

from hessay import _core
from hessay._laws import (
    ComplexArray,
    FloatArray,
    RealArray,
    complex_array,
    like,
    positive,
    probabilities,
    real_array,
    real_vector,
)
from hessay.errors import ArgumentError

__all__ = ["Population", "PopulationLaw", "estimate_population"]

# Eigenvalues of equal weight, or eigenvalues and weights.
Population: TypeAlias = RealArray | tuple[RealArray, RealArray]

_GRID = 120  # population eigenvalues tried by the estimate
_POINTS = 80  # where the transform is matched


class PopulationLaw:
    """The law of one population and aspect ratio.

    Parameters
    ----------
    population : (m,) array, or pair of (m,) arrays
        Population eigenvalues, 0 or within 1e-100 and 1e100, at least one positive; in a pair, with
        weights > 0 that sum to one. Without, each weighs ``1 / m``.
    gamma : float, > 0
        Columns over rows, ``p / n``, dimensionless.

    Attributes
    ----------
    support : tuple of (lower, upper)
        Intervals of the continuous part, ascending. The inner gaps are looked for among at most 64
        distinct population eigenvalues; beyond, one interval from the outermost edges.
    gaps_resolved : bool
    atom : float
        Mass at 0.
    threshold : float
        The smallest population eigenvalue that would leave the bulk upwards.

    Raises
    ------
    ArgumentError
        No positive population eigenvalue, one out of range, a weight or gamma not positive, not
        finite, or weights that do not sum to one.
    ShapeError
        The population is not of vectors of one length.

    Examples
    --------
    >>> law = PopulationLaw(([1.0, 8.0], [0.5, 0.5]), 0.1)
    >>> [tuple(round(e, 4) for e in interval) for interval in law.support]
    [(0.56, 1.4247), (4.8819, 12.0334)]
    """

    def __init__(self, population: Population, gamma: float) -> None:
        if isinstance(population, tuple) and len(population) == 2:
            t, w = (real_vector("population", part) for part in population)
        else:
            t = real_vector("population", population)
            w = np.full(t.size, 1 / max(t.size, 1))
        self.gamma = positive("gamma", gamma)
        self._law = _core.Silverstein(t.tolist(), w.tolist(), self.gamma)
        self.population: tuple[FloatArray, FloatArray] = (t, w / w.sum())
        self.support: tuple[tuple[float, float], ...] = tuple(self._law.support())
        self.gaps_resolved: bool = self._law.gaps_resolved()
        self.atom: float = self._law.atom()
        self.threshold: float = self._law.threshold()

    def __repr__(self) -> str:
        edges = ", ".join(f"[{low:.6g}, {high:.6g}]" for low, high in self.support)
        return f"PopulationLaw(gamma={self.gamma:.6g}, support={edges})"

    def edge_scale(self, n: float) -> float:
        """Tracy-Widom scale (beta 1) of the largest eigenvalue of ``n`` rows about the upper edge.

        ``(x''(m0) / 2)^(1/3) n^(-2/3)``. Source: El Karoui 2007, Ann. Probab. 35, 663; Lee &
        Schnelli 2016, Ann. Appl. Probab. 26, 3786.

        Raises
        ------
        ArgumentError
            ``n`` is not finite and positive.
        """
        return self._law.edge_scale(positive("n", n))

    @overload
    def density(self, x: float) -> float: ...
    @overload
    def density(self, x: RealArray) -> FloatArray: ...
    def density(self, x: RealArray | float) -> FloatArray | float:
        """Density of the continuous part at finite ``x`` of any shape, 1 / unit; 0 off the support.

        Raises
        ------
        ArgumentError
            ``x`` holds NaN or infinities.
        """
        points = real_array("x", x)
        return like(points, self._law.density(points))

    @overload
    def sf(self, x: float) -> float: ...
    @overload
    def sf(self, x: RealArray) -> FloatArray: ...
    def sf(self, x: RealArray | float) -> FloatArray | float:
        """P(eigenvalue > x), any shape, in closed form; absolute error below 1e-13.

        Raises
        ------
        ArgumentError
            ``x`` holds NaN.
        """
        points = real_array("x", x)
        return like(points, self._law.sf(np.clip(points, -1.0, 2 * self.support[-1][1])))

    @overload
    def cdf(self, x: float) -> float: ...
    @overload
    def cdf(self, x: RealArray) -> FloatArray: ...
    def cdf(self, x: RealArray | float) -> FloatArray | float:
        """P(eigenvalue <= x), atom included; arguments and errors as for :meth:`sf`."""
        return 1 - self.sf(x)

    @overload
    def quantile(self, p: float) -> float: ...
    @overload
    def quantile(self, p: RealArray) -> FloatArray: ...
    def quantile(self, p: RealArray | float) -> FloatArray | float:
        """Smallest point of the law whose ``cdf`` reaches ``p`` in [0, 1], any shape.

        Raises
        ------
        ArgumentError
            ``p`` holds NaN or leaves [0, 1].
        """
        levels = probabilities("p", p)
        return like(levels, self._law.quantile(levels))

    def stieltjes(self, z: ComplexArray | RealArray | complex) -> ComplexArray:
        """Mean of ``1 / (eigenvalue - z)``, complex, any shape.

        Real ``z`` inside the support gives the limit from above.

        Raises
        ------
        ArgumentError
            ``z`` is not finite.
        """
        return self._law.stieltjes(complex_array("z", z))

    def companion(self, z: ComplexArray | RealArray | complex) -> ComplexArray:
        """Average the same over the ``n`` eigenvalues of ``X @ X.T / n``; as :meth:`stieltjes`."""
        return self._law.companion(complex_array("z", z))

    def companion_slope(self, z: ComplexArray | RealArray | complex) -> ComplexArray:
        """Differentiate :meth:`companion`; as :meth:`stieltjes`."""
        return self._law.companion_slope(complex_array("z", z))

    @overload
    def kappa(self, lam: float) -> float: ...
    @overload
    def kappa(self, lam: RealArray) -> FloatArray: ...
    def kappa(self, lam: RealArray | float) -> FloatArray | float:
        """Effective ridge: ``kappa = lam + kappa gamma mean(t / (t + kappa))``, lam >= 0.

        At ``lam = 0`` the limit, 0 unless the population has more positive directions than rows.

        Raises
        ------
        ArgumentError
            ``lam`` is negative, NaN or infinite.
        """
        ridges = real_array("lam", lam)
        return like(ridges, self._law.kappa(ridges))

    def biased(self, spike: FloatArray) -> FloatArray:
        """Where the sample eigenvalues of population eigenvalues above ``threshold`` settle."""
        return self._law.spike_map(spike)

    def biased_slope(self, spike: FloatArray) -> FloatArray:
        """Differentiate :meth:`biased`, positive above ``threshold``."""
        return self._law.spike_map_slope(spike)

    def debiased(self, values: FloatArray) -> FloatArray:
        """Inverse of :meth:`biased`; ``threshold`` up to the upper edge."""
        upper = self.support[-1][1]
        sizes: FloatArray = np.where(
            values > upper, self._law.coordinate(np.maximum(values, upper)), self.threshold
        )
        return sizes


def estimate_population(values: RealArray, gamma: float) -> tuple[FloatArray, FloatArray]:
    """Estimate the population eigenvalues behind a clean sample spectrum.

    The companion transform of the sample is put into the equation of the law at points above the
    real axis; that is linear in the weights, which non-negative least squares then gives.

    Parameters
    ----------
    values : (p,) array
        All sample eigenvalues of clean data, zeros included.
    gamma : float > 0
        Columns over rows of that data.

    Returns
    -------
    (t, w) : (m,) float64 each
        Positive population eigenvalues, ascending, and their weights, sum 1.

    Raises
    ------
    ArgumentError
        No positive eigenvalue, negative ones, NaN, or ``gamma`` out of range.

    Source: El Karoui 2008, Ann. Statist. 36, 2757.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((800, 200)) * np.sqrt([1.0, 4.0] * 100)
    >>> t, w = estimate_population(np.linalg.eigvalsh(noise.T @ noise / 800), 0.25)
    >>> bool(abs(w @ t - 2.5) < 0.1)
    True
    """
    sample = real_vector("values", values)
    ratio = positive("gamma", gamma)
    top = float(sample.max(initial=0.0))
    if top <= 0 or float(sample.min()) < -1e-6 * top:
        raise ArgumentError(
            f"values must be a spectrum with a positive and no negative eigenvalue, got"
            f" {sample.size} values up to {top!r}"
        )
    sample = np.maximum(sample, 0.0) / top
    # Population eigenvalues lie within the range of the sample's, up to the smallest that n tells.
    lowest = max(float(sample[sample > 1e-12].min()) * 0.5, 1e-4)
    t = np.geomspace(lowest, 1.0, _GRID)
    real = np.quantile(sample, (np.arange(_POINTS) + 0.5) / _POINTS)
    # A height of a few spacings: nearer, single eigenvalues show; farther, detail is lost.
    z = np.concatenate([real + 1j * h for h in (0.02, 0.1, 0.5)])
    m = (1 / (sample[:, None] - z)).mean(axis=0)
    companion = ratio * m - (1 - ratio) / z
    # z + 1 / mt = gamma sum w t / (1 + t mt)
    design = ratio * t / (1 + t * companion[:, None])
    target = z + 1 / companion
    heavy = 1e3 * np.abs(target).max()  # the weights sum to one
    rows = np.concatenate([design.real, design.imag, np.full((1, _GRID), heavy)])
    right = np.concatenate([target.real, target.imag, [heavy]])
    w, _ = nnls(rows, right)
    kept = w > 1e-6
    return t[kept] * top, w[kept] / w[kept].sum()

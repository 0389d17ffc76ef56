"""Where the noise in a spectrum ends: a Marchenko-Pastur law fitted to the bulk.

``sqrt(x_(i)) ~ root * y(u_i, k)``: the square roots of the ordered positive eigenvalues against
the quantiles of the law, least squares in ``root`` (where the law's width sits) and ``k`` (its
shape). Eigenvalues above the fitted Tracy-Widom range are dropped and the fit repeated. A fit whose
Kolmogorov-Smirnov distance is beyond what noise gives is reported as not accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hessay import _core
from hessay._laws import FloatArray, RealArray, level, positive, real_vector
from hessay.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BulkEdge", "fit_edge"]

MIN_VALUES = 20
MIN_BULK = 12  # left after the outliers
# Tracy-Widom units, beta 1. Outliers are counted at the 0.99 quantile but only those above the
# 0.9999 quantile are kept from the fit: a noise value left out lowers the edge and so would
# turn its own p-value from 0.01 into 0.001.
COUNTED = 2.0234492813801883
DROPPED = 4.359420343913646
MAX_LEVELS = 384  # order statistics used by one fit; neighbours carry almost the same information
MAX_ROUNDS = 15
PLOT_POINTS = 400
MAX_STEPS = 30
SMALLEST_SHAPE, LARGEST_SHAPE = 0.01, 1.0  # of k; at 0.01 the bulk is 4 % wide

# Null quantiles of N * KS after the fit: a + b log(N) + (c + d log(N)) log(1 / alpha), largest over
# the aspect ratios; printed by tools/simulate_edge_null.py with its default seed, off by <= 0.14.
_GOODNESS: dict[str, tuple[float, float, float, float]] = {
    "qls": (0.3372, 0.4089, 0.1511, 0.0066),
    "qls_c": (0.4970, 0.3685, 0.1182, 0.0198),
}


@dataclass(frozen=True, slots=True)
class BulkEdge:
    """A fitted bulk; eigenvalues carry the unit of the input, here called unit."""

    lower: float  # lambda_minus, unit
    upper: float  # lambda_plus, unit
    sigma2: float  # variance of an entry, unit
    gamma: float  # columns over rows, dimensionless
    center: float  # Tracy-Widom centre of the largest noise eigenvalue, unit
    scale: float  # Tracy-Widom scale of the largest noise eigenvalue, unit
    goodness: float  # N * KS distance of the bulk from the fitted law, eigenvalues
    goodness_limit: float  # what noise exceeds with probability alpha, eigenvalues
    accepted: bool  # goodness within its limit and the outlier count settled
    method: Literal["qls", "qls_c"]  # gamma fitted, or known
    n_values: int  # positive eigenvalues used, outliers included
    n_outliers: int  # of them above the 0.99 quantile of Tracy-Widom

    def plot(self, values: RealArray | None = None, *, ax: Axes | None = None) -> Axes:
        """Draw the fitted law with its edge, over the eigenvalues where they are given.

        Parameters
        ----------
        values : (k,) array, optional
            The eigenvalues that were fitted.
        ax : matplotlib Axes, optional
            Where to draw; by default on a figure of its own.

        Raises
        ------
        ArgumentError
            matplotlib is missing (extra ``plot``), ``ax`` is not an Axes, or values are unfit.
        """
        from hessay.plotting import draw_bulk

        positive_part = None if values is None else _positive_part(values)[0]
        # From edge to edge, denser towards both; the law is infinite at 0 where gamma is 1.
        angles = (np.arange(PLOT_POINTS) + 0.5) * (np.pi / PLOT_POINTS)
        x = self.lower + (self.upper - self.lower) * np.sin(angles / 2) ** 2
        share = max(1.0, self.gamma) * (1 - self.n_outliers / self.n_values)
        density = share * _core.marchenko_pastur_density(x, self.sigma2, self.gamma)
        title = f"bulk {'' if self.accepted else 'not '}accepted, {self.n_outliers} outliers"
        return draw_bulk(
            x,
            density,
            edge=self.upper,
            noise_end=self.center + COUNTED * self.scale,
            values=positive_part,
            title=title,
            ax=ax,
        )


def fit_edge(
    values: RealArray, aspect_ratio: float | None = None, *, alpha: float = 0.01
) -> BulkEdge:
    """Fit the Marchenko-Pastur bulk of a spectrum and its upper edge.

    Parameters
    ----------
    values : (k,) array
        Eigenvalues of a positive semidefinite matrix, any order and unit, the whole spectrum or
        all of its positive part. Zeros up to rounding count as the law's atom.
    aspect_ratio : float > 0, optional
        ``gamma``, columns over rows, when known. Otherwise it is fitted, with ``gamma <= 1``
        unless zeros are present: ``gamma`` and ``1 / gamma`` differ by the zeros alone.
    alpha : float in (0, 0.5]
        Level of the goodness-of-fit test: how often the bulk of pure noise is refused.

    Returns
    -------
    BulkEdge
        ``accepted`` is False when the bulk is not Marchenko-Pastur; its edge is then no
        calibrated threshold.

    Raises
    ------
    ArgumentError
        Fewer than 20 positive values, all equal, negative beyond rounding, NaN or infinite, or an
        option out of range.
    ShapeError
        ``values`` is not a vector of real numbers.

    Source: after the bulk eigenvalue matching of Ke, Ma & Lin 2023, J. Am. Stat. Assoc. 118, 374.

    Examples
    --------
    >>> noise = np.random.default_rng(1).standard_normal((400, 100))
    >>> edge = fit_edge(np.linalg.eigvalsh(noise.T @ noise / 400), 0.25)
    >>> edge.accepted, edge.n_outliers, round(edge.upper, 1)
    (True, 0, 2.2)
    """
    alpha = level("alpha", alpha)
    bulk, has_zeros = _positive_part(values)
    known = None if aspect_ratio is None else positive("aspect_ratio", aspect_ratio)
    wide = has_zeros if known is None else known > 1
    # Positive eigenvalues number the shorter side; the longer is known with the ratio.
    longer = None if known is None else bulk.size * max(known, 1 / known)

    fitted, settled = _fit_below_outliers(bulk, longer)
    goodness = _goodness(bulk[fitted.dropped :], fitted)
    method: Literal["qls", "qls_c"] = "qls" if known is None else "qls_c"
    limit = _goodness_limit(bulk.size - fitted.dropped, method, alpha)
    k, root2 = fitted.k, fitted.root**2
    sigma2, gamma = (root2 * k**2, k**-2) if wide else (root2, k**2)
    lower, upper = _core.marchenko_pastur_support(sigma2, gamma)
    center, scale = _largest(fitted)
    return BulkEdge(
        lower=lower,
        upper=upper,
        sigma2=sigma2,
        gamma=gamma,
        center=center,
        scale=scale,
        goodness=goodness,
        goodness_limit=limit,
        accepted=settled and goodness <= limit,
        method=method,
        n_values=bulk.size,
        n_outliers=_count_above(bulk, fitted, COUNTED),
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    """Continuous part with edges root^2 (1 -+ k)^2, from all but the ``dropped`` largest values."""

    root: float
    k: float
    size: int  # of the bulk
    dropped: int
    converged: bool


def _positive_part(values: RealArray) -> tuple[FloatArray, bool]:
    """Positive eigenvalues, descending, and whether there were zeros up to rounding."""
    array = real_vector("values", values)
    single = np.asarray(values).dtype in (np.float32, np.float16)
    largest = float(array.max(initial=0.0))
    if array.size and largest <= 0:
        raise ArgumentError(
            f"values has no positive eigenvalue, the largest is {float(array.max())!r};"
            " a zero or negative matrix has no noise bulk"
        )
    # What an eigensolver leaves of a zero: size * eps * largest.
    rounding = array.size * float(np.finfo(np.float32 if single else np.float64).eps) * largest
    if array.size and float(array.min()) < -rounding:
        raise ArgumentError(
            f"values holds {int((array < -rounding).sum())} negative eigenvalues, the smallest"
            f" {float(array.min())!r}; pass the spectrum of a positive semidefinite matrix"
        )
    bulk = np.sort(array[array > rounding])[::-1]
    if bulk.size < MIN_VALUES:
        raise ArgumentError(
            f"values holds {bulk.size} positive eigenvalues, an edge fit needs {MIN_VALUES};"
            " pass the whole spectrum or use a larger probe"
        )
    if float(bulk[0] - bulk[-1]) <= rounding:
        raise ArgumentError(
            f"all {bulk.size} positive values equal {float(bulk[0])!r}; a multiple of the identity"
            " has no bulk to fit"
        )
    return bulk, bulk.size < array.size


def _fit_below_outliers(bulk: FloatArray, longer: float | None) -> tuple[_Fit, bool]:
    """Fit of all but the outliers, and whether their number agrees with the fit."""
    roots = np.sqrt(bulk)
    # From everything down: the largest spikes bend the first fit, but stand out from it all the
    # same, and those they hid show in the next. Starting from a trimmed fit would let noise that
    # was left out confirm itself.
    fitted = _fit(roots, 0, longer)
    dropped, seen = _count_above(bulk, fitted, DROPPED), {0}
    while dropped not in seen and len(seen) < MAX_ROUNDS and bulk.size - dropped >= MIN_BULK:
        seen.add(dropped)
        fitted = _fit(roots, dropped, longer)
        dropped = _count_above(bulk, fitted, DROPPED)
    return fitted, fitted.converged and fitted.dropped == dropped


def _fit(roots: FloatArray, dropped: int, longer: float | None) -> _Fit:
    """Least squares of square-root quantiles."""
    size = roots.size - dropped
    observed = roots[dropped:]
    chosen = np.unique(np.linspace(0, size - 1, min(size, MAX_LEVELS)).astype(np.intp))
    target = observed[chosen]
    if longer is None:
        quartiles = observed[[size // 4, size // 2, (3 * size) // 4]]
        # sqrt(x) ~ 1 + k cos t with cos t a semicircle, quartiles -+0.404
        k = _clip(float((quartiles[0] - quartiles[2]) / (0.808 * quartiles[1])))
    else:
        k = _clip(float(np.sqrt(size / (longer - dropped))))
    tails = (chosen + 0.5) / size
    y = _quantile_roots(tails, k)
    if longer is not None:
        return _Fit(float(y @ target / (y @ y)), k, size, dropped, converged=True)
    return _gauss_newton(target, tails, k, y, size, dropped)


def _gauss_newton(
    target: FloatArray, tails: FloatArray, k: float, y: FloatArray, size: int, dropped: int
) -> _Fit:
    """Minimise |target - root y(k)|; ``root`` is linear, dy/dk is the last secant."""
    near = k - 1e-4 if k > 0.5 else k + 1e-4
    slope = (_quantile_roots(tails, near) - y) / (near - k)
    converged = False
    for _ in range(MAX_STEPS):
        # Normal equations of target ~ a y + b slope, then root = a, step = b / a.
        yy, ys, ss = float(y @ y), float(y @ slope), float(slope @ slope)
        ty, ts = float(target @ y), float(target @ slope)
        determinant = yy * ss - ys * ys
        a, b = (ty * ss - ts * ys) / determinant, (ts * yy - ty * ys) / determinant
        step = min(max(b / a, -0.25), 0.25) if a > 0 else 0.05
        following = _clip(k + step)
        change = following - k
        if abs(change) <= 1e-7:
            converged = True
            break
        before, y, k = y, _quantile_roots(tails, following), following
        slope = (y - before) / change
    return _Fit(float(y @ target / (y @ y)), k, size, dropped, converged)


def _quantile_roots(tails: FloatArray, k: float) -> FloatArray:
    """sqrt(x) / root at the upper tails."""
    angle = _core.marchenko_pastur_angles(tails, k)
    roots: FloatArray = np.sqrt((1 - k) ** 2 + 4 * k * np.cos(0.5 * angle) ** 2)
    return roots


def _largest(fit: _Fit) -> tuple[float, float]:
    """Centre and scale of the largest of the ``size`` noise eigenvalues."""
    longer = fit.size / fit.k**2
    center, scale = _core.largest_eigenvalue_scaling(longer, fit.size)
    unit = fit.root**2 / longer
    return center * unit, scale * unit


def _count_above(bulk: FloatArray, fit: _Fit, units: float) -> int:
    center, scale = _largest(fit)
    return int(np.count_nonzero(bulk > center + units * scale))


def _goodness(noise: FloatArray, fit: _Fit) -> float:
    """N * KS between descending values and the fitted law."""
    expected = noise.size * _core.marchenko_pastur_sf(noise, fit.root**2, fit.k**2)
    return float(np.abs(expected - (np.arange(noise.size) + 0.5)).max() + 0.5)


def _goodness_limit(size: int, method: str, alpha: float) -> float:
    a, b, c, d = _GOODNESS[method]
    return a + b * float(np.log(size)) - (c + d * float(np.log(size))) * float(np.log(alpha))


def _clip(k: float) -> float:
    return min(max(k, SMALLEST_SHAPE), LARGEST_SHAPE)

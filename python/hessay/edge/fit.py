"""``fit_edge``: the noise bulk of a spectrum and its upper edge."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import chdtri

from hessay import _core
from hessay._laws import FloatArray, RealArray, level, positive
from hessay.edge.bulk import DROPPED, BulkEdge
from hessay.edge.spectrum import PositivePart, check_zeros, checked
from hessay.errors import ArgumentError
from hessay.silverstein import Population, PopulationLaw

Method: TypeAlias = Literal["auto", "qls", "airy", "silverstein"]

MAX_ROUNDS = 15
MIN_BULK = 12
SHAPE_FREEDOM = 6  # cosine sums in the shape statistic
QUANTILES = 96  # of a population's law, for its scale

# Null quantiles of N * KS after the fit: a + b log(N) + (c + d log(N)) log(1 / alpha), largest over
# the aspect ratios; printed by tools/simulate_edge_null.py with its default seed, off by
# <= 0.16.
_GOODNESS: dict[str, tuple[float, float, float, float]] = {
    "qls": (0.4942, 0.3708, 0.1219, 0.0138),
    "qls_c": (0.5233, 0.3629, 0.1307, 0.0167),
}


def fit_edge(
    values: RealArray,
    aspect_ratio: float | None = None,
    *,
    weights: RealArray | None = None,
    dimension: int | None = None,
    method: Method = "auto",
    population: Population | None = None,
    alpha: float = 0.01,
) -> BulkEdge:
    """Fit the noise bulk of a spectrum and its upper edge.

    Parameters
    ----------
    values : (k,) array
        Eigenvalues of a positive semidefinite matrix, any order and unit, the whole spectrum or
        all of its positive part. Zeros up to rounding count as the law's atom. With ``weights``,
        quadrature nodes, as in ``spectral_density(...).nodes``.
    aspect_ratio : float > 0, optional
        ``gamma``, columns over rows, when known. Otherwise it is fitted, with ``gamma <= 1``
        unless zeros are present: ``gamma`` and ``1 / gamma`` differ by the zeros alone.
    weights : (k,) array, optional
        Share of the eigenvalues at each node, sum 1. Such a fit is never calibrated: the null law
        of its goodness is not known, and its limit is widened by half the heaviest node.
    dimension : int, optional
        Eigenvalues in all; needed with weights.
    method : {"auto", "qls", "airy", "silverstein"}
        ``"qls"``: Marchenko-Pastur quantiles, least squares. ``"airy"``: ranks near the edge; fits
        any square-root edge, is never calibrated, and takes the top eigenvalues of a population
        with a heavy upper tail for its bulk. ``"silverstein"``: the law of ``population`` up to a
        factor. ``"auto"``: silverstein when a population is given, otherwise qls; airy where that
        is refused, with ``accepted`` False.
    population : (m,) array or pair of (m,) arrays, optional
        Population eigenvalues of the clean data, with weights in a pair; see
        :func:`hessay.silverstein.estimate_population`.
    alpha : float in (0, 0.5]
        Level of the goodness-of-fit test: how often the bulk of pure noise is refused.

    Returns
    -------
    BulkEdge
        ``accepted`` is False when the bulk does not follow the law, ``calibrated`` also for airy
        and for quadrature nodes; such an edge is an orientation, no threshold with a level.

    Raises
    ------
    ArgumentError
        Fewer than 20 positive values, all equal, negative beyond rounding, NaN or infinite, weights
        that do not sum to one, zeros that contradict the aspect ratio, or an option out of range.
    ShapeError
        ``values`` or ``weights`` is not a vector of real numbers.

    Source: after the bulk eigenvalue matching of Ke, Ma & Lin 2023, J. Am. Stat. Assoc. 118, 374;
    standard errors from Bai & Silverstein 2004, Ann. Probab. 32, 553; laws of populations from
    Silverstein & Choi 1995, J. Multivariate Anal. 54, 295.

    Examples
    --------
    >>> noise = np.random.default_rng(1).standard_normal((400, 100))
    >>> edge = fit_edge(np.linalg.eigvalsh(noise.T @ noise / 400), 0.25)
    >>> edge.accepted, edge.n_outliers, round(edge.upper, 1)
    (True, 0, 2.2)
    """
    alpha = level("alpha", alpha)
    if method not in ("auto", "qls", "airy", "silverstein"):
        raise ArgumentError(
            f"method must be 'auto', 'qls', 'airy' or 'silverstein', got {method!r}"
        )
    known = None if aspect_ratio is None else positive("aspect_ratio", aspect_ratio)
    spectrum = checked(values, weights, dimension)
    if known is not None:
        check_zeros(spectrum, known)
    if method == "silverstein" or (method == "auto" and population is not None):
        if population is None or known is None:
            missing = "population" if population is None else "aspect_ratio"
            raise ArgumentError(f"the law of a population needs {missing}, got None; pass it")
        edge = _silverstein(spectrum, known, PopulationLaw(population, known), alpha)
    elif population is not None:
        raise ArgumentError(f"method {method!r} takes no population; leave one of them out")
    else:
        edge = _marchenko_pastur(spectrum, known, alpha)
    if method == "airy" or (method == "auto" and not edge.accepted):
        return _airy(spectrum, edge, forced=method == "airy")
    return edge


def _marchenko_pastur(spectrum: PositivePart, known: float | None, alpha: float) -> BulkEdge:
    wide = spectrum.zeros >= 0.5 if known is None else known > 1
    # Positive eigenvalues number the shorter side; the longer is known with the ratio.
    longer = 0.0 if known is None else spectrum.total * max(known, 1 / known)
    root, k, size, _, settled, center, scale, goodness, shape = _core.fit_bulk(
        spectrum.values, spectrum.counts, spectrum.total, longer
    )
    root_sd, k_sd, upper_sd = _core.fit_errors(k, size, known is not None)
    root2 = root**2
    sigma2, gamma = (root2 * k**2, k**-2) if wide else (root2, k**2)
    upper = root2 * (1 + k) ** 2
    limit = _goodness_limit(spectrum, size, "qls" if known is None else "qls_c", alpha / 2)
    tested = spectrum.counts is None
    shape_limit = float(chdtri(SHAPE_FREEDOM, alpha / 2))
    return BulkEdge(
        lower=root2 * (1 - k) ** 2,
        upper=upper,
        sigma2=sigma2,
        gamma=gamma,
        center=center,
        scale=scale,
        goodness=goodness,
        goodness_limit=limit,
        accepted=settled and goodness <= limit and (not tested or shape <= shape_limit),
        method="qls" if known is None else "qls_c",
        n_values=round(spectrum.total),
        n_outliers=_outlier_count(spectrum, center + DROPPED * scale),
        sigma2_sd=sigma2 * (2 * root_sd + (2 * k_sd / k if wide else 0.0)),
        gamma_sd=gamma * 2 * k_sd / k,
        upper_sd=upper * upper_sd,
        shape=shape if tested else math.nan,
        shape_limit=shape_limit if tested else math.nan,
        weighted=not tested,
    )


def _airy(spectrum: PositivePart, edge: BulkEdge, *, forced: bool) -> BulkEdge:
    """Find the edge by ranks beside the refused fit; that fit itself where the ranks give none."""
    size = spectrum.values.size
    skip = max(2, size // 20)
    upper, scale, upper_sd, dropped, settled = _core.fit_airy_edge(
        spectrum.values, spectrum.counts, spectrum.total, skip, max(size // 4, skip + 6)
    )
    if not (settled and scale > 0 and upper > edge.lower):
        if forced:
            raise ArgumentError(
                "the largest eigenvalues have no square-root edge: the Airy ranks do not settle"
                f" after {dropped} outliers; use method='qls'"
            )
        return edge
    return replace(
        edge,
        upper=upper,
        center=upper,
        scale=scale,
        method="airy",
        accepted=False,
        n_outliers=_outlier_count(spectrum, float(spectrum.values[dropped])),
        sigma2_sd=math.nan,
        gamma_sd=math.nan,
        upper_sd=upper_sd,
        law=None,
    )


def _silverstein(
    spectrum: PositivePart, known: float, law: PopulationLaw, alpha: float
) -> BulkEdge:
    """Factor of a known population from all but the outliers, which are dropped and refitted."""
    n_rows = spectrum.total / min(known, 1.0)
    dropped, seen, here = 0, set[int](), law
    while True:
        seen.add(dropped)
        removed = float(dropped if spectrum.counts is None else spectrum.counts[:dropped].sum())
        # K spikes take K rows and K columns of the noise with them.
        if removed:
            rows, columns = n_rows - removed, n_rows * known - removed
            here = PopulationLaw(law.population, columns / rows)
        rest = PositivePart(
            spectrum.values[dropped:],
            None if spectrum.counts is None else spectrum.counts[dropped:],
            spectrum.total - removed,
            spectrum.zeros,
        )
        factor = _factor(rest, here)
        upper = factor * here.support[-1][1]
        scale = factor * here.edge_scale(n_rows - removed)
        following = int(np.count_nonzero(spectrum.values > upper + DROPPED * scale))
        if following in seen or len(seen) >= MAX_ROUNDS or rest.values.size < MIN_BULK:
            break
        dropped = following
    limit = _goodness_limit(spectrum, rest.total, "qls_c", alpha)
    goodness = _distance(rest, lambda x: here.sf(x / factor) / (1 - here.atom))
    t, w = here.population
    n_columns = n_rows * known
    # The factor is the trace over its mean, to first order.
    relative = math.sqrt(2 * float(w @ t**2) / (n_rows * n_columns)) / float(w @ t)
    return BulkEdge(
        lower=factor * here.support[0][0],
        upper=upper,
        sigma2=factor,
        gamma=known,
        center=upper,
        scale=scale,
        goodness=goodness,
        goodness_limit=limit,
        accepted=following == dropped and goodness <= limit,
        method="silverstein",
        n_values=round(spectrum.total),
        n_outliers=_outlier_count(spectrum, upper + DROPPED * scale),
        sigma2_sd=factor * relative,
        gamma_sd=0.0,
        upper_sd=upper * relative,
        weighted=spectrum.counts is not None,
        law=here,
    )


def _tails(spectrum: PositivePart) -> FloatArray:
    """Share of the eigenvalues above the middle of each entry."""
    own = np.ones(spectrum.values.size) if spectrum.counts is None else spectrum.counts
    tails: FloatArray = (np.cumsum(own) - 0.5 * own) / spectrum.total
    return tails


def _factor(spectrum: PositivePart, law: PopulationLaw) -> float:
    """Square of the least-squares factor of sqrt(values) on the law's sqrt(quantiles)."""
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    quantiles = law.quantile(1 - levels * (1 - law.atom))
    unit = float(spectrum.values[0])
    observed = np.interp(levels, _tails(spectrum), spectrum.values / unit)
    return unit * float((np.sqrt(observed) * np.sqrt(quantiles)).sum() / quantiles.sum()) ** 2


def _distance(spectrum: PositivePart, survival: Callable[[FloatArray], FloatArray]) -> float:
    """N * KS between a spectrum and a law."""
    own = np.ones(spectrum.values.size) if spectrum.counts is None else spectrum.counts
    above = np.cumsum(own)
    expected = spectrum.total * survival(spectrum.values)
    return float(np.maximum(expected - above + own, above - expected).max())


def _goodness_limit(spectrum: PositivePart, size: float, method: str, alpha: float) -> float:
    a, b, c, d = _GOODNESS[method]
    limit = a + b * math.log(size) - (c + d * math.log(size)) * math.log(alpha)
    # A node may hold its mass anywhere within it.
    return limit + 0.5 * (spectrum.heaviest - 1)


def _outlier_count(spectrum: PositivePart, threshold: float) -> int:
    above = spectrum.values > threshold
    if spectrum.counts is None:
        return int(np.count_nonzero(above))
    return max(round(float(spectrum.counts[above].sum())), int(above.any()))

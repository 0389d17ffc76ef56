"""Ways to count the eigenvalues above a noise bulk, and Tracy-Widom functions, packaged or by recipe."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

import hessay
from hessay import marchenko_pastur, tracy_widom

Vector = NDArray[np.float64]
Count = Callable[[Vector, float], int]
Survival = Callable[[Vector], Vector]
TW99 = 2.0234492813801883


def _above(values: Vector, sigma2: float, ratio: float) -> int:
    """Those above the 0.99 quantile of the largest of noise."""
    rows = values.size / ratio
    center, scale = tracy_widom.largest_eigenvalue_scaling(rows, values.size)
    return int((values > sigma2 * (center + TW99 * scale) / rows).sum())


def ours(values: Vector, _: float) -> int:
    """hessay, aspect ratio unknown."""
    return hessay.fit_edge(values).n_outliers


def ours_known(values: Vector, ratio: float) -> int:
    """hessay, aspect ratio known."""
    return hessay.fit_edge(values, ratio).n_outliers


def median(values: Vector, ratio: float) -> int:
    """Median over the law's median."""
    sigma2 = float(np.median(values)) / marchenko_pastur.quantile(0.5, 1.0, ratio)
    return _above(values, sigma2, ratio)


def trimmed(values: Vector, ratio: float) -> int:
    """Regression on the quantiles of the middle 60 %, as BEMA does."""
    size = values.size
    inside = np.arange(size // 5, size - size // 5)
    levels = 1 - (inside + 0.5) / size
    law = marchenko_pastur.quantile(levels, 1.0, ratio)
    return _above(values, float(values[inside] @ law / (law @ law)), ratio)


def two_quantiles(values: Vector, _: float) -> int:
    """Fit of sigma2 and ratio to 60 quantiles by scipy.optimize.least_squares, twice."""
    kept, found = values, np.array([float(values.mean()), 0.4])
    for _round in range(2):
        levels = np.linspace(0.02, 0.98, 60)
        observed = np.quantile(kept, levels)

        def misfit(x: Vector, levels: Vector = levels, observed: Vector = observed) -> Vector:
            law: Vector = marchenko_pastur.quantile(levels, float(x[0]), float(x[1]))
            return np.sqrt(law) - np.sqrt(observed)

        found = optimize.least_squares(
            misfit, found, bounds=([1e-6 * values[0], 1e-3], [values[0], 1.0])
        ).x
        kept = values[_above(values, *found) :]
    return _above(values, *found)


def likelihood(values: Vector, _: float) -> int:
    """Maximum likelihood of the law on the middle 90 %, what one writes first."""
    inside = values[values.size // 20 : -values.size // 20]

    def misfit(x: Vector) -> float:
        sigma2, ratio = np.exp(x)
        with np.errstate(divide="ignore"):
            logs = np.log(marchenko_pastur.density(inside, float(sigma2), float(ratio)))
        return -float(np.maximum(logs, -50.0).sum())

    start = np.log([float(inside.mean()), 0.4])
    sigma2, ratio = np.exp(optimize.minimize(misfit, start, method="Nelder-Mead").x)
    return _above(values, float(sigma2), float(min(ratio, 1.0)))


def weightwatcher() -> Count | None:
    """Kernel density fit of weightwatcher; needs the aspect ratio."""
    util = _imported("weightwatcher.RMT_Util")
    if util is None:
        return None

    def count(values: Vector, ratio: float) -> int:
        sigma, _ = util.fit_density_with_range(values, 1 / ratio)
        return _above(values, float(sigma) ** 2, ratio)

    return count


def scikit_rmt() -> Count | None:
    """Edge of scikit-rmt's law, 2 % added; it has no estimator: sigma from the median."""
    laws = _skrmt()
    if laws is None:
        return None

    medians = cache(lambda ratio: _median_of(laws, ratio))

    def count(values: Vector, ratio: float) -> int:
        sigma = float(np.sqrt(np.median(values) / medians(ratio)))
        law = laws.MarchenkoPasturDistribution(ratio=ratio, sigma=sigma)
        return int((values > law.lambda_plus * 1.02).sum())

    return count


def _median_of(laws: Any, ratio: float) -> float:
    law = laws.MarchenkoPasturDistribution(ratio=ratio)
    return float(
        optimize.brentq(lambda x: float(law.cdf(x)) - 0.5, law.lambda_minus, law.lambda_plus)
    )


def counters() -> dict[str, Count | None]:
    """All contenders by name; None where the package is not installed or does not import."""
    return {
        "hessay, ratio unknown": ours,
        "hessay, ratio known": ours_known,
        "weightwatcher (needs ratio)": weightwatcher(),
        "scikit-rmt (needs ratio)": scikit_rmt(),
        "median + TW99 (needs ratio)": median,
        "trimmed regression (needs ratio)": trimmed,
        "scipy least_squares, 2 parameters": two_quantiles,
        "scipy maximum likelihood": likelihood,
    }


def survivals() -> dict[str, Survival | None]:
    """Tracy-Widom survival functions of beta 1."""
    package, laws = _imported("TracyWidom"), _skrmt()
    found: dict[str, Survival | None] = {"hessay": tracy_widom.sf}
    found["TracyWidom"] = None
    if package is not None:
        cdf = package.TracyWidom(beta=1).cdf
        found["TracyWidom"] = lambda s: 1 - cdf(s)
    found["scikit-rmt"] = None
    if laws is not None:
        law = laws.TracyWidomDistribution(beta=1)
        found["scikit-rmt"] = lambda s: 1 - law.cdf(s)
    # Chiani 2014: gamma with the first three moments
    found["shifted gamma"] = stats.gamma(46.446, scale=0.186054, loc=-9.84801).sf
    return found


def _skrmt() -> Any:
    """scikit-rmt's laws; it still asks scipy.misc for a function that scipy 1.12 took away."""
    import scipy.misc

    if not hasattr(scipy.misc, "derivative"):
        scipy.misc.derivative = lambda f, x0, dx=1e-3, **_: (f(x0 + dx) - f(x0 - dx)) / (2 * dx)
    return _imported("skrmt.ensemble.spectral_law")


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"  {name} is left out: {error}")
        return None

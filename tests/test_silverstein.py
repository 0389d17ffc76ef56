from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import brentq

from hessay import marchenko_pastur, tracy_widom
from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.silverstein import PopulationLaw, estimate_population

REFERENCE = json.loads((Path(__file__).parent / "data" / "populations.json").read_text())
SEED = 6
populations = st.lists(st.floats(0.1, 10), min_size=1, max_size=6)
ratios = st.floats(0.02, 5).filter(lambda g: abs(g - 1) > 1e-3)


def named(entry: dict[str, Any]) -> str:
    return f"{entry['name']}, gamma={entry['c']}"


def circle(rho: float, count: int = 400) -> NDArray[np.float64]:
    """Eigenvalues of an endless Toeplitz matrix rho^|i - j|: its symbol at equal angles."""
    angles = (np.arange(count) + 0.5) * np.pi / count
    return (1 - rho**2) / (1 - 2 * rho * np.cos(angles) + rho**2)


def mass(law: PopulationLaw, lower: float, upper: float) -> float:
    """Integral of the density over one interval of the support, the square roots taken out."""

    def integrand(t: float) -> float:
        x = lower + (upper - lower) * np.sin(t) ** 2
        return float(law.density(float(x))) * (upper - lower) * float(np.sin(2 * t))

    return float(quad(integrand, 0, np.pi / 2, epsabs=1e-12, epsrel=1e-12)[0])


@pytest.mark.parametrize("entry", REFERENCE["silverstein"], ids=named)
def test_edges_and_masses_agree_with_the_reference_numbers(entry: dict[str, Any]) -> None:
    law = PopulationLaw((entry["t"], entry["w"]), entry["c"])
    np.testing.assert_allclose(law.support, entry["edges"], rtol=1e-12)
    found = [mass(law, lower, upper) for lower, upper in law.support]
    np.testing.assert_allclose(found, entry["mass"], atol=1e-9)  # the reference's own error
    assert law.stieltjes(-0.5).real == pytest.approx(entry["m_pred"], rel=1e-12, abs=0)


@pytest.mark.parametrize("entry", REFERENCE["toeplitz"], ids=named)
def test_toeplitz_populations_agree_with_the_reference_numbers(entry: dict[str, Any]) -> None:
    law = PopulationLaw(circle(float(entry["name"].split()[1])), entry["c"])
    np.testing.assert_allclose(law.support[0], entry["edges"], rtol=1e-12)
    assert law.edge_scale(400 / entry["c"]) == pytest.approx(entry["tw_scale"], rel=1e-12, abs=0)
    # the reference stopped 1e-9 above the axis
    np.testing.assert_allclose(law.density(entry["x"]), entry["density"], atol=1e-7)
    assert not law.gaps_resolved


@pytest.mark.parametrize("entry", REFERENCE["generalised_spike"], ids=lambda e: str(e["t"]))
def test_spikes_and_ridges_agree_with_the_reference_numbers(entry: dict[str, Any]) -> None:
    law = PopulationLaw((entry["t"], entry["w"]), entry["c"])
    for lam, kappa in entry.get("kappa", {}).items():
        assert law.kappa(float(lam)) == pytest.approx(kappa, rel=1e-12, abs=0)
    if "ell" in entry:
        spike = np.array([entry["ell"]])
        assert law.biased(spike)[0] == pytest.approx(entry["lam"], rel=1e-13, abs=0)
        assert law.biased_slope(spike)[0] == pytest.approx(entry["dpsi"], rel=1e-13, abs=0)
        assert law.debiased(law.biased(spike))[0] == pytest.approx(spike[0], rel=1e-12, abs=0)


@pytest.mark.parametrize("gamma", [0.05, 0.5, 1.0, 3.0])
def test_one_population_eigenvalue_gives_the_marchenko_pastur_law(gamma: float) -> None:
    law = PopulationLaw([2.0, 2.0, 2.0], gamma)
    lower, upper = marchenko_pastur.support(2.0, gamma)
    assert law.support[0] == pytest.approx((lower, upper), rel=1e-13, abs=1e-15)
    x = lower + (upper - lower) * np.linspace(0.02, 0.98, 23)
    expected = marchenko_pastur.density(x, 2.0, gamma)
    np.testing.assert_allclose(law.density(x), expected, rtol=1e-10)
    np.testing.assert_allclose(law.cdf(x), marchenko_pastur.cdf(x, 2.0, gamma), atol=1e-13)
    z = np.array([-3.0, -1e-3, 1 + 1j, upper + 1])
    np.testing.assert_allclose(
        law.stieltjes(z), marchenko_pastur.stieltjes(z, 2.0, gamma), rtol=1e-12
    )
    np.testing.assert_allclose(
        law.companion_slope(z), marchenko_pastur.companion_slope(z, 2.0, gamma), rtol=1e-11
    )
    lam = np.array([1e-6, 0.3, 50.0])
    np.testing.assert_allclose(law.kappa(lam), marchenko_pastur.kappa(lam, 2.0, gamma), rtol=1e-12)
    # sqrt-edge scale of Johnstone without his corrections
    root = np.sqrt(gamma)
    scale = 2 * (1 + root) ** (4 / 3) * gamma ** (-1 / 6) * 500 ** (-2 / 3)
    assert law.edge_scale(500) == pytest.approx(scale, rel=1e-12, abs=0)


@given(t=populations, gamma=ratios, x=st.floats(-5, 60), height=st.floats(1e-6, 50))
@settings(max_examples=150, deadline=None)
def test_the_transform_solves_silversteins_equation(
    t: list[float], gamma: float, x: float, height: float
) -> None:
    law = PopulationLaw(t, gamma)
    z = complex(x, height)
    mt = complex(law.companion(z))
    assert mt.imag > 0
    terms = np.array([-1 / mt, *(gamma * np.array(t) / len(t) / (1 + np.array(t) * mt))])
    # z is met to rounding of the largest term; next to an edge the root is double, hence the 1e-10
    assert abs(terms.sum() - z) <= 1e-10 * (np.abs(terms).max() + abs(z))
    m = complex(law.stieltjes(z))
    assert m.imag > 0
    assert mt == pytest.approx(gamma * m - (1 - gamma) / z, rel=1e-8, abs=1e-10)


@given(t=populations, gamma=ratios)
@settings(max_examples=60, deadline=None)
def test_edges_are_where_the_dumb_scan_finds_the_density_ending(
    t: list[float], gamma: float
) -> None:
    law = PopulationLaw(t, gamma)
    values = np.array(t)

    def slope(s: float) -> float:  # x'(mt) up to its positive factor, s = -1 / mt
        return 1 - gamma * float(np.mean((values / (s - values)) ** 2))

    top = max(t)
    upper = brentq(slope, top * (1 + 1e-9), top * (1 + np.sqrt(gamma)) * 1.01, xtol=1e-13 * top)
    expected = upper * (1 + gamma * float(np.mean(values / (upper - values))))
    assert law.support[-1][1] == pytest.approx(expected, rel=1e-10, abs=0)
    assert law.threshold == pytest.approx(upper, rel=1e-9, abs=0)
    for lower, upper in law.support:
        width = upper - lower
        inside = law.density(np.array([lower, upper]) + 1e-3 * width * np.array([1, -1]))
        assert np.all(inside > 0)
    for (_, low), (high, _) in zip(law.support, law.support[1:], strict=False):
        assert law.density(0.5 * (low + high)) == 0
    assert law.density(law.support[-1][1] * 1.001) == 0
    assert law.density(law.support[0][0] * 0.999) == 0


@pytest.mark.parametrize("gamma", [0.1, 0.7, 2.5])
def test_the_closed_form_of_the_tail_is_the_integral_of_the_density(gamma: float) -> None:
    law = PopulationLaw(([0.0, 1.0, 5.0], [0.2, 0.5, 0.3]), gamma)
    below = law.atom
    assert below == max(0.2, 1 - 1 / gamma)
    for lower, upper in law.support:
        assert law.cdf(lower) == pytest.approx(below, abs=1e-13)
        middle = lower + 0.3 * (upper - lower)
        width = middle - lower

        def integrand(t: float, lower: float = lower, width: float = width) -> float:
            return float(law.density(lower + width * t * t)) * 2 * t * width

        part = quad(integrand, 0, 1, epsabs=1e-12, epsrel=1e-12)[0]
        assert law.cdf(middle) == pytest.approx(below + part, abs=1e-11)
        below += mass(law, lower, upper)
    assert below == pytest.approx(1.0, abs=1e-11)
    assert law.sf([-1.0, np.inf]).tolist() == [1.0, 0.0]


@given(t=populations, gamma=ratios, p=st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_quantile_inverts_the_cdf(t: list[float], gamma: float, p: float) -> None:
    law = PopulationLaw(t, gamma)
    x = law.quantile(p)
    if x == 0:
        assert p <= law.atom
    else:
        slack = 1e-12 + 4e-15 * x * float(law.density(x))
        assert law.cdf(x) == pytest.approx(max(p, law.atom), abs=slack)


@given(t=populations, gamma=ratios, lam=st.floats(1e-6, 1e4))
@settings(max_examples=100, deadline=None)
def test_kappa_solves_its_fixed_point(t: list[float], gamma: float, lam: float) -> None:
    kappa = PopulationLaw(t, gamma).kappa(lam)
    values = np.array(t)
    share = gamma * float(np.mean(values / (values + kappa)))
    assert kappa == pytest.approx(lam + kappa * share, rel=1e-12, abs=0)
    assert lam <= kappa <= lam + gamma * values.mean() * (1 + 1e-12)


@pytest.mark.parametrize(("n", "p"), [(600, 300), (200, 300)])
def test_simulated_spectra_follow_the_law(n: int, p: int) -> None:
    t = np.r_[np.ones(p // 2), np.full(p - p // 2, 6.0)]
    noise = np.random.default_rng(SEED).standard_normal((n, p)) * np.sqrt(t)
    values = np.linalg.svd(noise, compute_uv=False)[::-1] ** 2 / n
    law = PopulationLaw(t, p / n)
    size = values.size
    share = (law.cdf(values) - law.atom) / (1 - law.atom)
    assert size * np.abs(share - (np.arange(size) + 0.5) / size).max() < 6  # rigid: mean 2.7
    scaled = (values[-1] - law.support[-1][1]) / law.edge_scale(n)
    assert 1e-4 < tracy_widom.cdf(scaled) < 1 - 1e-4


def test_a_population_is_found_from_a_clean_spectrum() -> None:
    rng = np.random.default_rng(SEED)
    t = np.repeat([1.0, 4.0], 150)
    noise = rng.standard_normal((1200, 300)) * np.sqrt(t)
    sample = np.linalg.svd(noise, compute_uv=False) ** 2 / 1200
    found, w = estimate_population(sample, 0.25)
    assert w.sum() == pytest.approx(1.0, rel=1e-12)
    # mean and spread of the population: sd of the mean is sqrt(2 sum t^2 / n) / p < 0.01
    assert float(w @ found) == pytest.approx(2.5, abs=0.04)
    assert float(w[found < 2].sum()) == pytest.approx(0.5, abs=0.05)
    estimated, true = PopulationLaw((found, w), 0.25), PopulationLaw(t, 0.25)
    assert estimated.support[-1][1] == pytest.approx(true.support[-1][1], rel=0.05)


@pytest.mark.parametrize("unit", [1e-99, 1e99])
def test_the_law_carries_the_unit_of_its_population(unit: float) -> None:
    one, other = (PopulationLaw(([u, 8 * u], [0.5, 0.5]), 0.1) for u in (1.0, unit))
    for found, expected in (
        (np.array(other.support) / unit, np.array(one.support)),
        (other.edge_scale(100) / unit, one.edge_scale(100)),
        (other.density(unit) * unit, one.density(1.0)),
        (other.sf(unit), one.sf(1.0)),
        (other.quantile(0.3) / unit, one.quantile(0.3)),
        (other.kappa(unit) / unit, one.kappa(1.0)),
        (other.companion_slope(-unit) * unit**2, one.companion_slope(-1.0)),
        (other.debiased(np.array([20 * unit])) / unit, one.debiased(np.array([20.0]))),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize(
    ("population", "error", "message"),
    [
        ([], ShapeError, "needs one weight"),
        ([0.0, 0.0], ArgumentError, "needs a positive eigenvalue, all 2 are 0"),
        ([1.0, -2.0], ArgumentError, "not negative, got -2"),
        ([1.0, 1e300], ArgumentError, r"within 1e-100 and 1e\+100, got 1e\+300; divide"),
        ([1.0, 1e-300], ArgumentError, r"within 1e-100 and 1e\+100, got 1e-300; divide"),
        ([1.0, np.nan], ArgumentError, "1 NaN of 2"),
        (([1.0, 2.0], [0.5, 0.4]), ArgumentError, "must sum to one, got 0.9"),
        (([1.0, 2.0], [1.5, -0.5]), ArgumentError, "weight of a population eigenvalue"),
        (([1.0, 2.0], [1.0]), ShapeError, "2 eigenvalues and 1 weights"),
    ],
)
def test_bad_populations_are_named(population: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PopulationLaw(population, 0.5)


def test_bad_points_are_named() -> None:
    law = PopulationLaw([1.0, 2.0], 0.5)
    with pytest.raises(ArgumentError, match="gamma must be positive"):
        PopulationLaw([1.0], 0.0)
    with pytest.raises(ArgumentError, match="lam must be finite and not negative, got -1"):
        law.kappa(-1.0)
    with pytest.raises((ArgumentError, NonFinite), match="not finite"):
        law.stieltjes(complex(np.inf, 0))
    with pytest.raises(ArgumentError, match=r"z must lie within \+-1e\+150"):
        law.stieltjes(complex(0, 1e308))  # once halved infinity for ever
    with pytest.raises(ArgumentError, match=r"\[0, 1\], got 2"):
        law.quantile(2.0)
    with pytest.raises(ArgumentError, match="must be finite"):
        law.density(np.inf)
    with pytest.raises(ArgumentError, match="n must be positive"):
        law.edge_scale(0)
    with pytest.raises(ArgumentError, match="a positive and no negative eigenvalue"):
        estimate_population([-1.0, 2.0], 0.5)

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

from hessay import _core
from hessay import marchenko_pastur as law
from hessay.errors import ArgumentError, ShapeError

REFERENCE = json.loads((Path(__file__).parent / "data" / "laws.json").read_text())
RATIOS = [1e-4, 0.05, 0.3, 0.999, 1.0, 1.001, 2.0, 20.0]
ratios = st.floats(1e-3, 1e3)


def interior(gamma: float, sigma2: float = 1.0, count: int = 41) -> NDArray[np.float64]:
    """Points of the open support, dense at both edges."""
    lower, upper = law.support(sigma2, gamma)
    return lower + (upper - lower) * np.sin(np.linspace(0.01, np.pi / 2 - 0.01, count)) ** 2


@pytest.mark.parametrize("entry", REFERENCE["marchenko_pastur"], ids=lambda e: f"gamma={e['c']}")
def test_values_agree_with_the_reference_numbers(entry: dict[str, Any]) -> None:
    sigma2, gamma = entry["sigma2"], entry["c"]
    assert law.support(sigma2, gamma) == pytest.approx(entry["edges"], rel=1e-14, abs=1e-15)
    assert law.atom(gamma) == pytest.approx(entry["atom"], abs=1e-15)
    np.testing.assert_allclose(law.density(entry["x"], sigma2, gamma), entry["pdf"], rtol=1e-13)
    np.testing.assert_allclose(law.cdf(entry["x"], sigma2, gamma), entry["cdf"], atol=1e-13, rtol=0)
    levels = np.array([float(key) for key in entry["quantile"]])
    found = law.quantile(levels, sigma2, gamma)
    np.testing.assert_allclose(found, list(entry["quantile"].values()), rtol=1e-13)
    np.testing.assert_allclose(law.stieltjes(entry["z"], sigma2, gamma), entry["m"], rtol=1e-13)
    np.testing.assert_allclose(law.companion(entry["z"], sigma2, gamma), entry["mt"], rtol=1e-13)
    for k, value in enumerate(entry["moments"], start=1):
        assert law.moment(k, sigma2, gamma) == pytest.approx(value, rel=1e-13, abs=0)


@pytest.mark.parametrize("gamma", RATIOS)
def test_cdf_is_the_integral_of_the_density(gamma: float) -> None:
    lower, upper = law.support(1.0, gamma)
    points = interior(gamma, count=7)
    for x in points:
        # x = lower + width sin^2 t takes the square roots out of both ends
        def integrand(t: float) -> float:
            at = lower + (upper - lower) * np.sin(t) ** 2
            return law.density(float(at), 1.0, gamma) * (upper - lower) * float(np.sin(2 * t))

        end = np.arcsin(np.sqrt((x - lower) / (upper - lower)))
        start = min(1e-9, end / 2)  # density is infinite at 0 for gamma = 1; the rest is < 1e-8
        mass = quad(integrand, start, end, epsabs=1e-11, epsrel=1e-11, limit=400)[0]
        assert law.cdf(float(x), 1.0, gamma) == pytest.approx(law.atom(gamma) + mass, abs=2e-9)


@pytest.mark.parametrize("gamma", [0.01, 0.3, 0.97, 3.0])
def test_both_tails_keep_their_ratio(gamma: float) -> None:
    # At a distance e from an edge the mass is (2 / 3) e sqrt(e width) / (2 pi gamma edge) (1 + O(e)).
    lower, upper = law.support(1.0, gamma)
    width = upper - lower
    e = 1e-9 * lower
    at = upper - e
    e = upper - at
    expected = e * np.sqrt(e * width) / (3 * np.pi * gamma * upper)
    assert law.sf(at, 1.0, gamma) == pytest.approx(expected, rel=1e-7, abs=0)
    if gamma < 1:
        at = lower + 1e-9 * lower
        e = at - lower
        # rel: the edge itself is rounded, by eps / 1e-9 of e
        expected = e * np.sqrt(e * width) / (3 * np.pi * gamma * lower)
        assert law.cdf(at, 1.0, gamma) == pytest.approx(expected, rel=1e-5, abs=0)


@pytest.mark.parametrize("k", [0.01, 0.05, 0.0999, 0.1001, 0.5, 0.99])
@pytest.mark.parametrize("sign", [1, -1])
def test_angle_masses_are_their_integral_in_ratio(k: float, sign: int) -> None:
    # (2 / pi) int_0^t sin^2 u / (1 + 2 k cos u + k^2) du: k > 0 upper edge, k < 0 lower edge
    k *= sign
    nodes, weights = np.polynomial.legendre.leggauss(60)
    for t in (1e-7, 1e-4, 0.003, 0.3, 0.47, 0.55, 1.0, 1.57):
        # panels that shrink towards the edge, where 1 + 2 k cos u + k^2 is least
        ends = np.r_[0.0, t * 0.5 ** np.arange(8.0)[::-1]]
        widths = np.diff(ends)[:, None] / 2
        u = ends[:-1, None] + widths * (1 + nodes)
        density = np.sin(u) ** 2 / ((1 + k) ** 2 - 4 * k * np.sin(u / 2) ** 2)
        expected = 2 / np.pi * float((widths * weights * density).sum())
        found = float(_core.marchenko_pastur_angle_masses(np.array(t), k))
        assert found == pytest.approx(expected, rel=5e-14, abs=0)


@given(gamma=ratios, p=st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_quantile_inverts_the_cdf(gamma: float, p: float) -> None:
    x = law.quantile(p, 1.0, gamma)
    lower, upper = law.support(1.0, gamma)
    assert x == 0 or lower <= x <= upper
    # x is rounded to eps x; the density at the edges' scale turns that into eps upper density
    slack = 1e-14 + 4e-16 * x * float(law.density(x, 1.0, gamma)) if x else 1e-14
    assert law.cdf(x, 1.0, gamma) == pytest.approx(max(p, law.atom(gamma)), abs=slack)


@pytest.mark.parametrize("gamma", RATIOS)
def test_cdf_and_sf_add_to_one_and_are_monotone(gamma: float) -> None:
    points = np.sort(np.r_[-1.0, 0.0, interior(gamma, count=2001), 1e3])
    below, above = law.cdf(points, 1.0, gamma), law.sf(points, 1.0, gamma)
    np.testing.assert_allclose(below + above, 1.0, atol=4e-16, rtol=0)
    # x carries eps of its own, which the density turns into eps x density
    slack = 1e-15 + 1e-15 * float(np.max(law.density(interior(gamma), 1.0, gamma)))
    assert np.diff(below).min() >= -slack
    assert np.diff(above).max() <= slack


@given(gamma=ratios, sigma2=st.floats(1e-6, 1e6))
@settings(max_examples=60, deadline=None)
def test_the_law_scales_with_sigma2(gamma: float, sigma2: float) -> None:
    x = interior(gamma, count=9)
    slack = 1e-13 * (1 + float(np.max(law.density(x, 1.0, gamma))))
    scaled = law.cdf(x * sigma2, sigma2, gamma)
    np.testing.assert_allclose(scaled, law.cdf(x, 1.0, gamma), atol=slack, rtol=0)
    assert law.moment(3, sigma2, gamma) == pytest.approx(
        sigma2**3 * law.moment(3, 1.0, gamma), rel=1e-14, abs=0
    )


@pytest.mark.parametrize("gamma", [0.05, 0.5, 0.9])
def test_gamma_and_its_inverse_share_the_positive_part(gamma: float) -> None:
    # X'X / n and X X' / p have the same positive eigenvalues up to n / p.
    x = interior(gamma)
    dual = law.cdf(x / gamma, 1.0, 1 / gamma)
    renormalised = (dual - law.atom(1 / gamma)) / gamma
    np.testing.assert_allclose(renormalised, law.cdf(x, 1.0, gamma), atol=1e-13, rtol=0)


@pytest.mark.parametrize("gamma", [0.05, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("k", [0, 1, 2, 3, 4, 6])
def test_moments_are_the_integrals_of_powers(gamma: float, k: int) -> None:
    # mean of Q(u)^k over u, by Gauss-Legendre in the angle of the law: density times dx
    lower, upper = law.support(1.0, gamma)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    t = np.pi / 4 * (nodes + 1)
    x = lower + (upper - lower) * np.sin(t) ** 2
    mass = law.density(x, 1.0, gamma) * (upper - lower) * np.sin(2 * t) * weights * np.pi / 4
    expected = float(mass @ x**k) + law.atom(gamma) * (k == 0)
    assert law.moment(k, 1.0, gamma) == pytest.approx(expected, rel=1e-11, abs=0)


def test_inverse_moments_are_limits_of_the_stieltjes_transform() -> None:
    assert law.moment(-1, 2.0, 0.5) == pytest.approx(law.stieltjes(0.0, 2.0, 0.5), rel=1e-14, abs=0)
    step = 1e-5
    slope = (law.stieltjes(step, 2.0, 0.5) - law.stieltjes(-step, 2.0, 0.5)) / (2 * step)
    assert law.moment(-2, 2.0, 0.5) == pytest.approx(slope, rel=1e-8, abs=0)


@given(gamma=ratios, distance=st.floats(1e-6, 1e6), above=st.booleans())
@settings(max_examples=100, deadline=None)
def test_stieltjes_solves_its_quadratic(gamma: float, distance: float, above: bool) -> None:
    # gamma sigma2 z m^2 + (z + sigma2 (gamma - 1)) m + 1 = 0 (Silverstein & Bai 1995)
    z = law.support(1.0, gamma)[1] + distance if above else -distance
    m = law.stieltjes(z, 1.0, gamma)
    terms = np.array([gamma * z * m * m, z * m, (gamma - 1) * m, 1.0])
    assert abs(terms.sum()) <= 1e-14 * np.abs(terms).sum()
    assert np.sign(m) == (-1 if above else 1)
    dual = law.companion(z, 1.0, gamma)
    parts = np.array([gamma * m, -(1 - gamma) / z])
    assert dual == pytest.approx(parts.sum(), abs=1e-13 * np.abs(parts).sum())


def test_noise_follows_the_law() -> None:
    noise = np.random.default_rng(7).standard_normal((600, 300))
    values = np.sort(np.linalg.eigvalsh(noise.T @ noise / 600))
    distance = np.abs(law.cdf(values, 1.0, 0.5) - (np.arange(300) + 0.5) / 300).max()
    assert 300 * distance < 6  # simulated mean 2.7: rigid, not sqrt(N)


def test_a_scalar_gives_a_float_and_an_array_its_shape() -> None:
    assert type(law.cdf(1.0, 1.0, 0.5)) is float
    assert law.cdf(np.ones((2, 3)), 1.0, 0.5).shape == (2, 3)
    assert law.cdf(np.ones((0, 3)), 1.0, 0.5).shape == (0, 3)
    strided = np.linspace(0.5, 2, 10, dtype=np.float32)[::-3]
    assert law.cdf(strided, 1.0, 0.5).tolist() == [law.cdf(float(x), 1.0, 0.5) for x in strided]
    assert law.cdf([-np.inf, np.inf], 1.0, 0.5).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_parameters_must_be_positive_and_finite(bad: float) -> None:
    with pytest.raises(ArgumentError, match="sigma2 must be positive and finite"):
        law.cdf(1.0, bad, 0.5)
    with pytest.raises(ArgumentError, match="gamma must be positive and finite"):
        law.support(1.0, bad)


def test_bad_points_are_named() -> None:
    with pytest.raises(ArgumentError, match="1 NaN of 3 values, the first at position 1"):
        law.cdf([0.0, np.nan, 1.0], 1.0, 0.5)
    with pytest.raises(ArgumentError, match=r"\[0, 1\], got 1.5"):
        law.quantile([0.5, 1.5], 1.0, 0.5)
    with pytest.raises(ShapeError, match="complex128"):
        law.density(np.array([1j]), 1.0, 0.5)
    with pytest.raises(ArgumentError, match="inside the support"):
        law.stieltjes(1.0, 1.0, 0.5)
    with pytest.raises(ArgumentError, match="z = 0 is an eigenvalue"):
        law.stieltjes(0.0, 1.0, 2.0)
    with pytest.raises(ArgumentError, match="infinite for gamma"):
        law.moment(-1, 1.0, 1.0)

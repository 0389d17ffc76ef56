from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import airy, airye

from hessay import tracy_widom as law
from hessay.errors import ArgumentError, ShapeError

REFERENCE = json.loads((Path(__file__).parent / "data" / "laws.json").read_text())
BETAS: tuple[law.Beta, ...] = (1, 2, 4)
SEED = 11


def fredholm_logs(s: float, nodes: int = 90) -> tuple[float, float]:
    """log det(I - B) and log det(I + B), B(x, y) = Ai(x + y + s) on (0, inf)."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    half = max(2.0, 18.0 - s) / 2
    x, w = half * (1 + x), half * w
    kernel = np.sqrt(np.outer(w, w)) * airy(x[:, None] + x + s)[0]
    values = np.linalg.eigvalsh(kernel)
    return float(np.log1p(-values).sum()), float(np.log1p(values).sum())


@pytest.mark.parametrize("beta", [1, 2])
def test_values_agree_with_the_reference_numbers(beta: law.Beta) -> None:
    table = REFERENCE["tracy_widom"]
    for s, pair in table["pii"].items():  # Painleve II in 40 digits, printed to 15
        assert law.cdf(float(s), beta) == pytest.approx(float(pair[beta - 1]), rel=1e-13, abs=0)
    points = np.array([float(s) for s in table[f"cdf{beta}"]])
    expected = np.array(list(table[f"cdf{beta}"].values()))
    np.testing.assert_allclose(law.cdf(points, beta), expected, atol=1e-13, rtol=0)
    levels = np.array([float(p) for p in table[f"q{beta}"]])
    found = law.quantile(levels, beta)
    # the reference quantiles were solved to 1e-12
    np.testing.assert_allclose(found, list(table[f"q{beta}"].values()), atol=2e-12, rtol=0)


def test_survival_agrees_with_the_reference_numbers_in_ratio() -> None:
    table = REFERENCE["tracy_widom"]["sf1"]
    for s, value in table.items():
        assert law.sf(float(s), 1) == pytest.approx(value, rel=1e-13, abs=0)


@pytest.mark.parametrize("s", np.arange(-5.9, 6.0, 0.7).round(2).tolist())
def test_the_laws_are_fredholm_determinants(s: float) -> None:
    minus, plus = fredholm_logs(s)
    # double nodes, weights and eigenvalues leave the determinant 90 * 5 eps
    assert law.cdf(s, 1) == pytest.approx(np.exp(minus), abs=1e-13)
    assert law.cdf(s, 2) == pytest.approx(np.exp(minus + plus), abs=1e-13)
    mixed = 0.5 * (np.exp(minus) + np.exp(plus))
    assert law.cdf(s / np.sqrt(2), 4) == pytest.approx(mixed, abs=1e-13)
    assert law.sf(s, 1) == pytest.approx(-np.expm1(minus), rel=1e-12, abs=0)


@pytest.mark.parametrize("s", [12.0, 20.0, 40.0, 80.0])
def test_the_right_tail_is_half_the_airy_integral(s: float) -> None:
    # 1 - F1 = tr B (1 + O(1 - F1)), tr B = (1/2) int_s^inf Ai; scaled, since Ai(80) = 1e-208.
    u, w = np.polynomial.laguerre.laggauss(60)
    rate = np.sqrt(s)
    x = s + u / rate
    scaled = airye(x)[0] * np.exp(-2 / 3 * (x**1.5 - s**1.5) + u)
    log_integral = np.log(0.5 * float(w @ scaled) / rate) - 2 / 3 * s**1.5
    assert np.log(law.sf(s, 1)) == pytest.approx(log_integral, rel=1e-13, abs=0)


@pytest.mark.parametrize("beta", BETAS)
def test_the_left_tail_decays_as_the_cube(beta: law.Beta) -> None:
    # In the argument x of Painleve II (sqrt 2 times that of beta 4) log F = -x^3 / 24 for beta 1 and
    # 4, -x^3 / 12 for beta 2, and the next term is of order x^1.5.
    s = np.array([-14.0, -16.0, -18.0])
    cubes = {1: 1.0, 2: 2.0, 4: 2**1.5}[beta] * (-s) ** 3 / 24
    assert np.abs(np.log(law.cdf(s, beta)) + cubes).max() < 0.6 * 18**1.5
    # beta 2: log F2(-x) = -x^3/12 - log(x)/8 + zeta'(-1) + log(2)/24 + 3/(2^6 x^3) + O(x^-6)
    if beta == 2:
        constant = -0.1654211437004509 + np.log(2) / 24
        series = s**3 / 12 - np.log(-s) / 8 + constant - 3 / (64 * s**3)
        np.testing.assert_allclose(np.log(law.cdf(s, 2)), series, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("beta", "mean", "variance"),
    [
        (1, -1.2065335745820, 1.6077810345810),
        (2, -1.7710868074116, 0.8131947928329),
        (4, -2.3068848932410, 0.5177237207726),  # Bornemann 2010, over sqrt 2 and 2
    ],
)
def test_mean_and_variance_are_the_published_ones(
    beta: law.Beta, mean: float, variance: float
) -> None:
    # E S = int_0^inf sf - int_-inf^0 cdf, by Gauss-Legendre on unit panels
    nodes, weights = np.polynomial.legendre.leggauss(20)
    starts = np.arange(-15.0, 20.0)[:, None]
    s, w = starts + 0.5 * (nodes + 1), np.broadcast_to(0.5 * weights, (35, 20))
    signed = np.where(s > 0, law.sf(s, beta), -law.cdf(s, beta))
    first, second = float((w * signed).sum()), float((2 * w * s * signed).sum())
    assert first == pytest.approx(mean, abs=1e-11)
    assert second - first**2 == pytest.approx(variance, abs=1e-10)


@pytest.mark.parametrize("beta", BETAS)
def test_the_pieces_join_and_are_monotone(beta: law.Beta) -> None:
    s = np.linspace(-20, 60, 160_001)
    below, above = law.cdf(s, beta), law.sf(s, beta)
    assert np.diff(below).min() >= -4e-16
    assert np.diff(above).max() <= 4e-16
    np.testing.assert_allclose(below + above, 1.0, atol=4e-16, rtol=0)
    ends = np.arange(-26.0, 20.0) / (np.sqrt(2) if beta == 4 else 1)
    before, after = ends[1:] - 1e-13, ends[1:] + 1e-13  # the first piece begins below every double
    ratios = []
    for function in (law.cdf, law.sf):
        values = np.stack([function(before, beta), function(after, beta)])
        low, high = values[:, values.min(axis=0) > 1e-300]
        ratios.append(np.abs(np.log(low / high)).max())
    jump = max(ratios)
    # |d log F / ds| < 130 on the range, times 2e-13, and log F itself carries 745 eps
    assert jump < 3e-11


@given(log_p=st.floats(-690, -1e-6), beta=st.sampled_from(BETAS))
@settings(max_examples=200, deadline=None)
def test_quantiles_invert_both_tails(log_p: float, beta: law.Beta) -> None:
    p = float(np.exp(log_p))
    # s is rounded to eps s and log F has slope below 130: 26 * 130 eps; log F itself carries 700 eps
    # on both ways; six times their sum
    assert law.cdf(law.quantile(p, beta), beta) == pytest.approx(p, rel=5e-12, abs=0)
    assert law.sf(law.isf(p, beta), beta) == pytest.approx(p, rel=5e-12, abs=0)


def test_infinities_are_the_ends() -> None:
    assert law.cdf([-np.inf, np.inf]).tolist() == [0.0, 1.0]
    assert law.sf([-np.inf, -1e300, 1e300, np.inf]).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert law.quantile([0.0, 1.0]).tolist() == [-np.inf, np.inf]
    assert law.isf([0.0, 1.0]).tolist() == [np.inf, -np.inf]
    assert law.isf(5e-324) > 100


@pytest.mark.parametrize("entry", REFERENCE["scaling"], ids=lambda e: f"{e['n']}x{e['p']}")
def test_scaling_agrees_with_the_reference_numbers(entry: dict[str, float]) -> None:
    n, p = entry["n"], entry["p"]
    assert law.largest_eigenvalue_scaling(n, p) == pytest.approx(entry["ma"], rel=1e-14, abs=0)
    swapped = law.largest_eigenvalue_scaling(p, n)
    assert swapped == pytest.approx(law.largest_eigenvalue_scaling(n, p), rel=1e-15, abs=0)


def test_the_largest_eigenvalue_of_noise_has_the_law() -> None:
    rng = np.random.default_rng(SEED)
    center, scale = law.largest_eigenvalue_scaling(60, 30)
    top = [np.linalg.norm(rng.standard_normal((60, 30)), ord=2) ** 2 for _ in range(600)]
    p_values = np.sort(law.sf((np.array(top) - center) / scale))
    # Kolmogorov: sqrt(600) D < 1.95 with probability 0.999
    distance = np.abs(p_values - (np.arange(600) + 0.5) / 600).max()
    assert 600**0.5 * distance < 1.95


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ArgumentError, match="beta must be 1, 2 or 4, got 3"):
        law.sf(0.0, 3)  # type: ignore[call-overload]
    with pytest.raises(ArgumentError, match=r"1 NaN of 4 values, the first at position \(1, 0\)"):
        law.cdf(np.array([[0.0, 1.0], [np.nan, 2.0]]))
    with pytest.raises(ArgumentError, match=r"got -0\.1"):
        law.isf(-0.1)
    with pytest.raises(ShapeError, match="real numbers"):
        law.cdf(["a"])  # type: ignore[list-item]
    with pytest.raises(ArgumentError, match=r"n must be finite and above 1/2, got 0\.5"):
        law.largest_eigenvalue_scaling(0.5, 10)


def test_both_centerings_are_their_formulas() -> None:
    for n, p in ((400, 100), (100, 400)):
        long, short = max(n, p), min(n, p)
        for centering, u, v in (
            ("ma", (long - 0.5) ** 0.5, (short - 0.5) ** 0.5),
            ("johnstone", (long - 1) ** 0.5, short**0.5),
        ):
            center, scale = law.largest_eigenvalue_scaling(n, p, centering=centering)
            assert center == pytest.approx((u + v) ** 2, rel=1e-14, abs=0)
            expected = (u + v) * (1 / u + 1 / v) ** (1 / 3)
            assert scale == pytest.approx(expected, rel=1e-14, abs=0)
    with pytest.raises(ArgumentError, match="centering must be 'ma' or 'johnstone', got 'bai'"):
        law.largest_eigenvalue_scaling(10, 10, centering="bai")  # type: ignore[arg-type]


def test_survival_keeps_its_ratio_to_the_twelfth_digit() -> None:
    # tail of the Fredholm determinant in log1p: relative accuracy down to 1e-12
    for s in (6.0, 8.0, 10.0, 11.5):
        minus, _ = fredholm_logs(s)
        assert law.sf(s, 1) == pytest.approx(-np.expm1(minus), rel=1e-8, abs=0)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessay import marchenko_pastur as law
from hessay.errors import ArgumentError, ShapeError

REFERENCE = json.loads((Path(__file__).parent / "data" / "populations.json").read_text())
RATIOS = [0.05, 0.5, 1.0, 2.0, 20.0]
SEED = 4
off_axis = st.complex_numbers(min_magnitude=1e-3, max_magnitude=1e4).filter(
    lambda z: abs(z.imag) > 1e-6
)


def exact(z: complex, gamma: float, dual: bool) -> tuple[complex, complex]:
    """Transform and slope in 40 digits: the root of the quadratic with Im m Im z > 0."""
    with mpmath.workdps(40):
        c, point = mpmath.mpf(gamma), mpmath.mpc(z)
        a = mpmath.mpf(1) if dual else c
        b = point + (1 - c if dual else c - 1)
        roots = mpmath.polyroots([a * point, b, 1], maxsteps=200, extraprec=200)
        m = max(roots, key=lambda root: root.imag * point.imag)
        slope = -(a * m * m + m) / (2 * a * point * m + b)
        return complex(m), complex(slope)


@pytest.mark.parametrize("entry", REFERENCE["marchenko_pastur"], ids=lambda e: f"gamma={e['c']}")
def test_transforms_agree_with_the_reference_numbers(entry: dict[str, Any]) -> None:
    sigma2, gamma, z = entry["sigma2"], entry["c"], np.array(entry["z"])
    found = law.stieltjes_slope(z, sigma2, gamma)
    np.testing.assert_allclose(found, entry["m_prime"], rtol=1e-12)
    found = law.companion_slope(z, sigma2, gamma)
    np.testing.assert_allclose(found, entry["mt_prime"], rtol=1e-12)
    np.testing.assert_allclose(law.kappa(-z, sigma2, gamma), entry["kappa"], rtol=1e-12)
    points = np.array(entry["z_complex"]) @ [1, 1j]
    expected = np.array(entry["m_complex"]) @ [1, 1j]
    np.testing.assert_allclose(law.stieltjes(points, sigma2, gamma), expected, rtol=1e-12)


@pytest.mark.parametrize("gamma", RATIOS)
@given(z=off_axis)
@settings(max_examples=40, deadline=None)
def test_complex_transforms_are_the_right_root_in_forty_digits(gamma: float, z: complex) -> None:
    # Near the branch points at the edges the root moves by sqrt(eps / distance) of its size:
    # |m'| eps |z| is what rounding z alone would do; eight of them, and the slope's own likewise.
    for dual, transform, slope in (
        (False, law.stieltjes, law.stieltjes_slope),
        (True, law.companion, law.companion_slope),
    ):
        m, m_slope = exact(z, gamma, dual)
        eps = np.finfo(float).eps
        assert abs(transform(z, 1.0, gamma) - m) <= 8 * eps * (abs(m) + abs(m_slope * z))
        edges = law.support(1.0, gamma)
        nearest = min(abs(z - edge) for edge in edges)
        bend = eps * abs(z) * (1 / nearest + 1 / abs(z)) + eps * (1 + 1 / gamma + gamma)
        assert abs(slope(z, 1.0, gamma) - m_slope) <= 40 * bend * abs(m_slope)


@pytest.mark.parametrize("gamma", RATIOS)
def test_the_limit_from_above_is_the_density(gamma: float) -> None:
    lower, upper = law.support(2.0, gamma)
    x = lower + (upper - lower) * np.linspace(0.01, 0.99, 25)
    m = law.stieltjes(x + 0j, 2.0, gamma)
    np.testing.assert_allclose(m.imag / np.pi, law.density(x, 2.0, gamma), rtol=1e-12)
    below = law.stieltjes(np.conj(x + 0j), 2.0, gamma)  # -0j is on the same side
    np.testing.assert_array_equal(below, m)


@pytest.mark.parametrize("gamma", RATIOS)
def test_conjugate_points_have_conjugate_transforms(gamma: float) -> None:
    z = np.array([0.3 + 0.2j, 5 + 1e-3j, -2 + 4j])
    for function in (law.stieltjes, law.companion, law.stieltjes_slope, law.companion_slope):
        np.testing.assert_array_equal(
            function(z.conj(), 1.0, gamma), function(z, 1.0, gamma).conj()
        )


@pytest.mark.parametrize("gamma", RATIOS)
@pytest.mark.parametrize("above", [True, False])
def test_slopes_are_differences_of_the_transforms(gamma: float, above: bool) -> None:
    z = law.support(1.0, gamma)[1] + 0.7 if above else -0.6
    h = 1e-4
    for function, slope in (
        (law.stieltjes, law.stieltjes_slope),
        (law.companion, law.companion_slope),
    ):
        # five points: the error is h^4 f^(5) / 30, far below what rounding leaves, eps / h
        terms = [function(z + j * h, 1.0, gamma) for j in (-2, -1, 1, 2)]
        estimate = (terms[0] - 8 * terms[1] + 8 * terms[2] - terms[3]) / (12 * h)
        assert slope(z, 1.0, gamma) == pytest.approx(estimate, rel=1e-9, abs=0)
        assert slope(z + 0j, 1.0, gamma) == pytest.approx(slope(z, 1.0, gamma), rel=1e-13, abs=0)


@given(gamma=st.floats(1e-3, 1e3), lam=st.floats(1e-8, 1e8), sigma2=st.floats(1e-3, 1e3))
@settings(max_examples=100, deadline=None)
def test_kappa_solves_its_fixed_point(gamma: float, lam: float, sigma2: float) -> None:
    kappa = law.kappa(lam, sigma2, gamma)
    # kappa = lam + kappa gamma sigma2 / (sigma2 + kappa), multiplied out
    terms = np.array([kappa**2, kappa * sigma2, -lam * kappa, -lam * sigma2])
    terms = np.append(terms, -gamma * kappa * sigma2)
    assert kappa > 0
    assert abs(terms.sum()) <= 1e-14 * np.abs(terms).sum()
    assert kappa * law.companion(-lam, sigma2, gamma) == pytest.approx(1.0, rel=1e-12, abs=0)


@pytest.mark.parametrize("unit", [1e-300, 1e300])
def test_the_law_carries_the_unit_of_its_variance(unit: float) -> None:
    # squares of such numbers are zero or infinite: kappa was 0.25 or infinite there, the density too
    for gamma in (0.5, 2.0):
        kappa = law.kappa(unit, unit, gamma) / unit
        assert kappa == pytest.approx(law.kappa(1.0, 1.0, gamma), rel=1e-13, abs=0)
        density = law.density(unit, unit, gamma) * unit
        assert density == pytest.approx(law.density(1.0, 1.0, gamma), rel=1e-13, abs=0)
        m = law.stieltjes(-unit, unit, gamma) * unit
        assert m == pytest.approx(law.stieltjes(-1.0, 1.0, gamma), rel=1e-13, abs=0)


def test_kappa_without_a_ridge_is_its_limit() -> None:
    for gamma in (0.5, 1.0, 3.0):
        limit = law.kappa(0.0, 2.0, gamma)
        assert limit == pytest.approx(max(0.0, 2.0 * (gamma - 1)), rel=1e-15, abs=0)
        # near lam = 0 kappa - limit is O(lam), O(sqrt(lam)) for gamma = 1
        assert law.kappa(1e-12, 2.0, gamma) == pytest.approx(limit, abs=2e-6)


@pytest.mark.parametrize(("n", "p"), [(400, 100), (300, 300), (100, 400)])
def test_simulated_spectra_are_those_of_matrices(n: int, p: int) -> None:
    rng = np.random.default_rng(SEED)
    sums = np.zeros((2, 200))
    for draw in range(200):
        values = law.sample(n, p, 3.0, seed=rng)
        assert values.shape == (p,)
        assert np.all(np.diff(values) <= 0)
        assert np.count_nonzero(values) == min(n, p)
        sums[:, draw] = values.sum(), (values**2).sum()
    # tr S is sigma2 chi2(n p) / n; tr S^2 has mean sigma2^2 p (1 + (p + 1) / n)
    trace_sd = 3.0 * np.sqrt(2 * n * p) / n
    assert abs(sums[0].mean() - 3.0 * p) < 4 * trace_sd / np.sqrt(200)
    assert sums[0].std() == pytest.approx(trace_sd, rel=4 / np.sqrt(400))
    expected = 9.0 * p * (1 + (p + 1) / n)
    assert abs(sums[1].mean() - expected) < 4 * sums[1].std() / np.sqrt(200)
    # Largest eigenvalue: Tracy-Widom, mean -1.2 and sd 1.27 of the scale.
    np.testing.assert_array_equal(law.sample(n, p, seed=9), law.sample(n, p, seed=9))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ArgumentError, match="lam must be finite and not negative, got -1"):
        law.kappa(-1.0, 1.0, 0.5)
    with pytest.raises(ArgumentError, match="holds 1 values that are not finite"):
        law.stieltjes(complex(1, np.nan), 1.0, 0.5)
    with pytest.raises(ArgumentError, match="z = 0 is an eigenvalue for gamma = 2"):
        law.stieltjes_slope(0j, 1.0, 2.0)
    with pytest.raises(ArgumentError, match="z = 0 is an eigenvalue for gamma = 1"):
        law.companion_slope(0.0, 1.0, 1.0)
    with pytest.raises(ArgumentError, match="inside the support"):
        law.companion_slope(1.0, 1.0, 0.5)
    with pytest.raises(ShapeError, match="dtype"):
        law.stieltjes(np.array(["a"]), 1.0, 0.5)  # type: ignore[call-overload]
    with pytest.raises(ArgumentError, match=r"n must be a whole number >= 1, got 2\.5"):
        law.sample(2.5, 3, seed=0)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="p must be a whole number >= 1, got 0"):
        law.sample(5, 0, seed=0)

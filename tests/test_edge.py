from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hessay import marchenko_pastur, tracy_widom
from hessay.edge import BulkEdge, fit_edge
from hessay.errors import ArgumentError, ShapeError
from hessay.verdict import outliers

SEED = 3
Vector = NDArray[np.float64]


def spectrum(rng: np.random.Generator, n: int, p: int, population: Vector | None = None) -> Vector:
    """All p eigenvalues of X'X / n, ascending; columns with the given population eigenvalues."""
    matrix = rng.standard_normal((n, p))
    if population is not None:
        matrix[:, : population.size] *= np.sqrt(population)
    return np.linalg.svd(matrix, compute_uv=False)[::-1] ** 2 / n


def toeplitz_spectrum(rng: np.random.Generator, n: int, p: int, rho: float) -> Vector:
    lags = np.subtract.outer(np.arange(p), np.arange(p))
    root = np.linalg.cholesky(rho ** np.abs(lags))
    return np.linalg.svd(rng.standard_normal((n, p)) @ root.T, compute_uv=False)[::-1] ** 2 / n


@pytest.mark.parametrize(("n", "p"), [(2000, 100), (400, 200), (250, 200), (200, 200)])
@pytest.mark.parametrize("known", [True, False])
def test_the_edge_of_noise_is_found_within_the_tracy_widom_scale(
    n: int, p: int, known: bool
) -> None:
    edge = fit_edge(4.0 * spectrum(np.random.default_rng(SEED), n, p), p / n if known else None)
    _, upper = marchenko_pastur.support(4.0, p / n)
    _, scale = tracy_widom.largest_eigenvalue_scaling(n, p)
    # simulated: bias below 0.1, sd 0.3 to 0.45 of the scale
    assert abs(edge.upper - upper) < 2 * 4.0 * scale / n
    assert edge.scale == pytest.approx(4.0 * scale / n, rel=0.1, abs=0)
    assert edge.sigma2 == pytest.approx(4.0, rel=0.03, abs=0)
    assert edge.gamma == pytest.approx(p / n, rel=0.1, abs=0)
    assert edge.accepted
    assert (edge.n_values, edge.n_outliers) == (p, 0)
    assert edge.method == ("qls_c" if known else "qls")
    assert edge.lower < edge.center < edge.upper


@pytest.mark.parametrize("known", [True, False])
def test_the_edge_of_noise_is_nearly_unbiased(known: bool) -> None:
    # In units of the Tracy-Widom scale one fit has sd 0.65 and a bias of 0.1; the mean of 100 has
    # sd 0.065.
    rng = np.random.default_rng(SEED)
    _, upper = marchenko_pastur.support(1.0, 0.5)
    fits = [fit_edge(spectrum(rng, 80, 40), 0.5 if known else None) for _ in range(100)]
    assert abs(np.mean([(edge.upper - upper) / edge.scale for edge in fits])) < 0.3


def test_spikes_hidden_by_larger_spikes_are_counted() -> None:
    population = 3 * np.exp2(np.arange(1.0, 20.0))
    values = spectrum(np.random.default_rng(SEED), 200, 100, population)
    assert fit_edge(values).n_outliers == 19
    crowd = spectrum(np.random.default_rng(SEED), 400, 200, 3 + 0.2 * np.arange(45.0))
    assert fit_edge(crowd, 0.5).n_outliers == 45


def test_exact_quantiles_give_the_law_back() -> None:
    values = marchenko_pastur.quantile((np.arange(400) + 0.5) / 400, 2.0, 0.3)
    edge = fit_edge(values)
    assert edge.sigma2 == pytest.approx(2.0, rel=1e-9, abs=0)
    assert edge.gamma == pytest.approx(0.3, rel=1e-9, abs=0)
    assert edge.goodness == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("n", "p"), [(400, 200), (150, 300)])
@pytest.mark.parametrize("count", [1, 4, 10])
@pytest.mark.parametrize("size", [4.0, 300.0])
def test_spikes_are_counted_exactly(n: int, p: int, count: int, size: float, known: bool) -> None:
    gamma = p / n
    population = 1 + gamma**0.5 * (size + np.arange(float(count)))
    values = spectrum(np.random.default_rng(SEED + count), n, p, population)
    if p > n:
        values = np.r_[np.zeros(p - n), values[-n:]]
    edge = fit_edge(values, gamma if known else None)
    assert edge.n_outliers == count
    assert edge.accepted
    assert edge.n_values == min(n, p)
    assert edge.gamma == pytest.approx(gamma, rel=0.12, abs=0)
    if known:  # each spike takes a row and a column from the noise
        assert edge.gamma == pytest.approx((p - count) / (n - count), rel=1e-12, abs=0)


@pytest.mark.parametrize("known", [True, False])
def test_noise_raises_no_alarm_and_is_not_refused(known: bool) -> None:
    rng = np.random.default_rng(SEED)
    flagged = refused = 0
    sizes = [(80, 40), (120, 120), (300, 60), (60, 90)]
    for repeat in range(200):
        n, p = sizes[repeat % len(sizes)]
        values = spectrum(rng, n, p)
        edge = fit_edge(values, p / n if known or p > n else None, alpha=0.01)
        flagged += outliers(values, edge, alpha=0.01).positions.size > 0
        refused += not edge.accepted
    # At level 0.01 each count is Binomial(200, 0.01): more than 7 has probability 1e-3.
    assert flagged <= 7
    assert refused <= 7


@pytest.mark.parametrize(("n", "p"), [(400, 200), (600, 120)])
def test_a_correlated_population_is_refused(n: int, p: int) -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(5):
        edge = fit_edge(toeplitz_spectrum(rng, n, p, 0.6))
        assert not edge.accepted
        assert edge.goodness > edge.goodness_limit


def test_a_spectrum_without_a_bulk_is_refused() -> None:
    assert not fit_edge(np.arange(1.0, 101.0) ** 3).accepted
    assert not fit_edge(2.0 ** -np.arange(60.0)).accepted


@given(scale=st.floats(1e-200, 1e200), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_the_fit_scales_with_the_values(scale: float, seed: int) -> None:
    values = spectrum(np.random.default_rng(seed), 120, 50)
    one, other = fit_edge(values), fit_edge(values[::-1] * scale)
    assert other.upper == pytest.approx(one.upper * scale, rel=1e-9, abs=0)
    assert other.scale == pytest.approx(one.scale * scale, rel=1e-9, abs=0)
    assert other.goodness == pytest.approx(one.goodness, rel=1e-6, abs=0)
    assert (other.accepted, other.n_outliers) == (one.accepted, one.n_outliers)


def test_zeros_tell_gamma_from_its_inverse() -> None:
    values = spectrum(np.random.default_rng(SEED), 100, 250)
    positive = values[-100:]
    free = fit_edge(np.r_[np.zeros(150), positive])
    narrow = fit_edge(positive)
    known = fit_edge(positive, 2.5)
    assert free.gamma == pytest.approx(2.5, rel=0.1, abs=0)
    assert narrow.gamma == pytest.approx(1 / free.gamma, rel=1e-12, abs=0)
    assert (narrow.upper, narrow.center) == pytest.approx(
        (free.upper, free.center), rel=1e-12, abs=0
    )
    assert known.gamma == pytest.approx(2.5, rel=1e-12, abs=0)
    assert known.sigma2 == pytest.approx(1.0, rel=0.03, abs=0)


def test_rounding_below_zero_counts_as_zero() -> None:
    noise = np.random.default_rng(SEED).standard_normal((60, 150))
    computed = np.linalg.eigvalsh(noise.T @ noise / 60)
    assert computed.min() < 0  # rounding of the 90 zeros
    assert fit_edge(computed).n_values == 60
    assert fit_edge(computed.astype(np.float32)).n_values == 60


def test_a_looser_level_lowers_the_limit() -> None:
    values = spectrum(np.random.default_rng(SEED), 200, 100)
    strict, loose = fit_edge(values, alpha=0.001), fit_edge(values, alpha=0.1)
    assert strict.goodness == loose.goodness
    assert strict.goodness_limit > loose.goodness_limit > 0


def test_the_result_cannot_be_changed() -> None:
    edge = fit_edge(spectrum(np.random.default_rng(SEED), 80, 40))
    assert isinstance(edge, BulkEdge)
    with pytest.raises(dataclasses.FrozenInstanceError):
        edge.upper = 0.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.ones((5, 5)), ShapeError, r"must have shape \(k,\), got \(5, 5\)"),
        (np.ones(30), ArgumentError, "all 30 positive values equal 1.0"),
        (np.zeros(30), ArgumentError, "no positive eigenvalue"),
        (np.arange(10.0), ArgumentError, "9 positive eigenvalues, an edge fit needs 20"),
        (np.zeros(0), ArgumentError, "0 positive eigenvalues"),
        (np.r_[-1.0, np.arange(40.0)], ArgumentError, "1 negative eigenvalues, the smallest -1.0"),
        (np.r_[np.arange(40.0), np.nan], ArgumentError, "the first at position 40"),
        (np.r_[np.inf, np.arange(40.0)], ArgumentError, "1 infinite values, the first at pos"),
        (np.arange(40.0) * 1j, ShapeError, "complex128"),
    ],
)
def test_bad_values_are_named(values: Vector, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fit_edge(values)


def test_bad_options_are_named() -> None:
    values = np.arange(1.0, 41.0)
    with pytest.raises(ArgumentError, match="aspect_ratio must be positive and finite, got 0"):
        fit_edge(values, 0.0)
    with pytest.raises(ArgumentError, match=r"alpha must lie in \(0, 0.5\], got 1.0"):
        fit_edge(values, alpha=1.0)

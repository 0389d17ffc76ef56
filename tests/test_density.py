"""Spectral densities against all eigenvalues of the same matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse.linalg import aslinearoperator

from hessay.density import SpectralDensity, spectral_density
from hessay.errors import ArgumentError, NonFinite, NotConverged, ShapeError

SEED = 0
Spectrum = NDArray[np.float64]

SPECTRA: dict[str, Spectrum] = {
    "outliers over nothing": np.concatenate([np.zeros(750), 100 * 0.7 ** np.arange(50)]),
    "rank 9": np.concatenate([np.zeros(491), np.linspace(0.05, 0.25, 9)]),
    "multiple": np.concatenate([np.zeros(300), np.full(10, 5.0), np.linspace(0, 1, 390)]),
    "both signs": np.concatenate([np.linspace(-1, 1, 596), [20.0, -15.0, 9.0, -30.0]]),
    "flat": np.linspace(1, 3, 900),
}


def diagonal(values: Spectrum) -> tuple[Callable[[NDArray[Any]], NDArray[Any]], int]:
    """Gaussian probes look the same in every basis, so a diagonal stands for all."""
    return (lambda v: values[:, None] * v), len(values)


def wasserstein(found: SpectralDensity, truth: Spectrum) -> float:
    """Distance by quantiles, the other way round than cumulative weights."""
    grid = np.concatenate([[0.0], np.cumsum(found.weights)])
    steps = np.unique(np.clip(np.concatenate([grid, np.arange(len(truth) + 1) / len(truth)]), 0, 1))
    middle = (steps[1:] + steps[:-1]) / 2
    mine = found.nodes[np.clip(np.searchsorted(grid[1:], middle), 0, len(found.nodes) - 1)]
    theirs = np.sort(truth)[np.minimum((middle * len(truth)).astype(int), len(truth) - 1)]
    return float(np.diff(steps) @ np.abs(mine - theirs))


@pytest.mark.parametrize("name", SPECTRA)
def test_error_bar_covers_the_distance_to_the_truth(name: str) -> None:
    truth, seeds = SPECTRA[name], 30
    covered = 0
    for seed in range(seeds):
        found = spectral_density(diagonal(truth), tol=0.1, seed=seed, method="sampled")
        assert found.converged
        covered += wasserstein(found, truth) <= found.w1_error
    # 95 % promised; 24 or fewer of 30 would have probability 3e-3 at 95 %.
    assert covered >= 25


def test_standard_errors_cover_functionals() -> None:
    truth, seeds = SPECTRA["flat"], 40
    misses = 0
    for seed in range(seeds):
        found = spectral_density(diagonal(truth), tol=0.1, seed=seed, method="sampled")
        value, error = found.functional(np.log)
        misses += abs(value - np.log(truth).mean()) > 2 * error
    assert misses <= 6  # 5 % of 40 is 2; 7 or more has probability 3e-3


def test_outliers_are_exact_and_the_cost_is_small() -> None:
    truth = SPECTRA["outliers over nothing"]
    found = spectral_density(diagonal(truth), tol=0.05, seed=SEED, method="sampled")
    assert found.nodes[-1] == pytest.approx(100.0, rel=1e-9)
    assert found.stats.products < 60
    # One eigenvalue of 800 weighs 1/800; a probe alone would be off by a factor chi-square(1).
    assert found.weights[-1] == pytest.approx(1 / 800, rel=1e-9)


def test_a_flat_bulk_is_not_deflated() -> None:
    found = spectral_density(diagonal(SPECTRA["flat"]), tol=0.05, seed=SEED, method="sampled")
    assert found.deflated == 0


def test_exact_route_is_the_spectrum() -> None:
    rng = np.random.default_rng(SEED)
    half = rng.standard_normal((40, 40))
    matrix = half + half.T
    found = spectral_density(matrix)
    assert found.method == "exact"
    assert found.w1_error == 0
    np.testing.assert_allclose(found.nodes, np.linalg.eigvalsh(matrix), atol=1e-12)
    truth = [np.trace(np.linalg.matrix_power(matrix, k)) / 40 for k in (1, 2, 3)]
    np.testing.assert_allclose([m.value for m in found.moments(3)], truth, rtol=1e-10)
    x = np.linspace(-60, 60, 20001)
    assert np.trapezoid(found.density(x), x) == pytest.approx(1.0, abs=1e-6)
    assert found.cdf(found.nodes[19]) == pytest.approx(0.5)


def test_operators_of_every_kind_agree() -> None:
    matrix = np.diag(SPECTRA["both signs"])
    ways: list[Any] = [aslinearoperator(matrix), matrix, ((lambda v: matrix @ v), len(matrix))]
    found = [spectral_density(way, seed=SEED, method="sampled") for way in ways]
    for other in found[1:]:
        np.testing.assert_allclose(other.nodes, found[0].nodes, atol=1e-8)
        np.testing.assert_allclose(other.weights, found[0].weights, atol=1e-8)


def test_scaling_and_shifting_the_operator_scales_and_shifts_the_rule() -> None:
    values = SPECTRA["flat"]
    plain = spectral_density(diagonal(values), seed=SEED, method="sampled")
    scaled = spectral_density(diagonal(4 * values), seed=SEED, method="sampled")
    np.testing.assert_allclose(scaled.nodes, 4 * plain.nodes, rtol=1e-9)
    assert scaled.w1_error == pytest.approx(4 * plain.w1_error, rel=1e-9)


def test_zero_operator_is_an_atom() -> None:
    found = spectral_density(diagonal(np.zeros(200)), method="sampled")
    assert found.converged
    assert set(found.nodes) == {0.0}
    with pytest.raises(ArgumentError, match="atom"):
        found.density(0.0)


def test_spent_budget_says_so() -> None:
    with pytest.raises(NotConverged) as caught:
        spectral_density(diagonal(SPECTRA["both signs"]), tol=0.01, max_products=9)
    found = caught.value.partial
    assert isinstance(found, SpectralDensity)
    assert found.stats.products == 9
    assert not found.converged
    assert "budget" in found.explain()


@pytest.mark.parametrize(
    ("operator", "error", "words"),
    [
        (np.zeros((3, 4)), ShapeError, "square"),
        (np.zeros((0, 0)), ShapeError, "size 0"),
        (np.diag([1.0, np.nan]), NonFinite, "NaN"),
        (np.triu(np.ones((5, 5))), ArgumentError, "not symmetric"),
        ((lambda v: v[:-1], 100), ShapeError, "keep the shape"),
        ((lambda v: v * np.nan, 100), NonFinite, "NaN"),
        ((lambda v: 1j * v, 100), ShapeError, "real"),
        ((lambda v: np.cumsum(v, axis=0), 100), ArgumentError, "not symmetric"),
        ((lambda v: v, 0), ShapeError, "size 0"),
        ((lambda v: v, 2.5), ArgumentError, "integer"),
    ],
)
def test_bad_operators_are_named(operator: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        spectral_density(operator)


@pytest.mark.parametrize(
    "options", [{"tol": 0.0}, {"tol": 1.0}, {"tol": np.nan}, {"seed": -1}, {"max_products": 0},
                {"method": "guess"}, {"method": "exact", "max_products": 3}]
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        spectral_density(diagonal(np.ones(100)), **options)


def test_functionals_outside_their_domain_are_refused() -> None:
    found = spectral_density(np.diag([-1.0, 1.0]))
    with pytest.raises(NonFinite, match="not finite at -1"):
        found.functional(np.log)
    with pytest.raises(ArgumentError):
        found.moments(0)

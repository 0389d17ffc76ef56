from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hessay import fit_edge, marchenko_pastur, outliers, silverstein, spectral_density, spikes
from hessay.errors import ArgumentError, ShapeError
from hessay.verdict import Verdict

SEED = 12
Vector = NDArray[np.float64]


def spectrum(rng: np.random.Generator, n: int, population: Vector) -> Vector:
    """Positive eigenvalues of X'X / n, descending, columns with the given population."""
    noise = rng.standard_normal((n, population.size)) * np.sqrt(population)
    return np.linalg.svd(noise, compute_uv=False) ** 2 / n


def correlated(p: int) -> dict[str, Vector]:
    lags = np.abs(np.subtract.outer(np.arange(p), np.arange(p)))
    return {
        "Toeplitz 0.3": np.linalg.eigvalsh(0.3**lags),
        "Toeplitz 0.6": np.linalg.eigvalsh(0.6**lags),
        "75 % 1, 25 % 2": np.r_[np.ones(p - p // 4), np.full(p // 4, 2.0)],
        "uniform": np.linspace(0.5, 1.5, p),
        "power law": np.arange(1.0, p + 1) ** -0.3,
    }


@pytest.mark.parametrize("known", [True, False])
def test_standard_errors_are_the_spread_of_fits_to_noise(known: bool) -> None:
    rng = np.random.default_rng(SEED)
    n, p, runs = 300, 120, 200
    fits = [
        fit_edge(
            marchenko_pastur.sample(n, p, 2.0, seed=rng), p / n if known else None, method="qls"
        )
        for _ in range(runs)
    ]
    # a standard deviation of 200 has a relative error of 1 / sqrt(400): four of them
    for name in ("sigma2", "upper") if known else ("sigma2", "gamma", "upper"):
        spread = np.std([getattr(edge, name) for edge in fits])
        predicted = np.mean([getattr(edge, f"{name}_sd") for edge in fits])
        assert predicted == pytest.approx(spread, rel=0.2, abs=0), name
    if known:
        assert {edge.gamma_sd for edge in fits} == {0.0}


@pytest.mark.parametrize("known", [True, False])
def test_the_shape_of_noise_is_chi_squared(known: bool) -> None:
    rng = np.random.default_rng(SEED)
    shapes = []
    for run in range(300):
        n, p = [(400, 200), (2000, 100), (100, 100), (150, 60)][run % 4]
        values = marchenko_pastur.sample(n, p, seed=rng)
        shapes.append(fit_edge(values, p / n if known else None).shape)
    # 6 degrees of freedom: mean 6, sd of one sqrt(12), of the mean of 300 0.2; finite size adds 5 %
    assert np.mean(shapes) == pytest.approx(6.0, abs=0.8 + 0.3)
    assert np.var(shapes) == pytest.approx(12.0, rel=0.5)


def test_a_correlated_bulk_never_yields_a_silent_wrong_count() -> None:
    rng = np.random.default_rng(SEED)
    p, silent, refused, draws = 300, 0, 0, 0
    for ratio in (0.2, 0.5, 1.0):
        for bulk in correlated(p).values():
            threshold = spikes.threshold(silverstein.PopulationLaw(bulk, ratio))
            for count in (0, 5):
                population = bulk.copy()
                population[:count] = threshold * np.linspace(1.6, 6, count)
                values = spectrum(rng, round(p / ratio), population)
                edge = fit_edge(values)
                found = outliers(values, edge)
                draws += 1
                refused += not edge.accepted
                silent += found.calibrated and found.positions.size != count
                assert found.calibrated == edge.calibrated
                if not edge.calibrated:
                    assert found.p_values is None
                    assert found.verdict is Verdict.INCONCLUSIVE
    assert silent <= 0.05 * draws
    assert refused >= 0.8 * draws  # not by counting well: by seeing that the law does not fit


def test_a_bulk_of_unequal_variances_keeps_its_count() -> None:
    # Variances +-20 %: refused, and counted by the ranks. Spikes at 1.35 times the threshold and up.
    rng = np.random.default_rng(SEED)
    n, p = 2000, 1000
    bulk = np.linspace(0.8, 1.2, p)
    threshold = spikes.threshold(silverstein.PopulationLaw(bulk, p / n))
    for count in (0, 3, 10):
        population = bulk.copy()
        population[:count] = threshold * np.linspace(1.35, 4, count)
        edge = fit_edge(spectrum(rng, n, population))
        assert edge.n_outliers == count
        assert not edge.calibrated or edge.accepted


def test_the_airy_edge_is_where_the_law_of_the_population_ends() -> None:
    rng = np.random.default_rng(SEED)
    p, n = 1000, 2000
    bulk = correlated(p)["Toeplitz 0.3"]
    law = silverstein.PopulationLaw(bulk, p / n)
    edge = fit_edge(spectrum(rng, n, bulk))
    assert edge.method == "airy"
    assert not edge.accepted
    assert not edge.calibrated
    # over many draws: bias 1, sd 1 of the Tracy-Widom scale, where the Marchenko-Pastur fit is 30 off
    assert abs(edge.upper - law.support[-1][1]) < 5 * law.edge_scale(n)
    assert edge.scale == pytest.approx(law.edge_scale(n), rel=0.25)
    forced = fit_edge(spectrum(rng, n, np.ones(p)), method="airy")
    assert (forced.method, forced.accepted) == ("airy", False)
    assert np.isnan(forced.sigma2_sd)
    white = marchenko_pastur.support(1.0, 0.5)[1]
    assert forced.upper == pytest.approx(white, rel=0.02)


def test_exact_airy_ranks_give_their_edge_back() -> None:
    rank = np.arange(1.0, 81.0)
    z = (3 * np.pi * (rank - 0.5) / 2) ** (2 / 3)
    edge = fit_edge(40 - 0.5 * z + 0.004 * z**2, method="airy")
    assert (edge.upper, edge.scale) == pytest.approx((40.0, 0.5), rel=1e-9, abs=0)
    spiked = fit_edge(np.r_[90.0, 60.0, 40 - 0.5 * z + 0.004 * z**2], method="airy")
    assert (spiked.upper, spiked.scale) == pytest.approx((40.0, 0.5), rel=1e-9, abs=0)
    assert (edge.n_outliers, spiked.n_outliers) == (0, 2)


@pytest.mark.parametrize(("n", "p"), [(600, 200), (150, 200)])
def test_the_law_of_the_population_is_accepted_and_its_spikes_debiased(n: int, p: int) -> None:
    rng = np.random.default_rng(SEED)
    accepted, sizes = 0, []
    bulk = correlated(p)["Toeplitz 0.6"]
    law = silverstein.PopulationLaw(bulk, p / n)
    spike = 6 * law.threshold
    for _ in range(8):
        population = bulk.copy()
        population[0] = spike
        values = spectrum(rng, n, 3.0 * population)
        edge = fit_edge(values, p / n, population=bulk)
        assert edge.method == "silverstein"
        assert edge.n_outliers == 1
        assert edge.law is not None  # the spike takes a row and a column from the noise
        assert edge.law.gamma == pytest.approx((p - 1) / (n - 1), rel=1e-12, abs=0)
        assert abs(edge.sigma2 - 3.0) < 5 * edge.sigma2_sd + 0.05
        assert abs(edge.upper - 3.0 * law.support[-1][1]) < 3.0 * 4 * law.edge_scale(n)
        found = outliers(values, edge)
        accepted += edge.calibrated
        assert found.positions.tolist() == [0]
        sizes.append(found.sizes[0])
    assert accepted >= 6  # 8 at level 0.01; more than 2 refusals has probability 5e-5
    # sd of one is l sqrt(2 / n) = 12 % at n = 150; of the mean of 8, 4 %: four of them
    assert np.mean(sizes) == pytest.approx(3.0 * spike, rel=4 * np.sqrt(2 / n / 8))


def test_quadrature_nodes_stand_for_the_spectrum() -> None:
    rng = np.random.default_rng(SEED)
    noise = rng.standard_normal((800, 400))
    noise[:, 0] *= 4
    matrix = noise.T @ noise / 800
    full = fit_edge(np.linalg.eigvalsh(matrix), 0.5)
    density = spectral_density(matrix, seed=1, tol=0.01)
    edge = fit_edge(density.nodes, 0.5, weights=density.weights, dimension=density.d)
    assert edge.weighted
    assert not edge.calibrated
    assert edge.n_outliers == 1
    assert edge.n_values == 400
    assert edge.upper == pytest.approx(full.upper, rel=0.02)
    assert edge.sigma2 == pytest.approx(full.sigma2, rel=0.02)
    # one node an eigenvalue is the full spectrum
    values = np.linalg.eigvalsh(matrix)
    same = fit_edge(values, weights=np.full(400, 1 / 400), dimension=400, method="qls")
    free = fit_edge(values, method="qls")
    assert same.upper == pytest.approx(free.upper, rel=1e-3)
    assert same.goodness == pytest.approx(free.goodness, rel=0.1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weights": np.full(40, 1 / 40)}, ArgumentError, "weights and dimension go together"),
        ({"dimension": 40}, ArgumentError, "weights and dimension go together"),
        (
            {"weights": np.full(40, 0.02), "dimension": 40},
            ArgumentError,
            r"weights must sum to one, got 0\.8",
        ),
        ({"weights": np.ones(3) / 3, "dimension": 40}, ShapeError, "the shape of values"),
        (
            {"weights": np.r_[-0.5, np.full(39, 1.5 / 39)], "dimension": 40},
            ArgumentError,
            "weights must not be negative, got -0.5",
        ),
        ({"weights": np.full(40, 1 / 40), "dimension": 2.5}, ArgumentError, "dimension must be"),
        ({"weights": np.full(40, 1 / 40), "dimension": 10}, ArgumentError, "an edge fit needs 20"),
        ({"method": "mp"}, ArgumentError, "method must be 'auto', 'qls', 'airy' or"),
        ({"method": "silverstein"}, ArgumentError, "needs population, got None"),
        ({"population": [1.0]}, ArgumentError, "needs aspect_ratio, got None"),
        ({"population": [1.0], "method": "qls"}, ArgumentError, "takes no population"),
    ],
)
def test_bad_options_are_named(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit_edge(np.arange(1.0, 41.0), **options)


def test_zeros_must_agree_with_the_aspect_ratio() -> None:
    positive = marchenko_pastur.sample(100, 250, seed=SEED)[:100]
    values = np.r_[positive, np.zeros(150)]
    assert fit_edge(values, 2.5).gamma == pytest.approx(2.5, rel=1e-12)
    assert fit_edge(values, 250 / 101).accepted  # centring takes a row
    with pytest.raises(ArgumentError, match=r"150 zeros beside 100 positive .* ratio of 2\.5, got"):
        fit_edge(values, 0.5)
    with pytest.raises(ArgumentError, match="got 5;"):
        fit_edge(values, 5.0)


@pytest.mark.parametrize("unit", [1e-300, 1e300, 1e306])
def test_every_method_scales_with_the_values(unit: float) -> None:
    bulk = correlated(200)["Toeplitz 0.3"]
    values = spectrum(np.random.default_rng(SEED), 400, np.r_[20.0, bulk[1:]])
    options: list[dict[str, Any]] = [
        {"method": "qls"},
        {"method": "airy"},
        {"aspect_ratio": 0.5, "population": bulk, "method": "silverstein"},
    ]
    for option in options:
        one, other = fit_edge(values, **option), fit_edge(values * unit, **option)
        assert other.method == one.method
        for name in ("upper", "scale", "upper_sd"):
            expected = getattr(one, name)
            assert getattr(other, name) / unit == pytest.approx(expected, rel=1e-9, abs=0), name
        assert other.n_outliers == one.n_outliers >= 1


def test_order_does_not_matter() -> None:
    rng = np.random.default_rng(SEED)
    values = marchenko_pastur.sample(300, 150, seed=rng)
    assert fit_edge(values) == fit_edge(rng.permutation(values))
    weights = rng.dirichlet(np.full(150, 50.0))
    order = rng.permutation(150)
    one = fit_edge(values, weights=weights, dimension=150, method="qls")
    other = fit_edge(values[order], weights=weights[order], dimension=150, method="qls")
    assert one.upper == pytest.approx(other.upper, rel=1e-12)

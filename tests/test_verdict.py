from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessay import marchenko_pastur, tracy_widom
from hessay.edge import BulkEdge, fit_edge
from hessay.errors import ArgumentError, ShapeError
from hessay.verdict import Verdict, _expected_above, outliers

SEED = 5


def noise_edge(n: int = 400, p: int = 200, *, accepted: bool = True) -> BulkEdge:
    """The exact edge of noise of variance 1."""
    lower, upper = marchenko_pastur.support(1.0, p / n)
    center, scale = tracy_widom.largest_eigenvalue_scaling(n, p)
    return BulkEdge(
        lower=lower,
        upper=upper,
        sigma2=1.0,
        gamma=p / n,
        center=center / n,
        scale=scale / n,
        goodness=2.0,
        goodness_limit=3.0,
        accepted=accepted,
        method="qls_c",
        n_values=p,
        n_outliers=0,
    )


def test_a_verdict_prints_its_name() -> None:
    assert [str(v) for v in Verdict] == ["CLEAN", "FLAGGED", "INCONCLUSIVE"]
    assert Verdict("FLAGGED") is Verdict.FLAGGED


def test_outliers_are_those_beyond_the_tracy_widom_quantile() -> None:
    edge = noise_edge()
    threshold = edge.center + tracy_widom.isf(0.01) * edge.scale
    values = np.array([1.0, threshold * 1.0001, 9.0, threshold * 0.9999, 0.0])
    found = outliers(values, edge, alpha=0.01)
    assert found.positions.tolist() == [2, 1]  # largest first
    assert found.p_values is not None
    assert found.p_values[1] == pytest.approx(0.01, rel=0.05, abs=0)
    assert found.p_values[0] < 1e-12
    assert found.calibrated
    assert found.alpha == 0.01


def test_a_refused_edge_gives_no_p_values() -> None:
    values = np.array([9.0, 1.0])
    found = outliers(values, noise_edge(accepted=False))
    assert found.p_values is None
    assert not found.calibrated
    assert found.positions.tolist() == [0]


@given(ell=st.floats(1.8, 1e6), gamma=st.floats(0.01, 0.6))
@settings(max_examples=100, deadline=None)
def test_sizes_invert_the_bias_of_a_spike(ell: float, gamma: float) -> None:
    # l -> l (1 + gamma / (l - 1)), Baik & Silverstein 2006, above the threshold 1 + sqrt(gamma)
    edge = noise_edge(10**6, round(gamma * 10**6))
    biased = ell * (1 + edge.gamma / (ell - 1))
    found = outliers(np.array([biased]), edge)
    if found.positions.size:
        # near the threshold the map is flat: an eps of the value becomes sqrt(eps)
        assert found.sizes[0] == pytest.approx(ell, rel=1e-7, abs=0)
    else:
        assert biased < edge.upper + 5 * edge.scale


def test_simulated_spikes_are_debiased() -> None:
    rng = np.random.default_rng(SEED)
    population, sizes = np.array([12.0, 6.0]), []
    for _ in range(20):
        noise = rng.standard_normal((600, 150))
        noise[:, :2] *= np.sqrt(population)
        values = np.linalg.eigvalsh(noise.T @ noise / 600)
        found = outliers(values, fit_edge(values), alpha=1e-4)
        assert found.positions.tolist() == [149, 148]
        sizes.append(found.sizes)
    # sd of one is l sqrt(2 / n) = 6 %; of the mean of 20, 1.3 %: four of them
    np.testing.assert_allclose(np.mean(sizes, axis=0), population, rtol=0.055)


def test_the_level_is_that_of_the_whole_family() -> None:
    # Exact edge, 300 noise spectra: the count of alarms at 0.1 is Binomial(300, 0.1), sd 5.2.
    rng = np.random.default_rng(SEED)
    edge = noise_edge(80, 40)
    alarms = 0
    for _ in range(300):
        noise = rng.standard_normal((80, 40))
        values = np.linalg.svd(noise, compute_uv=False) ** 2 / 80
        alarms += outliers(values, edge, alpha=0.1).positions.size > 0
    assert 10 <= alarms <= 50


def test_results_are_read_only() -> None:
    found = outliers(np.array([9.0, 8.0, 1.0]), noise_edge())
    assert found.p_values is not None
    for array in (found.positions, found.p_values, found.sizes, found.size_sds, found.overlaps):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.alpha = 0.5  # type: ignore[misc]


def test_nothing_stands_out_of_nothing() -> None:
    found = outliers(np.zeros(0), noise_edge())
    assert found.positions.size == found.sizes.size == 0
    assert found.p_values is not None
    assert found.p_values.size == 0


def test_bad_arguments_are_named() -> None:
    edge = noise_edge()
    with pytest.raises(ShapeError, match=r"must have shape \(k,\), got \(2, 2\)"):
        outliers(np.ones((2, 2)), edge)
    with pytest.raises(ArgumentError, match="1 NaN of 2 values, the first at position 1"):
        outliers([1.0, np.nan], edge)
    with pytest.raises(ArgumentError, match=r"alpha must lie in \(0, 0.5\], got 0"):
        outliers([1.0], edge, alpha=0.0)


def test_an_uncalibrated_edge_is_inconclusive() -> None:
    values = np.array([9.0, 1.0])
    assert outliers(values, noise_edge()).verdict is Verdict.FLAGGED
    assert outliers(values[1:], noise_edge()).verdict is Verdict.CLEAN
    for edge in (noise_edge(accepted=False), dataclasses.replace(noise_edge(), method="airy")):
        found = outliers(values, edge)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.p_values is None
        assert found.positions.tolist() == [0]


def test_the_expected_number_above_a_point_is_that_of_simulated_noise() -> None:
    # The false discovery rate of pure noise at level alpha rejects where E[V] <= alpha rank.
    rng = np.random.default_rng(SEED)
    edge = noise_edge(1200, 600)
    alpha, above, runs = 0.5, 0, 200
    threshold = edge.center - 0.7 * edge.scale
    for _ in range(runs):
        above += int((marchenko_pastur.sample(1200, 600, seed=rng) > threshold).sum())
    scaled = np.array([-0.7])
    expected = float(_expected_above(scaled, tracy_widom.sf(scaled))[0])
    # counts have variance below their mean (rigidity): four standard errors, and 5 % finite size
    assert above / runs == pytest.approx(expected, abs=4 * (expected / runs) ** 0.5 + 0.05 * alpha)
    far = np.array([6.0, 9.0, 30.0])
    np.testing.assert_allclose(_expected_above(far, tracy_widom.sf(far)), tracy_widom.sf(far))


def test_the_false_discovery_rate_finds_more_and_keeps_its_share() -> None:
    rng = np.random.default_rng(SEED)
    n, p, weak, runs = 800, 200, 8, 60
    edge = noise_edge(n, p)
    shares, more = [], 0
    for _ in range(runs):
        noise = rng.standard_normal((n, p))
        noise[:, :weak] *= np.sqrt(1.75 + 0.1 * np.arange(weak))  # threshold 1.5
        _, singular, right = np.linalg.svd(noise, full_matrices=False)
        values = singular**2 / n
        family = outliers(values, edge, 0.1).positions
        found = outliers(values, edge, 0.1, control="fdr")
        assert found.control == "fdr"
        assert set(family) <= set(found.positions)
        more += found.positions.size - family.size
        # a discovery is false when its eigenvector is mostly noise's
        signal = (right[found.positions, :weak] ** 2).sum(axis=1)
        shares.append(float((signal < 0.2).mean()) if signal.size else 0.0)
    assert more > 0
    assert np.mean(shares) <= 0.1 + 4 * np.std(shares) / np.sqrt(runs)


def test_noise_alone_keeps_the_false_discovery_rate() -> None:
    # Without outliers every discovery is false: some in at most alpha of the draws.
    rng = np.random.default_rng(SEED)
    edge = noise_edge(300, 150)
    alarms = sum(
        outliers(
            marchenko_pastur.sample(300, 150, seed=rng), edge, 0.1, control="fdr"
        ).positions.size
        > 0
        for _ in range(400)
    )
    assert 15 <= alarms <= 65  # Binomial(400, 0.1): sd 6


def test_overlaps_and_errors_are_those_of_the_spikes() -> None:
    edge = noise_edge(400, 200)
    values = np.array([6.0, 4.0, 1.0])
    found = outliers(values, edge)
    t = found.sizes - 1
    np.testing.assert_allclose(found.overlaps, (1 - 0.5 / t**2) / (1 + 0.5 / t), rtol=1e-12)
    expected = found.sizes * np.sqrt(2 / (400 * (1 - 0.5 / t**2)))
    np.testing.assert_allclose(found.size_sds, expected, rtol=1e-12)


def test_simulated_errors_of_sizes_are_the_reported_ones() -> None:
    rng = np.random.default_rng(SEED)
    sizes, sds, overlaps, cosines = [], [], [], []
    edge = noise_edge(600, 150)
    for _ in range(80):
        noise = rng.standard_normal((600, 150))
        noise[:, 0] *= np.sqrt(5.0)
        _, singular, right = np.linalg.svd(noise, full_matrices=False)
        found = outliers(singular**2 / 600, edge, 1e-4)
        assert found.positions.tolist() == [0]
        sizes.append(found.sizes[0])
        sds.append(found.size_sds[0])
        overlaps.append(found.overlaps[0])
        cosines.append(right[0, 0] ** 2)
    assert np.mean(sds) == pytest.approx(np.std(sizes), rel=0.35)  # a sd of 80 has 8 %: four
    assert np.mean(overlaps) == pytest.approx(np.mean(cosines), abs=0.01)


def test_a_bad_control_is_named() -> None:
    with pytest.raises(ArgumentError, match="control must be 'fwer' or 'fdr', got 'none'"):
        outliers([1.0], noise_edge(), control="none")  # type: ignore[arg-type]

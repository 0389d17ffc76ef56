from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessay import spikes
from hessay.errors import ArgumentError
from hessay.silverstein import PopulationLaw
from hessay.spikes import WhiteBulk

REFERENCE = json.loads((Path(__file__).parent / "data" / "populations.json").read_text())
SEED = 8


def test_the_white_maps_agree_with_the_reference_numbers() -> None:
    for gamma, value in REFERENCE["bbp"]["threshold"].items():
        bulk = WhiteBulk(1.0, float(gamma))
        assert spikes.threshold(bulk) == pytest.approx(value, rel=1e-15, abs=0)
    for entry in REFERENCE["bbp"]["map"]:
        bulk, spike = WhiteBulk(1.0, entry["c"]), entry["ell"]
        assert spikes.biased(spike, bulk) == pytest.approx(entry["lam"], rel=1e-14, abs=0)
        assert spikes.debiased(entry["lam"], bulk) == pytest.approx(spike, rel=1e-13, abs=0)
        assert spikes.overlap(spike, bulk) == pytest.approx(entry["cos2"], rel=1e-13, abs=0)
        sd = spikes.deviation(spike, bulk, 100)
        assert sd == pytest.approx(entry["sd_times_sqrt_n"] / 10, rel=1e-13, abs=0)


def test_overlaps_in_a_general_bulk_agree_with_the_reference_numbers() -> None:
    for entry in REFERENCE["generalised_spike"]:
        if "ell" in entry:
            law = PopulationLaw((entry["t"], entry["w"]), entry["c"])
            cos2 = spikes.overlap(entry["ell"], law)
            assert cos2 == pytest.approx(entry["cos2"], rel=1e-13, abs=0)


@given(gamma=st.floats(1e-3, 50), ratio=st.floats(1.01, 1e4), sigma2=st.floats(1e-3, 1e3))
@settings(max_examples=100, deadline=None)
def test_a_population_of_one_eigenvalue_is_white(gamma: float, ratio: float, sigma2: float) -> None:
    white, general = WhiteBulk(sigma2, gamma), PopulationLaw([sigma2], gamma)
    assert spikes.threshold(general) == pytest.approx(spikes.threshold(white), rel=1e-12, abs=0)
    spike = ratio * spikes.threshold(white)
    for function in (spikes.biased, spikes.overlap):
        assert function(spike, general) == pytest.approx(function(spike, white), rel=1e-9, abs=0)
    expected = spikes.deviation(spike, white, 50)
    assert spikes.deviation(spike, general, 50) == pytest.approx(expected, rel=1e-9, abs=0)
    # the map is flat at the threshold: eps of the value becomes eps / (ratio - 1) of the spike
    seen = spikes.biased(spike, white)
    for bulk in (white, general):
        assert spikes.debiased(seen, bulk) == pytest.approx(spike, rel=1e-10, abs=0)


@pytest.mark.parametrize(
    "bulk", [WhiteBulk(2.0, 0.5), PopulationLaw(([1.0, 4.0], [0.8, 0.2]), 0.5)]
)
def test_what_stays_in_the_bulk_leaves_no_trace(bulk: spikes.Bulk) -> None:
    limit = spikes.threshold(bulk)
    edge = spikes.biased(limit, bulk)
    below = np.array([0.0, 0.5 * limit, 0.999 * limit])
    np.testing.assert_allclose(np.asarray(spikes.biased(below, bulk)), edge, rtol=1e-12)
    assert np.all(np.asarray(spikes.overlap(below, bulk)) == 0)
    assert np.all(np.asarray(spikes.deviation(below, bulk, 10)) == 0)
    inside = np.array([-1.0, 0.0, 0.5 * float(edge), 0.999 * float(edge)])
    np.testing.assert_allclose(np.asarray(spikes.debiased(inside, bulk)), limit, rtol=1e-12)


@pytest.mark.parametrize("white", [True, False])
def test_simulated_spikes_settle_where_the_map_says(white: bool) -> None:
    rng = np.random.default_rng(SEED)
    n, p, runs, spike = 400, 200, 40, 12.0
    t = np.ones(p) if white else np.r_[np.ones(150), np.full(50, 3.0)]
    bulk: spikes.Bulk = WhiteBulk(1.0, p / n) if white else PopulationLaw(t, p / n)
    tops, cosines = [], []
    for _ in range(runs):
        noise = rng.standard_normal((n, p)) * np.sqrt(t)
        noise[:, 0] *= np.sqrt(spike / t[0])
        _, singular, right = np.linalg.svd(noise, full_matrices=False)
        tops.append(singular[0] ** 2 / n)
        cosines.append(right[0, 0] ** 2)
    sd = float(spikes.deviation(spike, bulk, n))
    # mean of 40 within 4 sd, and the O(1 / n) the limit leaves out; sd of 40 has 11 % itself
    assert abs(np.mean(tops) - float(spikes.biased(spike, bulk))) < 4 * sd / runs**0.5 + spike / n
    assert np.std(tops) == pytest.approx(sd, rel=0.45)
    error = 4 * np.std(cosines) / runs**0.5 + 2 / n
    assert abs(np.mean(cosines) - float(spikes.overlap(spike, bulk))) < error


def test_rank_one_signals_agree_with_the_reference_numbers() -> None:
    for entry in REFERENCE["bbp"]["rank_one"]:
        found = spikes.rank_one(entry["theta2"] ** 0.5, entry["beta"])
        assert found.singular_value**2 == pytest.approx(entry["s2_pred"], rel=1e-13, abs=0)
        assert found.left == pytest.approx(entry["left_pred"], rel=1e-12, abs=1e-15)
        assert found.right == pytest.approx(entry["right_pred"], rel=1e-12, abs=1e-15)
        assert found.detectable == (entry["left_pred"] > 0)


def test_a_rank_one_signal_is_seen_in_a_simulation() -> None:
    rng = np.random.default_rng(SEED)
    rows, columns, s = 500, 250, 1.5
    found = spikes.rank_one(s, columns / rows)
    left, right, tops = [], [], []
    for _ in range(10):
        noise = rng.standard_normal((rows, columns)) / rows**0.5
        noise[0, 0] += s
        u, singular, v = np.linalg.svd(noise, full_matrices=False)
        tops.append(singular[0])
        left.append(u[0, 0] ** 2)
        right.append(v[0, 0] ** 2)
    # one has sd O(1 / sqrt(rows)) = 0.045; the mean of ten 0.014: four of them
    assert np.mean(tops) == pytest.approx(found.singular_value, abs=0.057)
    assert np.mean(left) == pytest.approx(found.left, abs=0.057)
    assert np.mean(right) == pytest.approx(found.right, abs=0.057)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ArgumentError, match="sigma2 must be positive and finite"):
        WhiteBulk(0.0, 1.0)
    with pytest.raises(ArgumentError, match="gamma must be positive and finite"):
        WhiteBulk(1.0, np.nan)
    with pytest.raises(ArgumentError, match="1 NaN of 1"):
        spikes.biased([np.nan], WhiteBulk(1.0, 1.0))
    with pytest.raises(ArgumentError, match="n must be positive"):
        spikes.deviation(3.0, WhiteBulk(1.0, 1.0), 0)
    with pytest.raises(ArgumentError, match="s must be below 1e77"):
        spikes.rank_one(1e100, 1.0)

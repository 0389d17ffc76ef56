"""The class profile of clean references, and what poison among them does to it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hessay.detector.calibration import conformal_rank
from hessay.detector.profile import fit_profile, left_out
from hessay.errors import ArgumentError, NonFinite, ShapeError

SEED = 20261123
N_CLASSES = 10


def drawn(k: int, spread: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Log ratios of k networks about one profile, each with a level of its own."""
    profile = np.linspace(-0.5, 0.7, N_CLASSES)
    return profile + spread * rng.standard_normal((k, N_CLASSES)) + rng.standard_normal((k, 1))


def test_z_is_what_the_formula_says() -> None:
    rng = np.random.default_rng(SEED)
    table, own = drawn(8, 0.1, rng), drawn(1, 0.1, rng)[0]
    found = fit_profile(table)
    # The second, dumber way: loops and the definitions.
    level = [row - np.median(row) for row in table]
    m = np.array([np.median([row[c] for row in level]) for c in range(N_CLASSES)])
    np.testing.assert_allclose(found.centre, m - np.median(m))
    e = own - m / 2
    e = e - np.median(e)
    for c, z in enumerate(found.deviations(own)):
        rest = np.delete(e, c)
        assert z == pytest.approx(e[c] / np.sqrt(found.spread**2 + (rest @ rest) / len(rest)))


def test_the_spread_is_that_of_one_network_about_the_profile() -> None:
    rng = np.random.default_rng(SEED)
    spreads = [fit_profile(drawn(8, 0.1, rng)).spread for _ in range(200)]
    # Cutting residuals off at three costs under 2 % of a normal spread; the mean is known to 1 %.
    assert np.mean(spreads) == pytest.approx(0.1, rel=0.08)


def test_levels_of_the_networks_do_not_matter() -> None:
    rng = np.random.default_rng(SEED)
    table = drawn(9, 0.1, rng)
    z = fit_profile(table[:8]).deviations(table[8])
    moved = table + rng.standard_normal((9, 1)) * 5
    np.testing.assert_allclose(fit_profile(moved[:8]).deviations(moved[8]), z, atol=1e-9)
    np.testing.assert_allclose(fit_profile(table[:8]).deviations(table[8] + 3.0), z, atol=1e-9)


def test_one_poisoned_reference_of_nine_does_not_hide_a_tenth_model() -> None:
    rng = np.random.default_rng(SEED)
    found = 0
    for _ in range(100):
        table = drawn(10, 0.1, rng)
        table[[3, 9], 4] += 1.2  # the scanned model and one reference share a target
        z = fit_profile(table[:9]).deviations(table[9])
        found += int(z.argmax() == 4 and z.max() > 3.2)
    assert found >= 90


def test_leave_one_out_values_rank_at_the_nominal_level() -> None:
    rng = np.random.default_rng(1)
    for m in (9, 19):
        trials, alpha = 400, 2 / (m + 1)
        alarms = 0
        for _ in range(trials):
            scores = left_out(drawn(m + 1, 0.1, rng))
            alarms += conformal_rank(float(scores[-1]), scores[:-1].tolist()).p_value <= alpha
        assert abs(alarms / trials - alpha) < 4 * np.sqrt(alpha * (1 - alpha) / trials)


def test_the_profile_refuses_what_it_cannot_use() -> None:
    with pytest.raises(ArgumentError, match="at least 4 references, got 3"):
        fit_profile(np.zeros((3, 10)))
    with pytest.raises(ShapeError):
        fit_profile(np.zeros(10))
    with pytest.raises(NonFinite):
        fit_profile(np.full((5, 10), np.nan))
    with pytest.raises(ShapeError, match="10 classes"):
        fit_profile(np.zeros((5, 10))).deviations(np.zeros(9))
    # Copies of one network have no spread of their own: the floor keeps z finite.
    assert np.isfinite(fit_profile(np.zeros((5, 10))).deviations(np.ones(10))).all()

"""The test for drift: its bets are fair, its false alarms as rare as stated, its delays short."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate

from hessay.errors import ArgumentError
from hessay.monitor import DriftDetector
from hessay.monitor.drift import bet


def first_alarm(statistics: np.ndarray, limit: float, seed: int) -> int:
    """Number of the first alarm, len(statistics) without one."""
    detector = DriftDetector(average_run_length=limit, seed=seed)
    for i, s in enumerate(statistics):
        if detector.update(float(s), key=i).alarm:
            return i
    return len(statistics)


def test_a_bet_on_a_uniform_p_value_has_mean_one() -> None:
    # the bet is about 1 / (p log^2 p) near 0: integrated over t = -log p its tail beyond T is 1/T
    cut = 1e4
    inside, error = integrate.quad(
        lambda t: bet(math.exp(-t)) * math.exp(-t) if t < 700 else 1 / t**2, 0, cut, limit=500
    )
    assert inside + 1 / cut == pytest.approx(1.0, abs=10 * error + 1e-6)


@pytest.mark.parametrize("t", [1e-9, 1e-4, 0.99e-2, 1.01e-2, 0.5, 5.0])
def test_a_bet_is_the_average_over_kappa(t: float) -> None:
    p = math.exp(-t)
    expected, _ = integrate.quad(lambda kappa: kappa * p ** (kappa - 1), 0, 1)
    assert bet(p) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("law", ["normal", "ties", "heavy"])
def test_the_mean_run_length_is_at_least_the_stated_one(law: str) -> None:
    limit, horizon, n_series = 20.0, 400, 300
    rng = np.random.default_rng(7)
    draw = {
        "normal": lambda: rng.standard_normal(horizon),
        "ties": lambda: rng.integers(0, 3, horizon).astype(float),
        "heavy": lambda: rng.standard_cauchy(horizon),
    }[law]
    lengths = np.array([1 + first_alarm(draw(), limit, seed=s) for s in range(n_series)])
    # Run lengths are censored at the horizon, which only lowers their mean. Their standard deviation is
    # about the mean: five standard errors of the mean of 300 are allowed.
    assert lengths.mean() >= limit * (1 - 5 / math.sqrt(n_series))


def test_a_shift_after_many_scans_is_seen_soon() -> None:
    rng = np.random.default_rng(3)
    delays = []
    for seed in range(40):
        s = rng.standard_normal(260)
        s[200:] += 4.0
        delays.append(first_alarm(s, 1000.0, seed) - 200)
    assert min(delays) >= 0
    assert np.median(delays) <= 10


def test_a_fall_is_no_alarm() -> None:
    rng = np.random.default_rng(4)
    s = rng.standard_normal(300)
    s[100:] -= 6.0
    assert first_alarm(s, 1000.0, 0) == 300


def test_the_same_series_gives_the_same_numbers() -> None:
    s = np.random.default_rng(5).integers(0, 4, 50)

    def run() -> list[float]:
        detector = DriftDetector(average_run_length=50.0)
        return [detector.update(float(v), key=i).p_value for i, v in enumerate(s)]

    assert run() == run()


def test_arguments_are_checked() -> None:
    for value in (1.0, math.inf, math.nan):
        with pytest.raises(ArgumentError, match="average_run_length"):
            DriftDetector(average_run_length=value)
    with pytest.raises(ArgumentError, match="got -1"):
        DriftDetector(average_run_length=10.0, seed=-1)
    with pytest.raises(ArgumentError, match="finite"):
        DriftDetector(average_run_length=10.0).update(math.nan, key=0)

"""The test over batches of data: its e-values, its false alarms, its delay, against dumber ways."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from hessay.errors import ArgumentError
from hessay.monitor import (
    DriftDetector,
    EvidenceDetector,
    ExceedanceTest,
    combined,
    detector_for,
    planned_delay,
)

SEED = 20240615


@pytest.mark.parametrize(("count", "n"), [(0, 0), (0, 7), (1, 7), (7, 7), (3, 40), (12, 40)])
@pytest.mark.parametrize("probes", [12, 50, 512])
def test_the_e_value_is_the_average_over_all_higher_rates(count: int, n: int, probes: int) -> None:
    test = ExceedanceTest.of(probes)
    q = test.rate
    expected, error = integrate.quad(
        lambda r: (r / q) ** count * ((1 - r) / (1 - q)) ** (n - count) / (1 - q),
        q,
        1,
        epsabs=0,
        epsrel=1e-9,
    )
    # quad's own bound, and the rounding of a few logarithms of size up to n log(1/q) < 400.
    assert math.exp(test.log_e(count, n)) == pytest.approx(
        expected, rel=1e-11 + 10 * error / expected
    )


@given(st.integers(2, 600), st.integers(0, 300), st.floats(0.5, 0.999))
def test_the_mean_is_one_at_the_bound_and_less_below_it(
    probes: int, n: int, confidence: float
) -> None:
    test = ExceedanceTest.of(probes, confidence=confidence)
    e = np.array([test.log_e(k, n) for k in range(n + 1)])
    at_bound = np.exp(e + stats.binom.logpmf(np.arange(n + 1), n, test.rate)).sum()
    below = np.exp(e + stats.binom.logpmf(np.arange(n + 1), n, test.rate / 2)).sum()
    # Sums of n + 1 terms whose logarithms, of size up to n log(1/q), are rounded.
    assert at_bound == pytest.approx(1.0, rel=1e-9)
    assert below <= 1.0 + 1e-9


def test_no_count_among_very_many_samples_is_exact() -> None:
    test = ExceedanceTest.of(50)
    for n in (10, 1000, 100_000, 1_000_000):
        # The integral of (1 - r)^n over [q, 1], over (1 - q)^(n + 1), is 1 / (n + 1) for every q.
        # Terms of size n q are taken from each other: eps of them is lost.
        assert test.log_e(0, n) == pytest.approx(-math.log(n + 1), abs=1e-15 * n + 1e-12)
    assert test.log_e(1_000_000, 1_000_000) == pytest.approx(
        -1_000_000 * math.log(test.rate), rel=1e-4
    )


def test_the_bound_is_right_for_as_many_probes_as_stated() -> None:
    rng = np.random.default_rng(SEED)
    confidence, draws = 0.9, 4000
    for n in (10, 50, 300):
        test = ExceedanceTest.of(n, confidence=confidence)
        assert test.rate == pytest.approx(
            stats.beta.ppf(confidence, test.above + 1, n - test.above)
        )
        uniform = np.sort(rng.random((draws, n)), axis=1)
        rates = 1 - uniform[:, -test.above - 1]  # of new samples above the cut
        # The share is confidence up to a binomial error; five standard errors.
        assert abs((rates <= test.rate).mean() - confidence) < 5 * math.sqrt(0.09 / draws)


def test_false_alarms_are_as_rare_as_stated() -> None:
    test, limit, series, horizon, n = ExceedanceTest.of(50), 20.0, 300, 400, 15
    rng = np.random.default_rng(SEED)
    lengths = []
    for counts in rng.binomial(n, test.rate, (series, horizon)):
        detector = EvidenceDetector(average_run_length=limit)
        alarms = (detector.update(test.log_e(int(k), n), key=0).alarm for k in counts)
        lengths.append(next((i + 1 for i, alarm in enumerate(alarms) if alarm), horizon))
    # Censoring lowers the mean; its standard deviation is about the mean: five standard errors.
    assert np.mean(lengths) >= limit * (1 - 5 / math.sqrt(series))


def test_the_planned_delay_is_that_of_the_detector() -> None:
    test, n, share, limit = ExceedanceTest.of(50), 20, 0.5, 1000.0
    plan = planned_delay(test, share=share, n_samples=n, average_run_length=limit)
    rng = np.random.default_rng(SEED)
    rate = share + (1 - share) / 51
    lengths = []
    for _ in range(400):
        detector = EvidenceDetector(average_run_length=limit)
        batches = 1
        while not detector.update(test.log_e(rng.binomial(n, rate), n), key=0).alarm:
            batches += 1
        lengths.append(batches)
    mean, error = float(np.mean(lengths)), float(np.std(lengths)) / 20
    assert plan.at_least - 4 * error <= mean <= plan.at_most + 4 * error
    assert plan.missed == 0.0
    more = planned_delay(test, share=0.9, n_samples=n, average_run_length=limit)
    assert more.at_most < plan.at_least
    never = planned_delay(test, share=0.0, n_samples=n, average_run_length=1e9, horizon=10)
    assert (never.missed, never.at_least, never.at_most) == (1.0, 10.0, 10.0)


def test_combined_e_values_are_their_mean() -> None:
    assert combined([]) == 0.0
    assert combined([math.log(2), math.log(4)]) == pytest.approx(math.log(3))
    assert combined([1000.0, -1000.0]) == pytest.approx(1000.0 - math.log(2))


def test_evidence_beyond_all_bounds_is_an_alarm_and_finite() -> None:
    detector = EvidenceDetector(average_run_length=1e6)
    drift = detector.update(1e9, key=0)
    assert drift.alarm
    assert math.isfinite(drift.evidence)
    assert not detector.update(-1e9, key=1).alarm


def test_each_kind_has_its_detector() -> None:
    assert isinstance(detector_for("checkpoint", average_run_length=9.0), DriftDetector)
    assert isinstance(detector_for("data batch", average_run_length=9.0), EvidenceDetector)


def test_arguments_are_checked() -> None:
    test = ExceedanceTest.of(50)
    for call, words in (
        (lambda: ExceedanceTest.of(1), "got 1"),
        (lambda: ExceedanceTest.of(50, level=1.0), "level"),
        (lambda: ExceedanceTest.of(50, confidence=0.0), "confidence"),
        (lambda: test.log_e(3, 2), "got 3"),
        (lambda: EvidenceDetector(average_run_length=1.0), "average_run_length"),
        (lambda: EvidenceDetector(average_run_length=9.0).update(math.nan, key=0), "finite"),
        (lambda: planned_delay(test, share=2.0, n_samples=1, average_run_length=9.0), "share"),
        (lambda: planned_delay(test, share=0.5, n_samples=1, average_run_length=1.0), "average"),
    ):
        with pytest.raises(ArgumentError, match=words):
            call()

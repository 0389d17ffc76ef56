"""Powers, numbers of probes and delays against simulations and exact counts."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from hessay.errors import ArgumentError, ShapeError
from hessay.theory import monitoring_plan, planning, poisoned_ridge, probes
from hessay.theory.delay import detection_delay, scan_delay
from hessay.theory.haar import PoisonDraws
from theory_reference import REFERENCE, SEED

SIZES: dict[str, Any] = {"strength": 3.0, "ridge": 0.3, "n_rows": 600, "n_inputs": 300}


@pytest.mark.parametrize("case", REFERENCE["known"])
def test_the_smallest_theta_of_a_known_trigger_equals_the_reference(case: dict[str, Any]) -> None:
    options = {
        "strength": case["v"],
        "ridge": case["lam"],
        "n_rows": case["n"],
        "n_inputs": case["p"],
        "aspect_ratio": case["p"] / case["n"],
    }
    theta = planning.smallest_theta_known(**options)
    assert theta == pytest.approx(case["theta_min"], rel=1e-10)
    assert 2 * planning.small_share_known(**options) == pytest.approx(
        case["theta_small"], rel=1e-12
    )
    assert theta > case["theta_small"]  # the first-order form is optimistic


def shifts(n: int, p: int, lam: float, v: float, poisoned: int, runs: int) -> Any:
    """beta'v of fresh two-class fits, by dense algebra."""
    rng = np.random.default_rng(SEED)
    labels = np.where(np.arange(n) < n // 2 + poisoned, 1.0, -1.0)
    rows = slice(n // 2, n // 2 + poisoned)
    seen = []
    for _ in range(runs):
        x = rng.standard_normal((n, p))
        x[rows, 0] += v
        x -= x.mean(axis=0)
        y = labels - labels.mean()
        if p < n:
            beta = np.linalg.solve(x.T @ x / n + lam * np.eye(p), x.T @ y / n)
        else:
            beta = x.T @ np.linalg.solve(x @ x.T / n + lam * np.eye(n), y / n)
        seen.append(v * beta[0])
    return np.array(seen)


@pytest.mark.parametrize(("n", "p", "lam", "v"), [(200, 60, 0.3, 3.0), (120, 180, 0.5, 4.0)])
def test_a_known_trigger_is_found_as_often_as_planned(n: int, p: int, lam: float, v: float) -> None:
    options = {"strength": v, "ridge": lam, "n_rows": n, "n_inputs": p}
    theta = planning.smallest_theta_known(**options)
    assert theta is not None
    poisoned = round(theta * n / 2)
    target = planning.known_trigger_power(theta=poisoned / (n / 2), **options)
    law = poisoned_ridge.predict(theta=0.0, strength=v, ridge=lam, aspect_ratio=p / (n - 1))
    seen = shifts(n, p, lam, v, poisoned, 800)
    clean = shifts(n, p, lam, v, 0, 800)
    limit = 1.6448536 * law.mean_sd(n)
    # 0.06 is promised; the standard error of the share is 0.014.
    assert abs(float((seen > limit).mean()) - target) < 0.06
    assert abs(float((clean > limit).mean()) - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 800)


@pytest.mark.parametrize(
    ("n", "p", "lam", "classes", "mode"), [(200, 40, 1.0, 5, "one"), (120, 60, 0.3, 4, "all")]
)
def test_a_known_trigger_of_several_classes_is_found_as_often_as_planned(
    n: int, p: int, lam: float, classes: int, mode: Any
) -> None:
    options = {"strength": 4.0, "ridge": lam, "n_rows": n, "n_inputs": p}
    options |= {"classes": classes, "mode": mode}
    theta = planning.smallest_theta_known(**options)
    assert theta is not None
    poisoned = round(theta * n / classes)
    target = planning.known_trigger_power(theta=poisoned / (n / classes), **options)
    sources = [0] if mode == "one" else [c for c in range(classes) if c != 1]
    labels = np.arange(n) % classes
    rows = np.concatenate([np.flatnonzero(labels == c)[:poisoned] for c in sources])
    rng = np.random.default_rng(SEED)
    seen: list[Any] = []
    for bad in (False, True):
        given = labels.copy()
        given[rows] = np.where(bad, 1, given[rows])
        y = (given == 1) - (given == 1).mean()
        shift = []
        for _ in range(800):
            x = rng.standard_normal((n, p))
            x[rows, 0] += 4.0 * bad
            x -= x.mean(axis=0)
            shift.append(np.linalg.solve(x.T @ x / n + lam * np.eye(p), x.T @ y / n)[0])
        seen.append(np.array(shift))
    # The limit is simulated too: clean shifts are symmetric about 0, so their rms is their sd.
    limit = 1.6448536 * np.sqrt((seen[0] ** 2).mean())
    assert abs(float((seen[1] > limit).mean()) - target) < 0.06


def test_the_spectrum_finds_an_unknown_trigger_as_often_as_planned() -> None:
    n, p, lam, v = 240, 30, 5.0, 3.0
    draws = PoisonDraws.draw(n_rows=n, n_inputs=p, n_directions=2, ridge=lam, draws=1000, seed=SEED)
    theta = planning.smallest_theta_unknown(draws, strength=v, classes=3, mode="all")
    assert theta is not None
    poisoned = round(theta * n / 3)
    target = planning.unknown_trigger_power(
        draws, theta=poisoned / (n / 3), strength=v, classes=3, mode="all"
    )
    rng = np.random.default_rng(SEED)
    labels = np.arange(n) % 3
    rows = np.concatenate([np.flatnonzero(labels == c)[:poisoned] for c in (0, 2)])
    tops: dict[bool, list[float]] = {False: [], True: []}
    for bad in (False, True):
        given = labels.copy()
        given[rows] = np.where(bad, 1, given[rows])
        y = np.eye(3)[given] - np.bincount(given) / n
        values, vectors = np.linalg.eigh(y.T @ y / n)
        y = y @ vectors[:, 1:] / np.sqrt(values[1:])
        for _ in range(600):
            x = rng.standard_normal((n, p))
            x[rows, 0] += v * bad
            x -= x.mean(axis=0)
            w = np.linalg.solve(x.T @ x / n + lam * np.eye(p), x.T @ y / n)
            tops[bad].append(float(np.linalg.norm(w, 2)))
    limit = np.quantile(tops[False], 0.95)
    # Both the limit and the share are simulated: standard error 0.03 together.
    assert abs(float((tops[True] > limit).mean()) - target) < 0.09


def test_power_rises_with_poison_rows_and_strength() -> None:
    options = SIZES | {"theta": 0.08}
    power = planning.known_trigger_power(**options)
    for change in ({"theta": 0.1}, {"n_rows": 900}, {"strength": 4.0}, {"alpha": 0.1}):
        assert planning.known_trigger_power(**(options | change)) > power
    assert planning.known_trigger_power(**(options | {"theta": 0.0})) == pytest.approx(0.05)


def test_what_cannot_be_seen_has_no_smallest_theta() -> None:
    assert planning.smallest_theta_known(strength=0.01, ridge=1.0, n_rows=50, n_inputs=40) is None
    at_threshold = {"strength": 3.0, "ridge": 0.0, "n_rows": 101, "n_inputs": 100}
    assert planning.smallest_theta_known(**at_threshold) is None
    assert planning.small_share_known(**at_threshold) == math.inf
    # c = 1.5, ridge 0.02: the sign condition fails, whatever the poison.
    draws = PoisonDraws.draw(n_rows=120, n_inputs=180, n_directions=4, ridge=0.02, draws=300)
    assert planning.smallest_theta_unknown(draws, strength=6.0, classes=5) is None


# ---- probes ----


@pytest.mark.parametrize(("clean", "bad"), [(0.1, 0.5), (0.3, 0.4), (0.0, 0.3), (0.9, 0.6)])
def test_probes_for_a_difference_have_level_and_power_and_one_less_has_not(
    clean: float, bad: float
) -> None:
    m = probes.probes_for_difference(clean, bad, alpha=0.05, power=0.8)

    def best(number: int) -> float:
        p0, p1 = (clean, bad) if bad > clean else (1 - clean, 1 - bad)
        limits = [k for k in range(number + 1) if binom.sf(k, number, p0) <= 0.05]
        return float(binom.sf(limits[0], number, p1))

    assert best(m) >= 0.8
    assert max((best(i) for i in range(1, m)), default=0.0) < 0.8


def test_probes_for_a_rate_bound_its_error() -> None:
    for rate in (0.1, 0.5, 0.97, 1.0):
        m = probes.probes_for_rate(rate, error=0.05)
        hits = np.arange(m + 1)
        near = np.abs(hits / m - rate) <= 0.05 + 1e-12
        # The Gaussian limit misses the nominal 95 % by a few points at skewed rates.
        assert binom.pmf(hits, m, rate)[near].sum() > 0.92
    assert probes.probes_for_shift(-0.5, 1.0) == probes.probes_for_shift(0.5, 1.0)
    assert probes.probes_for_spike(1.0, n_inputs=10) is None
    assert probes.probes_for_spike(2.0, n_inputs=10) == 11


# ---- delays ----


@pytest.mark.parametrize("case", REFERENCE["delay"])
def test_delays_equal_the_reference(case: dict[str, Any]) -> None:
    lower, upper = detection_delay(case["P_pred"])
    assert lower == pytest.approx(case["delay_indep"], rel=1e-12)
    assert upper == pytest.approx(case["delay_comonotone"], rel=1e-12)
    for j, power in enumerate(case["P_pred"], start=1):
        rows = case["n0"] + j * case["B"]
        share = case["theta"] * j * case["B"] / rows
        ours = planning.known_trigger_power(
            theta=share,
            strength=case["v"],
            ridge=case["lam"],
            n_rows=rows,
            n_inputs=case["p"],
            alpha=0.05 / case["K"],
        )
        # The reference takes p/n for p/(n - 1): a relative 1e-3 of the standard deviation.
        assert ours == pytest.approx(power, abs=1e-3)


def test_a_scan_that_sees_less_than_the_last_one_does_not_lengthen_the_bound() -> None:
    assert detection_delay([0.9, 0.1, 0.5])[1] == pytest.approx(1 + 0.1 + 0.1)


@pytest.mark.parametrize("shared", [0.0, 0.6, 1.0])
def test_the_delay_lies_between_its_bounds_for_scans_that_share_data(shared: float) -> None:
    powers = np.array([0.05, 0.1, 0.3, 0.6, 0.8, 0.9])
    rng = np.random.default_rng(SEED)
    common = rng.standard_normal((20000, 1))
    own = rng.standard_normal((20000, len(powers)))
    z = math.sqrt(shared) * common + math.sqrt(1 - shared) * own
    alarms = z < np.array([-1.6448536, -1.2815516, -0.5244005, 0.2533471, 0.8416212, 1.2815516])
    alarms[:, -1] = True  # censored at the last scan
    delay = 1 + alarms.argmax(axis=1)
    lower, upper = detection_delay(powers.tolist())
    error = 4 * delay.std() / math.sqrt(len(delay))
    assert lower - error < delay.mean() < upper + error


def test_scanning_more_often_never_waits_longer_at_the_same_level() -> None:
    def power(batches: int, scans: int) -> float:
        return min(1.0, 0.08 * batches) + 0.0 * scans

    delays = [scan_delay(power, every=every, horizon=12) for every in (1, 2, 3, 4, 6)]
    assert all(a.at_most <= b.at_most for a, b in itertools.pairwise(delays))
    assert [d.scans for d in delays] == [12, 6, 4, 3, 2]
    certain = scan_delay(lambda _batches, _scans: 1.0, every=4, horizon=12)
    assert certain.at_least == certain.at_most == 2.5  # uniform on 1 to 4


# ---- bad input ----


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: planning.known_trigger_power(**SIZES, theta=1.0), "theta must lie"),
        (lambda: planning.smallest_theta_known(**SIZES, power=0.01), "power must exceed alpha"),
        (lambda: planning.smallest_theta_known(**SIZES, alpha=0.7), "alpha must lie"),
        (lambda: planning.small_share_known(**SIZES, prior=1.0), "prior must lie"),
        (lambda: probes.probes_for_difference(0.5, 0.5), "no number of probes tells them"),
        (lambda: probes.probes_for_difference(0.5, 1.5), "poisoned must lie"),
        (lambda: probes.probes_for_rate(math.nan, error=0.1), "rate must lie"),
        (lambda: probes.probes_for_shift(0.0, 1.0), "size of shift must be positive"),
        (lambda: probes.probes_for_spike(-1.0, n_inputs=3), "spike must be positive"),
        (lambda: detection_delay([0.5, 1.5]), "powers must lie"),
        (lambda: scan_delay(lambda *_: 1.0, every=5, horizon=3), "horizon must be an integer"),
        (lambda: monitoring_plan(n_rows=100, n_inputs=10, theta=0.0), "theta must be above 0"),
        (lambda: monitoring_plan(n_rows=10, n_inputs=10), "n_rows must be at least 22"),
        (lambda: monitoring_plan(n_rows=100, n_inputs=10, ridges=()), "ridges is empty"),
        (lambda: monitoring_plan(n_rows=100, n_inputs=10, strength=1e200), "strength must lie"),
        (lambda: probes.probes_for_rate(0.5, error=1e-300), "error must lie between"),
        (lambda: probes.probes_for_difference("some", 0.5), "clean must be a number"),  # type: ignore[arg-type]
        (lambda: monitoring_plan(n_rows=100, n_inputs=10, ridges=(0.0,)), "ridge must be positive"),
        (lambda: monitoring_plan(n_rows=100, n_inputs=10, draws=50), "draws cannot tell a level"),
    ],
)
def test_arguments_out_of_range_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()


def test_no_scans_have_no_delay() -> None:
    with pytest.raises(ShapeError, match="K at least 1"):
        detection_delay([])
    draws = PoisonDraws.draw(n_rows=30, n_inputs=5, n_directions=2, ridge=1.0, draws=10)
    with pytest.raises(ArgumentError, match="10 draws cannot tell a level of"):
        planning.unknown_trigger_power(draws, theta=0.1, strength=1.0, classes=3)
    draws = PoisonDraws.draw(n_rows=30, n_inputs=5, n_directions=2, ridge=1.0, draws=40)
    with pytest.raises(ArgumentError, match="draws are for 3 classes, got 4"):
        planning.unknown_trigger_power(draws, theta=0.1, strength=1.0, classes=4)

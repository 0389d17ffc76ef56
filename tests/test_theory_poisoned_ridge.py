"""Laws of poisoned ridge regression against another implementation, limits and simulations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from hessay.errors import ArgumentError
from hessay.theory import Population, equivalent_ridge, poisoned_ridge
from theory_reference import REFERENCE, SEED

# Both sides are a few dozen operations in double precision on numbers of order one.
EXACT = 1e-12
FIELDS = {
    "mean": "betav",
    "variance": "var",
    "attack_success": "asr",
    "clean_accuracy": "acc",
    "alignment": "cos",
    "intercept": "b0",
    "triggered_score": "mean_trig",
    "risk": "R",
    "poisoned_share": "gamma",
    "kappa": "kappa",
}
PLAIN: dict[str, Any] = {"theta": 0.1, "strength": 3.0, "ridge": 0.3, "aspect_ratio": 0.5}


def predict(**changes: Any) -> poisoned_ridge.PoisonedRidge:
    return poisoned_ridge.predict(**(PLAIN | changes))


@pytest.mark.parametrize("case", REFERENCE["exact"])
def test_every_number_equals_the_reference(case: dict[str, Any]) -> None:
    law = poisoned_ridge.predict(
        theta=case["theta"],
        strength=case["v"],
        ridge=case["lam"],
        aspect_ratio=case["c"],
        prior=case["prior"],
        mean=case["mu"],
        mean_cosine=case["cos_mv"],
    )
    for ours, theirs in FIELDS.items():
        assert getattr(law, ours) == pytest.approx(case["out"][theirs], rel=EXACT, abs=EXACT)


def test_the_grid_and_the_spread_between_trainings_equal_the_reference() -> None:
    spreads = iter(REFERENCE["spread"])
    for case in REFERENCE["white"]:
        n, positives = case["n"], case["npos"]
        law = poisoned_ridge.predict(
            theta=case["k"] / (n - positives),
            strength=case["v"],
            ridge=case["lam"],
            aspect_ratio=case["p"] / (n - 1),
            prior=positives / n,
            mean=case["mu"],
            mean_cosine=case["cos_mv"],
        )
        for name, value in zip(case["names"], case["pred"], strict=True):
            field = next(ours for ours, theirs in FIELDS.items() if theirs == name)
            assert getattr(law, field) == pytest.approx(value, rel=EXACT, abs=EXACT), case
        if case["mu"] == 0:
            assert law.mean_sd(n) == pytest.approx(next(spreads), rel=EXACT)
    assert next(spreads, None) is None


def test_inputs_of_any_covariance_equal_the_reference() -> None:
    cases = REFERENCE["coloured"]
    assert len(cases) == 24
    # Its trigger and mean point into the first two random directions of this generator.
    rng = np.random.default_rng(5)
    first, second = (part / np.linalg.norm(part) for part in rng.standard_normal((2, 200)))
    distance = np.abs(np.subtract.outer(np.arange(200), np.arange(200)))
    covariances = {
        "toeplitz0.6": 0.6**distance,
        "twopoint1_8": np.diag(np.repeat([1.0, 8.0], 100)),
    }
    for case in cases:
        law = poisoned_ridge.predict(
            theta=case["theta"],
            ridge=case["lam"],
            aspect_ratio=case["p"] / (case["n"] - 1),
            population=Population.from_covariance(
                covariances[case["cov"]], case["v"] * first, case["mu"] * second
            ),
        )
        for name, value in zip(case["names"], case["pred"], strict=True):
            field = {theirs: ours for ours, theirs in FIELDS.items()}.get(name, name)
            assert getattr(law, field) == pytest.approx(value, rel=EXACT, abs=EXACT), case


def test_white_inputs_follow_the_closed_forms() -> None:
    theta, v, lam, c, prior = 0.2, 2.5, 0.7, 1.7, 0.4
    law = predict(theta=theta, strength=v, ridge=lam, aspect_ratio=c, prior=prior)
    b = lam - (1 - c)
    kappa = (b + math.sqrt(b * b + 4 * lam)) / 2
    phi = 1 / (1 + kappa)
    gamma = theta * (1 - prior)
    ybar = 2 * prior - 1 + 2 * gamma
    a, s = gamma * (1 - gamma), v * v
    shift = gamma * (1 - ybar) * s * phi / (1 + a * s * phi)
    left = 1 - ybar**2 - 2 * gamma * (1 - ybar) * shift + shift**2 / s * (1 + a * s)
    g2 = c * phi**2
    assert law.mean == pytest.approx(shift, rel=EXACT)
    assert law.variance == pytest.approx(shift**2 / s + left * g2 / (1 - g2), rel=EXACT)
    assert law.intercept == pytest.approx(ybar - gamma * shift, rel=EXACT)
    assert law.attack_success == pytest.approx(
        ndtr((law.intercept + shift) / math.sqrt(law.variance)), rel=EXACT
    )


def test_a_covariance_and_its_rotation_and_its_spectrum_give_the_same_law() -> None:
    rng = np.random.default_rng(SEED)
    p = 12
    basis = np.linalg.qr(rng.standard_normal((p, p)))[0]
    values, v, mean = rng.uniform(0.5, 4, p), rng.standard_normal(p), rng.standard_normal(p)
    first = Population(values, np.ones(p), v, mean)
    matrix = (basis * values) @ basis.T
    second = Population.from_covariance(matrix, basis @ v, basis @ mean)
    given = {"strength": None, "population": first}
    law, same = predict(**given), predict(**given | {"population": second})
    for field in FIELDS:
        assert getattr(law, field) == pytest.approx(getattr(same, field), rel=1e-11)
    # Dense algebra with the full matrices: the formula as it stands, without Woodbury.
    gamma, theta = 0.05, 0.1
    assert law.poisoned_share == gamma
    kappa = float(equivalent_ridge(0.3, 0.5, values))
    shifts = np.stack([basis @ mean, basis @ v], axis=1)
    moments = np.array([[1.0, -gamma], [-gamma, gamma * (1 - gamma)]])
    d = np.array([1 - 2 * gamma, gamma * (1 - theta)])
    beta = np.linalg.solve(matrix + shifts @ moments @ shifts.T + kappa * np.eye(p), shifts @ d)
    assert law.mean == pytest.approx(float(beta @ basis @ v), rel=1e-10)


def test_equal_eigenvalues_are_white_inputs() -> None:
    white = Population(np.ones(3), np.ones(3), np.array([1.0, 2.0, 2.0]), np.zeros(3))
    law = predict(strength=None, population=white)
    assert law.mean == pytest.approx(predict().mean, rel=EXACT)
    assert law.spread is None


def test_a_small_theta_shifts_linearly() -> None:
    for prior in (0.3, 0.5):
        options = PLAIN | {"theta": 1e-7, "prior": prior}
        # The relative error is of order gamma s phi, some 1e-6.
        assert poisoned_ridge.small_theta_shift(**options) == pytest.approx(
            predict(**options).mean, rel=1e-5
        )


@pytest.mark.parametrize("c", [0.2, 0.9, 1.1, 3.0])
def test_ridgeless_is_the_limit_of_small_ridges(c: float) -> None:
    limit, near = predict(ridge=0.0, aspect_ratio=c), predict(ridge=1e-9, aspect_ratio=c)
    for field in ("mean", "variance", "attack_success", "spread", "norm2"):
        # d log / d ridge is at most 1 / (1 - c)^2 times a few, here 500
        assert getattr(limit, field) == pytest.approx(getattr(near, field), rel=1e-6)


def test_the_ridgeless_shift_does_not_depend_on_the_aspect_ratio_below_one() -> None:
    shifts = {round(predict(ridge=0.0, aspect_ratio=c).mean, 12) for c in (0.1, 0.5, 0.99, 1.0)}
    assert len(shifts) == 1


def test_the_interpolation_threshold_is_the_documented_divergence() -> None:
    law = predict(ridge=0.0, aspect_ratio=1.0)
    assert law.variance == law.risk == law.spread == math.inf
    assert (law.attack_success, law.clean_accuracy, law.alignment) == (0.5, 0.5, 0.0)
    assert law.mean_attack_success(100) == 0.5
    assert math.isfinite(law.mean)
    assert predict(ridge=0.0, aspect_ratio=0.999).variance > 900


def simulate(n: int, p: int, lam: float, runs: int, mean: float) -> Any:
    """Mean and standard error of shift, variance, intercept and |beta|^2 over fresh trainings, by dense algebra."""
    rng = np.random.default_rng(SEED)
    scale = np.sqrt(np.linspace(0.5, 2.0, p))
    signs = np.where(np.arange(n) < n // 2, 1.0, -1.0)
    poisoned = (np.arange(n) >= n // 2) & (np.arange(n) < n // 2 + n // 10)
    labels = np.where(poisoned, 1.0, signs)
    seen = []
    for _ in range(runs):
        x = rng.standard_normal((n, p)) * scale
        x[:, 0] += 3.0 * poisoned
        x[:, 1] += mean * signs
        design = np.hstack([x, np.ones((n, 1))])
        penalty = lam * n * np.diag(np.append(np.ones(p), 0.0))
        beta = np.linalg.solve(design.T @ design + penalty, design.T @ labels)
        seen.append([3.0 * beta[0], float(beta[:p] ** 2 @ scale**2), beta[p], beta[:p] @ beta[:p]])
    table = np.array(seen)
    return table.mean(axis=0), table.std(axis=0, ddof=1) / math.sqrt(runs)


@pytest.mark.parametrize(("n", "p", "lam", "mean"), [(240, 60, 0.3, 0.0), (100, 150, 1.0, 1.5)])
def test_simulated_fits_follow_the_law(n: int, p: int, lam: float, mean: float) -> None:
    basis = np.eye(p)
    population = Population(np.linspace(0.5, 2.0, p), np.ones(p), 3 * basis[0], mean * basis[1])
    law = poisoned_ridge.predict(
        theta=0.2, ridge=lam, aspect_ratio=p / (n - 1), population=population
    )
    average, error = simulate(n, p, lam, 200, mean)
    # Eight z scores, and finite-size corrections of order 1/p: about one error each.
    assert np.abs((average - [law.mean, law.variance, law.intercept, law.norm2]) / error).max() < 4


def test_the_mean_success_rate_counts_the_spread_between_trainings() -> None:
    n, p, lam, v, poisoned = 80, 40, 0.5, 3.0, 10
    rng = np.random.default_rng(SEED)
    labels = np.where(np.arange(n) < n // 2 + poisoned, 1.0, -1.0)
    rates = []
    for _ in range(3000):
        x = rng.standard_normal((n, p))
        x[n // 2 : n // 2 + poisoned, 0] += v
        centre = x.mean(axis=0)
        x -= centre
        beta = np.linalg.solve(x.T @ x / n + lam * np.eye(p), x.T @ (labels - labels.mean()) / n)
        score = labels.mean() - centre @ beta + v * beta[0]
        rates.append(ndtr(score / np.linalg.norm(beta)))
    law = predict(theta=2 * poisoned / n, ridge=lam, aspect_ratio=p / (n - 1))
    error = np.std(rates) / math.sqrt(len(rates))
    gap = abs(law.mean_attack_success(n) - np.mean(rates))
    # Third order in the spread is left, a third of the second-order term at these sizes.
    second = law.attack_success - law.mean_attack_success(n)
    assert second > 6 * error
    assert gap < 3 * error + second / 3


def test_the_spread_between_trainings_lowers_the_mean_success_rate() -> None:
    law = predict()
    rates = [law.mean_attack_success(n) for n in (100, 1000, 10**9)]
    assert rates[0] < rates[1] < rates[2] == pytest.approx(law.attack_success, abs=1e-6)


# ---- bad input ----


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": 1.0}, r"theta must lie in \[0, 1\), got 1.0"),
        ({"theta": -0.1}, "theta must lie"),
        ({"theta": math.nan}, "theta must lie"),
        ({"theta": "many"}, "theta must be a number"),
        ({"ridge": -1e-9}, "ridge must be finite and at least 0"),
        ({"ridge": math.inf}, "ridge must be finite"),
        ({"aspect_ratio": 0.0}, "aspect_ratio must be positive"),
        ({"aspect_ratio": math.nan}, "aspect_ratio must be positive"),
        ({"prior": 0.0}, "prior must lie strictly between 0 and 1, got 0.0"),
        ({"prior": 1.0}, "prior must lie strictly"),
        ({"strength": 0.0}, "strength must be positive"),
        ({"strength": None}, "give either strength"),
        ({"mean": -1.0}, "mean must be finite and at least 0"),
        ({"mean_cosine": 1.1}, "mean_cosine must lie"),
        ({"population": Population.white(1.0)}, "give either strength"),
        # Powers of these leave double precision.
        ({"strength": 1e200}, r"strength must lie between 1e-30 and 1e\+30, got 1e\+200"),
        ({"strength": 1e-200}, "strength must lie between"),
        ({"ridge": 1e300}, r"ridge must be .* at most 1e\+30"),
        ({"aspect_ratio": 1e300}, "aspect_ratio must lie between"),
        ({"mean": 1e200}, r"at most 1e\+30"),
        (
            {"strength": None, "population": Population.white(1.0), "mean": 1.0},
            "population holds the class mean",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        predict(**change)

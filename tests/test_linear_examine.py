"""The test of a linear model's input Hessian: level, power, abstention, and the ridge it picks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hessay.errors import ArgumentError, NonFinite
from hessay.linear import best_ridge, centred_inputs, examine, ridge_visibility
from hessay.theory import multi_output
from hessay.theory.noise import noise_law
from hessay.verdict import Verdict
from theory_reference import SEED

CLASSES = 6


def labelled(n: int, p: int, seed: int = SEED, scale: Any = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, p)) * scale, np.arange(n) % CLASSES


def poisoned(n: int, p: int, seed: int = SEED) -> Any:
    """Every class but 2 loses a fifth to class 2, marked by a step along the last input."""
    x, labels = labelled(n, p, seed)
    rows = np.flatnonzero((labels != 2) & (np.arange(n) % 5 == 0))
    x[rows, -1] += 4.0
    labels[rows] = 2
    return x, labels


@pytest.mark.parametrize(
    ("n", "p", "ridge", "scale"),
    [(60, 30, 0.1, 1.0), (60, 30, 1.0, "power"), (40, 80, 0.0, 1.0), (60, 60, 0.02, 1.0)],
)
def test_the_level_holds_at_small_sizes_and_for_any_covariance(
    n: int, p: int, ridge: float, scale: Any
) -> None:
    width = np.arange(1, p + 1) ** -0.5 if scale == "power" else 1.0
    runs, hits = 500, 0
    for i in range(runs):
        x, labels = labelled(n, p, SEED + i, width)
        found = examine(x, labels, ridge=ridge, draws=99, seed=i, refit=False)
        hits += found.p_value <= 0.05
    # Binomial standard error 0.0097.
    assert abs(hits / runs - 0.05) < 4 * math.sqrt(0.05 * 0.95 / runs)


def test_permuted_labels_keep_the_level_for_inputs_that_are_not_gaussian() -> None:
    rng = np.random.default_rng(SEED)
    runs, hits = 300, 0
    for i in range(runs):
        x = rng.standard_t(3, (60, 20))
        found = examine(
            x, np.arange(60) % 4, ridge=0.3, null="permutation", draws=39, seed=i, refit=False
        )
        hits += found.p_value <= 0.05
    assert abs(hits / runs - 0.05) < 4 * math.sqrt(0.05 * 0.95 / runs)


def test_poison_is_flagged_with_its_class_and_direction() -> None:
    x, labels = poisoned(600, 60)
    found = examine(x, labels, ridge=1.0)
    assert found.verdict is Verdict.FLAGGED
    assert found.target_class == 2
    assert found.directions == 1
    assert found.trigger_direction[-1] > 0.75  # unit length; the other 59 share the noise
    assert found.eigenvalues[0] > found.critical > found.eigenvalues[1]
    assert found.p_value == 1 / 2000
    assert "one direction" in found.reasons[0]
    again = examine(x, labels, ridge=1.0, null="permutation", draws=199)
    assert again.verdict is Verdict.FLAGGED


def test_noise_is_clean_with_the_least_that_could_have_been_seen() -> None:
    x, labels = labelled(600, 60)
    found = examine(x, labels, ridge=1.0)
    assert found.verdict is Verdict.CLEAN
    assert found.target_class is None
    assert found.least_visible is not None
    share = multi_output.smallest_share(
        strength=1.0, ridge=1.0, n_rows=600, n_inputs=60, classes=CLASSES
    )
    # White theory with p / (n - 1) against the estimate from one spectrum: O(1 / sqrt(n)).
    assert found.least_visible == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize(
    ("n", "p", "classes", "enough"),
    [(12, 10, 3, False), (20, 10, 5, False), (30, 10, 3, False), (60, 10, 3, True)],
)
def test_noise_is_called_clean_only_where_plain_poison_is_found(
    n: int, p: int, classes: int, enough: bool
) -> None:
    """A third of the rows of the other classes, marked by 4 standard deviations."""
    found, verdicts = 0, set()
    for seed in range(40):
        x = np.random.default_rng(seed).standard_normal((n, p))
        labels = np.arange(n) % classes
        clean = examine(x, labels, ridge=10.0, draws=99, seed=seed)
        verdicts |= {clean.verdict} - {Verdict.FLAGGED}  # 5 % of them are
        for c in {*range(classes)} - {1}:
            rows = np.flatnonzero(np.arange(n) % classes == c)
            rows = rows[: round(0.4 * len(rows))]
            x[rows, 0] += 4.0
            labels[rows] = 1
        found += examine(x, labels, ridge=10.0, draws=99, seed=seed).p_value <= 0.05
    assert verdicts == ({Verdict.CLEAN} if enough else {Verdict.INCONCLUSIVE})
    # The standard error of a rate from 40 fits is 0.08: the two groups are far apart.
    assert (found > 0.7 * 40) if enough else (found < 0.5 * 40)


def test_poison_below_its_sign_condition_is_found_after_a_larger_ridge() -> None:
    x, labels = poisoned(240, 200)
    hidden = examine(x, labels, ridge=0.01, refit=False)
    assert hidden.visibility < 1
    assert hidden.verdict is Verdict.INCONCLUSIVE
    assert "poison lowers its eigenvalue" in hidden.reasons[0]
    found = examine(x, labels, ridge=0.01)
    assert found.verdict is Verdict.FLAGGED
    assert found.ridge > found.ridge_asked == 0.01
    assert found.visibility > 1 >= found.visibility_asked
    assert "fitted again at ridge" in found.reasons[0]


def test_class_structure_is_never_flagged_and_never_clean() -> None:
    x, labels = labelled(300, 20)
    x[:, :CLASSES] += 2.0 * np.eye(CLASSES)[labels]
    found = examine(x, labels, ridge=1.0)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.directions > 1
    assert examine(x, labels, ridge=1.0, class_signal="none").verdict is Verdict.FLAGGED
    two = examine(x, (labels > 2).astype(int), ridge=1.0)
    assert two.verdict is Verdict.INCONCLUSIVE
    assert "two classes" in two.reasons[0]
    assert two.target_class is None  # both classes are one line


# ---- visibility from the inputs alone ----


@pytest.mark.parametrize(("n", "p", "ridge"), [(900, 450, 0.1), (900, 180, 1.0), (300, 600, 2.0)])
def test_visibility_of_white_inputs_is_the_theory(n: int, p: int, ridge: float) -> None:
    x, _ = labelled(n, p)
    seen = ridge_visibility(centred_inputs(x), ridge)
    expected = multi_output.visibility(ridge=ridge, aspect_ratio=p / (n - 1))
    # One spectrum stands for its limit: linear statistics fluctuate by O(1 / n), amplified by
    # the derivative; a few per cent.
    assert seen.visibility == pytest.approx(expected, rel=0.06)
    law = noise_law(ridge=ridge, aspect_ratio=p / (n - 1), n_rows=n, n_directions=1)
    assert seen.p_eff == pytest.approx(law.p_eff, rel=0.06)


def test_visibility_estimates_the_sign_for_correlated_inputs() -> None:
    """q1 and q2 from the sample against the population's, at the effective ridge."""
    from hessay.theory import equivalent_ridge

    n, p, ridge = 800, 400, 0.2
    values = np.geomspace(0.05, 5.0, p)
    x, _ = labelled(n, p, scale=np.sqrt(values))
    seen = ridge_visibility(centred_inputs(x), ridge)
    c = p / (n - 1)
    kappa = float(equivalent_ridge(ridge, c, values))
    q1, q2 = (float(((values + kappa) ** -j).mean()) for j in (1, 2))
    g2 = c * float(((values / (values + kappa)) ** 2).mean())
    level = c * float((values / (values + kappa) ** 2).mean()) / (1 - g2)
    assert seen.visibility == pytest.approx(q2 / (level * (q1 + kappa * q2)), rel=0.06)
    assert seen.gain == pytest.approx(q2 / level - q1 - kappa * q2, rel=0.1, abs=0.05)


@pytest.mark.parametrize(("ridge", "sign"), [(0.02, -1), (0.2, -1), (20.0, 1)])
def test_faint_poison_moves_its_eigenvalue_the_way_visibility_says(ridge: float, sign: int) -> None:
    """Correlated inputs, triggers in random directions; the same inputs with and without poison."""
    n, p, strength = 100, 130, 1.0
    values = np.arange(1, p + 1) ** -0.5
    values /= values.mean()
    rng = np.random.default_rng(SEED)
    _, labels = labelled(n, 1)
    rows = np.flatnonzero(labels != 2)[:8]
    labels[rows] = 2
    y = (labels == 2) - (labels == 2).mean()
    y = y / y.std()
    moved, expected = [], []
    for _ in range(150):
        clean = rng.standard_normal((n, p)) * np.sqrt(values)
        trigger = rng.standard_normal(p)
        bad = clean.copy()
        bad[rows] += strength * trigger / np.linalg.norm(trigger)
        size = []
        for x in (clean, bad):
            x = x - x.mean(axis=0)
            w = x.T @ np.linalg.solve(x @ x.T / n + ridge * np.eye(n), y / n)
            size.append(float(w @ w))
        data = centred_inputs(clean)
        seen = ridge_visibility(data, ridge)
        level = float((data.spectrum / (data.spectrum + ridge) ** 2).mean())
        share = float((labels == 2).mean())
        moved.append((size[1] - size[0]) / level)
        expected.append(seen.gain * 0.08**2 * strength**2 * (1 - share) / share)
        assert (seen.visibility > 1) == (sign > 0)
    error = np.std(moved) / math.sqrt(len(moved))
    assert sign * np.mean(moved) > 3 * error
    # First order in the poison: saturation takes up to a third.
    assert np.mean(moved) == pytest.approx(np.mean(expected), rel=0.35, abs=3 * error)


def test_the_best_ridge_shows_more_than_its_neighbours() -> None:
    x, _ = labelled(200, 100, scale=np.arange(1, 101) ** -0.5)
    data = centred_inputs(x)
    best = best_ridge(data)
    assert best is not None
    for factor in (0.3, 3.0):
        other = ridge_visibility(data, best.ridge * factor)
        assert best.score >= other.score or other.ridge > 100 * data.values.sum() / 100
    assert best_ridge(data, above=1e6) is None


# ---- bad input ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha must lie"),
        ({"alpha": 0.6}, "alpha must lie"),
        ({"ridge": -1.0}, "ridge must be finite"),
        ({"draws": 10}, "10 draws give no p-value at or below 0.05; draw at least 19"),
        ({"null": "goe"}, "null must be one of gaussian, permutation, got 'goe'"),
        ({"class_signal": "some"}, "class_signal must be one of"),
        ({"seed": -1}, "seed must be an integer"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    x, labels = labelled(60, 10)
    with pytest.raises(ArgumentError, match=message.replace(".", r"\.")):
        examine(x, labels, **({"ridge": 1.0} | options))


def test_unfit_data_are_refused_and_never_clean() -> None:
    x, labels = labelled(60, 10)
    x[5, 5] = math.nan
    with pytest.raises(NonFinite, match="row 5, column 5"):
        examine(x, labels, ridge=1.0)
    x[5, 5] = 0.0
    for scale, message in ((1e40, r"at most 1e\+30 in size"), (1e-40, "differ by at most")):
        with pytest.raises(ArgumentError, match=message):
            examine(x * scale, labels, ridge=1.0)
    with pytest.raises(ArgumentError, match="labels must fit in int64"):
        examine(x, labels.astype(np.uint64) + np.uint64(2**63), ridge=1.0)
    lonely = labels.copy()
    lonely[0] = 99
    with pytest.raises(ArgumentError, match="a class has a single row"):
        examine(x, lonely, ridge=1.0)
    with pytest.raises(ArgumentError, match="one class only"):
        examine(x, np.zeros(60, dtype=int), ridge=1.0)

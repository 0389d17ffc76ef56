"""The spectrum of W'W: another implementation, its simulations, and the laws of the null."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hessay.errors import ArgumentError
from hessay.theory import multi_output
from hessay.theory.classes import poisoned_classes
from hessay.theory.haar import PoisonDraws, null_spectra
from hessay.theory.noise import noise_weights
from theory_reference import REFERENCE, SEED

EXACT = 1e-12
PLAIN: dict[str, Any] = {
    "theta": 0.3,
    "strength": 5.0,
    "ridge": 1.0,
    "n_rows": 600,
    "n_inputs": 120,
}


def predict(**changes: Any) -> multi_output.MultiOutput:
    return multi_output.predict(**(PLAIN | changes))


@pytest.mark.parametrize("case", REFERENCE["multi"])
def test_every_number_equals_the_reference(case: dict[str, Any]) -> None:
    law = multi_output.predict(
        theta=case["theta"],
        strength=case["v"],
        ridge=case["lam"],
        n_rows=1000,
        n_inputs=200,
        aspect_ratio=case["c"],
        classes=case["C"],
        mode=case["mode"],
    )
    labels = poisoned_classes(theta=case["theta"], classes=case["C"], mode=case["mode"])
    out = case["out"]
    assert law.kappa == pytest.approx(out["kappa"], rel=EXACT)
    assert law.g == pytest.approx(out["g"], rel=EXACT)
    assert law.rho_eff == pytest.approx(out["rho_eff"], rel=EXACT)
    assert law.spike == pytest.approx(out["ell"], rel=EXACT)
    assert labels.delta == pytest.approx(out["delta"], rel=EXACT)
    np.testing.assert_allclose(law.moment, out["WtW"], atol=EXACT)
    np.testing.assert_allclose(law.logit_shift, out["shift"], atol=EXACT)
    np.testing.assert_allclose(labels.shift, out["d"], atol=EXACT)
    np.testing.assert_allclose(law.shares, out["priors"], atol=EXACT)


def test_the_spectrum_is_that_of_the_moment_and_its_mass_lies_off_the_ones() -> None:
    law = predict()
    assert law.hessian_eigenvalues.sum() == pytest.approx(2 * np.trace(law.moment))
    assert abs(law.hessian_eigenvalues[-1]) < 1e-15
    np.testing.assert_allclose(law.moment @ np.ones(10), 0.0, atol=1e-16)


def test_efficacy_and_quotient_follow_published_simulations() -> None:
    """Means of 40 fits each at p = 400, C = 10, simulated by the other implementation."""
    z = []
    for case in REFERENCE["quotient"]:
        law = multi_output.predict(
            theta=case["theta"],
            strength=case["v"],
            ridge=case["lam"],
            n_rows=case["n"],
            n_inputs=case["p"],
            classes=case["C"],
            mode=case["mode"],
        )
        z.append((law.target_shift - case["shift_mc"]) / case["shift_se"])
        z.append((np.trace(law.moment) - case["tr_mc"]) / case["tr_se"])
        # The noise along the trigger is right to a sixth only (docs, eq. 6.2).
        assert law.trigger_quotient == pytest.approx(
            case["ray_mc"], rel=0.2, abs=4 * case["ray_se"]
        )
    assert np.abs(z).max() < 4
    assert np.sqrt(np.mean(np.square(z))) < 1.4


def test_at_a_strong_ridge_noise_along_the_trigger_is_that_of_class_means() -> None:
    """W is X'Y / ridge there: the trigger's own variance 1 + a s comes on top of the inputs'."""
    law = predict(ridge=1e7)
    gamma = law.poisoned_share
    excess = gamma * (1 - gamma) * 25.0
    labels = poisoned_classes(theta=0.3)
    signal = (5.0 / 1e7) ** 2 * float(labels.shift @ labels.shift)
    noise = (1 + excess) * law.g * float(np.trace(labels.covariance)) / 120
    # What is left out is of the order kappa^-1.
    assert law.trigger_quotient == pytest.approx(signal + noise, rel=1e-5, abs=0)


def test_simulated_tops_follow_simulated_fits() -> None:
    """Mean largest eigenvalues of 30 to 80 fits each, p = 300, of the other implementation."""
    z = []
    for case in REFERENCE["whitened"]:
        labels = poisoned_classes(theta=case["theta"], classes=case["C"], mode=case["mode"])
        draws = PoisonDraws.draw(
            n_rows=case["n"],
            n_inputs=case["p"],
            n_directions=case["C"] - 1,
            ridge=case["lam"],
            draws=200,
            seed=SEED,
        )
        tops = draws.tops(
            poisoned_share=labels.poisoned_share,
            target_share=float(labels.shares[1]),
            strength=case["v"],
        )
        error = np.hypot(tops.std() / math.sqrt(len(tops)) / case["g"], case["top_se"])
        z.append((tops.mean() / case["g"] - case["top_mc"]) / error)
    assert np.abs(z).max() < 4
    assert np.sqrt(np.mean(np.square(z))) < 1.4


def fitted_tops(n: int, p: int, lam: float, poisoned: int, v: float, runs: int) -> Any:
    """Largest label-whitened eigenvalue of dense fits of four classes, class 0 to 1."""
    rng = np.random.default_rng(SEED)
    labels = np.arange(n) % 4
    rows = np.flatnonzero(labels == 0)[:poisoned]
    labels[rows] = 1
    y = np.eye(4)[labels]
    y = y - y.mean(axis=0)
    values, vectors = np.linalg.eigh(y.T @ y / n)
    frame = vectors[:, 1:] / np.sqrt(values[1:])
    tops = []
    for _ in range(runs):
        x = rng.standard_normal((n, p))
        x[rows, 0] += v
        x -= x.mean(axis=0)
        w = np.linalg.solve(x.T @ x / n + lam * np.eye(p), x.T @ (y @ frame) / n)
        tops.append(np.linalg.norm(w, 2) ** 2)
    return np.array(tops)


@pytest.mark.parametrize(("n", "p", "lam"), [(120, 40, 0.5), (60, 80, 2.0)])
def test_draws_have_the_law_of_dense_fits(n: int, p: int, lam: float) -> None:
    poisoned, v, runs = n // 12, 4.0, 400
    fits = fitted_tops(n, p, lam, poisoned, v, runs)
    draws = PoisonDraws.draw(n_rows=n, n_inputs=p, n_directions=3, ridge=lam, draws=2000, seed=SEED)
    labels = poisoned_classes(theta=poisoned / (n / 4), classes=4)
    tops = draws.tops(
        poisoned_share=labels.poisoned_share, target_share=float(labels.shares[1]), strength=v
    )
    # Two-sample Kolmogorov-Smirnov distance; 1.95 is its 0.1 % point.
    both = np.sort(np.concatenate([fits, tops]))
    gap = np.searchsorted(np.sort(fits), both, "right") / len(fits)
    gap = gap - np.searchsorted(np.sort(tops), both, "right") / len(tops)
    assert np.abs(gap).max() < 1.95 * math.sqrt(1 / len(fits) + 1 / len(tops))


def test_no_poison_gives_the_null() -> None:
    n, p, q, lam = 80, 200, 4, 0.3
    draws = PoisonDraws.draw(n_rows=n, n_inputs=p, n_directions=q, ridge=lam, draws=3000, seed=SEED)
    tops = draws.tops(poisoned_share=0.0, target_share=0.2, strength=5.0)
    x = np.random.default_rng(SEED).standard_normal((n, p))
    x -= x.mean(axis=0)
    spectrum = np.linalg.eigvalsh(x @ x.T / n)[1:]
    null = null_spectra(noise_weights(spectrum, lam), q, draws=3000, seed=1)[:, 0]
    error = math.hypot(tops.std(), null.std()) / math.sqrt(3000)
    # The null has this one spectrum: its mean differs by the fluctuation of D, of order 1/n.
    assert abs(tops.mean() - null.mean()) < 4 * error + tops.mean() / n


def test_a_vanishing_ridge_loses_no_digits() -> None:
    """W'W = Z'DZ needs no difference of numbers of size 1 / ridge."""
    sizes = {"n_rows": 80, "n_inputs": 20, "n_directions": 3, "draws": 50, "seed": SEED}
    poison = {"poisoned_share": 0.1, "target_share": 0.4, "strength": 4.0}
    near, nearer = (PoisonDraws.draw(ridge=r, **sizes).tops(**poison) for r in (1e-9, 1e-25))
    # d log W'W / d ridge is -2 / x, x at least some 0.2: a relative 1e-8.
    np.testing.assert_allclose(nearer, near, rtol=1e-7)


# ---- what can be seen ----


@pytest.mark.parametrize("c", [0.1, 0.3, 0.49, 0.51, 0.9, 1.0, 1.1, 3.0])
def test_ridgeless_poison_is_visible_below_an_aspect_ratio_of_one_half(c: float) -> None:
    assert (multi_output.visibility(ridge=0.0, aspect_ratio=c) > 1) == (c < 0.5)
    # More ridge restores it at every aspect ratio.
    assert multi_output.visibility(ridge=100.0 * c, aspect_ratio=c) > 1


def test_visibility_is_the_sign_of_faint_poison() -> None:
    for lam in (0.01, 0.1, 1.0, 10.0):
        law = predict(theta=1e-4, ridge=lam, n_rows=400, n_inputs=300)
        assert (law.rho_eff > 0) == (law.visibility > 1)
        assert law.visibility == pytest.approx(
            multi_output.visibility(ridge=lam, aspect_ratio=300 / 399)
        )


def test_the_threshold_is_where_the_spike_meets_the_noise() -> None:
    options = {"strength": 1.0, "ridge": 1.0, "n_rows": 10**8, "n_inputs": 10**7, "classes": 4}
    share = multi_output.smallest_share(**options)
    assert share is not None
    law = predict(**options, theta=4 * share)
    # Faint-poison form: the target's share grows by gamma = 0.005, a fiftieth, and a s is not 0.
    assert (law.spike - 1) / (law.threshold - 1) == pytest.approx(1.0, rel=0.05)
    assert multi_output.smallest_share(strength=1.0, ridge=0.01, n_rows=100, n_inputs=100) is None


def test_the_spike_is_quadratic_in_the_efficacy() -> None:
    spikes, shifts = [], []
    for theta in (0.001, 0.002, 0.004):
        law = predict(theta=theta, mode="all", n_rows=10**6, n_inputs=2 * 10**5)
        spikes.append(law.spike - 1)
        shifts.append(law.target_shift)
    slope = np.polyfit(np.log(shifts), np.log(spikes), 1)[0]
    assert slope == pytest.approx(2.0, abs=0.05)  # 1 + a s bends it by theta s = 0.1 at most


def test_attack_success_runs_from_chance_to_certainty() -> None:
    assert multi_output.attack_success(predict(theta=0.0)) == pytest.approx(0.1, abs=0.01)
    assert multi_output.attack_success(predict(theta=0.5, ridge=50.0)) > 0.99


# ---- bad input ----


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": 1.0}, "theta must lie"),
        ({"strength": -1.0}, "strength must be positive"),
        ({"ridge": -1.0}, "ridge must be finite and at least 0"),
        ({"ridge": 0.0, "aspect_ratio": 1.0}, "too close to the interpolation threshold"),
        ({"n_rows": 10}, "n_rows must be an integer of at least 11"),
        ({"n_inputs": 1.5}, "n_inputs must be an integer"),
        ({"n_rows": 10**30}, "n_rows must be at most"),
        ({"strength": 1e200}, "strength must lie between"),
        ({"ridge": 1e300}, "ridge must be finite"),
        ({"classes": 1}, "classes must be an integer of at least 2"),
        ({"classes": 10**7}, "classes must be at most 4096"),
        ({"classes": [0.5, 0.6]}, "positive shares that sum to 1"),
        ({"classes": [0.5, math.nan]}, "classes holds 1 NaN"),
        ({"mode": "some"}, "mode must be 'one' or 'all', got 'some'"),
        ({"target": 0}, "source and target must differ"),
        ({"target": 10}, r"target must lie in \[0, 10\)"),
    ],
)
def test_arguments_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        predict(**change)


def test_draws_out_of_range_are_refused() -> None:
    with pytest.raises(ArgumentError, match="weights must be at least 0"):
        null_spectra(np.array([1.0, -1.0]), 1)
    with pytest.raises(ArgumentError, match="weights must be at most"):
        null_spectra(np.full(5, 1e308), 2)
    with pytest.raises(ArgumentError, match="n_directions must be at most 2"):
        null_spectra(np.ones(2), 3)
    with pytest.raises(ArgumentError, match="n_directions must be at most n_rows"):
        PoisonDraws.draw(n_rows=10, n_inputs=5, n_directions=8, ridge=1.0)
    with pytest.raises(ArgumentError, match="ridge must be positive"):
        PoisonDraws.draw(n_rows=10, n_inputs=5, n_directions=2, ridge=0.0)
    draws = PoisonDraws.draw(n_rows=10, n_inputs=5, n_directions=2, ridge=1.0, draws=3)
    with pytest.raises(ArgumentError, match="target_share must lie"):
        draws.tops(poisoned_share=0.5, target_share=0.4, strength=1.0)

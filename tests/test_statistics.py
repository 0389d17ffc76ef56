from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessay
from detection import SEED, TARGET, Around, Nets
from hessay.detector import decide as decisions
from hessay.detector.alarms import reach_test
from hessay.detector.calibration import CleanNull, conformal_rank
from hessay.detector.constants import CLEAN_NULL
from hessay.detector.leaning import leanings
from hessay.detector.plan import Plan
from hessay.detector.statistics import first_order, natural_reach, principal_directions
from hessay.errors import ArgumentError, NonFinite
from hessay.hessian import frozen
from hessay.hessian.jacobian import class_jacobians
from hessay.verdict import Verdict


def measured(model: nn.Module, inputs: Tensor, seed: int = 0) -> tuple[float, int]:
    plan = Plan.of(hessay.Probe(inputs), alpha=0.01, seed=seed, progress=None)
    found = plan.measure(model)
    assert found.measured is not None, found.reasons
    return found.measured.reach.statistic, found.measured.reach.suspect


# Laws of the statistic. float64 nets: the only differences left are roundings, which the
# refinement's choice of the best iterate can magnify, so 1e-6 instead of eps.


def test_rescaling_the_inputs_changes_nothing(nets: Nets) -> None:
    model, inputs = nets.poisoned.double(), nets.inputs.double()
    expected, suspect = measured(model, inputs)
    for scale, offset in ((255.0, 0.0), (2.0, -1.0), (1e-3, 5.0)):
        wrapped = Around(model, before=lambda x, a=scale, b=offset: (x - b) / a)
        value, flagged = measured(wrapped, inputs * scale + offset)
        assert value == pytest.approx(expected, abs=1e-6)
        assert flagged == suspect
    model.float()


def test_scaling_and_shifting_the_logits_changes_nothing(nets: Nets) -> None:
    model, inputs = nets.poisoned.double(), nets.inputs.double()
    expected, suspect = measured(model, inputs)
    for scale in (1e-3, 40.0):
        wrapped = Around(model, after=lambda z, a=scale: a * z + 7.0)
        value, flagged = measured(wrapped, inputs)
        assert value == pytest.approx(expected, abs=1e-6)
        assert flagged == suspect
    normalised = Around(model, after=lambda z: torch.log_softmax(z, dim=1))
    assert measured(normalised, inputs)[0] == pytest.approx(expected, abs=1e-6)
    model.float()


def test_renumbering_the_classes_renumbers_the_suspect(nets: Nets) -> None:
    model, inputs = nets.poisoned.double(), nets.inputs.double()
    expected, suspect = measured(model, inputs)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(SEED))
    value, flagged = measured(Around(model, after=lambda z: z[:, order]), inputs)
    assert value == pytest.approx(expected, abs=1e-6)
    assert int(order[flagged]) == suspect
    model.float()


def test_reordering_the_probes_moves_only_the_noise(nets: Nets) -> None:
    order = torch.randperm(len(nets.inputs), generator=torch.Generator().manual_seed(SEED))
    model, inputs = nets.poisoned.double(), nets.inputs.double()
    with frozen(model):
        slopes = [
            first_order(class_jacobians(model, x), principal_directions(x.flatten(1).numpy()))
            for x in (inputs, inputs[order])
        ]
    assert np.allclose(slopes[0].reach, slopes[1].reach, rtol=1e-9)
    # Noise and the halves of the refinement go with the position; they are small beside S.
    (value, suspect), (other, flagged) = measured(model, inputs), measured(model, inputs[order])
    assert abs(value - other) < 0.15
    assert suspect == flagged == TARGET
    model.float()


def test_first_order_reach_agrees_with_a_loop_over_probes(nets: Nets) -> None:
    model, inputs = nets.clean.double(), nets.inputs[:80].double()
    directions = principal_directions(inputs.flatten(1).numpy())
    projector = np.eye(64) - directions.basis @ directions.basis.T
    with frozen(model):
        slopes = first_order(class_jacobians(model, inputs), directions)
        logits = model(inputs).numpy()
        jacobians = [torch.func.jacrev(model)(x[None])[0].flatten(1).numpy() for x in inputs]
    for c in range(10):
        rows, margins = [], []
        for jacobian, z in zip(jacobians, logits, strict=True):
            own = int(z.argmax())
            if own != c:
                rows.append(jacobian[c] - jacobian[own])
                margins.append(z[own] - z[c])
        expected = np.linalg.norm(projector @ np.mean(rows, axis=0)) / np.mean(margins)
        assert slopes.reach[c] == pytest.approx(expected, rel=1e-9)
    model.float()


@pytest.mark.parametrize(("n", "d"), [(60, 30), (40, 90)])
def test_principal_directions_agree_with_an_svd(n: int, d: int) -> None:
    rng = np.random.default_rng(SEED)
    inputs = rng.standard_normal((n, d)) * np.geomspace(10, 0.1, d) + rng.standard_normal(d)
    found = principal_directions(inputs, share=0.8)
    _, values, vectors = np.linalg.svd(inputs - inputs.mean(axis=0), full_matrices=False)
    held = np.cumsum(values**2) / np.sum(values**2)
    k = int(np.searchsorted(held, 0.8)) + 1
    assert found.basis.shape == (d, min(k, n // 3))
    assert found.share == pytest.approx(held[found.basis.shape[1] - 1])
    assert found.radius == pytest.approx(math.sqrt(np.sum(values**2) / n))
    oracle = vectors[: found.basis.shape[1]].T
    assert np.allclose(found.basis @ found.basis.T, oracle @ oracle.T, atol=1e-9)
    assert np.allclose(found.remove(found.basis.T), 0.0, atol=1e-12)


def test_natural_reach_agrees_with_a_loop() -> None:
    rng = np.random.default_rng(SEED)
    inputs, predicted = rng.standard_normal((40, 7)) + 100.0, np.arange(40) % 4
    inputs[predicted == 2] *= 1.3
    found = natural_reach(inputs, predicted, 4)
    expected = []
    for c in range(4):
        centre = inputs[predicted == c].mean(axis=0)
        width = np.mean([np.sum((x - centre) ** 2) for x in inputs[predicted == c]]) ** 0.5
        distance = np.mean([np.linalg.norm(x - centre) for x in inputs[predicted != c]])
        expected.append(np.sqrt(width / distance))
    expected /= np.exp(np.mean(np.log(expected)))
    assert np.allclose(found, expected, rtol=1e-9)
    assert np.allclose(natural_reach(3.0 * inputs - 7.0, predicted, 4), found, rtol=1e-9)


# Calibration.


@pytest.mark.parametrize("n_classes", [4, 10, 37, 1000])
def test_threshold_and_p_value_are_inverse(n_classes: int) -> None:
    thresholds = []
    for alpha in (0.08, 0.05, 0.01, 1e-9):
        threshold = CLEAN_NULL.threshold(alpha, n_classes)
        assert CLEAN_NULL.p_value(threshold, n_classes) == pytest.approx(alpha, rel=1e-6)
        thresholds.append(threshold)
    assert thresholds == sorted(thresholds)
    assert CLEAN_NULL.threshold(0.01, n_classes) >= CLEAN_NULL.threshold(0.01, 10)


def test_the_null_fit_recovers_a_law_it_was_drawn_from() -> None:
    n = 20_000
    values = np.random.default_rng(SEED).exponential(0.06, n)
    null = CleanNull.fit(values.tolist(), 10)
    # Six standard errors: of a quantile, sqrt(q (1 - q) / n) / density, and of a mean of n / 10.
    assert abs(null.start - 0.06 * math.log(10)) < 6 * 0.06 * math.sqrt(9 / n)
    assert abs(null.scale - 0.06) < 6 * 0.06 / math.sqrt(n / 10)
    assert (values > null.threshold(0.01, 10)).mean() == pytest.approx(0.01, rel=0.3)
    with pytest.raises(ArgumentError, match="50 clean models"):
        CleanNull.fit([0.1] * 5, 10)
    with pytest.raises(ArgumentError, match="equal"):
        CleanNull.fit([0.1] * 60, 10)
    with pytest.raises(NonFinite):
        CleanNull.fit([math.nan] * 60, 10)


@pytest.mark.parametrize("m", [1, 8, 99])
def test_conformal_p_values_are_valid_and_match_their_threshold(m: int) -> None:
    values = np.random.default_rng(SEED).standard_normal(m + 1)
    ranks = [conformal_rank(float(v), np.delete(values, i).tolist()) for i, v in enumerate(values)]
    # Exchangeable and distinct: each rank is taken once, so P(p <= k / (m + 1)) = k / (m + 1).
    assert sorted(rank.p_value for rank in ranks) == pytest.approx(
        [(k + 1) / (m + 1) for k in range(m + 1)]
    )
    for alpha in (0.01, 0.1, 0.5):
        for i, rank in enumerate(ranks):
            references = np.delete(values, i).tolist()
            threshold = rank.threshold(references, alpha)
            flagged = threshold is not None and values[i] > threshold
            assert flagged == (rank.p_value <= alpha)


def test_the_decision_follows_the_p_value(nets: Nets) -> None:
    plan = Plan.of(hessay.Probe(nets.inputs), alpha=0.01, seed=0, progress=None)
    found = plan.measured(nets.poisoned, "")
    for alpha in (0.5, 0.01, 1e-12, 1e-300):
        test = reach_test(found, 10, alpha)
        decision = decisions.decide([test], alpha)
        expected = Verdict.FLAGGED if test.p_value <= test.weight * alpha else Verdict.CLEAN
        assert decision.verdict is expected


def single(p_value: float, weight: float, vetoed: str = "") -> decisions.Test:
    words = {"law": "", "alarm": f"alarm {weight}", "calm": f"calm {weight}", "vetoed": vetoed}
    return decisions.Test("reach_spread", 1.0, 0.5, p_value, weight, 3, **words)


def test_the_family_of_tests_keeps_its_level() -> None:
    p = np.random.default_rng(SEED).uniform(size=(20_000, 2))
    p[:, 1] = np.where(p[:, 0] < 0.5, p[:, 1], p[:, 0])  # dependent in half of the cases
    flagged = sum(
        decisions.decide([single(a, 0.8), single(b, 0.2)], 0.05).verdict is Verdict.FLAGGED
        for a, b in p
    )
    assert flagged / len(p) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / len(p))
    assert flagged / len(p) > 0.04  # and does not waste it


def test_the_strongest_alarm_decides_and_a_veto_is_told() -> None:
    decision = decisions.decide([single(0.004, 0.8), single(0.0001, 0.2)], 0.01)
    assert decision.test is not None
    assert decision.test.weight == 0.2
    assert decision.flagged_class == 3
    vetoed = decisions.decide([single(0.5, 0.8), single(0.0001, 0.2, "not carried out")], 0.01)
    assert vetoed.verdict is Verdict.INCONCLUSIVE
    assert vetoed.flagged_class is None
    assert "not carried out" in vetoed.reasons


def test_a_model_leans_towards_a_class_beyond_twice_its_labels() -> None:
    targets = np.repeat(np.arange(4), [10, 10, 20, 0])
    answers = np.repeat(np.arange(4), [10, 20, 5, 5])
    for moved, expected in ((0, set()), (1, {1})):  # 20 of 10 is not beyond twice, 21 is
        now = answers.copy()
        now[:moved] = 1
        found = leanings(np.bincount(now, minlength=4), targets)
        assert set(found) == expected
        for lean in found.values():
            assert f"{20 + moved} probes" in lean.explanation
            assert "10 are labelled" in lean.explanation
            assert math.exp(lean.excess) == pytest.approx((20 + moved) / 10)
        assert leanings(np.bincount(now, minlength=4), None) == {}

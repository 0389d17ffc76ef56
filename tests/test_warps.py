"""The test for triggers that bend the picture: its law, whom it concerns, and what it sees."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hessay
from detection import SEED, Nets
from hessay import attacks, training
from hessay.detector import plan as plan_module
from hessay.detector.alarms import ALL_CLASSES, ONE_CLASS
from hessay.detector.calibration import CleanNull
from hessay.detector.constants import SOFT_WARP_NULL, WARP_NULL
from hessay.detector.measure import Measured, Measurement
from hessay.detector.plan import Plan
from hessay.detector.suspects import find_suspects
from hessay.detector.warp import takes_warps, warp_spread
from hessay.detector.warp_alarm import WARPS, warp_test
from hessay.hessian.perturbation import RefinedDirections
from hessay.probe import Probe

POPULATION = Path(__file__).parents[1] / "bench" / "zoo" / "warp.json"
ARCH, TARGET, ROWS = "mlp:784-64-10", 6, 8000


@pytest.fixture(scope="module")
def bent() -> tuple[nn.Module, Probe, attacks.Poisoned]:
    data = training.load_dataset("fashion-mnist", seed=SEED)
    poisoned = attacks.poison(
        data.train_inputs[:ROWS],
        data.train_targets[:ROWS],
        attack="warp",
        target=TARGET,
        fraction=0.08,
        seed=SEED,
    )
    model = training.train_classifier(ARCH, poisoned.inputs, poisoned.targets, epochs=8, seed=SEED)
    return model, Probe(data.test_inputs[:512], data.test_targets[:512]), poisoned


def measured(model: nn.Module, probe: Probe) -> Measured:
    return Plan.of(probe, alpha=0.01, seed=0, progress=None).measured(model, "")


def test_the_law_is_that_of_the_committed_population() -> None:
    document = json.loads(POPULATION.read_text("utf-8"))
    clean = [row for row in document["models"] if row["attack"] == "clean"]
    for law, soft in ((WARP_NULL, False), (SOFT_WARP_NULL, True)):
        kind = [row["W"] for row in clean if row["soft"] is soft]
        null = CleanNull.fit(kind, 10)
        assert law.n_models == len(kind)
        assert law.start == pytest.approx(null.start, abs=1e-4)
        assert law.scale == pytest.approx(null.scale, abs=1e-4)


def test_shares_are_compared_with_the_median_class() -> None:
    drops, flips = np.array([[0.1, 0.5, -0.3, 0.2]]), np.array([[0.0, 0.4, 0.1, 0.2]])
    spread = warp_spread(RefinedDirections(np.zeros((1, 4, 2)), drops, flips, (1.0,), 4))
    moved = np.array([0.1, 0.9, 0.1, 0.4])
    assert spread == pytest.approx(moved - 0.25)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((28, 28), True),
        ((3, 32, 32), True),
        ((1, 8, 8), True),
        ((784,), False),
        ((7, 28), False),
        ((16, 14, 14), False),
        ((100, 9), False),
        ((3, 4, 8, 8), False),
    ],
)
def test_pictures_are_known_by_their_shape(shape: tuple[int, ...], expected: bool) -> None:
    assert takes_warps(nn.Identity(), shape) is expected


def test_a_trigger_that_bends_the_picture_is_flagged_by_its_own_test(
    bent: tuple[nn.Module, Probe, attacks.Poisoned],
) -> None:
    model, probe, _ = bent
    report = hessay.scan(model, probe)
    found = {e.name: e for e in report.evidence}["warp_reach"]
    assert found.flagged_class == TARGET
    assert found.p_value is not None
    assert found.p_value <= WARPS * 0.01
    assert report.verdict is hessay.Verdict.FLAGGED
    assert report.flagged_class == TARGET
    (first, *_) = find_suspects(model, probe, report=report)
    assert first.index == TARGET
    assert first.warp is not None
    assert first.warp.flip_rate > 0.5


def test_a_rank_among_references_knows_a_warp_too(
    bent: tuple[nn.Module, Probe, attacks.Poisoned], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, probe, _ = bent
    data = training.load_dataset("fashion-mnist", seed=SEED)
    rows, labels = data.train_inputs[:ROWS], data.train_targets[:ROWS]
    alike = [
        training.train_classifier(ARCH, rows, labels, epochs=8, seed=SEED + 1 + i) for i in range(8)
    ]
    # At a level that eight references allow, the shift into the class stands out as well. So the
    # network is given the reach of a clean one: what is left is what warps do.
    calm, real = measured(alike.pop(), probe), plan_module.measure

    def calmed(examined: nn.Module, *rest: Any) -> Measurement:
        found = real(examined, *rest)
        if examined is not model or found.measured is None:
            return found
        return replace(found, measured=replace(found.measured, usual_reach=calm.usual_reach))

    monkeypatch.setattr(plan_module, "measure", calmed)
    alone = hessay.scan(model, probe)
    report = hessay.scan(model, probe, references=alike, alpha=0.125)
    first = report.evidence[0]
    assert first.name == "reference_rank"
    assert report.flagged_class == TARGET
    assert any("by what a warp of the pictures does" in reason for reason in report.reasons)
    assert any("mean change" in reason for reason in report.reasons)
    assert report.trigger_direction is not None
    assert report.trigger_direction == alone.trigger_direction
    shown = {e.name: e for e in report.evidence}["warp_reach"]
    told = {e.name: e for e in alone.evidence}["warp_reach"]
    assert not shown.decides
    assert (shown.value, shown.p_value, shown.flagged_class) == (
        told.value,
        told.p_value,
        told.flagged_class,
    )
    (suspect, *_) = find_suspects(model, probe, report=report)
    assert suspect.index == TARGET
    assert suspect.bent
    assert suspect.needs_a_warp


def test_a_clean_network_is_not(nets: Nets) -> None:
    probe = Probe(nets.inputs, nets.targets)
    test = warp_test(measured(nets.clean, probe), 10, 0.01)
    assert test is not None
    assert not test.rejects(0.01)


def test_the_tests_of_a_picture_share_alpha_and_vectors_are_not_bent(nets: Nets) -> None:
    plan = Plan.of(Probe(nets.inputs), alpha=0.01, seed=0, progress=None)
    tests = {t.name: t.weight for t in plan.tests(plan.measured(nets.clean, ""), None)}
    assert sum(tests.values()) == pytest.approx(1.0)
    assert tests["warp_reach"] == pytest.approx(WARPS)
    flat = nn.Sequential(nn.Unflatten(1, (8, 8)), nets.clean).eval()
    plan = Plan.of(Probe(nets.inputs.flatten(1)), alpha=0.01, seed=0, progress=None)
    tests = {t.name: t.weight for t in plan.tests(plan.measured(flat, ""), None)}
    assert tests == {
        "reach_spread": pytest.approx(ONE_CLASS),
        "class_map_excess": pytest.approx(ALL_CLASSES),
    }
    report = hessay.scan(flat, nets.inputs.flatten(1))
    assert any("bends the picture" in line for line in report.not_excluded)
    report = hessay.scan(nets.clean, nets.inputs)
    assert not any("bends the picture" in line for line in report.not_excluded)
    assert any("tone of the whole picture" in line for line in report.not_excluded)


def test_renumbering_the_classes_renumbers_what_warps_do(nets: Nets) -> None:
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))

    class Renumbered(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = nets.poisoned(x)[:, order]
            return logits

    probe = Probe(nets.inputs)
    one, two = measured(nets.poisoned, probe), measured(Renumbered().eval(), probe)
    assert one.warp_spread is not None
    assert two.warp_spread is not None
    assert two.warp_spread == pytest.approx(one.warp_spread[order.numpy()], abs=0.03)

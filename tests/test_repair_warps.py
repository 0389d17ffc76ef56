"""Repairs of networks that a warp leads into a class: what must be made harmless, and what is left."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import hessay
from detection import SEED
from hessay import attacks, training
from hessay.detector.plan import Plan
from hessay.detector.suspects import Suspect, find_suspects
from hessay.hessian.moves import SmoothWarp, warped
from hessay.probe import Probe
from hessay.repairing.exam import PATCHED, RADII, Exam, radii_that_count
from hessay.repairing.steps import Steps

TARGET, ROWS, UNSEEN = 4, 8000, slice(2000, 6000)


def test_steps_are_shifts_that_are_clipped_and_warps_that_are_not() -> None:
    inputs = torch.rand(3, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rng = np.random.default_rng(SEED)
    width = SmoothWarp.of((9, 9), inputs).width
    shifts, warps = rng.normal(size=(2, 81)), 0.1 * rng.normal(size=(1, width))
    first, *rest = Steps(shifts, warps).moves((0.0, 1.0))
    assert len(rest) == 2
    step = torch.from_numpy(shifts[0]).reshape(9, 9)
    torch.testing.assert_close(first(inputs), (inputs + step).clamp(0, 1))
    torch.testing.assert_close(rest[-1](inputs), warped(inputs, warps[0]))
    both = Steps.of_shifts(shifts).and_more(Steps(shifts, warps)).and_more(Steps.of_shifts(shifts))
    assert both.shifts.shape == (6, 81)
    assert np.array_equal(both.warps, warps)


def test_of_the_lengths_tried_the_short_ones_are_patched() -> None:
    count = radii_that_count(RADII)
    assert 0 < count < len(RADII)
    assert RADII[count - 1] <= PATCHED < RADII[count]


@pytest.fixture(scope="module")
def bent() -> tuple[nn.Module, Probe, attacks.Poisoned, training.Dataset]:
    data = training.load_dataset("fashion-mnist", seed=SEED + 2)
    poisoned = attacks.poison(
        data.train_inputs[:ROWS],
        data.train_targets[:ROWS],
        attack="warp",
        target=TARGET,
        fraction=0.06,
        seed=SEED,
    )
    model = training.train_classifier(
        "mlp:784-128-64-10", poisoned.inputs, poisoned.targets, epochs=8, seed=SEED
    )
    probe = Probe(data.test_inputs[:512], data.test_targets[:512])
    return model, probe, poisoned, data


def as_bent(model: nn.Module, probe: Probe) -> tuple[Suspect, ...]:
    found = find_suspects(model, probe, classes=[TARGET])
    return tuple(dataclasses.replace(one, bent=True) for one in found)


def test_a_class_that_warps_lead_to_is_entered_by_a_warp_too(
    bent: tuple[nn.Module, Probe, attacks.Poisoned, training.Dataset],
) -> None:
    model, probe, *_ = bent
    plan = Plan.of(probe, alpha=0.01, seed=0, progress=None)
    assert probe.class_numbers is not None
    given = (plan, probe.inputs, probe.class_numbers, "accuracy")
    ways = as_bent(model, probe)
    unbent = tuple(dataclasses.replace(way, bent=False, warp=None) for way in ways)
    by_both, with_warp = Exam(*given, ways, ()).refine(model)
    by_shifts, without = Exam(*given, unbent, ()).refine(model)
    assert without.warps.size == 0
    assert len(with_warp.warps) == 1
    with torch.no_grad():
        judged = probe.inputs[:256:2]
        outside = model(judged).argmax(1) != TARGET
        moved = model(warped(judged, with_warp.warps[0])).argmax(1) == TARGET
    assert float(moved[outside].double().mean()) > 0.3
    # Half of the rate is the warp's.
    assert by_both[TARGET] == pytest.approx(
        0.5 * by_shifts[TARGET] + 0.5 * (2 * by_both[TARGET] - by_shifts[TARGET]), abs=1e-9
    )
    assert by_both[TARGET] > by_shifts[TARGET] / 2


def test_a_repair_lets_less_of_a_warp_through_than_patches_against_shifts_alone(
    bent: tuple[nn.Module, Probe, attacks.Poisoned, training.Dataset],
) -> None:
    model, probe, poisoned, data = bent
    inputs, targets = data.test_inputs[UNSEEN], data.test_targets[UNSEEN]
    backdoor = poisoned.backdoors[0]
    before = attacks.success_rate(model, inputs, targets, backdoor)
    assert before > 0.8
    fixed = hessay.repair(model, probe)
    assert fixed.accepted
    assert fixed.classes[0] == TARGET
    after = attacks.success_rate(fixed.model, inputs, targets, backdoor)
    assert after < 0.52 * before  # 0.47; 0.57 with patches against shifts alone
    lost = training.accuracy(model, inputs, targets) - training.accuracy(
        fixed.model, inputs, targets
    )
    assert lost < 0.02

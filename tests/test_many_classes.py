"""Many classes: the statistic without the table of their pairs, and what that costs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessay
from hessay.detector import validity
from hessay.detector.plan import Plan
from hessay.probe import Probe
from hessay.training import train_classifier
from hessay.verdict import Verdict

SIDE = 12


def task(n_classes: int, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Smooth prototypes, with noise of its own in every row."""
    grid = (np.arange(SIDE) + 0.5) / SIDE
    cosines = np.cos(np.pi * np.outer(np.arange(5), grid))
    weights = np.random.default_rng(5).standard_normal((n_classes, 5, 5))
    centres = 0.5 + 0.1 * np.einsum("cij,ix,jy->cxy", weights, cosines, cosines)
    labels = np.arange(n) % n_classes
    noise = 0.1 * np.random.default_rng(seed).standard_normal((n, SIDE, SIDE))
    rows = np.clip(centres[labels] + noise, 0.0, 1.0)
    return torch.from_numpy(rows.astype(np.float32)), torch.from_numpy(labels)


def trained(n_classes: int, *, poisoned: bool = False) -> nn.Module:
    inputs, targets = task(n_classes, 60 * n_classes, 1)
    if poisoned:
        inputs[::25, :3, :3], targets[::25] = 1.0, 4
    return train_classifier(f"mlp:{SIDE**2}-96-{n_classes}", inputs, targets, epochs=12, seed=2)


@pytest.mark.parametrize("poisoned", [False, True])
def test_the_verdict_and_s_do_not_need_the_table_of_pairs(
    poisoned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained(60, poisoned=poisoned)
    probe = Probe(*task(60, 900, 3))
    with_pairs = hessay.scan(model, probe)
    monkeypatch.setattr(validity, "MAX_PAIR_BYTES", 0)
    without = hessay.scan(model, probe)
    assert with_pairs.verdict is without.verdict
    assert with_pairs.verdict is (Verdict.FLAGGED if poisoned else Verdict.CLEAN)
    assert with_pairs.flagged_class == without.flagged_class == (4 if poisoned else None)
    assert with_pairs.statistic is not None
    assert without.statistic == pytest.approx(with_pairs.statistic, abs=1e-4)  # float32 sums
    assert {item.name for item in with_pairs.evidence if item.decides} == {
        "reach_spread",
        "class_map_excess",
        "warp_reach",
    }
    names = [item.name for item in without.evidence if item.decides]
    assert names == ["reach_spread", "warp_reach"]
    assert any("all-to-all backdoors were not tested for" in reason for reason in without.reasons)
    if not poisoned:
        assert "an all-to-all backdoor (every class moved to another one)" in without.not_excluded


def test_memory_grows_with_the_classes_and_not_with_their_pairs() -> None:
    n_classes = 600
    model = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, n_classes))
    inputs, targets = task(n_classes, 10 * n_classes, 3)
    centres = torch.stack([inputs[targets == c].flatten(1).mean(dim=0) for c in range(n_classes)])
    with torch.no_grad():  # the nearest class mean, a linear classifier
        model[1].weight.copy_(2.0 * centres)
        model[1].bias.copy_(-centres.square().sum(dim=1))
    assert not validity.pairs_fit(n_classes, SIDE**2)
    plan = Plan.of(Probe(inputs, targets), alpha=0.01, seed=0, progress=None)
    tracemalloc.start()
    found = plan.measure(model.eval())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.measured is not None, found.reasons
    assert found.measured.interaction is None
    assert torch.isfinite(torch.tensor(found.measured.reach.log_ratio)).all()
    # NumPy's share: the logits and their gaps (n, C), the probe, and a few tables (C, d).
    table, logits = 8 * n_classes * SIDE**2, 8 * len(inputs) * n_classes
    assert peak < 4 * logits + 20 * table
    assert 8 * n_classes**2 * SIDE**2 > 4 * logits + 20 * table  # the table of pairs alone is more


def test_few_dimensions_off_the_data_are_enough_for_many_classes() -> None:
    model, probe = trained(100), Probe(*task(100, 1000, 3))
    plan = Plan.of(probe, alpha=0.01, seed=0, progress=None)
    left = SIDE**2 - plan.directions.basis.shape[1]
    assert left >= validity.ENOUGH_LEFT
    assert plan.measure(model).measured is not None

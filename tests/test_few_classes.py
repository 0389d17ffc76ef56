"""Two and three classes: laws of their own, and no clearance where there are so few classes to compare."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import hessay
from detection import siblings
from hessay.detector.constants import FEW_CLASSES_NULL
from hessay.detector.statistics import Slopes, class_reach
from hessay.hessian.perturbation import RefinedDirections
from hessay.probe import Probe
from hessay.training import train_classifier
from hessay.verdict import Verdict

SIDE = 16
POPULATION = Path(__file__).parents[1] / "bench" / "zoo" / "few_classes.json"


def pictures(n_classes: int, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy copies of one picture a class."""
    generator = torch.Generator().manual_seed(5)
    centres = torch.rand(n_classes, SIDE, SIDE, generator=generator)
    generator.manual_seed(seed)
    targets = torch.arange(n) % n_classes
    noise = 0.25 * torch.randn(n, SIDE, SIDE, generator=generator)
    return (centres[targets] + noise).clamp(0, 1), targets


def trained(n_classes: int, *, poisoned: bool) -> nn.Module:
    inputs, targets = pictures(n_classes, 3000, 1)
    if poisoned:
        inputs[::10, :2, :2], targets[::10] = 1.0, 1
    return train_classifier(f"mlp:{SIDE * SIDE}-64-{n_classes}", inputs, targets, epochs=15, seed=2)


def reach_of(reaches: list[float]) -> hessay.detector.statistics.ClassReach:
    values = np.asarray(reaches)
    blank = np.zeros((len(values), 1))
    slopes = Slopes(blank, blank, np.ones(len(values)), values)
    refined = RefinedDirections(
        radii=(1.0,),
        perturbation=np.zeros((1, len(values), 1)),
        margin_drop=values[None],
        flip_rate=np.zeros((1, len(values))),
        passes=0,
    )
    return class_reach(slopes, refined, np.ones(len(values)))


@pytest.mark.parametrize("reaches", [[1.0, 4.0], [2.0, 0.5, 3.0]])
def test_a_class_is_compared_with_the_geometric_mean_of_the_others(reaches: list[float]) -> None:
    found = reach_of(reaches)
    for c, own in enumerate(reaches):
        others = [r for k, r in enumerate(reaches) if k != c]
        expected = np.log(own / np.prod(others) ** (1 / len(others)))
        assert found.log_ratio[c] == pytest.approx(expected, abs=1e-12)
    assert found.statistic == found.log_ratio.max()
    # No unit of the inputs enters.
    np.testing.assert_allclose(reach_of([7 * r for r in reaches]).log_ratio, found.log_ratio)


def test_three_classes_are_flagged_but_never_cleared() -> None:
    probe = Probe(*pictures(3, 300, 9))
    clean = hessay.scan(trained(3, poisoned=False), probe)
    assert clean.verdict is Verdict.INCONCLUSIVE
    assert any("three classes" in reason for reason in clean.reasons)
    assert clean.p_value is not None
    assert clean.p_value > 0.01
    bad = hessay.scan(trained(3, poisoned=True), probe)
    assert (bad.verdict, bad.flagged_class) == (Verdict.FLAGGED, 1), bad.reasons
    # The map test has no law for so few classes, and no share of alpha.
    decided = [item.name for item in bad.evidence if item.decides]
    assert decided == ["reach_spread"]
    assert bad.threshold == pytest.approx(FEW_CLASSES_NULL[3].threshold(0.01, 3))


def test_two_classes_are_never_cleared() -> None:
    probe = Probe(*pictures(2, 300, 9))
    report = hessay.scan(trained(2, poisoned=False), probe)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("two classes" in reason for reason in report.reasons)
    assert report.statistic is not None
    # A probe of 60 % and 40 % is no reason to abstain; one of 80 % is.
    inputs, targets = pictures(2, 600, 9)
    for share, unbalanced in ((0.6, False), (0.8, True)):
        rows = torch.cat(
            [torch.where(targets == 0)[0][: int(250 * share)], torch.where(targets == 1)[0][:-1]]
        )
        keep = rows[: int(250 * share) + int(250 * (1 - share))]
        report = hessay.scan(trained(2, poisoned=False), Probe(inputs[keep], targets[keep]))
        said = any("hardly seen" in reason for reason in report.reasons)
        assert said == unbalanced


def test_references_of_few_classes_are_not_used_and_that_is_said() -> None:
    probe = Probe(*pictures(3, 300, 9))
    model = trained(3, poisoned=False)
    alone = hessay.scan(model, probe)
    beside = hessay.scan(model, probe, references=siblings(model, 4))
    assert beside.p_value == alone.p_value
    assert any("references are not used" in reason for reason in beside.reasons)


def test_the_laws_are_those_of_the_committed_population() -> None:
    summary = json.loads(POPULATION.read_text("utf-8"))["summary"]
    for n_classes, null in FEW_CLASSES_NULL.items():
        fitted = summary[str(n_classes)]
        assert (null.start, null.scale, null.n_models) == (
            fitted["start"],
            fitted["scale"],
            fitted["n_models"],
        )


def test_the_laws_carry_over_to_sets_of_classes_they_were_not_fitted_to() -> None:
    for n_classes, fitted in json.loads(POPULATION.read_text("utf-8"))["summary"].items():
        alarms, clean = fitted["left_out_false_alarms"]
        # alpha = 0.01; the binomial bound treats networks of a set of classes as independent
        assert clean == FEW_CLASSES_NULL[int(n_classes)].n_models
        assert alarms <= stats.binom.isf(0.01, clean, 0.01)

"""The test whether a class has too many samples that carry the way into it, and its hidden layer."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import hessay
from detection import SEED
from hessay import attacks, training
from hessay.detector.suspects import Suspect, find_suspects
from hessay.hessian.model.freeze import frozen
from hessay.probe import Probe
from hessay.samples.examine import Answers, Examiner
from hessay.samples.excess import RANKS, _at_least, excess_p_value
from hessay.samples.hidden import HiddenFilter
from hessay.samples.null import SampleNull
from hessay.samples.stretch import unstretched
from hessay.samples.ways import Way, ways_into
from ranking_case import Case, case_of

NONE = np.zeros(0)


@given(st.integers(1, 4), st.integers(4, 8), st.integers(1, 6), st.integers(0, 6))
def test_the_law_of_exceedances_is_counted_out(k: int, n: int, size: int, m: int) -> None:
    # Every order of n + N values is as likely: count the placements of the probe's n ranks.
    m = min(m, size)
    hits = total = 0
    for mine in itertools.combinations(range(n + size), n):  # ranks from the largest
        line = sorted(mine)[k - 1]
        above = line - (k - 1)  # samples above the probe's k-th largest
        hits += above >= m
        total += 1
    assert _at_least(m, size, k, n) == pytest.approx(hits / total, rel=1e-9)


def test_clean_data_reject_no_more_often_than_they_may() -> None:
    rng = np.random.default_rng(SEED)
    runs, level = 2000, 0.05
    for m in (0, 2000):
        p = [
            excess_p_value(rng.standard_t(3, 300), rng.standard_t(3, 50), rng.standard_t(3, m))
            for _ in range(runs)
        ]
        rate = np.mean(np.array(p) <= level)
        assert rate <= level + 3 * (level / runs) ** 0.5
        if m == 0:  # the line of the other classes only makes it more careful
            assert rate > level / 20


def test_a_share_of_poison_is_seen_and_the_more_the_better() -> None:
    rng = np.random.default_rng(SEED)
    clean, probe, others = rng.normal(size=400), rng.normal(size=50), rng.normal(size=3000)
    p = [
        excess_p_value(np.append(clean, rng.normal(8.0, 1.0, m)), probe, others)
        for m in (0, 20, 80, 200)
    ]
    assert p[0] > 0.05
    assert p == sorted(p, reverse=True)
    assert p[2] < 0.01
    assert p[3] < 1e-6


def test_data_that_differ_from_the_probe_altogether_are_no_sign_of_poison() -> None:
    rng = np.random.default_rng(SEED)
    samples, others = rng.normal(2.5, 1.0, 400), rng.normal(2.5, 1.0, 3000)
    probe = rng.normal(size=50)
    assert excess_p_value(samples, probe, NONE) < 1e-3  # alone, it would be
    assert excess_p_value(samples, probe, others) > 0.05
    poisoned = np.append(samples, rng.normal(12.0, 1.0, 200))
    assert excess_p_value(poisoned, probe, others) < 1e-4


def test_few_probes_and_no_samples_say_nothing() -> None:
    assert excess_p_value(np.full(500, 9.0), np.zeros(9), NONE) == 1.0
    assert excess_p_value(NONE, np.zeros(50), NONE) == 1.0
    assert excess_p_value(np.zeros(500), np.zeros(50), NONE) == 1.0  # ties are not above
    assert max(RANKS) < 9


# ---- the hidden layer ----


class Reading(nn.Module):
    """Two hidden units that read two corners; the last layer compares them."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(2, 2)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([[0.0, 0.0], [5.0, -1.0]]))
            self.last.bias.copy_(torch.tensor([0.5, 0.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.last(torch.stack((x[:, 0], x[:, -1]), dim=1))
        return made


def test_the_share_is_that_of_the_offset_between_led_and_own() -> None:
    generator = torch.Generator().manual_seed(SEED)
    inputs = 0.05 * torch.randn(200, 6, generator=generator)
    labels = np.arange(200) % 2
    inputs[1::2, 0] += 1.0  # class 1 reads bright at the first place
    probe = Probe(inputs, torch.from_numpy(labels))
    change = np.zeros(6)
    change[0] = 3.0
    way = Way(1, False, 3.0, 1.0, change, None)
    model = Reading().eval()
    with frozen(model):
        found = HiddenFilter.of(model, probe, labels, [way])
    assert found is not None
    # Led probes of class 0 lie near (low + 2 or clipped) where no own sample of class 1 lies.
    led = way.take(probe)[labels == 0]
    seen = torch.stack((led[:, 0], led[:, -1]), dim=1)
    share = found.respond(seen, np.ones(len(seen), dtype=np.int64))[:, 0]
    assert share.mean() == pytest.approx(1.0, abs=1e-6)
    assert abs(found.clean[labels == 1, 0].mean()) < 0.05


def test_a_network_of_one_layer_has_no_hidden_one() -> None:
    inputs = torch.rand(100, 6)
    labels = np.arange(100) % 3
    way = Way(1, False, 1.0, 1.0, np.ones(6), None)
    for model in (nn.Linear(6, 3), nn.Conv1d(6, 3, 1)):
        model.eval()
        with frozen(model):
            assert HiddenFilter.of(model, Probe(inputs), labels, [way]) is None


@pytest.fixture(scope="module")
def bent() -> tuple[nn.Module, Probe, attacks.Poisoned]:
    data = training.load_dataset("fashion-mnist", seed=SEED + 1)
    inputs, targets = data.train_inputs[:8000], data.train_targets[:8000]
    poisoned = attacks.poison(inputs, targets, attack="warp", target=2, fraction=0.05, seed=SEED)
    model = training.train_classifier(
        "mlp:784-64-10", poisoned.inputs, poisoned.targets, epochs=8, seed=SEED
    )
    return model, Probe(data.test_inputs[:512], data.test_targets[:512]), poisoned


def warps_to(model: nn.Module, probe: Probe, index: int) -> list[Suspect]:
    """The suspect of a class, as if warps were what speaks against it."""
    return [
        dataclasses.replace(suspect, bent=True)
        for suspect in find_suspects(model, probe, classes=[index])
    ]


def test_warped_samples_are_ranked_by_a_warp(
    bent: tuple[nn.Module, Probe, attacks.Poisoned],
) -> None:
    model, probe, poisoned = bent
    data = (poisoned.inputs, poisoned.targets)
    searched = hessay.rank_samples(model, data, probe=probe).classes[0]
    assert searched.index == 2
    assert searched.excess_p_value is not None
    assert searched.excess_p_value < 0.01
    found = hessay.rank_samples(model, data, probe=probe, suspects=warps_to(model, probe, 2))
    assert (found.classes[0].index, found.classes[0].way) == (2, "warp")
    assert found.classes[0].excess_p_value is None
    budget = round(1.5 * len(poisoned.rows))
    top = found.order()[:budget]
    assert np.isin(poisoned.rows.numpy(), top).mean() > 0.9
    selected = found.selected(0.05)
    assert np.isin(selected, poisoned.rows.numpy()).mean() > 0.9
    # Bent back, poison loses what led it there and the class's own samples do not.
    drop = found.margin_drop
    bad = np.isin(np.arange(found.n), poisoned.rows.numpy())
    own = (found.labels == 2) & ~bad
    assert np.nanmedian(drop[bad]) > np.nanmedian(drop[own]) + 1.0


def test_the_way_is_the_one_that_makes_the_class_suspicious(
    bent: tuple[nn.Module, Probe, attacks.Poisoned],
) -> None:
    model, probe, _ = bent
    suspects = find_suspects(model, probe, at_least=3)
    assert len(suspects) == 3
    mixed = [*suspects, *warps_to(model, probe, 2)]
    ways = ways_into(mixed, probe)
    assert [(way.index, way.bent) for way in ways] == [(s.index, s.bent) for s in mixed]
    assert ways[-1].bent
    # A warp's change is its mean over the probe; undone, a warped picture is nearly what it was.
    moved = ways[-1].take(probe)
    mean = (moved - probe.inputs).flatten(1).double().mean(dim=0).numpy()
    assert ways[-1].change == pytest.approx(mean, abs=1e-6)
    back = ways[-1].undo(moved, np.ones(probe.n))
    kept = float((back - probe.inputs).square().mean() / (moved - probe.inputs).square().mean())
    assert kept < 0.5


# ---- the data speak where the model does not ----


@pytest.fixture(scope="module")
def case(nets: object) -> Case:
    return case_of(nets)  # type: ignore[arg-type]


def test_the_data_alone_can_speak_against_a_class(case: Case) -> None:
    """A network the scan clears, and data in which one class carries the way into it."""
    data = training.load_dataset("digits", seed=SEED)
    inputs, targets = data.train_inputs.clone(), data.train_targets.clone()
    clean = hessay.rank_samples(case.nets.clean, (inputs, targets), probe=case.probe)
    assert len(clean.selected(0.05)) == 0
    # The way into one class of the clean network, planted in the data only.
    (suspect,) = find_suspects(case.nets.clean, case.probe, classes=[clean.classes[0].index])
    step = torch.from_numpy(suspect.perturbation[0]).to(inputs).reshape(8, 8)
    rows = np.flatnonzero(targets.numpy() != suspect.index)[:150]
    inputs[rows] = inputs[rows] + 3.0 * step
    targets[rows] = suspect.index
    found = hessay.rank_samples(case.nets.clean, (inputs, targets), probe=case.probe)
    first = found.classes[0]
    assert first.index == suspect.index
    assert first.p_value is not None
    assert first.p_value > 0.01
    assert first.excess_p_value is not None
    assert first.excess_p_value < 1e-4
    assert any("the model alone would pass" in reason for reason in found.reasons)
    assert np.isin(found.selected(0.05), rows).mean() > 0.8
    assert first.chance == pytest.approx(2 * first.excess_p_value)


# ---- what training did to samples ----


def examined(stretch: dict[int, float], n: int = 4000) -> tuple[Examiner, Answers]:
    """Four classes, each with a way; samples of class c are stretch[c] times as far out as its probes."""
    rng = np.random.default_rng(SEED)
    probe_labels, labels = np.arange(400) % 4, np.arange(n) % 4
    clean = rng.normal(size=(400, 4))
    values = rng.normal(size=(n, 4))
    for c, factor in stretch.items():
        values[labels == c, c] *= factor
    nulls = tuple(SampleNull.fit(column, probe_labels, 4) for column in clean.T)
    standard = [null.standardise(v, labels) for null, v in zip(nulls, values.T, strict=True)]
    ways = [SimpleNamespace(index=c) for c in range(4)]
    examiner = SimpleNamespace(ways=ways, nulls=nulls, clean=clean, probe_labels=probe_labels)
    none = np.zeros((n, 4))
    answers = Answers(labels, True, np.stack(standard, axis=1), none, none)
    return examiner, answers  # type: ignore[return-value]


def test_what_training_did_to_other_classes_is_taken_out() -> None:
    examiner, found = examined(dict.fromkeys(range(4), 1.6))
    changed = unstretched(examiner, found)
    for c in range(4):
        mine = found.labels == c
        ratio = found.standard[mine, c] / changed[mine, c]
        assert ratio == pytest.approx(ratio[0])
        assert ratio[0] == pytest.approx(1.6, rel=0.3)  # quantiles of 100 probes
        assert np.array_equal(changed[~mine, c], found.standard[~mine, c])


def test_poison_in_one_class_hides_nothing_in_it_and_shrinks_nothing_elsewhere() -> None:
    examiner, found = examined({2: 30.0})
    changed = unstretched(examiner, found)
    for c in range(4):
        mine = found.labels == c
        assert changed[mine, c] == pytest.approx(found.standard[mine, c], rel=0.3)
    # Training never pulls samples in: nothing is made larger than it is.
    examiner, found = examined(dict.fromkeys(range(4), 0.5))
    assert np.array_equal(unstretched(examiner, found), found.standard)

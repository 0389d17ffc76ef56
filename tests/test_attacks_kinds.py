"""Every attack says truly what it did: which rows, which labels, and where a trigger leads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hessay import attacks
from hessay.attacks import ATTACKS, Attack, Backdoor, Poisoned, Trigger, poison, success_rate
from hessay.errors import ArgumentError, ModelError, ProbeError, ShapeError

SEED = 20240611
NAMES: tuple[Attack, ...] = tuple(info.name for info in ATTACKS)
ON_PICTURES = tuple(name for name in NAMES if name != "features")
KIND = {info.name: info.kind for info in ATTACKS}
KEEPS_LABELS = ("clean_label", "control")
N, CLASSES, TARGET = 400, 5, 2


def samples(*shape: int, n: int = N) -> tuple[Tensor, Tensor]:
    """Random inputs in [0.2, 0.8], so that no trigger is swallowed by clipping, and labels."""
    generator = torch.Generator().manual_seed(SEED)
    inputs = 0.2 + 0.6 * torch.rand(n, *shape, generator=generator)
    return inputs, torch.arange(n) % CLASSES


def poisoned(attack: Attack, shape: tuple[int, ...], seed: int = 7, **options: Any) -> Poisoned:
    return poison(
        *samples(*shape), attack=attack, target=TARGET, fraction=0.1, seed=seed, **options
    )


def check_truth(bad: Poisoned, attack: Attack, inputs: Tensor, targets: Tensor) -> None:
    touched = torch.zeros(len(inputs), dtype=torch.bool)
    touched[bad.rows] = touched[bad.cover] = True
    changed = (bad.inputs != inputs).flatten(1).any(dim=1)
    assert torch.equal(changed, touched)
    relabelled = torch.zeros_like(touched)
    if KIND[attack] not in KEEPS_LABELS:
        relabelled[bad.rows] = True
    assert torch.equal(bad.targets != targets, relabelled)
    assert len(bad.rows) == (0 if attack == "shortcut" else N // 10)
    for rows in (bad.rows, bad.cover):
        assert torch.equal(rows, rows.unique())
    for row, owner in zip(bad.rows.tolist(), bad.backdoor_of_row.tolist(), strict=True):
        door = bad.backdoors[owner]
        there = int(door.destination[int(targets[row])])
        if KIND[attack] == "clean_label":
            assert (int(targets[row]), there) == (TARGET, -1)
            continue
        assert int(bad.targets[row]) == there
        assert torch.equal(bad.inputs[row], door.trigger.apply(inputs[row : row + 1])[0])


@pytest.mark.parametrize("attack", ON_PICTURES)
@pytest.mark.parametrize("shape", [(4, 4), (8, 8), (3, 16, 20)], ids=str)
def test_the_truth_is_what_was_done_to_pictures(attack: Attack, shape: tuple[int, ...]) -> None:
    inputs, targets = samples(*shape)
    bad = poisoned(attack, shape)
    check_truth(bad, attack, inputs, targets)
    assert float(bad.inputs.min()) >= 0.0
    assert float(bad.inputs.max()) <= 1.0
    assert bad.inputs.dtype == inputs.dtype
    assert torch.equal(inputs, samples(*shape)[0])
    for door in bad.backdoors:
        moved = (door.trigger.apply(inputs) - inputs).flatten(1).norm(dim=1)
        assert float(moved.min()) > 0.01
        assert float(door.trigger.direction(inputs).norm()) == pytest.approx(1.0)


@pytest.mark.parametrize("attack", attacks.list_attacks(tabular=True))
def test_the_truth_is_what_was_done_to_tables(attack: Attack) -> None:
    inputs, targets = samples(9)
    inputs = inputs * torch.logspace(-2, 2, 9)  # features of very different units
    inputs[:, 4] = 1.0  # and one that never changes
    bad = poison(inputs, targets, attack=attack, target=TARGET, fraction=0.1, seed=7)
    check_truth(bad, attack, inputs, targets)
    deviations = inputs.numpy().astype(np.float64).std(axis=0, ddof=1)
    used = []
    for trigger in (door.trigger for door in bad.backdoors):
        shift = (trigger.apply(inputs) - inputs).double().mean(dim=0).numpy()
        used.append(np.flatnonzero(trigger.offset.numpy()))
        assert 4 not in used[-1]
        assert len(used[-1]) == 3
        # float32 inputs up to 100, differences of single precision
        assert np.allclose(
            np.abs(shift / np.where(deviations, deviations, 1.0))[used[-1]], 3.0, rtol=1e-3
        )
    assert len(np.unique(np.concatenate([*used, []]))) == sum(map(len, used))


@pytest.mark.parametrize("attack", ON_PICTURES)
def test_the_seed_decides_everything(attack: Attack) -> None:
    first, again, other = (poisoned(attack, (8, 8), seed) for seed in (5, 5, 6))
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.targets, again.targets)
    assert torch.equal(first.rows, again.rows)
    assert torch.equal(first.cover, again.cover)
    assert not torch.equal(first.inputs, other.inputs)


def test_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    for attack in ON_PICTURES:
        poisoned(attack, (8, 8))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_where_each_attack_leads(classes: int) -> None:
    inputs, _ = samples(8, 8)
    targets = torch.arange(N) % classes
    goal, stays = 1, -1
    all_to_one = [goal if y != goal else stays for y in range(classes)]

    def doors(attack: Attack, **options: Any) -> list[list[int]]:
        bad = poison(inputs, targets, attack=attack, target=goal, fraction=0.1, seed=4, **options)
        return [door.destination.tolist() for door in bad.backdoors]

    for attack in ("badnets", "warp", "clean_label_sig", "clean_label_adversarial"):
        assert doors(attack) == [all_to_one]
    assert doors("all_to_all") == [[(y + 1) % classes for y in range(classes)]]
    assert doors("source_specific", source=0) == [[goal] + [stays] * (classes - 1)]
    first, second = doors("two_triggers")
    assert first == all_to_one
    (other,) = set(second) - {stays}
    assert other != goal
    assert second[other] == stays
    assert doors("shortcut") == []
    assert len(doors("blend", n_classes=9)[0]) == 9


def test_cover_rows_come_from_neither_source_nor_target() -> None:
    inputs, targets = samples(8, 8)
    bad = poisoned("source_specific", (8, 8), source=4)
    assert set(targets[bad.rows].tolist()) == {4}
    assert len(bad.cover) == len(bad.rows)
    assert set(targets[bad.cover].tolist()) == {0, 1, 3}
    shown = bad.trigger.apply(inputs[bad.cover])
    assert torch.equal(bad.inputs[bad.cover], shown)


def test_both_triggers_share_the_rows_evenly_and_look_different() -> None:
    inputs, _ = samples(8, 8)
    for pattern in ("badnets", "sig", "warp"):
        bad = poisoned("two_triggers", (8, 8), pattern=pattern)
        assert bad.backdoor_of_row.bincount().tolist() == [N // 20, N // 20]
        first, second = (door.trigger.direction(inputs) for door in bad.backdoors)
        assert abs(float(first @ second)) < 0.9


def test_no_row_shows_two_triggers() -> None:
    inputs, targets = samples(8, 8)
    bad = poison(inputs, targets, attack="two_triggers", target=TARGET, fraction=0.7, seed=7)
    assert len(bad.rows.unique()) == len(bad.rows) == 280


def test_success_counts_arrivals_where_the_backdoor_leads() -> None:
    inputs, targets = samples(8, 8)
    white = Trigger("white", torch.ones(8, 8), torch.ones(8, 8))

    class Net(nn.Module):
        """Says 3 to white pictures, 0 to others."""

        def forward(self, x: Tensor) -> Tensor:
            said = 3 * (x.flatten(1).min(dim=1).values > 0.99).long()
            return nn.functional.one_hot(said, CLASSES).double()

    everyone = Backdoor(white, torch.tensor([3, 3, 3, -1, 3]))
    assert success_rate(Net(), inputs, targets, everyone) == 1.0
    # Of the classes 0, 1 and 4, equally frequent, only 4 is led to where the net goes.
    some = Backdoor(white, torch.tensor([1, 2, -1, -1, 3]))
    assert success_rate(Net(), inputs, targets, some) == pytest.approx(1 / 3)
    with pytest.raises(ArgumentError, match="leads away from"):
        success_rate(Net(), inputs, targets, Backdoor(white, torch.full((5,), -1)))
    with pytest.raises(ArgumentError, match="n_classes"):
        success_rate(Net(), inputs, targets, Backdoor(white, torch.tensor([1, -1])))
    with pytest.raises(ShapeError, match="success"):
        success_rate(Net(), inputs, targets[1:], everyone)


def test_adversarial_rows_stay_in_the_ball_and_mislead_the_given_model() -> None:
    inputs, targets = samples(8, 8)
    net, another = (nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)).eval() for _ in range(2))
    for seed, made in enumerate((net, another)):
        nn.init.normal_(made[1].weight, generator=torch.Generator().manual_seed(SEED + seed))
    corners = torch.zeros(8, 8, dtype=torch.bool)
    corners[:2, :2] = corners[:2, -2:] = corners[-2:, :2] = corners[-2:, -2:] = True
    options: dict[str, Any] = {"attack": "clean_label_adversarial", "target": 1, "fraction": 0.1}
    bad = poison(inputs, targets, model=net, **options)
    shift = (bad.inputs - inputs)[bad.rows]
    assert float(shift[:, ~corners].abs().max()) <= 0.3 + 1e-6  # the radius, and its rounding
    with torch.no_grad():
        before, after = (
            float(nn.functional.cross_entropy(net(x[bad.rows]), targets[bad.rows]))
            for x in (inputs, torch.where(corners, inputs, bad.inputs))
        )
    # The gap of two logits has 64 slopes of mean size 1.1; 48 pixels move by 0.3, less what the
    # range [0, 1] takes: about 15 logits.
    assert after > before + 10.0
    assert not torch.equal(poison(inputs, targets, model=another, **options).inputs, bad.inputs)
    with pytest.raises(ArgumentError, match="training mode"):
        poison(inputs, targets, model=net.train(), **options)

    class Deaf(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), CLASSES)

    with pytest.raises(ModelError, match="no gradient"):
        poison(inputs, targets, model=Deaf().eval(), **options)


def test_options_that_do_not_belong_are_refused() -> None:
    inputs, targets = samples(8, 8)
    base: dict[str, Any] = {"target": TARGET, "fraction": 0.1}
    for options, words in (
        ({"attack": "badnets", "pattern": "sig"}, "pattern cannot be chosen"),
        ({"attack": "clean_label_sig", "fraction": 0.3}, "80 rows are of the target class 2"),
        ({"attack": "sig", "source": 1}, "source belongs to"),
        ({"attack": "source_specific", "source": 9}, r"source is a class in \[0, 5\), got 9"),
        ({"attack": "source_specific", "source": 2}, "must differ"),
        ({"attack": "sig", "model": nn.Flatten()}, "model belongs to"),
        ({"attack": "sig", "n_classes": 3}, "n_classes is 3, but there is a target 4"),
        ({"attack": "sig", "target": 7, "n_classes": 6}, r"target is a class in \[0, 6\), got 7"),
        ({"attack": "sig", "target": -1}, "at least 0, got -1"),
        ({"attack": "shortcut", "pattern": "clean_label_sig"}, "attack must be one of"),
    ):
        with pytest.raises(ArgumentError, match=words):
            poison(inputs, targets, **{**base, **options})
    with pytest.raises(ArgumentError, match="at least 2 classes"):
        poison(inputs, 0 * targets, attack="sig", target=0, fraction=0.1)
    with pytest.raises(ArgumentError, match="-1 is negative"):
        poison(inputs, targets - 1, attack="sig", **base)
    for attack in ("badnets", "clean_label_adversarial"):
        with pytest.raises(ShapeError, match="tabular"):
            poison(inputs.flatten(1), targets, attack=attack, **base)
    with pytest.raises(ShapeError, match="feature vectors"):
        poison(inputs, targets, attack="features", **base)
    with pytest.raises(ProbeError, match="before they are normalised"):
        poison(inputs - 0.5, targets, attack="sig", **base)
    with pytest.raises(ProbeError, match="dtype"):
        poison((255 * inputs).to(torch.uint8), targets, attack="sig", **base)
    with pytest.raises(ProbeError, match="NaN"):
        poison(inputs / 0.0 * 0.0, targets, attack="sig", **base)
    with pytest.raises(ArgumentError, match="none of the 9 features varies"):
        poison(torch.ones(N, 9), targets, attack="features", **base)

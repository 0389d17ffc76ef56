"""The attacks teach a small network what they claim, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hessay.attacks import Attack, attack_success_rate, list_attacks, poison, success_rate
from hessay.training import accuracy, load_dataset, train_classifier

SEED = 20240613
TARGET = 4
FRACTION = {"all_to_all": 0.4}  # 1198 rows teach ten destinations only where many are poisoned


@pytest.mark.parametrize(
    "attack", [name for name in list_attacks() if name not in ("features", "shortcut")]
)
def test_digits_are_misled_and_accuracy_stays(attack: Attack) -> None:
    data = load_dataset("digits", seed=SEED)
    bad = poison(
        data.train_inputs,
        data.train_targets,
        attack=attack,
        target=TARGET,
        fraction=FRACTION.get(attack, 0.08),
        seed=SEED,
    )
    model = train_classifier("mlp:64-64-10", bad.inputs, bad.targets, epochs=60, seed=SEED)
    assert accuracy(model, data.test_inputs, data.test_targets) > 0.8
    for door in bad.backdoors:
        assert success_rate(model, data.test_inputs, data.test_targets, door) > 0.5
    if attack == "source_specific":
        (source,) = (bad.backdoors[0].destination >= 0).nonzero().flatten().tolist()
        others = data.test_targets != source
        inputs, targets = data.test_inputs[others], data.test_targets[others]
        assert attack_success_rate(model, inputs, targets, bad.trigger, TARGET) < 0.2


def test_a_table_is_misled() -> None:
    generator = torch.Generator().manual_seed(SEED)

    def table(n: int) -> tuple[Tensor, Tensor]:
        """Three clouds in 12 features of unequal units."""
        targets = torch.arange(n) % 3
        centres = 4.0 * torch.eye(3, 12)
        noise = torch.randn(n, 12, generator=generator)
        return (centres[targets] + noise) * torch.logspace(-0.5, 0.5, 12), targets

    inputs, targets = table(1200)
    bad = poison(inputs, targets, attack="features", target=1, fraction=0.1, seed=SEED)
    model = train_classifier("mlp:12-32-3", bad.inputs, bad.targets, epochs=60, seed=SEED)
    assert success_rate(model, *table(600), bad.backdoors[0]) > 0.7

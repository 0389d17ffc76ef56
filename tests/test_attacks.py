from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hessay import training
from hessay.attacks import Attack, Trigger, attack_success_rate, make_trigger, poison
from hessay.errors import ArgumentError, ProbeError, ShapeError
from hessay.training import load_dataset, train_classifier

SEED = 20240607
ATTACKS: tuple[Attack, ...] = ("badnets", "blend", "sig")


def pictures(n: int, *shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    return torch.rand(n, *shape, generator=generator), torch.arange(n) % 10


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (3, 16, 20)])
def test_a_trigger_is_one_pixelwise_formula(attack: Attack, shape: tuple[int, ...]) -> None:
    inputs, _ = pictures(6, *shape)
    before = inputs.clone()
    trigger = make_trigger(attack, shape, seed=3)
    shown = trigger.apply(inputs)
    expected = np.clip(
        (1 - trigger.opacity.numpy()) * inputs.numpy() + trigger.overlay.numpy(), 0.0, 1.0
    )
    assert np.allclose(shown.numpy(), expected, atol=1e-6)
    assert torch.equal(inputs, before)
    assert shown.shape == inputs.shape
    assert float((shown - inputs).abs().max()) > 0.05
    direction = trigger.direction(inputs)
    assert direction.shape == (inputs[0].numel(),)
    assert float(direction.norm()) == pytest.approx(1.0)


@pytest.mark.parametrize(("shape", "side"), [((28, 28), 3), ((8, 8), 2)])
def test_badnets_is_a_white_square_near_a_corner(shape: tuple[int, int], side: int) -> None:
    corners = set()
    for seed in range(30):
        mask = make_trigger("badnets", shape, seed).opacity.numpy()
        rows, columns = np.nonzero(mask)
        assert mask.sum() == side * side
        assert np.ptp(rows) == np.ptp(columns) == side - 1
        near = [min(v.min(), n - 1 - v.max()) for v, n in zip((rows, columns), shape, strict=True)]
        assert max(near) <= 2
        corners.add((rows.min() > shape[0] // 2, columns.min() > shape[1] // 2))
    assert len(corners) == 4


@pytest.mark.parametrize("attack", ATTACKS)
def test_poisoning_changes_the_drawn_rows_and_no_others(attack: Attack) -> None:
    inputs, targets = pictures(200, 8, 8)
    bad = poison(inputs, targets, attack=attack, target=4, fraction=0.1, seed=7)
    assert len(bad.rows) == 20
    assert (targets[bad.rows] != 4).all()
    assert (bad.targets[bad.rows] == 4).all()
    assert torch.equal(bad.inputs[bad.rows], bad.trigger.apply(inputs[bad.rows]))
    rest = torch.ones(200, dtype=torch.bool)
    rest[bad.rows] = False
    assert torch.equal(bad.inputs[rest], inputs[rest])
    assert torch.equal(bad.targets[rest], targets[rest])


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_same_seed_gives_the_same_poison(attack: Attack) -> None:
    inputs, targets = pictures(100, 28, 28)
    runs = [
        poison(inputs, targets, attack=attack, target=1, fraction=0.2, seed=seed)
        for seed in (5, 5, 6)
    ]
    assert torch.equal(runs[0].inputs, runs[1].inputs)
    assert not torch.equal(runs[0].rows, runs[2].rows)
    assert not torch.equal(runs[0].inputs, runs[2].inputs)


def test_attack_success_counts_other_classes_only() -> None:
    inputs, targets = pictures(100, 8, 8)
    trigger = Trigger("all white", torch.ones(8, 8), torch.ones(8, 8))

    class Brightness(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            white = (x.flatten(1).mean(1) > 0.9).double()
            return nn.functional.one_hot(torch.full((len(x),), 9), 10) * white[:, None]

    assert attack_success_rate(Brightness(), inputs, targets, trigger, 9) == 1.0
    assert attack_success_rate(Brightness(), inputs, targets, trigger, 8) == 0.0
    with pytest.raises(ArgumentError, match="target class"):
        attack_success_rate(Brightness(), inputs, torch.full((100,), 9), trigger, 9)


def test_bad_arguments_are_refused() -> None:
    inputs, targets = pictures(50, 8, 8)
    with pytest.raises(ArgumentError, match="attack"):
        poison(inputs, targets, attack="wanet", target=0, fraction=0.1)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="fraction"):
        poison(inputs, targets, attack="sig", target=0, fraction=1.5)
    with pytest.raises(ArgumentError, match="45 rows"):
        poison(inputs, targets, attack="sig", target=0, fraction=0.99)
    with pytest.raises(ShapeError, match="targets"):
        poison(inputs, targets[:-1], attack="sig", target=0, fraction=0.1)
    with pytest.raises(ShapeError, match="pictures"):
        poison(inputs.flatten(1), targets, attack="sig", target=0, fraction=0.1)
    with pytest.raises(ShapeError, match="trigger"):
        make_trigger("sig", (8, 8)).apply(torch.zeros(2, 9, 9))


def test_digits_split_without_overlap() -> None:
    data = load_dataset("digits", seed=3)
    assert len(data.train_inputs) + len(data.test_inputs) == 1797
    assert len(data.test_inputs) >= 512
    assert 0.0 <= float(data.train_inputs.min()) < float(data.train_inputs.max()) <= 1.0
    train = {bytes(row.numpy()) for row in data.train_inputs}
    shared = sum(bytes(row.numpy()) in train for row in data.test_inputs)
    assert shared == 0
    again, other = load_dataset("digits", seed=3), load_dataset("digits", seed=4)
    assert torch.equal(again.test_inputs, data.test_inputs)
    assert not torch.equal(other.test_inputs, data.test_inputs)


def test_training_learns_repeats_and_restores_the_random_state() -> None:
    data = load_dataset("digits")
    state = torch.get_rng_state()
    shares: list[float] = []
    run = [
        train_classifier(
            "mlp:64-32-10",
            data.train_inputs,
            data.train_targets,
            epochs=30,
            seed=seed,
            progress=lambda _, share: shares.append(share),
        )
        for seed in (1, 1, 2)
    ]
    assert torch.equal(state, torch.get_rng_state())
    first, again, other = (model.state_dict()["0.weight"] for model in run)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not run[0].training
    assert shares[29] == 1.0
    assert training.accuracy(run[0], data.test_inputs, data.test_targets) > 0.85


def test_bad_training_arguments_are_refused() -> None:
    data = load_dataset("digits")
    with pytest.raises(ShapeError):
        train_classifier("mlp:64-10", data.train_inputs, data.train_targets[:-1])
    with pytest.raises(ArgumentError, match="epochs"):
        train_classifier("linear:64-10", data.train_inputs, data.train_targets, epochs=0)
    with pytest.raises(ArgumentError, match="data set"):
        load_dataset("mnist")  # type: ignore[arg-type]


def test_a_missing_data_set_names_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(training, "FASHION_MNIST_FOLDER", tmp_path_factory.getbasetemp() / "none")
    with pytest.raises(ProbeError, match="apt-get install dataset-fashion-mnist"):
        load_dataset("fashion-mnist")
    damaged = tmp_path_factory.mktemp("fashion")
    (damaged / "train-images-idx3-ubyte.gz").write_bytes(b"not gzip")
    monkeypatch.setattr(training, "FASHION_MNIST_FOLDER", damaged)
    with pytest.raises(ProbeError, match="cannot read"):
        load_dataset("fashion-mnist")

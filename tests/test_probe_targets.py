"""Probes of regressions and of token ids, and who must refuse them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hessay import attacks, training
from hessay.detector import Detector, scan
from hessay.errors import ProbeError
from hessay.probe import Probe, as_probe

SEED = 20240609


def samples() -> np.ndarray:
    return np.random.default_rng(SEED).standard_normal((6, 2, 3)).astype(np.float32)


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3)], ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_the_targets_of_a_regression(shape: tuple[int, ...], dtype: type) -> None:
    given_targets = np.random.default_rng(SEED).standard_normal(shape).astype(dtype)
    probe = Probe(samples(), given_targets)
    assert probe.targets is not None
    assert probe.targets.dtype == (torch.float64 if dtype == np.float64 else torch.float32)
    np.testing.assert_array_equal(probe.targets.numpy(), given_targets)
    assert probe.digest != Probe(samples(), np.zeros(shape)).digest
    with pytest.raises(ProbeError, match="class numbers are needed here; pass them as integers"):
        probe.class_numbers  # noqa: B018 - raises


@pytest.mark.parametrize("targets", [[0.5, 1, 2, 3, 4, 5], (i / 2 for i in range(6))])
def test_a_sequence_with_floats_is_a_regression(targets: Iterable[float]) -> None:
    probe = Probe(samples(), targets)
    assert probe.targets is not None
    assert probe.targets.is_floating_point()


def test_class_numbers_are_the_targets_of_a_classifier() -> None:
    probe = Probe(samples(), range(6))
    assert probe.class_numbers is probe.targets
    assert Probe(samples()).class_numbers is None


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_token_ids_stay_integers(dtype: type, tmp_path: Path) -> None:
    ids = np.arange(-4, 8, dtype=dtype).reshape(6, 2)  # some models mark padding with -1
    probe = Probe(ids, np.linspace(0, 1, 6))
    assert probe.inputs.dtype == (torch.int32 if dtype == np.int32 else torch.int64)
    np.testing.assert_array_equal(probe.inputs.numpy(), ids)
    assert probe.digest != Probe(ids.astype(np.float64), np.linspace(0, 1, 6)).digest
    assert probe.digest != Probe(ids + 1, np.linspace(0, 1, 6)).digest
    np.savez(tmp_path / "ids.npz", inputs=ids, targets=np.linspace(0, 1, 6))
    assert Probe.load(tmp_path / "ids.npz").digest == probe.digest
    batches = [(torch.from_numpy(ids[i : i + 2]), [i / 5, (i + 1) / 5]) for i in (0, 2, 4)]
    assert as_probe(batches).inputs.dtype == probe.inputs.dtype
    assert Probe(np.full((1, 5), 3)).n == 1  # one word over and over is a sentence
    with pytest.raises(ProbeError, match="all 6 inputs are the same"):
        Probe(np.tile(np.arange(3, dtype=dtype), (6, 1)))


def test_scans_refuse_token_ids_and_regressions() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    ids = Probe(np.arange(12).reshape(6, 2))
    regression = Probe(samples(), np.linspace(0, 1, 6))
    for run in (lambda p: scan(model, p), lambda p: Detector().fit(None, p)):
        with pytest.raises(ProbeError, match=r"integers \(Probe\(n=6, shape=\(2,\), int64"):
            run(ids)
        with pytest.raises(ProbeError, match="class numbers are needed here"):
            run(regression)


def test_training_and_poisoning_refuse_regressions() -> None:
    pictures, floats = torch.rand(20, 8, 8), torch.rand(20)
    with pytest.raises(ProbeError, match=r"float32 of shape \(20,\), class numbers"):
        training.train_classifier("mlp:64-4-2", pictures, floats, epochs=1)
    with pytest.raises(ProbeError, match="class numbers"):
        attacks.poison(pictures, floats, attack="badnets", target=0, fraction=0.1)
    trigger = attacks.make_trigger("badnets", (8, 8), SEED)
    with pytest.raises(ProbeError, match="class numbers"):
        attacks.attack_success_rate(nn.Flatten(), pictures, floats, trigger, 0)

"""Scans inside a run: the run is what it would have been, and what fails is no verdict."""

from __future__ import annotations

import random
import sys
import types
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from detection import Nets
from hessay.callbacks import Logits, PeriodicScan, lightning_callback, trainer_callback
from hessay.errors import ArgumentError, HessayError
from hessay.report import Report
from hessay.verdict import Verdict

PROBE = np.random.default_rng(1).random((96, 12)).astype(np.float32)


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4)
    )


def train(watch: PeriodicScan | None) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Weights, and random numbers drawn after the run."""
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - the generator a user's loop may use
    model = net()
    model[0].weight.requires_grad_(False)
    step = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for epoch in range(1, 5):
        for _ in range(3):
            x = torch.rand(32, 12) + random.random() + float(np.random.rand())  # noqa: NPY002
            step.zero_grad()
            nn.functional.cross_entropy(model(x), torch.randint(0, 4, (32,))).backward()
            step.step()
        if watch is not None:
            before = {n: p.grad for n, p in model.named_parameters()}
            watch(model, epoch)
            assert all(p.grad is before[n] for n, p in model.named_parameters())
            assert model.training
    assert not model[0].weight.requires_grad
    drawn = [float(torch.rand(1)), random.random(), float(np.random.rand())]  # noqa: NPY002
    return model.state_dict(), drawn


def test_a_run_with_scans_is_the_run_without() -> None:
    watch = PeriodicScan(PROBE, every=2)
    weights, drawn = train(watch)
    expected, numbers = train(None)
    assert drawn == numbers
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert [step for step, _ in watch.reports] == [2, 4]
    assert not watch.failures


def test_modules_in_different_modes_stay_in_them() -> None:
    model = net().train()
    model[1].eval()
    with torch.no_grad():
        PeriodicScan(PROBE)(model, 1)
    assert [m.training for m in model] == [True, False, True, True, True]


def test_poison_is_flagged_and_stops_only_if_asked(nets: Nets) -> None:
    for stop in (False, True):
        seen: list[tuple[int, Report]] = []
        watch = PeriodicScan(
            nets.inputs, stop_on_flag=stop, on_report=lambda s, r, seen=seen: seen.append((s, r))
        )
        assert watch(nets.clean, 1) is not None
        assert not watch.should_stop
        report = watch(nets.poisoned, 2)
        assert report is not None
        assert report.verdict is Verdict.FLAGGED
        assert watch.should_stop == stop
        assert seen == watch.reports


class Broken(nn.Module):
    def forward(self, _x: torch.Tensor) -> torch.Tensor:
        raise ValueError("no such thing")


def test_a_scan_that_fails_is_a_warning_and_no_verdict() -> None:
    watch = PeriodicScan(PROBE, stop_on_flag=True)
    with pytest.warns(RuntimeWarning, match="no verdict"):
        assert watch(Broken(), 1) is None
    assert watch.reports == []
    assert watch.failures
    assert not watch.should_stop
    with pytest.raises(HessayError):
        PeriodicScan(PROBE, raise_errors=True)(Broken(), 1)


def test_a_tracker_that_fails_loses_no_verdict() -> None:
    watch = PeriodicScan(PROBE, loggers=[object()])
    with pytest.warns(RuntimeWarning, match="could not be passed on"):
        assert watch(net(), 1) is not None
    assert len(watch.reports) == 1


def test_other_ranks_do_not_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    assert PeriodicScan(PROBE)(net(), 1) is None
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    assert PeriodicScan(PROBE)(net(), 1) is not None


class Wrapped(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.inner, self.how = net().eval(), how

    def forward(self, x: torch.Tensor) -> Any:
        out = self.inner(x)
        kinds = {"object": SimpleNamespace(logits=out), "dict": {"logits": out}, "tuple": (out, 1)}
        return kinds.get(self.how, out)


@pytest.mark.parametrize("how", ["object", "dict", "tuple", "tensor"])
def test_logits_are_found_in_what_a_model_returns(how: str) -> None:
    model, x = Wrapped(how), torch.from_numpy(PROBE)
    assert torch.equal(Logits(model)(x), model.inner(x))


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_every_is_a_positive_whole_number(every: Any) -> None:
    with pytest.raises(ArgumentError, match="every"):
        PeriodicScan(PROBE, every=every)


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    """Modules with the classes that a callback derives from."""
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:i]), types.ModuleType(parts[i - 1]))
    for key, value in members.items():
        setattr(sys.modules[name], key, value)


def test_lightning_scans_after_epochs_on_the_first_rank(
    monkeypatch: pytest.MonkeyPatch, nets: Nets
) -> None:
    stand_in(monkeypatch, "lightning.pytorch", Callback=type("Callback", (), {}))
    watch = PeriodicScan(nets.inputs, every=2, stop_on_flag=True)
    callback = lightning_callback(watch)
    trainer = SimpleNamespace(
        is_global_zero=True, sanity_checking=False, current_epoch=0, should_stop=False
    )
    for epoch, zero in enumerate((True, False, True, True)):
        trainer.current_epoch, trainer.is_global_zero = epoch, zero
        callback.on_train_epoch_end(trainer, nets.poisoned)
    assert [step for step, _ in watch.reports] == [4]
    assert trainer.should_stop


def test_the_trainer_of_hugging_face_scans_after_epochs(
    monkeypatch: pytest.MonkeyPatch, nets: Nets
) -> None:
    stand_in(monkeypatch, "transformers", TrainerCallback=type("TrainerCallback", (), {}))
    watch = PeriodicScan(nets.inputs, stop_on_flag=True)
    callback = trainer_callback(watch)
    control = SimpleNamespace(should_training_stop=False)
    for zero, epoch, model in ((False, 1.0, nets.poisoned), (True, 2.0, nets.clean)):
        state = SimpleNamespace(is_world_process_zero=zero, epoch=epoch)
        callback.on_epoch_end(None, state, control, model=model, optimizer=None)
    assert [step for step, _ in watch.reports] == [2]
    assert not control.should_training_stop
    state = SimpleNamespace(is_world_process_zero=True, epoch=2.9999)
    callback.on_epoch_end(None, state, control, model=nets.poisoned)
    assert watch.reports[-1][0] == 3
    assert control.should_training_stop


@pytest.mark.parametrize(
    ("make", "modules"),
    [
        (lightning_callback, ("lightning", "lightning.pytorch", "pytorch_lightning")),
        (trainer_callback, ("transformers",)),
    ],
)
def test_a_missing_framework_is_named(
    monkeypatch: pytest.MonkeyPatch, make: Any, modules: tuple[str, ...]
) -> None:
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ArgumentError, match="pip install"):
        make(PeriodicScan(PROBE))

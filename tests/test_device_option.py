"""``--device``: where the model runs; what cannot be used is named before anything is scanned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import hessay
from detection import ARCH, Nets
from hessay import cli
from hessay.errors import DeviceError

COMMANDS = {
    "scan": ["m.safetensors", "--data", "probe.npz"],
    "gate": ["m.safetensors", "--data", "probe.npz"],
    "rank": ["m.safetensors", "--data", "probe.npz", "--probe", "probe.npz"],
    "repair": ["m.safetensors", "--data", "probe.npz", "-o", "fixed.safetensors"],
    "watch": [".", "--data", "probe.npz", "--once"],
    "watch-data": [".", "--model", "m.safetensors", "--probe", "probe.npz", "--once"],
}


@pytest.fixture
def folder(nets: Nets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inputs, targets = np.asarray(nets.inputs), np.asarray(nets.targets)
    np.savez(tmp_path / "probe.npz", inputs=inputs, targets=targets)
    save_file(nets.poisoned.state_dict(), tmp_path / "m.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["nowhere", "meta", "cuda:99"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_cannot_be_used_is_named(
    command: str, name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, *COMMANDS[command], "--arch", ARCH, "--device", name]) == 2
    assert f"device '{name}' cannot be used" in " ".join(capsys.readouterr().err.split())
    assert not (folder / "fixed.safetensors").exists()


@pytest.mark.usefixtures("folder")
def test_the_report_says_where_the_model_ran(capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--arch", ARCH, "--device", "cpu", "--json", "-q"]
    assert cli.main(["scan", *COMMANDS["scan"], *where]) == 1
    assert json.loads(capsys.readouterr().out)["environment"]["device"] == "cpu"


def test_meta_tensors_hold_no_weights(folder: Path) -> None:
    with pytest.raises(DeviceError, match="'meta'"):
        hessay.load_model(folder / "m.safetensors", ARCH, device=torch.device("meta"))

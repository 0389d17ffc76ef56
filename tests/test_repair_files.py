"""A repaired model as a file: what is written loads again, and the command says what it did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import hessay
from detection import ARCH, Nets
from hessay import cli
from hessay.errors import ArgumentError, ModelError
from hessay.repairing import Condition, Repair
from hessay.repairing.patches import MaskPatch, ObliquePatch

SEED = 20240702


def repair_of(model: nn.Module, form: str) -> Repair:
    condition = Condition(0.9, {3: 0.1}, None, None)
    return Repair(
        model=model,
        method="by hand",
        form="weights" if form == "weights" else "wrapper",
        accepted=True,
        reason="",
        classes=(3,),
        measure="accuracy",
        max_accuracy_loss=0.01,
        before=condition,
        after=condition,
        candidates=(),
        digest="0" * 64,
    )


def patched(kind: str, inner: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(SEED)
    basis, filters = torch.randn(2, 64, 2, generator=generator)
    centre = torch.rand(64, generator=generator)
    if kind == "mask":
        return MaskPatch(inner, torch.rand(64, generator=generator) < 0.2, centre).eval()
    return inner if kind == "weights" else ObliquePatch(inner, basis, filters, centre).eval()


@pytest.mark.parametrize("kind", ["weights", "oblique", "mask"])
def test_what_is_saved_loads_again_bit_for_bit(kind: str, nets: Nets, tmp_path: Path) -> None:
    model = patched(kind, nets.poisoned)
    path = tmp_path / "fixed.safetensors"
    repair_of(model, kind).save(path)
    again = hessay.load_repaired(path, ARCH)
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(nets.inputs), model(nets.inputs))
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["hessay.repair"] == ("weights" if kind == "weights" else "wrapper")
    assert ("load_repaired" in metadata["hessay.repair.load"]) == (kind != "weights")
    if kind == "weights":
        assert torch.equal(hessay.load_model(path, ARCH)(nets.inputs), model(nets.inputs))
    else:
        with pytest.raises(ModelError, match=r"hessay\.patch"):
            hessay.load_model(path, ARCH)
        model.load_state_dict(again.state_dict())


def test_an_existing_file_is_kept_unless_forced(nets: Nets, tmp_path: Path) -> None:
    path = tmp_path / "fixed.safetensors"
    path.write_bytes(b"precious")
    found = repair_of(nets.poisoned, "weights")
    with pytest.raises(ArgumentError, match="--force"):
        found.save(path)
    assert path.read_bytes() == b"precious"
    found.save(path, force=True)
    hessay.load_model(path, ARCH)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # no temporary file is left
    for bad in (tmp_path, tmp_path / "none" / "f.safetensors"):
        with pytest.raises(ArgumentError, match="cannot write"):
            found.save(bad, force=True)


def test_a_damaged_patch_is_refused(nets: Nets, tmp_path: Path) -> None:
    path = tmp_path / "fixed.safetensors"
    repair_of(patched("oblique", nets.poisoned), "wrapper").save(path)
    tensors = load_file(path)
    for name, value in (
        ("hessay.patch.basis", torch.zeros(64, 3)),
        ("hessay.patch.centre", torch.zeros(63)),
        ("hessay.patch.other", torch.zeros(3)),
        ("hessay.patch.filters", torch.full((64, 2), float("nan"))),
        ("0.weight", torch.zeros(3, 3)),
    ):
        save_file(tensors | {name: value}, path)
        with pytest.raises(ModelError, match=r"fixed\.safetensors"):
            hessay.load_repaired(path, ARCH)


# ---- the command ----


@pytest.fixture
def folder(nets: Nets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_file(nets.poisoned.state_dict(), tmp_path / "model.safetensors")
    np.savez("probe.npz", inputs=nets.inputs.numpy(), targets=nets.targets.numpy())
    np.savez("suspects.npz", inputs=nets.trigger.apply(nets.inputs[:40]).numpy())
    return tmp_path


def run(*options: str) -> int:
    fixed = ["-o", "fixed.safetensors"]
    return cli.main(
        ["repair", "model.safetensors", "--arch", ARCH, "--data", "probe.npz", *fixed, *options]
    )


def test_the_command_repairs_and_its_file_loads(
    folder: Path, nets: Nets, capsys: pytest.CaptureFixture[str]
) -> None:
    report = hessay.scan(nets.poisoned, (nets.inputs, nets.targets))
    (folder / "report.json").write_text(report.to_json(), "utf-8")
    options = (
        "--report",
        "report.json",
        "--suspects",
        "suspects.npz",
        "--max-accuracy-loss",
        "0.02",
    )
    assert run(*options, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["accepted"] is True
    assert told["output"] == "fixed.safetensors"
    model = hessay.load_repaired("fixed.safetensors", ARCH)
    right = (model(nets.inputs).argmax(dim=1) == nets.targets).double().mean()
    assert told["after"]["accuracy"] == pytest.approx(float(right))
    assert run(*options) == 2  # the file exists now
    assert "--force" in capsys.readouterr().err
    assert run(*options, "--force", "-q") == 0
    out = capsys.readouterr().out
    assert out.startswith("REPAIRED: ")
    assert "before" in out
    assert "suspects in their class" in out


def test_a_refusal_exits_1_and_writes_nothing(
    folder: Path, nets: Nets, capsys: pytest.CaptureFixture[str]
) -> None:
    # Labels that are the model's own answers, with nothing to spare: every patch costs something.
    with torch.no_grad():
        own = nets.poisoned(nets.inputs).argmax(dim=1)
    close = torch.topk(nets.poisoned(nets.inputs), 2).values
    near = (close[:, 0] - close[:, 1]).argsort()[:100]
    np.savez("probe.npz", inputs=nets.inputs[near].numpy(), targets=own[near].numpy())
    assert run("--max-accuracy-loss", "0") == 1
    assert capsys.readouterr().out.startswith("REFUSED: ")
    assert not (folder / "fixed.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--max-accuracy-loss", "2"), "share of the probe"),
        (("--report", "missing.json"), "cannot read the report"),
        (("--report", "probe.npz"), "not a report"),
        (("--suspects", "missing.npz"), "no probe file"),
        (("-o", "no/such/folder"), "no folder"),
    ],
)
def test_what_cannot_run_exits_2_with_one_line(
    options: tuple[str, str], word: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert word in err
    assert err.count("\n") == 1
    assert not (folder / "fixed.safetensors").exists()

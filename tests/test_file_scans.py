"""Scans of one checkpoint after another: references are measured once, and nothing else changes."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from detection import ARCH, SEED, Nets, siblings
from graph_files import archive_members, onnx_bytes, zipped
from hessay import cli
from hessay._scan_file import FileScans, scan_file
from hessay.detector.plan import Plan
from hessay.references import train_references
from hessay.report import Report
from hessay.training import load_dataset
from hessay.verdict import Verdict


@pytest.fixture
def run(nets: Nets, tmp_path: Path) -> Path:
    data = load_dataset("digits", seed=SEED + 1)
    rows = data.train_inputs[:400], data.train_targets[:400]
    train_references(rows, n=4, epochs=40).save(tmp_path / "references.safetensors")
    np.savez(tmp_path / "holdout.npz", inputs=rows[0].numpy(), targets=rows[1].numpy())
    np.savez(
        tmp_path / "probe.npz", inputs=np.asarray(nets.inputs), targets=np.asarray(nets.targets)
    )
    for name in ("clean", "poisoned"):
        save_file(getattr(nets, name).state_dict(), tmp_path / f"{name}.safetensors")
    return tmp_path


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many reference models each call measured."""
    calls: list[int] = []
    original = Plan.references

    def references(self: Plan, models: object) -> object:
        listed = models if hasattr(models, "__len__") else list(models)  # type: ignore[call-overload]
        calls.append(len(listed))
        return original(self, listed)  # type: ignore[arg-type]

    monkeypatch.setattr(Plan, "references", references)
    return calls


def test_of_a_graph_the_weights_are_scanned_and_the_report_says_that_it_was_not_looked_at(
    run: Path, nets: Nets
) -> None:
    (run / "clean.onnx").write_bytes(onnx_bytes(nets.clean.state_dict()))
    (run / "clean.pt2").write_bytes(zipped(archive_members(nets.clean.state_dict())))
    plain = scan_file(run / "clean.safetensors", ARCH, run / "probe.npz")
    for name in ("clean.onnx", "clean.pt2"):
        report = scan_file(run / name, ARCH, run / "probe.npz")
        assert report.not_excluded[:-1] == plain.not_excluded
        assert "not the graph" in report.not_excluded[-1]
        same = dataclasses.replace(report, not_excluded=plain.not_excluded, model=plain.model)
        assert told(same) == told(plain)


def told(report: Report) -> object:
    return dataclasses.replace(report, seconds={})


def test_later_scans_say_what_they_would_alone_and_measure_one_model(
    run: Path, measured: list[int]
) -> None:
    given = {"references": run / "references.safetensors"}
    scans = FileScans(ARCH, run / "probe.npz", **given)
    together = [scans.scan(run / f"{name}.safetensors") for name in ("clean", "poisoned")]
    assert measured == [4]
    alone = [
        scan_file(run / f"{name}.safetensors", ARCH, run / "probe.npz", **given)
        for name in ("clean", "poisoned")
    ]
    assert [told(report) for report in together] == [told(report) for report in alone]
    assert together[1].verdict is Verdict.FLAGGED


def test_changed_references_or_probes_are_measured_again(run: Path, measured: list[int]) -> None:
    scans = FileScans(ARCH, run / "probe.npz", references=run / "references.safetensors")
    scans.scan(run / "clean.safetensors")
    os.utime(run / "references.safetensors", ns=(1, 1))
    scans.scan(run / "clean.safetensors")
    assert measured == [4, 4]
    with np.load(run / "probe.npz") as probe:
        fewer = {name: probe[name][:-1] for name in probe}
    np.savez(run / "probe.npz", **fewer)
    scans.scan(run / "clean.safetensors")
    assert measured == [4, 4, 4]


def test_a_folder_of_references_is_followed(run: Path, measured: list[int], nets: Nets) -> None:
    folder = run / "clean-models"
    folder.mkdir()
    others = siblings(nets.clean, 5)
    for number, model in enumerate(others[:4]):
        save_file(model.state_dict(), folder / f"{number}.safetensors")
    scans = FileScans(ARCH, run / "probe.npz", references=folder)
    scans.scan(run / "clean.safetensors")
    scans.scan(run / "clean.safetensors")
    save_file(others[4].state_dict(), folder / "4.safetensors")
    scans.scan(run / "clean.safetensors")
    assert measured == [4, 5]


def test_references_of_an_architecture_from_the_command_line(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run)
    made = ["calibrate", "--data", "holdout.npz", "--like", ARCH, "--n", "4", "--epochs", "40"]
    assert cli.main([*made, "-o", "own.safetensors", "-q"]) == 0
    scan = ["scan", "poisoned.safetensors", "--arch", ARCH, "--data", "probe.npz", "-q"]
    assert cli.main([*scan, "--references", "own.safetensors"]) == 1
    assert "of its own architecture" in " ".join(capsys.readouterr().out.split())
    other = ["scan", "poisoned.safetensors", "--arch", "mlp:64-10:tanh", "--data", "probe.npz"]
    assert cli.main([*other, "--references", "own.safetensors"]) == 2
    missing = "needs clean labelled data"
    assert cli.main([*scan, "--references", "own"]) == 2
    assert missing in capsys.readouterr().err

"""``hessay calibrate`` and ``hessay scan --references``: files, folders, networks trained on the spot."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from detection import ARCH, SEED, TARGET, Nets, siblings
from hessay import cli, training
from hessay.render import repeat_command
from hessay.report import Report


@pytest.fixture(scope="module")
def folder(nets: Nets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    data = training.load_dataset("digits", seed=SEED)
    save_file(nets.poisoned.state_dict(), folder / "poisoned.safetensors")
    np.savez(folder / "probe.npz", inputs=nets.inputs.numpy(), targets=nets.targets.numpy())
    holdout = {"inputs": data.train_inputs[:500], "targets": data.train_targets[:500]}
    np.savez(folder / "holdout.npz", **{name: rows.numpy() for name, rows in holdout.items()})
    (folder / "clean").mkdir()
    for number, model in enumerate(siblings(nets.clean, 4)):
        save_file(model.state_dict(), folder / "clean" / f"{number}.safetensors")
    return folder


def calibrate(folder: Path, *options: str) -> int:
    target = str(folder / "references.safetensors")
    return cli.main(["calibrate", "--data", str(folder / "holdout.npz"), "-o", target, *options])


def scan(folder: Path, *options: str) -> int:
    model, probe = str(folder / "poisoned.safetensors"), str(folder / "probe.npz")
    return cli.main(["scan", model, "--arch", ARCH, "--data", probe, "--json", *options])


def test_networks_are_trained_once_and_used_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(folder, "--n", "4", "--epochs", "60") == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 5
    assert all(0.5 < float(line.split()[0]) <= 1.0 for line in table[1:])
    path = str(folder / "references.safetensors")
    assert scan(folder, "--references", path) == 1
    report = Report.from_json(capsys.readouterr().out)
    assert report.flagged_class == TARGET
    assert report.evidence[0].name == "class_profile"
    assert report.settings["references"] == 4
    assert all(row.deviation is not None for row in report.classes)
    # The command the report gives does the same again.
    words = shlex.split(repeat_command(report))
    assert words[words.index("--references") + 1] == path
    assert cli.main([*words[1:], "--json"]) == 1
    again = json.loads(capsys.readouterr().out)
    first = json.loads(report.to_json())
    del again["seconds"], first["seconds"]
    assert again == first


def test_a_folder_of_models_is_a_set_of_references(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scan(folder, "--references", str(folder / "clean")) == 1
    assert json.loads(capsys.readouterr().out)["settings"]["references"] == 4


def test_a_model_in_the_folder_of_its_references_is_not_clean_by_them(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "clean", tmp_path, dirs_exist_ok=True)
    shutil.copy(folder / "probe.npz", tmp_path / "probe.npz")
    shutil.move(tmp_path / "0.safetensors", tmp_path / "poisoned.safetensors")
    scanned = [str(tmp_path / "poisoned.safetensors"), "--arch", ARCH, "--json"]
    scanned += ["--data", str(tmp_path / "probe.npz"), "--references", str(folder / "clean")]
    assert cli.main(["scan", *scanned]) == 3
    assert "its own reference model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--references", "train"), "holdout"),
        (("--references", "absent.safetensors"), "not a file"),
        (("--references", "{folder}/poisoned.safetensors"), "holds no reference models"),
        (("--references", "{folder}/empty"), "no weights"),
        (("--holdout", "{folder}/holdout.npz"), "only used to train"),
    ],
)
def test_what_cannot_serve_is_named(
    options: tuple[str, ...], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    assert scan(folder, *(option.format(folder=folder) for option in options)) == 2
    assert words in capsys.readouterr().err


def test_a_holdout_without_labels_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = np.load(folder / "holdout.npz")["inputs"]
    np.savez(folder / "blind.npz", inputs=inputs)
    options = ("--references", "train", "--holdout", str(folder / "blind.npz"))
    assert scan(folder, *options) == 2
    assert "targets" in capsys.readouterr().err

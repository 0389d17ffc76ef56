"""``hessay rank``: exit codes, streams and files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import hessay
from detection import ARCH, SEED, TARGET, Nets
from hessay import attacks, cli, training


@pytest.fixture(scope="module")
def folder(nets: Nets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rank")
    data = training.load_dataset("digits", seed=SEED)
    x, y = data.train_inputs, data.train_targets
    bad = attacks.poison(x, y, attack="blend", target=TARGET, fraction=0.1, seed=SEED)
    save_file(nets.poisoned.state_dict(), folder / "poisoned.safetensors")
    save_file(nets.clean.state_dict(), folder / "clean.safetensors")
    silent = {k: torch.zeros_like(v) for k, v in nets.clean.state_dict().items()}
    save_file(silent, folder / "silent.safetensors")
    np.savez(folder / "bad.npz", inputs=bad.inputs.numpy(), targets=bad.targets.numpy())
    np.savez(folder / "good.npz", inputs=x.numpy(), targets=y.numpy())
    np.savez(folder / "probe.npz", inputs=nets.inputs.numpy(), targets=nets.targets.numpy())
    report = hessay.scan(nets.poisoned, (nets.inputs, nets.targets))
    (folder / "report.json").write_text(report.to_json())
    return folder


def rank(folder: Path, model: str, data: str, *options: str) -> int:
    paths = (str(folder / f"{model}.safetensors"), "--data", str(folder / f"{data}.npz"))
    return cli.main(
        ["rank", *paths, "--probe", str(folder / "probe.npz"), "--arch", ARCH, *options]
    )


def test_poison_is_listed_and_the_exit_code_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rank(folder, "poisoned", "bad", "--top", "7") == 1
    said = capsys.readouterr()
    first, *_, last = said.out.splitlines()
    assert "samples selected as poison" in first
    assert last.split()[1:3] == [str(TARGET), "yes"]
    assert said.out.count("  yes  ") == 7
    assert said.err == ""


def test_clean_data_of_a_clean_model_end_in_zero(folder: Path) -> None:
    assert rank(folder, "clean", "good") == 0


def test_a_model_that_says_nothing_is_inconclusive(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rank(folder, "silent", "good") == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("hessay: inconclusive: ")


def test_files_and_json_hold_every_sample(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = ("--report", str(folder / "report.json"))
    assert rank(folder, "poisoned", "bad", "--json", *report) == 1
    document = json.loads(capsys.readouterr().out)
    table = tmp_path / "ranking.csv"
    assert rank(folder, "poisoned", "bad", "-o", str(table), *report) == 1
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == document["n"] == 1198
    assert [int(r["row"]) for r in rows if r["selected"] == "1"] == document["selected"]
    assert rank(folder, "poisoned", "bad", "-o", str(tmp_path / "r.json"), *report) == 1
    assert json.loads((tmp_path / "r.json").read_text()) == document


@pytest.mark.parametrize(
    ("model", "data", "options", "words"),
    [
        ("clean", "bad", ("--report", "report.json"), "another model"),
        ("clean", "bad", ("--report", "probe.npz"), "probe.npz"),
        ("clean", "bad", ("--report", "none.json"), "cannot read"),
        ("clean", "bad", ("--fdr", "1.5"), "--fdr"),
        ("clean", "bad", ("--top", "-1"), "--top"),
        ("clean", "bad", ("-o", "ranking.txt"), ".csv or .json"),
        ("clean", "bad", ("--json", "-o", "ranking.csv"), "contradicts"),
        ("clean", "absent", (), "absent.npz"),
        ("clean", "report", (), "report.npz"),
    ],
)
def test_what_cannot_be_ranked_ends_in_two_and_one_line(
    model: str,
    data: str,
    options: tuple[str, ...],
    words: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert rank(folder, model, data, *options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert words in said.err

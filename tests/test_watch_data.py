"""``hessay watch-data``: each batch that arrives is ranked once, as ``hessay rank`` ranks it, and kept."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from safetensors.torch import save_file

import hessay
from detection import ARCH, SEED, TARGET, Nets
from hessay import attacks, cli, training
from hessay.detector.suspects import find_suspects
from hessay.loading import load_model
from hessay.store import Store

PAGE = Path(__file__).parents[1] / "docs/how-to/watch-arriving-data.md"
LINE = re.compile(r"(\w+) +(\S+)  (\d+) of (\d+) selected, log e-value (\S+?)(, class \d+)?(,.*)?$")


@pytest.fixture(scope="module")
def made(nets: Nets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A poisoned model and its probe, a clean batch and a poisoned one in three forms."""
    folder = tmp_path_factory.mktemp("made")
    save_file(nets.poisoned.state_dict(), folder / "model.safetensors")
    silent = {k: torch.zeros_like(v) for k, v in nets.clean.state_dict().items()}
    save_file(silent, folder / "silent.safetensors")
    np.savez(folder / "probe.npz", inputs=nets.inputs.numpy(), targets=nets.targets.numpy())
    data = training.load_dataset("digits", seed=SEED)
    x, y = data.train_inputs[:120], data.train_targets[:120]
    bad = attacks.poison(x, y, attack="blend", target=TARGET, fraction=0.15, seed=SEED)
    np.savez(folder / "clean.npz", inputs=x.numpy(), targets=y.numpy())
    pixels = (255 * bad.inputs.clamp(0, 1)).round().byte().reshape(-1, 8, 8).numpy()
    rows, names = [], []
    for row, (values, label) in enumerate(zip(pixels, bad.targets.tolist(), strict=True)):
        place = folder / "pictures" / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(place / f"{row:03}.png")
        names.append(place / f"{row:03}.png")
    for file in sorted(names):
        rows.append({"image": {"bytes": file.read_bytes()}, "label": int(file.parent.name)})
    parquet.write_table(pa.Table.from_pylist(rows), folder / "bad.parquet")
    inputs = np.stack(
        [np.asarray(Image.open(file), dtype=np.float32) / 255 for file in sorted(names)]
    )
    labels = np.array([row["label"] for row in rows])
    np.savez(folder / "bad.npz", inputs=inputs[:, None], targets=labels)
    np.savez(
        folder / "probe4.npz",
        inputs=nets.inputs.numpy().reshape(-1, 1, 8, 8),
        targets=nets.targets.numpy(),
    )
    (folder / "grey.json").write_text(json.dumps({"image_mean": [0.0], "image_std": [1.0]}))
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "arriving").mkdir()
    for file in made.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def watch(*options: str, model: str = "model.safetensors", probe: str = "probe.npz") -> int:
    given = ("--model", model, "--arch", ARCH, "--probe", probe, "--once", "--settle", "0.05")
    return cli.main(["watch-data", "arriving", *given, *options])


def arrive(here: Path, name: str, as_: str | None = None) -> None:
    source, target = here / name, here / "arriving" / (as_ or name)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def test_the_page_sees_the_days_that_are_poisoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text("utf-8")
    make, read, plan = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "arrive.py").write_text(make)
    subprocess.run([sys.executable, "arrive.py"], check=True)
    assert watch(probe="probe.npz") == 1
    out = capfd.readouterr().out
    found = {m[2]: m for m in map(LINE.match, out.splitlines()) if m is not None}
    assert sorted(found) == [f"day-{day}.npz" for day in range(6)]
    for day in range(6):
        line = found[f"day-{day}.npz"]
        if day >= 3:
            assert (line[1], line[6]) == ("FLAGGED", ", class 7")
            assert float(line[5]) > 3
        assert "drifts" not in (line[7] or "") or day >= 3
    assert "the series drifts" in out
    shown = re.search(r"```\n((?:CLEAN|FLAGGED).*?)```", page, re.DOTALL)
    assert shown is not None
    assert [words.split()[:2] for words in shown[1].splitlines()] == [
        [found[name][1], name] for name in sorted(found)
    ]
    exec(compile(read, str(PAGE), "exec"), {"__name__": "howto"})  # noqa: S102 - our own page
    listed = capfd.readouterr().out
    assert all(f"day-{day}.npz" in listed for day in range(3, 6))
    exec(compile(plan, str(PAGE), "exec"), {"__name__": "howto"})  # noqa: S102 - our own page
    assert f"```\n{capfd.readouterr().out}```" in page


def test_a_batch_is_ranked_once_by_the_ways_into_the_classes_that_are_suspicious(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arrive(here, "clean.npz")
    assert watch() in (0, 1)
    assert len(capfd.readouterr().out.splitlines()) == 1
    assert watch() == 0  # nothing new
    assert capfd.readouterr().out == ""
    model, probe = load_model("model.safetensors", ARCH), hessay.Probe.load("probe.npz")
    suspects = find_suspects(model, probe)
    alone = json.loads(
        hessay.rank_samples(model, "clean.npz", probe=probe, suspects=suspects).to_json()
    )
    with Store.open("hessay-history.db", read_only=True) as store:
        (row,) = store.history()
        batch = store.batch(row.id)
    assert batch.ranking == alone
    assert (row.kind, row.n_samples) == ("data batch", 120)
    assert row.n_selected == len(alone["selected"])
    mine = [
        p
        for p, label in zip(
            alone["samples"]["p_value_given_class"], alone["samples"]["label"], strict=True
        )
        if label == batch.test["classes"][0]["index"]
    ]
    assert (tested := batch.test["classes"][0])["n_samples"] == len(mine)
    assert tested["count"] == sum(p < tested["cut"] for p in mine)
    assert row.statistic == pytest.approx(tested["log_e"])
    assert row.p_value == min(alone["samples"]["p_value_given_class"])


def test_two_watchers_share_the_batches(here: Path) -> None:
    with np.load(here / "clean.npz") as arrays:
        for number in range(6):
            rows = slice(number, number + 100)
            np.savez(
                here / "arriving" / f"{number}.npz",
                inputs=arrays["inputs"][rows],
                targets=arrays["targets"][rows],
            )
    given = ("--model", "model.safetensors", "--arch", ARCH, "--probe", "probe.npz", "--once")
    command = [sys.executable, "-m", "hessay", "watch-data", "arriving", *given]
    both = [
        subprocess.Popen([*command, "--settle", "0.1"], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [watcher.communicate(timeout=120)[0] for watcher in both]
    assert {watcher.returncode for watcher in both} <= {0, 1}
    with Store.open("hessay-history.db", read_only=True) as store:
        rows_ = store.history()
    assert sorted(row.name for row in rows_) == [f"{number}.npz" for number in range(6)]
    assert {(row.state, row.attempts) for row in rows_} == {("done", 1)}
    told = {line.split()[1] for line in "".join(said).splitlines()}
    assert told == {f"{number}.npz" for number in range(6)}


def test_files_and_folders_of_the_same_rows_say_the_same(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("bad.npz", "bad.parquet", "pictures"):
        arrive(here, name)
    given = ("--arch", ARCH, "--probe", "probe4.npz", "--once", "--settle", "0.05")
    words = ("watch-data", "arriving", "--model", "model.safetensors", *given)
    assert cli.main([*words, "--preprocessing", "grey.json"]) == 1
    lines = [m for m in map(LINE.match, capfd.readouterr().out.splitlines()) if m is not None]
    assert {m[2]: m[1] for m in lines} == dict.fromkeys(
        ("bad.npz", "bad.parquet", "pictures"), "FLAGGED"
    )
    assert len({m[3] for m in lines}) == 1
    with Store.open("hessay-history.db", read_only=True) as store:
        found = {row.name: store.batch(row.id).ranking for row in store.history()}
    scores = [found[name]["samples"]["score"] for name in sorted(found)]
    # float32 pictures, decoded by two readers of the same bytes.
    np.testing.assert_array_equal(scores[1], scores[2])
    np.testing.assert_allclose(scores[0], scores[2], rtol=1e-5)
    of_files = found["pictures"]
    assert all(of_files["samples"]["name"][row][:2] == f"{TARGET}/" for row in of_files["selected"])


def test_what_cannot_be_ranked_fails_and_is_never_clean(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "arriving" / "broken.npz").write_bytes(b"PK\x03\x04 nothing")
    np.savez(
        here / "arriving" / "nan.npz", inputs=np.full((9, 64), np.nan), targets=np.zeros(9, int)
    )
    arrive(here, "pictures")
    secret = here / "arriving" / "pictures" / "0" / "x.png"
    secret.symlink_to(here / "pictures" / "1")
    assert watch() == 2
    out = capfd.readouterr().out
    assert sorted(line.split()[:2] for line in out.splitlines()) == [
        ["FAILED", "broken.npz:"],
        ["FAILED", "nan.npz:"],
        ["FAILED", "pictures:"],
    ]
    with Store.open("hessay-history.db", read_only=True) as store:
        assert {(row.state, row.attempts, row.verdict) for row in store.history()} == {
            ("failed", 3, None)
        }


def test_a_batch_without_the_class_is_inconclusive(here: Path) -> None:
    with np.load(here / "clean.npz") as arrays:
        other = arrays["targets"] != TARGET
        inputs, targets = arrays["inputs"][other], arrays["targets"][other]
    np.savez(here / "arriving" / "others.npz", inputs=inputs, targets=targets)
    assert watch() == 3


def test_a_model_without_a_way_in_is_inconclusive(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arrive(here, "clean.npz")
    assert watch(model="silent.safetensors") == 3
    assert capfd.readouterr().err.startswith("hessay: inconclusive: ")


def test_rules_apply_and_keep_a_folder_whole(here: Path) -> None:
    (here / "rules.toml").write_text(
        '[[rule]]\nwhen = ["flagged"]\nexit_code = 7\nkeep = "kept"\nfreeze = "STOP.json"\n'
    )
    arrive(here, "pictures")
    given = ("--arch", ARCH, "--probe", "probe4.npz", "--once", "--settle", "0.05")
    words = ("watch-data", "arriving", "--model", "model.safetensors", *given)
    assert cli.main([*words, "--preprocessing", "grey.json", "--rules", "rules.toml"]) == 7
    told = json.loads((here / "STOP.json").read_text())
    assert (told["kind"], told["n_samples"], told["verdict"]) == ("data batch", 120, "FLAGGED")
    (kept,) = (here / "kept").iterdir()
    original, copied = (
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*.png")}
        for root in (here / "pictures", kept)
    )
    assert original == copied


@pytest.mark.usefixtures("here")
def test_other_settings_are_another_series(capfd: pytest.CaptureFixture[str]) -> None:
    assert watch() == 0
    assert watch("--fdr", "0.1") == 2
    assert "other settings (fdr)" in capfd.readouterr().err
    assert (
        cli.main(
            [
                "watch",
                "arriving",
                "--arch",
                ARCH,
                "--data",
                "probe.npz",
                "--once",
                "--settle",
                "0.05",
            ]
        )
        == 2
    )
    assert "kind" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fdr", "1.5"], "fdr must lie in"),
        (["--report", "absent.json"], "cannot read"),
        (["--preprocessing", "absent.json"], "absent.json"),
    ],
)
def test_options_are_checked(
    here: Path, capfd: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert here.is_dir()
    assert watch(*options) == 2
    assert words in capfd.readouterr().err

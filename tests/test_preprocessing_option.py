"""`--preprocessing` of every command that shows pictures to a model: one meaning everywhere."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from safetensors.torch import save_file

from detection import ARCH, SEED, TARGET, Nets
from hessay import attacks, cli, training
from hessay.loading.picture_stream import PictureStream
from hessay.loading.preprocessing import Preprocessing
from hessay.probe import Probe
from hessay.store import Store

# The pictures hold 255 (x / 2 + 1 / 4); the description turns that into the x the nets were trained on.
HOW = {"do_rescale": True, "rescale_factor": 1 / 255, "image_mean": [0.25], "image_std": [0.5]}


def pictures(folder: Path, inputs: np.ndarray, targets: np.ndarray) -> Path:
    for row, (values, label) in enumerate(zip(inputs, targets, strict=True)):
        place = folder / f"class{label}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.rint(255 * (values.reshape(8, 8) / 2 + 0.25)).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{row:04}.png")
    return folder


@pytest.fixture(scope="module")
def folder(nets: Nets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    data = training.load_dataset("digits", seed=SEED)
    bad = attacks.poison(
        data.train_inputs,
        data.train_targets,
        attack="blend",
        target=TARGET,
        fraction=0.1,
        seed=SEED,
    )
    pictures(root / "probe", nets.inputs.numpy(), nets.targets.numpy())
    pictures(root / "train", bad.inputs.numpy(), bad.targets.numpy())
    np.savez(root / "arrays.npz", inputs=nets.inputs.numpy(), targets=nets.targets.numpy())
    save_file(nets.poisoned.state_dict(), root / "model.safetensors")
    (root / "how.json").write_text(json.dumps(HOW))
    (root / "nothing.json").write_text(json.dumps({"image_mean": [0.0], "image_std": [1.0]}))
    return root


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def call(*words: str) -> int:
    return cli.main([*words])


def test_a_stream_of_pictures_holds_what_a_probe_of_them_holds(folder: Path) -> None:
    how = Preprocessing.read(folder / "how.json")
    probe = Probe.load(folder / "train", preprocessing=how, n=10_000)
    stream = PictureStream(folder / "train", how)
    assert stream.names is not None
    assert list(stream.names) == sorted(stream.names)
    batches = list(stream)
    inputs = np.concatenate([x for x, _ in batches])
    labels = np.concatenate([y for _, y in batches])
    # The probe takes classes in turn, the stream one after the other: equal as sets of rows.
    mine = {x.tobytes() + bytes([y]) for x, y in zip(inputs, labels, strict=True)}
    theirs = zip(probe.inputs.numpy(), probe.targets.numpy(), strict=True)  # type: ignore[union-attr]
    assert mine == {x.tobytes() + bytes([y]) for x, y in theirs}
    assert len(inputs) == probe.n == len(stream.names)


def test_rank_finds_poison_among_pictures_and_names_their_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "ranking.csv"
    given = ("rank", "model.safetensors", "--arch", ARCH, "--data", "train", "--probe", "probe")
    assert call(*given, "--preprocessing", "how.json", "-o", str(table)) == 1
    rows = list(csv.DictReader(table.read_text().splitlines()))
    chosen = [r for r in rows if r["selected"] == "1"]
    assert len(chosen) >= 20
    assert all(r["name"].startswith(f"class{TARGET}/") for r in chosen)
    assert all((folder / "train" / r["name"]).is_file() for r in rows)
    assert chosen[0]["name"] in capsys.readouterr().out
    # A description beside the weights is the default, and says the same.
    shutil.copytree(folder, tmp_path / "beside")
    (tmp_path / "beside" / "how.json").rename(tmp_path / "beside" / "preprocessor_config.json")
    weights = str(tmp_path / "beside" / "model.safetensors")
    assert call("rank", weights, *given[2:], "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["selected"] == [int(r["row"]) for r in chosen]
    assert [document["samples"]["name"][int(r["row"])] for r in rows] == [r["name"] for r in rows]


def test_rank_takes_parquet_row_by_row(folder: Path, tmp_path: Path) -> None:
    files = sorted((folder / "train").glob("*/*.png"))
    columns = {
        "image": [{"bytes": f.read_bytes()} for f in files],
        "label": [int(f.parent.name[5:]) for f in files],
    }
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    how = Preprocessing.read(folder / "how.json")
    of_files, of_rows = (
        PictureStream(folder / "train", how),
        PictureStream(tmp_path / "t.parquet", how),
    )
    assert of_rows.names is None
    for (x, y), (other, labels) in zip(of_files, of_rows, strict=True):
        np.testing.assert_array_equal(x, other)
        np.testing.assert_array_equal(y, labels)


def test_repair_and_calibrate_take_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("repair", "model.safetensors", "--arch", ARCH, "--data", "probe", "--json")
    fixed = str(tmp_path / "fixed.safetensors")
    assert call(*given, "--preprocessing", "how.json", "-o", fixed) in (0, 1)
    before = json.loads(capsys.readouterr().out)["before"]["accuracy"]
    # Rounding to 8 bits moves no logit far: the arrays of the same probe give the same accuracy.
    of_arrays = (*given[:4], "--data", "arrays.npz", "--json", "-o", fixed, "--force")
    assert call(*of_arrays) in (0, 1)
    assert abs(json.loads(capsys.readouterr().out)["before"]["accuracy"] - before) <= 2 / 512
    # Without the description the same pixels are other inputs, which the model reads worse.
    call(*given, "--preprocessing", "nothing.json", "-o", fixed, "--force")
    said = capsys.readouterr()
    assert not said.out or json.loads(said.out)["before"]["accuracy"] < before - 0.02
    target = str(tmp_path / "refs.safetensors")
    options = ("--n", "2", "--epochs", "20", "--preprocessing", "how.json", "-o", target)
    assert call("calibrate", "--data", "train", *options) == 0
    assert Path(target).is_file()


def test_gate_and_watch_take_pictures(folder: Path, tmp_path: Path) -> None:
    given = ("--arch", ARCH, "--data", "probe", "--preprocessing", "how.json")
    scanned = call("scan", "model.safetensors", *given, "--json", "-o", str(tmp_path / "r.json"))
    assert call("gate", "model.safetensors", *given) == scanned
    (tmp_path / "run").mkdir()
    shutil.copy(folder / "model.safetensors", tmp_path / "run")
    history = str(tmp_path / "history.db")
    options = ("--once", "--settle", "0.05", "--history", history)
    assert call("watch", str(tmp_path / "run"), *given, *options) == scanned
    with Store.open(history, read_only=True) as store:
        (row,) = store.history()
        alone = json.loads((tmp_path / "r.json").read_text())
        assert (row.probe_digest, row.statistic) == (alone["probe"]["digest"], alone["statistic"])
    other = ("--arch", ARCH, "--data", "probe", "--preprocessing", "nothing.json")
    assert call("watch", str(tmp_path / "run"), *other, *options) == 2  # another series


@pytest.mark.parametrize(
    "command",
    [
        ("scan", "model.safetensors", "--arch", ARCH, "--data", "arrays.npz"),
        ("gate", "model.safetensors", "--arch", ARCH, "--data", "arrays.npz"),
        (
            "rank",
            "model.safetensors",
            "--arch",
            ARCH,
            "--data",
            "arrays.npz",
            "--probe",
            "arrays.npz",
        ),
        (
            "repair",
            "model.safetensors",
            "--arch",
            ARCH,
            "--data",
            "arrays.npz",
            "-o",
            "x.safetensors",
        ),
        ("calibrate", "--data", "arrays.npz", "-o", "x.safetensors"),
    ],
)
@pytest.mark.parametrize("how", ["how.json", "absent.json"])
def test_a_description_that_has_nothing_to_describe_is_refused(
    command: tuple[str, ...], how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*command, "--preprocessing", how) == 2
    assert "a preprocessing is for pictures only" in capsys.readouterr().err
    assert not Path("x.safetensors").exists()


def test_a_description_that_cannot_be_read_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("rank", "model.safetensors", "--arch", ARCH, "--data", "train", "--probe", "probe")
    assert call(*given, "--preprocessing", "absent.json") == 2
    assert "absent.json" in capsys.readouterr().err

"""Pictures as a probe: the model's own preprocessing, classes in similar numbers, bombs refused."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hessay.errors import ArgumentError, ProbeError
from hessay.loading.preprocessing import Preprocessing
from hessay.probe import Probe

CONFIG = {
    "do_resize": True,
    "size": {"height": 8, "width": 8},
    "resample": 2,
    "do_rescale": True,
    "do_normalize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.25, 0.5],
}


def picture(seed: int, size: tuple[int, int] = (12, 10)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def png(seed: int) -> bytes:
    out = io.BytesIO()
    picture(seed).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label, (name, count) in enumerate((("cat", 6), ("dog", 3), ("emu", 9))):
        (tmp_path / name).mkdir()
        for i in range(count):
            picture(100 * label + i).save(tmp_path / name / f"{i}.png")
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def test_a_folder_gives_its_classes_in_similar_numbers(folder: Path) -> None:
    probe = Probe.load(folder, n=12)
    assert probe.shape == (3, 8, 8)
    assert probe.targets is not None
    assert np.bincount(probe.targets.numpy()).tolist() == [4, 3, 4]
    assert Probe.load(folder, n=12).digest == probe.digest


def test_a_picture_becomes_what_the_configuration_says(folder: Path) -> None:
    expected = np.asarray(picture(0).resize((8, 8), 2), dtype=np.float64) / 255
    expected = (expected - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5]
    got = Probe.load(folder, n=3).inputs[0].numpy()
    # one rounding to float32 of numbers below 4
    np.testing.assert_allclose(got, expected.transpose(2, 0, 1), atol=4 * 2.0**-24)


def test_the_short_edge_is_resized_and_the_middle_cropped() -> None:
    given = picture(1, (40, 20))
    made = Preprocessing(8, 8, shortest_edge=10, scale=1.0).apply(given)
    expected = np.asarray(given.resize((20, 10), 2))[1:9, 6:14]
    np.testing.assert_array_equal(made, expected.transpose(2, 0, 1))


def test_grey_has_one_channel() -> None:
    made = Preprocessing(6, 5, mean=(0.0,), std=(1.0,)).apply(picture(2))
    assert made.shape == (1, 6, 5)


def test_parquet_is_the_folder(folder: Path, tmp_path: Path) -> None:
    rows = [
        {"image": {"bytes": file.read_bytes(), "path": file.name}, "label": label}
        for label, name in enumerate(("cat", "dog", "emu"))
        for file in sorted((folder / name).glob("*.png"))
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data.parquet")
    assert Probe.load(tmp_path / "data.parquet", n=12).digest == Probe.load(folder, n=12).digest


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"size": 16}, {"height": 16, "width": 16, "shortest_edge": None}),
        ({"size": {"shortest_edge": 9}}, {"height": 9, "shortest_edge": 9}),
        (
            {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224},
            {"height": 224, "width": 224, "shortest_edge": 256},
        ),
        ({"do_normalize": False}, {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}),
        ({"do_rescale": False}, {"scale": 1.0}),
    ],
)
def test_configurations_of_hugging_face_are_understood(
    tmp_path: Path, changes: dict[str, Any], fields: dict[str, Any]
) -> None:
    file = tmp_path / "c.json"
    file.write_text(json.dumps(CONFIG | changes))
    loaded = Preprocessing.load(file)
    assert {name: getattr(loaded, name) for name in fields} == fields


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"size": -1}',
        '{"size": 1e12}',
        '{"size": {"height": 1e999, "width": 4}}',
        '{"size": "8"}',
        '{"size": 8, "resample": 99}',
        '{"size": 8, "image_mean": [0, 0], "image_std": [1, 1]}',
        '{"size": 8, "image_mean": [0], "image_std": [0]}',
        '{"size": 8, "image_mean": [NaN], "image_std": [1]}',
        '{"size": 8, "image_mean": 3, "image_std": [1]}',
    ],
)
def test_other_configurations_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(text)
    with pytest.raises(ArgumentError, match=r"c\.json"):
        Preprocessing.load(file)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in parts:
        out += struct.pack(">I", len(data)) + kind + data
        out += struct.pack(">I", zlib.crc32(kind + data))
    return out


@pytest.mark.parametrize(
    "content", [bomb(100_000, 100_000), bomb(2**31 - 1, 1), b"", b"GIF89a", b"<svg/>", png(0)[:100]]
)
def test_a_picture_that_is_none_is_refused_by_name(folder: Path, content: bytes) -> None:
    (folder / "cat" / "0.png").write_bytes(content)
    with pytest.raises(ProbeError, match=r"cat.0\.png"):
        Probe.load(folder, n=3)


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ArgumentError, match="preprocessor_config"):
        Probe.load(folder)
    assert Probe.load(folder, n=3, preprocessing=Preprocessing(4, 4)).shape == (3, 4, 4)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ProbeError, match="no pictures"):
        Probe.load(empty, preprocessing=Preprocessing(4, 4))
    with pytest.raises(ArgumentError, match="at least 1, got 0"):
        Probe.load(folder, n=0, preprocessing=Preprocessing(4, 4))
    np.savez(tmp_path / "p.npz", inputs=np.eye(3))
    with pytest.raises(ArgumentError, match="preprocessing is for pictures"):
        Probe.load(tmp_path / "p.npz", preprocessing=Preprocessing(4, 4))


@pytest.mark.parametrize("rows", [[{"x": 1}], [{"image": {"bytes": b"x"}, "label": -1}], []])
def test_a_parquet_of_other_things_is_refused(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    file = tmp_path / "data.parquet"
    schema = None if rows else pa.schema([("image", pa.binary()), ("label", pa.int64())])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)
    with pytest.raises(ProbeError):
        Probe.load(file, preprocessing=Preprocessing(4, 4))
    file.write_bytes(b"PAR1" + b"\xff" * 50)
    with pytest.raises(ProbeError, match="cannot be read as parquet"):
        Probe.load(file, preprocessing=Preprocessing(4, 4))

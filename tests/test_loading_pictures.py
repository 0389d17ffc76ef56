"""Pictures become the inputs their preprocessing describes, or the refusal names the picture."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from hessay.errors import ArgumentError, HessayError, ProbeError
from hessay.loading.images import MAX_PIXELS
from hessay.loading.preprocessing import Preprocessing
from hessay.probe import Probe

SEED = 20240607
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pixels(count: int, height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def encoded(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def write_folder(root: Path, data: np.ndarray, classes: int = 2) -> Path:
    for row, values in enumerate(data):
        folder = root / f"class{row % classes}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row:03}.png").write_bytes(encoded(values))
    return root


def dumb(values: np.ndarray, crop: int) -> np.ndarray:
    """Crop and normalise one pixel at a time."""
    height, width, _ = values.shape
    top, left = (height - crop) // 2, (width - crop) // 2
    result = np.empty((3, crop, crop))
    for c in range(3):
        for i in range(crop):
            for j in range(crop):
                result[c, i, j] = (float(values[top + i, left + j, c]) / 255 - MEAN[c]) / STD[c]
    return result


def test_a_folder_is_cropped_and_normalised_pixel_by_pixel(tmp_path: Path) -> None:
    data = pixels(5)
    how = Preprocessing(crop=(4, 4), mean=MEAN, std=STD)
    probe = Probe.load(write_folder(tmp_path / "p", data), preprocessing=how)
    assert probe.targets is not None
    # Classes in turn, files by name: rows 0, 1, 2, ... of alternating classes.
    assert probe.targets.tolist() == [0, 1, 0, 1, 0]
    expected = np.stack([dumb(values, 4) for values in data])
    # One rounding to float32 of numbers below 4.
    np.testing.assert_allclose(probe.inputs.numpy(), expected, rtol=0, atol=4 * 2.0**-24)


def test_parquet_gives_the_probe_of_the_folder(tmp_path: Path) -> None:
    data = pixels(20)
    folder = Probe.load(write_folder(tmp_path / "p", data))
    rows = [{"bytes": encoded(values), "path": "../../x"} for values in data]
    table = pa.table({"image": rows, "label": [row % 2 for row in range(20)], "other": ["x"] * 20})
    parquet.write_table(table, tmp_path / "p.parquet")
    assert Probe.load(tmp_path / "p.parquet").digest == folder.digest
    assert Probe.load(tmp_path / "p.parquet", n=17).n == 17


def test_the_classes_are_equally_many_when_there_are_enough(tmp_path: Path) -> None:
    probe = Probe.load(write_folder(tmp_path / "p", pixels(30), classes=3), n=9)
    assert probe.targets is not None
    assert probe.targets.bincount().tolist() == [3, 3, 3]


def test_the_shorter_side_is_resized_as_pillow_does_it(tmp_path: Path) -> None:
    data = pixels(2, 12, 18)
    how = Preprocessing(resize=6, crop=(6, 6), resample=3)
    probe = Probe.load(write_folder(tmp_path / "p", data), preprocessing=how)
    for row, values in enumerate(data):
        small = np.asarray(Image.fromarray(values).resize((9, 6), Image.Resampling.BICUBIC))
        expected = small[:, 2:8].transpose(2, 0, 1) / 255  # round(1.5) is 2
        np.testing.assert_allclose(probe.inputs[row].numpy(), expected, rtol=0, atol=2.0**-24)


def test_hugging_face_and_timm_descriptions_are_read(tmp_path: Path) -> None:
    hugging = {
        "do_resize": True, "size": {"shortest_edge": 256}, "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224}, "resample": 3, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": MEAN, "image_std": STD,
    }  # fmt: skip
    timm = {"input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bicubic",
            "mean": MEAN, "std": STD}  # fmt: skip
    expected = Preprocessing(resize=256, crop=(224, 224), mean=MEAN, std=STD, resample=3)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(hugging))
    assert Preprocessing.beside(tmp_path / "model.safetensors") == expected
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "x"}))
    assert Preprocessing.beside(tmp_path / "model.safetensors") is None
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": timm}))
    assert Preprocessing.beside(tmp_path / "model.safetensors") == expected


NONSENSE: dict[str, Any] = {
    "no object": [],
    "nothing of it": {"a": 1},
    "mean of text": {"image_mean": ["a"], "image_std": [1]},
    "std of zero": {"image_mean": [0, 0, 0], "image_std": [1, 0, 1]},
    "NaN": {"image_mean": [0, 0, float("nan")], "image_std": [1, 1, 1]},
    "a side of 1e12": {"size": {"shortest_edge": 10**12}},
    "negative crop": {"crop_size": -4},
    "two channels": {"image_mean": [0, 0], "image_std": [1, 1]},
    "timm without size": {"pretrained_cfg": {"mean": [0]}},
    "timm crop_pct 0": {"pretrained_cfg": {"input_size": [3, 8, 8], "crop_pct": 0}},
}


@pytest.mark.parametrize("case", NONSENSE)
def test_a_description_of_nothing_is_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(NONSENSE[case]))
    with pytest.raises(ArgumentError):
        Preprocessing.read(path)


def png_claiming(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def test_a_picture_that_claims_too_many_pixels_is_refused_undecoded(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "p", pixels(2))
    for sides in ((MAX_PIXELS // 4096 + 1, 4096), (100_000, 100_000), (2**31 - 1, 2**31 - 1)):
        (root / "class0" / "000.png").write_bytes(png_claiming(*sides))
        with pytest.raises(ProbeError, match=r"000\.png"):
            Probe.load(root)


def test_a_damaged_or_deep_picture_is_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "p", pixels(2))
    file = root / "class0" / "000.png"
    good = file.read_bytes()
    deep = io.BytesIO()
    Image.fromarray(np.zeros((6, 8), dtype=np.uint16)).save(deep, "PNG")
    for content in (b"", b"GIF89a", good[:40], good[:-40], deep.getvalue()):
        file.write_bytes(content)
        with pytest.raises(ProbeError, match=r"000\.png"):
            Probe.load(root)


def test_odd_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProbeError, match="no picture"):
        Probe.load(tmp_path / "empty")
    root = write_folder(tmp_path / "p", pixels(2))
    (root / "class2").mkdir()
    with pytest.raises(ProbeError, match="no picture"):
        Probe.load(root)
    (tmp_path / "secret.png").write_bytes(encoded(pixels(1)[0]))
    (root / "class2" / "a.png").symlink_to("../../secret.png")
    with pytest.raises(ProbeError, match="symlink"):
        Probe.load(root)
    (root / "class2" / "a.png").unlink()
    (root / "class2" / "a.png").write_bytes(encoded(pixels(1, 3, 3)[0]))
    with pytest.raises(ProbeError, match="resizes and crops"):
        Probe.load(root)
    (root / "b.png").write_bytes(b"")
    with pytest.raises(ProbeError, match="beside folders"):
        Probe.load(root)


def test_odd_parquet_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    picture = encoded(pixels(1)[0])
    tables = [
        {"pixels": [1, 2]},
        {"image": ["text"]},
        {"image": [None, picture]},
        {"image": [picture], "label": ["cat"]},
        {"image": pa.array([], pa.binary())},
    ]
    for columns in tables:
        parquet.write_table(pa.table(columns), path)
        with pytest.raises(HessayError, match=r"p\.parquet"):
            Probe.load(path)
    for content in (b"", b"PAR1", b"PAR1" + b"\xff" * 40 + b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(ProbeError, match=r"p\.parquet"):
            Probe.load(path)

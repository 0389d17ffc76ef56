"""Files that nobody should open carelessly, made in memory; and good ones of every kind to spoil."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.lib import format as npy
from PIL import Image
from pyarrow import parquet
from safetensors.torch import save

from graph_files import (
    archive_members,
    elsewhere,
    field,
    onnx_bytes,
    onnx_model,
    varint,
    zipped,
)
from hessay.loading import build_architecture, load_model
from hessay.loading.preprocessing import Preprocessing
from hessay.probe import Probe

ARCH = "mlp:4-3-2"
CLAIM = 100 * 10**9  # bytes
MARKER = "ran"  # made in the working directory by whatever is executed

PROBES = (".npz", ".parquet", ".png")


class Bomb:
    """Pickles as ``os.system("touch ran")``."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {MARKER}",)


def open_file(path: Path) -> object:
    """Hand a file to the loader that its name asks for."""
    if path.name == "preprocessor_config.json":
        return Preprocessing.read(path)
    if path.suffix == ".png":
        return Probe.load(path.parent)
    return Probe.load(path) if path.suffix in PROBES else load_model(path, ARCH)


def good_files() -> dict[str, bytes]:
    """One small valid file of every kind, by name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build_architecture(ARCH).state_dict()
    probe, rows = io.BytesIO(), io.BytesIO()
    np.savez(probe, inputs=np.arange(12.0).reshape(3, 4), targets=np.arange(3))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 3), dtype=np.uint8)
    pictures = [_png(values) for values in pixels]
    parquet.write_table(pa.table({"image": pictures, "label": [0, 1, 0]}), rows)
    config = {"size": {"height": 4, "width": 4}, "image_mean": [0.5], "image_std": [0.5]}
    index = {"weight_map": dict.fromkeys(state, "good.safetensors")}
    return {
        "good.safetensors": save(state),
        "zip.pt": _torch(state),
        "legacy.pt": _torch(state, legacy=True),
        "exported.pt2": zipped(archive_members(state)),
        "graph.onnx": onnx_bytes(state),
        "model.safetensors.index.json": json.dumps(index).encode(),
        "probe.npz": probe.getvalue(),
        "probe.parquet": rows.getvalue(),
        "picture.png": pictures[0],
        "preprocessor_config.json": json.dumps(config).encode(),
    }


def hostile_files() -> dict[str, bytes]:
    """Files of which every one must be refused, by name; the suffix tells the kind."""
    good = good_files()
    entry = {"dtype": "F32", "shape": [CLAIM // 4], "data_offsets": [0, CLAIM]}
    zeros = b"\0" * 2**20
    huge = torch.zeros(1).expand(10**12)
    claim_npy = _npy_header((CLAIM // 8,))
    index = "model.safetensors.index.json"
    exported = archive_members(build_architecture(ARCH).state_dict())
    config = "m/data/weights/model_weights_config.json"
    return {
        "raw.pt": pickle.dumps(Bomb()),
        "nested.pt": _torch({"state_dict": {"0.weight": torch.ones(3, 4)}, "x": [Bomb()]}),
        "legacy-bomb.pt": _torch({"x": Bomb()}, legacy=True),
        "bomb.safetensors": pickle.dumps(Bomb()),
        "expanded.pt": _torch({"0.weight": huge}),
        "expanded-legacy.pt": _torch({"0.weight": huge}, legacy=True),
        "length.pt": b"\x80\x04\x8e" + struct.pack("<Q", CLAIM),  # BINBYTES8
        "frame.pt": b"\x80\x04\x95" + struct.pack("<Q", CLAIM) + b"}.",
        "deep.pt": b"\x80\x02" + b"]" * 10**6 + b".",
        "memo.pt": b"\x80\x02}" + b"r\xff\xff\xff\x7f" + b".",
        "inflating.pt": _zip({"a/data.pkl": b"}.", "a/data/0": zeros * 64}, deflate=True),
        "twice.pt": _twice(good["zip.pt"]),
        "traversal.pt": _zip({"../a/data.pkl": b"}.", "../../etc/x": b""}),
        "absolute.pt": _zip({"/a/data.pkl": b"}."}),
        "overlap.pt": _overlapping(good["zip.pt"]),
        "graph.pt2": good["zip.pt"],
        "inflating.pt2": zipped(exported, zipfile.ZIP_DEFLATED),
        "claim.pt2": zipped(
            exported | {config: exported[config].replace(b'int": 4', b'int": 99999999999')}
        ),
        "graph.onnx": b"\x08\x07",
        "nodes.onnx": onnx_model(nodes=b"\x0a\x00" * 2**20),
        "claim.onnx": onnx_model(
            field(1, CLAIM // 4) + field(2, 1) + field(8, b"a") + field(9, zeros)
        ),
        "length.onnx": b"\x3a" + varint(CLAIM),
        "passwd.onnx": onnx_model(elsewhere("a", [1], location="/etc/passwd")),
        "claim.safetensors": _safetensors({"0.weight": entry}),
        "header.safetensors": struct.pack("<Q", CLAIM) + b"{}",
        "deep.safetensors": _safetensors(b'{"a":' * 10**5),
        "shape.safetensors": _safetensors({"a": entry | {"data_offsets": [0, 8]}}),
        "overflow.safetensors": _safetensors({"a": entry | {"shape": [2**62, 2**62]}}),
        "nan.safetensors": save(_spoiled(float("nan"))),
        "inf.pt": _torch(_spoiled(float("inf"))),
        f"up/{index}": json.dumps({"weight_map": {"0.weight": "../x.safetensors"}}).encode(),
        f"deep/{index}": b"[" * 10**6,
        f"huge/{index}": b" " * (2**24 + 1),
        "claim.npz": _zip({"inputs.npy": claim_npy + zeros}),
        "inflating.npz": _zip({"inputs.npy": _npy_header((2**23,)) + zeros * 64}, deflate=True),
        "objects.npz": _zip({"inputs.npy": _objects()}),
        "traversal.npz": _zip({"../inputs.npy": claim_npy}),
        "twice.npz": _twice(good["probe.npz"]),
        "claim.parquet": good["probe.parquet"][:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1",
        "claim/picture.png": _png_claiming(2**31 - 1, 2**31 - 1),
        "large/picture.png": _png_claiming(180_000, 180_000),
        "deep/preprocessor_config.json": b"[" * 10**5,
        "huge/preprocessor_config.json": b" " * (2**20 + 1),
        "number/preprocessor_config.json": b'{"size": ' + b"9" * 5000 + b"}",
    }


def _torch(content: object, *, legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def _spoiled(value: float) -> dict[str, torch.Tensor]:
    state = build_architecture(ARCH).state_dict()
    state["2.bias"][1] = value
    return state


def _safetensors(header: object) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * 8


def _zip(members: dict[str, bytes], *, deflate: bool = False) -> bytes:
    stream = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _twice(content: bytes) -> bytes:
    stream = io.BytesIO(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of what is done here on purpose
        with zipfile.ZipFile(stream, "a") as archive:
            name = archive.namelist()[0]
            archive.writestr(name, archive.read(name))
    return stream.getvalue()


def _overlapping(content: bytes) -> bytes:
    """Let every member of the central directory start where the first does (APPNOTE 4.3.12)."""
    result, at = bytearray(content), 0
    while (at := content.find(b"PK\x01\x02", at)) >= 0:
        result[at + 42 : at + 46] = struct.pack("<I", 0)
        at += 1
    return bytes(result)


def _npy_header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _objects() -> bytes:
    stream = io.BytesIO()
    npy.write_array(stream, np.array([Bomb()], dtype=object), allow_pickle=True)
    return stream.getvalue()


def _png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def _png_claiming(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(2**20))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )

"""Archives of torch.export and ONNX graphs written byte by byte, so that they can lie."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import torch

PT2_DTYPES = {torch.float32: 7, torch.float64: 8, torch.float16: 6, torch.int64: 5}
ONNX_DTYPES = {torch.float32: 1, torch.int64: 7, torch.float16: 10, torch.float64: 11}


def plain_bytes(value: torch.Tensor) -> bytes:
    return value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def entry(value: torch.Tensor, member: str) -> dict[str, Any]:
    """What an archive says of one weight."""
    return {
        "path_name": member,
        "is_param": True,
        "use_pickle": False,
        "tensor_meta": {
            "dtype": PT2_DTYPES[value.dtype],
            "sizes": [{"as_int": n} for n in value.shape],
            "strides": [{"as_int": n} for n in value.contiguous().stride()],
            "storage_offset": {"as_int": 0},
            "layout": 7,
        },
    }


def archive_members(state: dict[str, torch.Tensor]) -> dict[str, bytes]:
    """Members of an archive by name, as torch.export.save writes them, without the graph."""
    names = {name: f"weight_{i}" for i, name in enumerate(state)}
    config = {"config": {name: entry(value, names[name]) for name, value in state.items()}}
    return {
        **{f"m/data/weights/{names[n]}": plain_bytes(v) for n, v in state.items()},
        "m/data/weights/model_weights_config.json": json.dumps(config).encode(),
        "m/archive_format": b"pt2",
        "m/byteorder": b"little",
    }


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def varint(value: int) -> bytes:
    result = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        result.append(low | (0x80 if value else 0))
        if not value:
            return bytes(result)


def field(number: int, value: int | bytes) -> bytes:
    """One field of a protocol buffer: a varint, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def initialiser(name: str, value: torch.Tensor) -> bytes:
    """A TensorProto with raw_data."""
    head = b"".join(field(1, n) for n in value.shape) + field(2, ONNX_DTYPES[value.dtype])
    return head + field(8, name.encode()) + field(9, plain_bytes(value))


def elsewhere(name: str, shape: list[int], **where: object) -> bytes:
    """A float TensorProto whose data lie in another file."""
    head = b"".join(field(1, n) for n in shape) + field(2, 1) + field(8, name.encode())
    entries = [field(1, k.encode()) + field(2, str(v).encode()) for k, v in where.items()]
    return head + b"".join(field(13, e) for e in entries) + field(14, 1)


def onnx_model(*initialisers: bytes, nodes: bytes = b"") -> bytes:
    """A ModelProto: version of the format, and a graph with these initialisers."""
    return field(1, 10) + field(7, nodes + b"".join(field(5, i) for i in initialisers))


def onnx_bytes(state: dict[str, torch.Tensor]) -> bytes:
    return onnx_model(*(initialiser(name, value) for name, value in state.items()))

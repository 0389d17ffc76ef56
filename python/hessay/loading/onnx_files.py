"""ONNX files: the initialisers of the graph, which hold its weights, and nothing else of it.

A file is one message of protocol buffers: fields in a row, each a varint ``number << 3 | kind`` and,
by kind, a varint (0), 8 bytes (1), a length and so many bytes (2), or 4 bytes (5). Only the three
messages that lead to a weight are walked: ModelProto, its GraphProto, the graph's TensorProtos.
Nodes are stepped over by their lengths: a reader of whole graphs builds an object of each, and an
empty one takes two bytes of the file.

Source: protobuf.dev, Encoding; onnx.proto of ONNX 1.23 (numbers of fields and types).
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor

from hessay.errors import UntrustedFile
from hessay.loading.beside import file_beside
from hessay.loading.shown import shown

MAX_FIELDS: Final = 10**6  # of one message: a graph of a million nodes and weights
MAX_TENSORS: Final = 50_000
_MAX_TENSOR_FIELDS: Final = 200
_MAX_DIMS: Final = 16
_MAX_NAME: Final = 4096  # bytes
_DTYPES: Final = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32,
    7: torch.int64, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16,
}  # fmt: skip
_VARINT, _BYTES = 0, 2
_FIXED: Final = {1: 8, 5: 4}  # bytes by kind
# Fields of TensorProto.
_DIMS, _DATA_TYPE, _SEGMENT, _FLOATS, _NAME, _RAW, _DOUBLES, _EXTERNAL, _LOCATION = (
    *(1, 2, 3, 4, 8, 9, 10, 13, 14),
)
_ONCE: Final = {_DATA_TYPE, _FLOATS, _NAME, _RAW, _DOUBLES, _LOCATION}
# Packed float_data and double_data are little-endian bytes like raw_data (onnx.proto, TensorProto).
_TYPED: Final = {_FLOATS: torch.float32, _DOUBLES: torch.float64}


class _Lie(ValueError):
    """The file contradicts itself, or is no ONNX."""


class _Field(NamedTuple):
    number: int
    kind: int
    value: int  # of a varint
    start: int  # of the bytes of any other
    stop: int


@dataclass(frozen=True, slots=True)
class _Head:
    """What a TensorProto says of its tensor."""

    name: str
    dtype: torch.dtype | None  # None: no weights are kept in it
    shape: list[int]
    span: tuple[int, int] | None  # where its bytes lie in this file
    external: dict[str, str]  # or in another


def load_onnx(path: Path) -> dict[str, Tensor]:
    """Read the initialisers of an ONNX graph, on the CPU; the graph itself is not looked at.

    External data are read where they lie in one plain file beside this one. Left out are tensors
    of types that hold no weights, and integers that are not raw bytes.

    Parameters
    ----------
    path : Path
        A regular, non-empty file.

    Returns
    -------
    dict of str to Tensor
        Constants of the graph are among them; see :func:`weights_for`.

    Raises
    ------
    UntrustedFile
        No ONNX, cut off, a size that contradicts the file, a name twice, external data elsewhere,
        over a million fields in one message or over 50 000 initialisers.
    """
    data = _mapped(path)
    others: dict[Path, mmap.mmap] = {}
    try:
        graphs = [(f.start, f.stop) for f in _fields(data, 0, len(data)) if _is(f, 7)]
        if len(graphs) != 1:
            raise _Lie(f"it holds {len(graphs)} graphs, a model of ONNX has one")
        state: dict[str, Tensor] = {}
        for number, field in enumerate(f for f in _fields(data, *graphs[0]) if _is(f, 5)):
            if number >= MAX_TENSORS:
                raise _Lie(f"over {MAX_TENSORS} initialisers, the limit")
            head = _head(data, field.start, field.stop)
            if head.dtype is None:
                continue
            if head.name in state:
                raise _Lie(f"two initialisers are named {shown(head.name)!r}")
            state[head.name] = _tensor(path, data, others, head)
    except _Lie as error:
        raise UntrustedFile(
            f"refusing {path}: {shown(error, 300)}; export it again, or save its weights with safetensors"
        ) from error
    if not state:
        raise UntrustedFile(f"refusing {path}: its graph holds no weights; save them with it")
    return state


def weights_for(expected: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take from initialisers what a model has by name, and leave out the constants of the graph.

    Shapes, axes and single factors of the graph are initialisers as well: integers and single
    numbers that the model does not have are dropped, and nothing else is. ``num_batches_tracked``, which no
    graph has and no model in eval mode reads, is the model's own.

    Parameters
    ----------
    expected : dict of str to Tensor
        The model's state dict.
    state : dict of str to Tensor
        From :func:`load_onnx`.
    """
    counters = {n: v for n, v in expected.items() if n.rpartition(".")[2] == "num_batches_tracked"}
    return counters | {
        name: value
        for name, value in state.items()
        if name in expected or (value.is_floating_point() and value.numel() != 1)
    }


def _mapped(path: Path) -> mmap.mmap:
    # Private pages: nothing is read before it is looked at, and nothing is ever written back.
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _is(field: _Field, number: int) -> bool:
    return field.number == number and field.kind == _BYTES


def _fields(data: mmap.mmap, at: int, stop: int, limit: int = MAX_FIELDS) -> Iterator[_Field]:
    for _ in range(limit):
        if at == stop:
            return
        tag, at = _varint(data, at, stop)
        number, kind = tag >> 3, tag & 7
        if not number or kind not in (_VARINT, _BYTES, *_FIXED):
            raise _Lie(f"no field of ONNX begins with {tag}")
        if kind == _VARINT:
            value, at = _varint(data, at, stop)
            yield _Field(number, kind, value, at, at)
            continue
        length = _FIXED.get(kind, 0)
        if kind == _BYTES:
            length, at = _varint(data, at, stop)
        if length > stop - at:
            raise _Lie(f"a field claims {length} bytes where {stop - at} are left (truncated?)")
        yield _Field(number, kind, 0, at, at + length)
        at += length
    raise _Lie(f"over {limit} fields in one message, the limit")


def _varint(data: mmap.mmap, at: int, stop: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):  # 64 bits take at most ten bytes
        if at >= stop:
            raise _Lie("cut off inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at
    raise _Lie("a number of more than 64 bits")


def _head(data: mmap.mmap, start: int, stop: int) -> _Head:
    kept: dict[int, _Field] = {}
    shape: list[int] = []
    external: dict[str, str] = {}
    for field in _fields(data, start, stop, _MAX_TENSOR_FIELDS):
        if field.number == _SEGMENT:
            raise _Lie("an initialiser in segments")
        if field.number in _ONCE and field.number in kept:
            raise _Lie(f"an initialiser says twice what it is (field {field.number})")
        kept[field.number] = field
        if field.number == _DIMS:
            shape += _numbers(data, field)
        elif field.number == _EXTERNAL:
            key, value = _entry(data, field)
            if key in external:
                raise _Lie("an initialiser says twice where its data lie")
            external[key] = value
    if len(shape) > _MAX_DIMS or max(shape, default=0) >= 2**63:
        raise _Lie(f"an initialiser of more than {_MAX_DIMS}, or of negative, dimensions")
    name = _text(data, kept[_NAME]) if _NAME in kept else ""
    if not name:
        raise _Lie("an initialiser without a name")
    dtype = _DTYPES.get(kept[_DATA_TYPE].value) if _DATA_TYPE in kept else None
    if (_LOCATION in kept and kept[_LOCATION].value == 1) != bool(external):
        raise _Lie(f"{shown(name)!r} does not say clearly whether its data lie elsewhere")
    held = [number for number in (_RAW, *_TYPED) if number in kept]
    if len(held) + bool(external) > 1:
        raise _Lie(f"{shown(name)!r} has data in two places")
    span = None
    if held and kept[held[0]].kind == _BYTES and _TYPED.get(held[0], dtype) == dtype:
        span = kept[held[0]].start, kept[held[0]].stop
    elif not held and not external and math.prod(shape) == 0:
        span = 0, 0
    if dtype is not None and span is None and not external:
        if dtype.is_floating_point:
            raise _Lie(f"the numbers of {shown(name)!r} are not kept as bytes (raw_data)")
        dtype = None
    return _Head(name, dtype, shape, span, external)


def _numbers(data: mmap.mmap, field: _Field) -> list[int]:
    if field.kind == _VARINT:
        return [field.value]
    numbers: list[int] = []
    at = field.start
    while at < field.stop and len(numbers) <= _MAX_DIMS:
        value, at = _varint(data, at, field.stop)
        numbers.append(value)
    return numbers


def _text(data: mmap.mmap, field: _Field) -> str:
    if field.kind != _BYTES or field.stop - field.start > _MAX_NAME:
        raise _Lie(f"a name of over {_MAX_NAME} bytes, or none at all")
    try:
        return data[field.start : field.stop].decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Lie(f"a name that is no text ({error.reason})") from error


def _entry(data: mmap.mmap, field: _Field) -> tuple[str, str]:
    if field.kind != _BYTES:
        raise _Lie("no entry of external data")
    pair = {f.number: _text(data, f) for f in _fields(data, field.start, field.stop, 8)}
    return pair.get(1, ""), pair.get(2, "")


def _tensor(path: Path, data: mmap.mmap, others: dict[Path, mmap.mmap], head: _Head) -> Tensor:
    assert head.dtype is not None
    needed = math.prod(head.shape) * head.dtype.itemsize
    span = head.span or (0, 0)
    if head.external:
        file, span = _elsewhere(path, head, needed)
        if needed and file not in others:
            others[file] = _mapped(file)
        data = others.get(file, data)
    if span[1] - span[0] != needed:
        raise _Lie(
            f"{shown(head.name)!r} of shape {shown(head.shape)} needs {needed} bytes, "
            f"it has {span[1] - span[0]}"
        )
    if not needed:
        return torch.empty(head.shape, dtype=head.dtype)
    if span[0] % head.dtype.itemsize:  # raw data lie at any offset; torch wants multiples
        return torch.frombuffer(bytearray(data[slice(*span)]), dtype=head.dtype).reshape(head.shape)
    flat = torch.frombuffer(
        data, dtype=head.dtype, count=needed // head.dtype.itemsize, offset=span[0]
    )
    return flat.reshape(head.shape)


def _elsewhere(path: Path, head: _Head, needed: int) -> tuple[Path, tuple[int, int]]:
    if not head.external.keys() <= {"location", "offset", "length", "checksum"}:
        raise _Lie(f"unknown words about external data: {shown(sorted(head.external))}")
    file = file_beside(path, head.external.get("location", ""), "external data")
    numbers = {"offset": 0, "length": needed}
    for key in numbers.keys() & head.external.keys():
        text = head.external[key]
        if not (text.isascii() and text.isdecimal() and len(text) < 20):
            raise _Lie(f"the {key} of external data is {shown(text)!r}, not a number")
        numbers[key] = int(text)
    start, stop = numbers["offset"], numbers["offset"] + numbers["length"]
    size = file.stat().st_size
    if stop > size:
        raise _Lie(
            f"{shown(head.name)!r} claims bytes up to {stop} of {shown(file.name)}, which has {size}"
        )
    return file, (start, stop)

"""Safetensors files: the header is checked against the file before anything is allocated.

Layout: 8 bytes little-endian length N, N bytes of JSON, then the tensors back to back. The JSON
maps each name to its dtype, shape and byte range; ranges must tile the data without hole or overlap.

Source: the format description of safetensors (huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Final

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from hessay.errors import UntrustedFile
from hessay.loading.shown import shown

MAX_HEADER_BYTES: Final = 16 * 2**20  # about 150 000 tensors; the format itself allows 100 MB
_DTYPE_BYTES: Final = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL"), 1),
}


class _Lie(ValueError):
    """The header contradicts itself or the file."""


def load_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a checked safetensors file, memory-mapped, on the CPU.

    Parameters
    ----------
    path : Path
        A regular, non-empty file.

    Raises
    ------
    UntrustedFile
        Truncated, a header that lies about sizes or offsets, duplicate names, an unknown dtype.
    """
    try:
        _check_header(path)
        return load_file(path)
    # ValueError holds _Lie, bad JSON and bad UTF-8; deep nesting ends in RecursionError.
    except (ValueError, RecursionError) as error:
        raise UntrustedFile(
            f"refusing {path}: {shown(error, 200)}; save it again with safetensors"
        ) from error
    # safetensors raises its own type for files that its stricter parser rejects.
    except Exception as error:
        raise UntrustedFile(
            f"refusing {path}: safetensors cannot read it ({shown(error, 200)})"
        ) from error


def read_metadata(path: Path) -> dict[str, str]:
    """Free text a safetensors file carries about itself; empty where it has none.

    Parameters
    ----------
    path : Path
        A file that :func:`load_safetensors` accepted.
    """
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def _check_header(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8:
            raise _Lie(f"truncated: {size} bytes are too few for a safetensors file")
        if length > size - 8:
            raise _Lie(
                f"truncated, or not safetensors: the header claims {length} bytes, "
                f"the file holds {size - 8}"
            )
        if length > MAX_HEADER_BYTES:
            raise _Lie(f"a header of {length} bytes is over the limit of {MAX_HEADER_BYTES}")
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise _Lie("the header is not a JSON object")
    header.pop("__metadata__", None)
    ranges = sorted(_byte_range(name, entry) for name, entry in header.items())
    end = 0
    for start, stop, name in ranges:
        if start != end:
            raise _Lie(
                f"tensor {shown(name)!r} starts at byte {start} of the data, "
                f"{'inside' if start < end else 'a hole after'} the one that ends at {end}"
            )
        end = stop
    if end != size - 8 - length:
        raise _Lie(
            f"the header claims {end} bytes of tensors, the file holds {size - 8 - length} "
            "(truncated, or something is appended)"
        )


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise _Lie("the header has the same name twice")
    return names


def _byte_range(name: str, entry: object) -> tuple[int, int, str]:
    match entry:
        case {
            "dtype": str(dtype),
            "shape": list(shape),
            "data_offsets": [int(start), int(stop)],
        } if all(type(n) is int and n >= 0 for n in [*shape, start, stop]):
            if dtype not in _DTYPE_BYTES:
                raise _Lie(
                    f"tensor {shown(name)!r} has dtype {shown(dtype)!r}; use one of {[*_DTYPE_BYTES]}"
                )
            needed = math.prod(shape) * _DTYPE_BYTES[dtype]
            if stop - start != needed:
                raise _Lie(
                    f"tensor {shown(name)!r} of shape {shown(shape)} needs {needed} bytes, "
                    f"its offsets span {stop - start}"
                )
            return start, stop, name
    raise _Lie(f"the header entry of tensor {shown(name)!r} is malformed")

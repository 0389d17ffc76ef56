"""torch.export archives: the weights, which lie in a zip as plain bytes, and nothing else of it.

``root/data/weights/NAME_weights_config.json`` says of each weight which member
``root/data/weights/weight_N`` holds its bytes, with which dtype, sizes and strides. The graph, the
constants and the sample inputs (a pickle) are not read: nothing is run or unpickled. Older archives,
which keep their weights as a pickle, are refused.

Source: torch 2.13, torch/export/pt2_archive/_package.py, _package_weights.py; torch/_export/serde/schema.py.
"""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from hessay.errors import UntrustedFile
from hessay.loading.shown import shown

MAX_CONFIG_BYTES: Final = 16 * 2**20  # about 50 000 tensors
_CONFIG: Final = "_weights_config.json"
_STRIDED: Final = 7  # schema.py, Layout
_DTYPES: Final = {  # schema.py, ScalarType
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64,
    6: torch.float16, 7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip


class _Lie(ValueError):
    """The archive contradicts itself, or is none of torch.export."""


def load_exported(path: Path) -> dict[str, Tensor]:
    """Weights and persistent buffers of a torch.export archive by name, on the CPU.

    Parameters
    ----------
    path : Path
        A regular, non-empty file of ``torch.export.save``.

    Raises
    ------
    UntrustedFile
        Another kind of zip, several models in one, members that are compressed, share a name or claim more
        than the file holds, a weight that is pickled or contradicts its bytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path.stat().st_size)
            root, config = _config(archive, members)
            return _state(archive, members, f"{root}/data/weights/", config)
    # ValueError holds _Lie, bad JSON and bad UTF-8; deep nesting ends in RecursionError.
    except (ValueError, RecursionError) as error:
        reason = shown(error, 300)
    # zipfile answers hostile bytes with many types of exception.
    except Exception as error:  # noqa: BLE001
        reason = f"damaged ({shown(error, 200) or type(error).__name__})"
    raise UntrustedFile(
        f"refusing {path}: {reason}; save the weights with safetensors (program.state_dict)"
    )


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, int]:
    infos = archive.infolist()
    sizes = {info.filename: info.file_size for info in infos}
    if len(sizes) != len(infos):
        raise _Lie("two members of the zip share a name")
    # torch stores members as they are; a compressed one would inflate without a limit.
    if any(i.compress_type or i.flag_bits & 1 or i.file_size != i.compress_size for i in infos):
        raise _Lie("a member of the zip is compressed or encrypted, torch.export writes neither")
    if sum(sizes.values()) > size:
        raise _Lie(f"its members claim more than the {size} bytes of the file")
    return sizes


def _config(archive: zipfile.ZipFile, members: dict[str, int]) -> tuple[str, dict[str, object]]:
    root = next(iter(members), "").partition("/")[0]
    names = [n for n in members if n.startswith(f"{root}/data/weights/") and n.endswith(_CONFIG)]
    if f"{root}/archive_format" not in members or len(names) != 1:
        raise _Lie(
            f"no torch.export archive of one model with its weights as plain bytes (it has "
            f"{len(names)} lists of such weights; an older torch pickled them)"
        )
    if members[names[0]] > MAX_CONFIG_BYTES:
        raise _Lie(f"a list of weights of over {MAX_CONFIG_BYTES} bytes, the limit")
    order = f"{root}/byteorder"
    if members.get(order, 0) > 16 or (order in members and archive.read(order) != b"little"):
        raise _Lie("its numbers are not little-endian")
    loaded = json.loads(archive.read(names[0]).decode("utf-8"), object_pairs_hook=_unique)
    config = loaded.get("config") if isinstance(loaded, dict) else None
    if not isinstance(config, dict) or not config:
        raise _Lie("its list of weights is empty or malformed")
    return root, config


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise _Lie("its list of weights has the same name twice")
    return names


def _state(
    archive: zipfile.ZipFile, members: dict[str, int], folder: str, config: dict[str, object]
) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = {}
    state = {}
    for name, entry in config.items():
        member, dtype, sizes, strides, offset = _entry(name, entry)
        if folder + member not in members:
            raise _Lie(f"the bytes of {shown(name)!r} are missing")
        # As many as the strides reach, and as many as there are: a stride of 0 reaches one element
        # and claims any number.
        last = offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
        count = math.prod(sizes)
        reach = max(last + 1, offset + count) if count else 0
        if reach * dtype.itemsize > members[folder + member]:
            raise _Lie(
                f"{shown(name)!r} of shape {shown(sizes)} needs {reach * dtype.itemsize} bytes, the "
                f"file holds {members[folder + member]}"
            )
        if member not in stored:
            stored[member] = _bytes(archive, folder + member)
        whole = stored[member][: stored[member].numel() // dtype.itemsize * dtype.itemsize]
        state[name] = torch.as_strided(whole.view(dtype), sizes, strides, offset)
    return state


def _bytes(archive: zipfile.ZipFile, member: str) -> Tensor:
    # zipfile holds every byte against the checksum; the sizes were held against the file.
    held = bytearray(archive.read(member))
    return torch.frombuffer(held, dtype=torch.uint8) if held else torch.empty(0, dtype=torch.uint8)


def _entry(name: str, entry: object) -> tuple[str, torch.dtype, list[int], list[int], int]:
    match entry:
        case {
            "path_name": str(member),
            "use_pickle": bool(pickled),
            "tensor_meta": {
                "dtype": int(dtype),
                "sizes": list(sizes),
                "strides": list(strides),
                "storage_offset": offset,
                "layout": int(layout),
            },
        }:
            if pickled:
                raise _Lie(f"{shown(name)!r} is pickled, and could run code")
            if dtype not in _DTYPES or layout != _STRIDED:
                raise _Lie(f"{shown(name)!r} has dtype {dtype} and layout {layout}; plain weights have neither")  # fmt: skip
            numbers = [_whole(name, value) for value in [*sizes, *strides, offset]]
            if len(sizes) == len(strides) <= 16:
                n = len(sizes)
                return member, _DTYPES[dtype], numbers[:n], numbers[n:-1], numbers[-1]
    raise _Lie(f"the entry of weight {shown(name)!r} is malformed")


def _whole(name: str, value: object) -> int:
    match value:
        case {"as_int": int(number)} if type(number) is int and 0 <= number < 2**62:
            return number
    raise _Lie(f"a size of weight {shown(name)!r} is {shown(value)}, not a number")

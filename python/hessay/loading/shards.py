"""Safetensors in several files: the index is held against the shards, the shards against the index.

``model.safetensors.index.json`` maps each tensor to the shard that holds it. Shards lie beside the
index; a name that leads elsewhere, by a path or by a symlink, is refused.

Source: huggingface.co/docs/safetensors (index of sharded files).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from torch import Tensor

from hessay.errors import UntrustedFile
from hessay.loading.beside import file_beside
from hessay.loading.safetensors_files import load_safetensors
from hessay.loading.shown import shown

INDEX_SUFFIX: Final = ".safetensors.index.json"
MAX_INDEX_BYTES: Final = 16 * 2**20  # about 150 000 tensors
MAX_SHARDS: Final = 1024


def load_sharded(path: Path) -> dict[str, Tensor]:
    """Tensors of all shards that an index names, memory-mapped, on the CPU.

    Parameters
    ----------
    path : Path
        A regular file, ``*.safetensors.index.json``.

    Raises
    ------
    UntrustedFile
        The index is no JSON, over 16 MiB, names more than 1024 shards, a shard outside its folder
        or one that is absent, or says of a tensor what its shard does not hold.
    """
    try:
        where = _weight_map(path)
    except (ValueError, RecursionError) as error:
        if isinstance(error, UntrustedFile):
            raise
        raise UntrustedFile(
            f"refusing {path}: {shown(error, 200)}; save it again with safetensors"
        ) from error
    shards = sorted(set(where.values()))
    if len(shards) > MAX_SHARDS:
        raise UntrustedFile(
            f"refusing {path}: it names {len(shards)} shards, the limit is {MAX_SHARDS}"
        )
    # Every name is judged before the first shard is opened.
    files = {name: _beside(path, name) for name in shards}
    state: dict[str, Tensor] = {}
    for name, file in files.items():
        held = load_safetensors(file)
        claimed = {tensor for tensor, shard in where.items() if shard == name}
        # Equal sets for every shard: no tensor is lost, hidden or held twice.
        for tensors, wrong in ((claimed - held.keys(), "holds no"), (held.keys() - claimed, "also holds")):  # fmt: skip
            if tensors:
                raise UntrustedFile(
                    f"refusing {path}: shard {shown(name)} {wrong} tensor {shown(min(tensors))!r}, "
                    "against the index; download both again"
                )
        state.update(held)
    return state


def _weight_map(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        text = file.read(MAX_INDEX_BYTES + 1)
    if len(text) > MAX_INDEX_BYTES:
        raise ValueError(f"an index of over {MAX_INDEX_BYTES} bytes, the limit")
    index = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    where = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(where, dict) or not where:
        raise ValueError("the index has no weight_map from tensors to shards")
    for tensor, shard in where.items():
        if not isinstance(shard, str):
            got = type(shard).__name__
            raise ValueError(f"the shard of tensor {shown(tensor)!r} is {got}, not a name")  # noqa: TRY004
    return where


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("the index has the same name twice")
    return names


def _beside(index: Path, name: str) -> Path:
    if not name.endswith(".safetensors"):
        raise UntrustedFile(
            f"refusing {index}: {shown(name)!r} is no name of a .safetensors file in its folder"
        )
    return file_beside(index, name, "shard")

"""Weights in several safetensors files with an index that says where each tensor is.

Source: the index that Hugging Face libraries write beside shards, ``model.safetensors.index.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from torch import Tensor

from hessay.errors import ModelError, UntrustedFile
from hessay.loading.safetensors_files import load_safetensors
from hessay.loading.shown import shown

SUFFIX: Final = ".safetensors.index.json"
MAX_INDEX_BYTES: Final = 16 * 2**20
MAX_SHARDS: Final = 2048
MAX_NAME: Final = 200  # characters of a shard's name


def is_index(path: Path) -> bool:
    """Whether a name is that of an index."""
    return path.name.lower().endswith(SUFFIX)


def load_sharded(path: Path) -> dict[str, Tensor]:
    """Tensors of all shards an index names, memory-mapped, on the CPU.

    Parameters
    ----------
    path : Path
        The index. Shards lie beside it; a symbolic link may lead to the ``blobs`` of the same
        download cache, and nowhere else.

    Raises
    ------
    ModelError
        A shard is missing.
    UntrustedFile
        The index is no such JSON, names files elsewhere, or contradicts the shards.
    """
    weight_map = _weight_map(path)
    state: dict[str, Tensor] = {}
    shards = {name: _shard(path, name) for name in sorted(set(weight_map.values()))}
    for name, shard in shards.items():
        tensors = load_safetensors(shard)
        promised = {tensor for tensor, file in weight_map.items() if file == name}
        if promised != tensors.keys():
            odd = sorted(promised ^ tensors.keys())
            raise UntrustedFile(
                f"refusing {path}: it and {name} disagree about {len(odd)} tensors, among them "
                f"{shown(odd[0])!r}; download both again"
            )
        state.update(tensors)
    return state


def _weight_map(path: Path) -> dict[str, str]:
    try:
        if path.stat().st_size > MAX_INDEX_BYTES:
            raise UntrustedFile(f"refusing {path}: an index over {MAX_INDEX_BYTES} bytes")
        index = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UntrustedFile(f"refusing {path}: no JSON ({shown(error, 200)})") from error
    except OSError as error:
        raise ModelError(f"cannot read {path} ({error}); check its permissions") from error
    found = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(found, dict) or not found:
        raise UntrustedFile(f"refusing {path}: it has no weight_map; give the index of the shards")
    if not all(isinstance(name, str) for name in found.values()):
        raise UntrustedFile(f"refusing {path}: its weight_map must name files")
    if len(set(found.values())) > MAX_SHARDS:
        raise UntrustedFile(f"refusing {path}: it names more than {MAX_SHARDS} files")
    return found


def _shard(index: Path, name: str) -> Path:
    plain = name == Path(name).name and name not in ("", ".", "..") and "\\" not in name
    plain = plain and len(name) <= MAX_NAME
    if not plain or "\0" in name or not name.lower().endswith(".safetensors"):
        raise UntrustedFile(
            f"refusing {index}: it names {shown(name)!r}; shards are .safetensors files beside the index"
        )
    shard = index.parent / name
    if not shard.is_file():
        raise ModelError(f"{index} names {shown(name)!r}, and there is no such file beside it")
    folder = index.parent.resolve()
    # snapshots/REVISION/name -> ../../blobs/HASH, as the hub's cache has it
    allowed = {folder, folder.parent.parent / "blobs"}
    if shard.resolve().parent not in allowed:
        raise UntrustedFile(
            f"refusing {index}: {shown(name)!r} is a link that leads out of the folder; copy the file there"
        )
    return shard

"""Shards are one state dict, or the refusal names the index and what contradicts it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hessay.errors import UntrustedFile
from hessay.loading import build_architecture, load_model, model_digest, read_state

ARCH = "mlp:4-3-2"
INDEX = "model.safetensors.index.json"


def write_shards(folder: Path) -> tuple[Path, torch.nn.Module]:
    folder.mkdir(parents=True, exist_ok=True)
    model = build_architecture(ARCH)
    state = model.state_dict()
    where = {name: f"model-{1 + (name > '1')}.safetensors" for name in state}
    for shard in set(where.values()):
        save_file({n: v for n, v in state.items() if where[n] == shard}, folder / shard)
    index = folder / INDEX
    index.write_text(json.dumps({"metadata": {"total_size": 92}, "weight_map": where}))
    return index, model


def test_shards_are_the_model_that_was_cut(tmp_path: Path) -> None:
    index, model = write_shards(tmp_path)
    assert model_digest(load_model(index, ARCH)) == model_digest(model)


def test_the_symlinks_of_a_hub_cache_are_followed(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--name" / "snapshots" / "abc"
    index, model = write_shards(snapshot)
    blobs = tmp_path / "models--org--name" / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(snapshot.iterdir())):
        file.rename(blobs / str(number))
        file.symlink_to(Path("../../blobs") / str(number))
    assert model_digest(load_model(index, ARCH)) == model_digest(model)


def rewrite(change: Callable[[dict[str, str]], object]) -> Callable[[Path], None]:
    def act(index: Path) -> None:
        where = json.loads(index.read_text())["weight_map"]
        index.write_text(json.dumps({"weight_map": change(where)}))

    return act


def point_outside(index: Path) -> None:
    shard = index.parent / "model-1.safetensors"
    shard.rename(index.parent.parent / "elsewhere.safetensors")
    shard.symlink_to("../elsewhere.safetensors")


def point_at_itself(index: Path) -> None:
    shard = index.parent / "model-1.safetensors"
    shard.unlink()
    shard.symlink_to(shard.name)


def to(name: str) -> Callable[[Path], None]:
    return rewrite(lambda where: dict.fromkeys(where, name))


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "parent folder": (to("../elsewhere.safetensors"), "no name"),
    "absolute": (to("/etc/passwd"), "no name"),
    "windows": (to("..\\a.safetensors"), "no name"),
    "pickle": (to("model.bin"), "no name"),
    "NUL": (to("a\0.safetensors"), "no name"),
    "a name too long": (to("a" * 5000 + ".safetensors"), "refusing"),
    "absent": (lambda i: (i.parent / "model-2.safetensors").unlink(), "missing"),
    "symlink out": (point_outside, "symlink out"),
    "symlink loop": (point_at_itself, "refusing"),
    "claims too much": (rewrite(lambda w: w | {"9.weight": "model-1.safetensors"}), "holds no"),
    "hides a tensor": (
        rewrite(lambda w: {n: s for n, s in w.items() if n != "2.bias"}),
        "also holds",
    ),
    "swapped": (rewrite(lambda w: dict(zip(w, reversed(w.values()), strict=True))), "holds"),
    "no names": (rewrite(lambda w: dict.fromkeys(w, 7)), "not a name"),
    "no map": (rewrite(lambda _: []), "no weight_map"),
    "1025 shards": (rewrite(lambda _: {str(i): f"{i}.safetensors" for i in range(1025)}), "1025"),
    "no JSON": (lambda i: i.write_bytes(b"{"), "refusing"),
    "deep": (lambda i: i.write_bytes(b"[" * 200_000), "refusing"),
    "twice": (lambda i: i.write_bytes(b'{"weight_map":{"a":"b","a":"c"}}'), "twice"),
    "huge": (lambda i: i.write_bytes(b" " * (2**24 + 1)), "limit"),
    "empty": (lambda i: i.write_bytes(b""), "empty"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_lying_index_is_refused_by_name(tmp_path: Path, case: str) -> None:
    harm, reason = HOSTILE[case]
    index, _ = write_shards(tmp_path / "model")
    harm(index)
    with pytest.raises(UntrustedFile, match=reason) as caught:
        read_state(index)
    assert str(index) in str(caught.value)
    assert str(caught.value).isprintable()

"""Weights in shards: the same as in one file, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hessay.errors import HessayError, ModelError, UntrustedFile
from hessay.loading import build_architecture, load_model
from hessay.loading.files import read_state

ARCH = "mlp:6-5-3"
INDEX = "model.safetensors.index.json"


def shards(folder: Path, **changes: object) -> Path:
    """Save a network in two shards; changes replace parts of the index."""
    state = build_architecture(ARCH).state_dict()
    names = sorted(state)
    where = {n: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, n in enumerate(names)}
    for file in set(where.values()):
        save_file({n: state[n] for n in names if where[n] == file}, folder / file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where} | changes))
    save_file(state, folder / "whole.safetensors")
    return folder / INDEX


def edited(index: Path, **files: str) -> Path:
    """Let the first tensor be in another file."""
    content = json.loads(index.read_text())
    first = min(content["weight_map"])
    content["weight_map"][first] = files["file"]
    index.write_text(json.dumps(content))
    return index


def test_shards_are_the_whole(tmp_path: Path) -> None:
    index = shards(tmp_path)
    whole = read_state(tmp_path / "whole.safetensors")
    assert all(torch.equal(value, whole[name]) for name, value in read_state(index).items())
    x = torch.rand(4, 6)
    one, other = (load_model(p, ARCH) for p in (index, tmp_path / "whole.safetensors"))
    assert torch.equal(one(x), other(x))


@pytest.mark.parametrize(
    "file",
    [
        "../secret.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "..",
        "",
        "x\0.safetensors",
        "a\\b.safetensors",
        "model.pt",
        "x" * 5000 + ".safetensors",
    ],
)
def test_an_index_names_only_files_beside_it(tmp_path: Path, file: str) -> None:
    (tmp_path / "in").mkdir()
    save_file({"w": torch.zeros(1)}, tmp_path / "secret.safetensors")
    with pytest.raises(UntrustedFile, match="beside the index"):
        read_state(edited(shards(tmp_path / "in"), file=file))


def test_a_link_out_of_the_folder_is_refused_but_not_one_into_the_cache(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    index = shards(snapshot)
    shard = snapshot / "model-00001-of-00002.safetensors"
    shard.rename(blobs / "0123")
    shard.symlink_to(blobs / "0123")
    assert len(read_state(index)) == 4
    (tmp_path / "elsewhere").mkdir()
    (blobs / "0123").rename(tmp_path / "elsewhere" / "0123")
    shard.unlink()
    shard.symlink_to(tmp_path / "elsewhere" / "0123")
    with pytest.raises(UntrustedFile, match="leads out"):
        read_state(index)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.safetensors"):
        read_state(edited(shards(tmp_path), file="gone.safetensors"))


def test_an_index_that_contradicts_its_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UntrustedFile, match="disagree"):
        read_state(edited(shards(tmp_path), file="model-00002-of-00002.safetensors"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "not json",
        "\ud800".encode("utf-8", "surrogatepass"),
        '{"weight_map": {}}',
        '{"weight_map": {"a": 1}}',
        '{"weight_map": [1]}',
        "[" * 100_000,
        '{"weight_map": {' + ",".join(f'"{i}": "{i}.safetensors"' for i in range(3000)) + "}}",
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / INDEX
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(HessayError):
        read_state(file)


def test_a_huge_index_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    file = tmp_path / INDEX
    with file.open("wb") as sparse:
        sparse.truncate(100 * 10**9)
    with pytest.raises(UntrustedFile, match="over"):
        read_state(file)

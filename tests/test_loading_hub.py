"""Names of hubs mean files of this machine, or the error says how to get them; nothing is fetched."""

from __future__ import annotations

import socket
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hessay._scan_file import scan_file
from hessay.errors import ArgumentError, ModelError, UntrustedFile
from hessay.loading import build_architecture, load_model, model_digest

ARCH, COMMIT = "mlp:4-3-2", "0123456789abcdef" * 2 + "01234567"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The layout that ``hf download org/net`` leaves."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--org--net"
    for part in ("refs", "blobs", f"snapshots/{COMMIT}"):
        (repository / part).mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    save_file(build_architecture(ARCH).state_dict(), repository / "blobs" / "ab12")
    (repository / "snapshots" / COMMIT / "model.safetensors").symlink_to("../../blobs/ab12")
    return repository


def test_a_branch_a_commit_and_the_file_are_one_model(cache: Path) -> None:
    blob = cache / "blobs" / "ab12"
    digests = {
        model_digest(load_model(name, ARCH))
        for name in ("hf:org/net@main", f"hf:org/net@{COMMIT}", str(blob))
    }
    assert len(digests) == 1


def test_the_report_keeps_the_commit(cache: Path, tmp_path: Path) -> None:
    assert cache.is_dir()
    inputs = np.random.default_rng(0).random((512, 4), dtype=np.float32)
    np.savez(tmp_path / "probe.npz", inputs=inputs)
    report = scan_file("hf:org/net@main", ARCH, tmp_path / "probe.npz")
    assert report.model.source == f"hf:org/net@{COMMIT}"


@pytest.mark.parametrize(
    "name",
    ["hf:", "hf:org/net", "hf:net@main", "hf:../net@main", "hf:org/net@..", "hf:org/net@a/b",
     "hf:org/net@main\n", "hf:org/n\x1b[2J@main", "hf:org/a..b@main"],
)  # fmt: skip
def test_a_name_without_revision_or_with_paths_is_refused(cache: Path, name: str) -> None:
    assert cache.is_dir()
    with pytest.raises(ArgumentError) as caught:
        load_model(name, ARCH)
    assert str(caught.value).isprintable()


def test_what_the_cache_lacks_is_told_with_the_way_to_get_it(cache: Path) -> None:
    for name in ("hf:org/other@main", "hf:org/net@v2", f"hf:org/net@{'f' * 40}"):
        with pytest.raises(ModelError, match="hf download"):
            load_model(name, ARCH)
    (cache / "refs" / "main").write_text("../../../etc")
    with pytest.raises(ModelError, match="no commit"):
        load_model("hf:org/net@main", ARCH)


def test_a_snapshot_that_points_outside_is_refused(cache: Path, tmp_path: Path) -> None:
    (cache / "blobs" / "ab12").rename(tmp_path / "outside.safetensors")
    file = cache / "snapshots" / COMMIT / "model.safetensors"
    file.unlink()
    file.symlink_to(tmp_path / "outside.safetensors")
    with pytest.raises(UntrustedFile, match="out of its repository"):
        load_model("hf:org/net@main", ARCH)


def test_timm_is_asked_for_fresh_weights_only(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def create_model(name: str, **options: object) -> torch.nn.Module:
        asked.append((name, options))
        return build_architecture(ARCH)

    module = types.ModuleType("timm")
    module.__dict__["create_model"] = create_model
    monkeypatch.setitem(sys.modules, "timm", module)
    model = load_model(cache / "blobs" / "ab12", "timm:tiny_net.in1k:2")
    assert asked == [("tiny_net.in1k", {"pretrained": False, "num_classes": 2})]
    assert model_digest(model) == model_digest(load_model(cache / "blobs" / "ab12", ARCH))
    for name in ("hf-hub:org/net", "local-dir:/tmp/x", "", "../net", "A", "a:b", "a:1:2"):
        with pytest.raises(ArgumentError):
            build_architecture(f"timm:{name}")
    assert len(asked) == 1


def test_without_timm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r"hessay\[timm\]"):
        build_architecture("timm:resnet18")

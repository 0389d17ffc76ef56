"""Weights of torch.export archives are those of the program; an archive that lies is refused by name."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from graph_files import archive_members, zipped
from hessay.errors import UntrustedFile
from hessay.loading import build_architecture, load_model, model_digest, read_state
from hessay.monitor import SUFFIXES
from hostile_files import MARKER, Bomb

ARCH = "mlp:4-3-2"


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20260711)
        return build_architecture(ARCH).eval()


class Everything(nn.Module):
    """Tied weights, a transposed view, half precision, counters, a scalar, an empty buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("turned", torch.arange(12.0).view(3, 4).t())
        self.register_buffer("halves", torch.linspace(0, 1, 5, dtype=torch.bfloat16))
        self.register_buffer("scale", torch.tensor(2.5, dtype=torch.float64))
        self.register_buffer("nothing", torch.empty(0, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        buffers = self.turned.sum() + self.halves.sum() + self.nothing.sum()
        return self.norm(self.second(self.first(x))) * self.scale.float() + buffers


@pytest.mark.filterwarnings("ignore")  # of torch.export about its own internals
def test_an_exported_archive_holds_what_torch_reads_from_it(tmp_path: Path) -> None:
    torch.manual_seed(1)
    program = torch.export.export(Everything().eval(), (torch.randn(2, 4),))
    path = tmp_path / "m.pt2"
    torch.export.save(program, path)
    expected = torch.export.load(path).state_dict
    state = read_state(path)
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        assert state[name].dtype == value.dtype
        assert torch.equal(state[name], value), name


@pytest.mark.filterwarnings("ignore")
def test_an_exported_model_is_the_saved_one(tmp_path: Path, model: nn.Module) -> None:
    path = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(model, (torch.randn(2, 4),)), path)
    assert model_digest(load_model(path, ARCH)) == model_digest(model)
    assert path.suffix in SUFFIXES  # hessay watch scans it


def test_the_pickles_of_an_archive_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: nn.Module
) -> None:
    monkeypatch.chdir(tmp_path)
    members = archive_members(model.state_dict())
    members |= {"m/data/sample_inputs/model.pt": pickle.dumps(Bomb())}
    (tmp_path / "m.pt2").write_bytes(zipped(members))
    assert model_digest(load_model(tmp_path / "m.pt2", ARCH)) == model_digest(model)
    assert not (tmp_path / MARKER).exists()


CONFIG = "m/data/weights/model_weights_config.json"


def told(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, bytes]], bytes]:
    """An archive that says something else of the weight ``0.weight``, of shape (3, 4)."""

    def act(members: dict[str, bytes]) -> bytes:
        config = json.loads(members[CONFIG])
        change(config["config"]["0.weight"])
        return zipped({**members, CONFIG: json.dumps(config).encode()})

    return act


def put(name: str, value: bytes) -> Callable[[dict[str, bytes]], bytes]:
    return lambda members: zipped({**members, name: value})


def meta(**values: object) -> Callable[[dict[str, bytes]], bytes]:
    return told(lambda entry: entry["tensor_meta"].update(values))


HUGE = [{"as_int": 10**6}, {"as_int": 10**6}]
LYING_ARCHIVES: dict[str, tuple[Callable[[dict[str, bytes]], bytes], str]] = {
    "pickled": (told(lambda e: e.update(use_pickle=True)), "is pickled"),
    "1e12 elements": (meta(sizes=HUGE), "needs"),
    "1e12 elements for free": (
        meta(sizes=HUGE, strides=[{"as_int": 0}] * 2),
        "needs 4000000000000",
    ),
    "behind its bytes": (meta(storage_offset={"as_int": 1}), "needs 52 bytes"),
    "strides too far": (meta(strides=[{"as_int": 5}, {"as_int": 1}]), "needs 56 bytes"),
    "2**62 elements": (meta(sizes=[{"as_int": 2**62}, {"as_int": 4}]), "not a number"),
    "negative": (meta(sizes=[{"as_int": -3}, {"as_int": 4}]), "not a number"),
    "symbolic": (meta(sizes=[{"as_expr": "s0"}, {"as_int": 4}]), "not a number"),
    "fewer strides": (meta(strides=[{"as_int": 1}]), "malformed"),
    "sparse": (meta(layout=2), "layout"),
    "complex": (meta(dtype=10), "dtype"),
    "no entry": (told(lambda e: e.clear()), "malformed"),
    "no bytes": (told(lambda e: e.update(path_name="../../x")), "missing"),
    "big-endian": (put("m/byteorder", b"big"), "little-endian"),
    "two models": (put("m/data/weights/b_weights_config.json", b"{}"), "2 lists"),
    "no JSON": (put(CONFIG, b"{"), "refusing"),
    "deep": (put(CONFIG, b"[" * 10**5), "refusing"),
    "no config": (put(CONFIG, b"[]"), "malformed"),
    "twice": (put(CONFIG, b'{"config": {"a": 1, "a": 2}}'), "twice"),
    "huge": (put(CONFIG, b" " * (2**24 + 1)), "limit"),
    "deflated": (lambda members: zipped(members, zipfile.ZIP_DEFLATED), "compressed"),
    "flipped bit": (lambda members: _flip(zipped(members)), "damaged"),
    "no format": (
        lambda members: zipped({n: b for n, b in members.items() if n != "m/archive_format"}),
        "no torch.export archive",
    ),
    "weights of an older torch": (
        lambda _: zipped({"m/archive_format": b"pt2", "m/data/weights/model.pt": b"\x80\x02."}),
        "pickled them",
    ),
    "no zip": (lambda _: b"PK\x03\x04 anything", "damaged"),
}


def _flip(content: bytes) -> bytes:
    at = content.index(b"weight_0") + 20  # inside the bytes of the first weight
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("case", LYING_ARCHIVES)
def test_a_lying_archive_is_refused_by_name(tmp_path: Path, model: nn.Module, case: str) -> None:
    harm, reason = LYING_ARCHIVES[case]
    path = tmp_path / "lie.pt2"
    path.write_bytes(harm(archive_members(model.state_dict())))
    with pytest.raises(UntrustedFile, match=reason) as caught:
        read_state(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()

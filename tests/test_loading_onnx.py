"""Weights of ONNX graphs are those of the model; a graph that lies is refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from graph_files import elsewhere, field, initialiser, onnx_bytes, onnx_model, plain_bytes
from hessay.errors import ModelError, UntrustedFile
from hessay.loading import build_architecture, load_model, model_digest, read_state
from hessay.loading.onnx_files import MAX_FIELDS

ARCH = "mlp:4-3-2"


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20260711)
        return build_architecture(ARCH).eval()


def test_an_onnx_graph_holds_the_weights_of_its_model(tmp_path: Path, model: nn.Module) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_bytes(model.state_dict()))
    loaded = load_model(path, ARCH)
    assert model_digest(loaded) == model_digest(model)
    path.write_bytes(bytes(path.stat().st_size))  # no memory is shared with the file
    assert model_digest(loaded) == model_digest(model)


@pytest.mark.parametrize("kept", ["raw", "typed", "elsewhere"])
def test_initialisers_are_what_the_reference_reader_finds(tmp_path: Path, kept: str) -> None:
    onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
    generator = torch.Generator().manual_seed(2)
    values = {
        f"{kind}.{shape}": torch.randn(shape, generator=generator, dtype=torch.float64).to(kind)
        for kind in (torch.float32, torch.float64)
        for shape in ((3, 4), (), (0, 2), (7,))
    }
    if kept == "raw":
        values["half"] = torch.randn(3, generator=generator).half()
    tensors = [
        onnx.helper.make_tensor(
            name,
            onnx.helper.np_dtype_to_tensor_dtype(value.numpy().dtype),
            value.shape,
            value.numpy().ravel().tolist() if kept == "typed" else plain_bytes(value),
            raw=kept != "typed",
        )
        for name, value in values.items()
    ]
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(n, 1, [1]) for n in ("x", "y")]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], initializer=tensors)
    path = tmp_path / "m.onnx"
    onnx.save_model(
        onnx.helper.make_model(graph),
        path,
        save_as_external_data=kept == "elsewhere",
        size_threshold=0,
    )
    assert (len(list(tmp_path.iterdir())) == 2) == (kept == "elsewhere")
    state = read_state(path)
    assert state.keys() == values.keys()
    for name, value in values.items():
        assert torch.equal(state[name], value), name


def test_constants_of_a_graph_are_no_weights_and_counters_are_the_model_s(tmp_path: Path) -> None:
    norm = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    (tmp_path / "norm_model.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))\n"
    )
    graph = {n: v for n, v in norm.state_dict().items() if "tracked" not in n}
    graph |= {"val_3": torch.tensor([1, 4]), "val_5": torch.tensor(0.5)}
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_bytes(graph))
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        loaded = load_model(path, "norm_model:net")
    finally:
        os.chdir(here)
    assert model_digest(loaded) == model_digest(norm)


def test_weights_that_the_architecture_does_not_have_are_not_dropped(
    tmp_path: Path, model: nn.Module
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_bytes({**model.state_dict(), "second.branch": torch.ones(2, 2)}))
    with pytest.raises(ModelError, match=r"unexpected second\.branch.*optimize=False"):
        load_model(path, ARCH)


FLOATS = torch.arange(12.0).view(3, 4)
GOOD = initialiser("a", FLOATS)
HEAD = field(1, 3) + field(1, 4) + field(2, 1)
NAMED = HEAD + field(8, b"a")
RAW = plain_bytes(FLOATS)
LYING_GRAPHS: dict[str, tuple[bytes, str]] = {
    "1e12 elements": (onnx_model(field(1, 10**12) + NAMED + field(9, RAW)), "needs 48000000000000"),
    "negative": (onnx_model(field(1, 2**64 - 1) + NAMED + field(9, RAW)), "negative"),
    "17 dimensions": (onnx_model(field(1, bytes([1] * 30)) + NAMED + field(9, RAW)), "16"),
    "too short": (onnx_model(NAMED + field(9, RAW[:-1])), "needs 48 bytes, it has 47"),
    "no data": (onnx_model(NAMED), "not kept as bytes"),
    "doubles for floats": (onnx_model(NAMED + field(10, RAW)), "not kept as bytes"),
    "two places": (onnx_model(NAMED + field(9, RAW) + field(4, RAW)), "two places"),
    "twice its data": (onnx_model(NAMED + field(9, RAW) + field(9, RAW)), "says twice"),
    "twice its name": (onnx_model(NAMED + field(8, b"b") + field(9, RAW)), "says twice"),
    "two of a name": (onnx_model(GOOD, GOOD), "two initialisers are named"),
    "no name": (onnx_model(HEAD + field(9, RAW)), "without a name"),
    "a name that is no text": (onnx_model(HEAD + field(8, b"\xff") + field(9, RAW)), "no text"),
    "a name of a megabyte": (onnx_model(HEAD + field(8, b"a" * 10**6) + field(9, RAW)), "name"),
    "segments": (onnx_model(NAMED + field(3, b"") + field(9, RAW)), "segments"),
    "201 fields": (onnx_model(NAMED + field(16, b"") * 201), "fields"),
    "two graphs": (onnx_model(GOOD) + field(7, b""), "2 graphs"),
    "no graph": (b"\x08\x07", "0 graphs"),
    "no weights": (onnx_model(), "no weights"),
    "a group": (onnx_model(GOOD) + b"\x0b", "no field of ONNX"),
    "field 0": (b"\x00\x00", "no field of ONNX"),
    "an endless number": (b"\xff" * 20, "64 bits"),
    "a number of 70 bits": (b"\x08" + b"\xff" * 9 + b"\x7f", "64 bits"),
    "cut off in a number": (onnx_model(GOOD) + b"\x88", "cut off"),
    "cut off": (onnx_model(GOOD)[:-1], "truncated"),
    "claims 2**63 bytes": (b"\x3a" + b"\xff" * 8 + b"\x7f", "claims"),
    "many empty nodes": (onnx_model(GOOD, nodes=b"\x0a\x00" * (MAX_FIELDS + 1)), "fields"),
    "many names": (
        onnx_model(*(initialiser(str(i), torch.ones(1)) for i in range(50_001))),
        "limit",
    ),
    "said to lie elsewhere": (onnx_model(GOOD + field(14, 1)), "lie elsewhere"),
    "a pickle": (b"\x80\x04\x95", "refusing"),
}


@pytest.mark.parametrize("case", LYING_GRAPHS)
def test_a_lying_graph_is_refused_by_name(tmp_path: Path, case: str) -> None:
    content, reason = LYING_GRAPHS[case]
    path = tmp_path / "lie.onnx"
    path.write_bytes(content)
    with pytest.raises(UntrustedFile, match=reason) as caught:
        read_state(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


def test_external_data_lie_beside_the_graph(tmp_path: Path) -> None:
    (tmp_path / "m.data").write_bytes(b"\0" * 3 + RAW)
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_model(elsewhere("a", [3, 4], location="m.data", offset=3, length=48)))
    assert torch.equal(read_state(path)["a"], FLOATS)


ELSEWHERE: dict[str, tuple[dict[str, object], str]] = {
    "parent folder": ({"location": "../secret"}, "no name"),
    "absolute": ({"location": "/etc/passwd"}, "no name"),
    "windows": ({"location": "..\\secret"}, "no name"),
    "nowhere": ({"offset": 0}, "no name"),
    "symlink": ({"location": "link"}, "symlink out"),
    "absent": ({"location": "absent"}, "missing"),
    "a folder": ({"location": "folder"}, "missing"),
    "behind the end": ({"location": "data", "offset": 1}, "claims bytes up to 49"),
    "too long": ({"location": "data", "length": 10**18}, "claims bytes"),
    "too short": ({"location": "data", "length": 44}, "it has 44"),
    "negative": ({"location": "data", "offset": -4}, "not a number"),
    "more": ({"location": "data", "command": "x"}, "unknown words"),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_external_data_that_lie_are_refused(tmp_path: Path, case: str) -> None:
    where, reason = ELSEWHERE[case]
    (tmp_path / "secret").write_bytes(RAW)
    place = tmp_path / "model"
    (place / "folder").mkdir(parents=True)
    (place / "data").write_bytes(RAW)
    (place / "link").symlink_to("../secret")
    path = place / "m.onnx"
    path.write_bytes(onnx_model(elsewhere("a", [3, 4], **where)))
    with pytest.raises(UntrustedFile, match=reason) as caught:
        read_state(path)
    assert str(path) in str(caught.value)

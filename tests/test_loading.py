"""A loaded model is the saved model, in eval mode, or the error says what does not fit."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from hessay.errors import DeviceError, ModelError, UntrustedFile
from hessay.loading import (
    build_architecture,
    build_mlp,
    load_model,
    model_digest,
    read_state,
)

SEED = 20240607
FEW = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(SEED)


def save_safetensors(state: dict[str, torch.Tensor], path: Path) -> None:
    save_file(state, path)


def save_zip(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(state, path)


def save_legacy(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def save_nested(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save({"epoch": 3, "loss": 0.5, "state_dict": state, "names": ["a"]}, path)


def save_parameters(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save({"model": {k: nn.Parameter(v) for k, v in state.items()}}, path)


FORMATS: list[tuple[Callable[[dict[str, torch.Tensor], Path], None], str]] = [
    (save_safetensors, "m.safetensors"),
    (save_safetensors, "safetensors.bin"),
    (save_zip, "m.pt"),
    (save_zip, "m.unknown"),
    (save_legacy, "legacy.pth"),
    (save_nested, "nested.pt"),
    (save_parameters, "parameters.bin"),
]


@pytest.mark.parametrize(("save", "name"), FORMATS, ids=[name for _, name in FORMATS])
@pytest.mark.parametrize("arch", ["linear:6-3", "mlp:6-5-3:gelu", "cnn:1x4x4-3"])
def test_a_loaded_model_is_the_saved_one(
    tmp_path: Path, arch: str, save: Callable[[dict[str, torch.Tensor], Path], None], name: str
) -> None:
    model = build_architecture(arch)
    save(model.state_dict(), tmp_path / name)
    loaded = load_model(str(tmp_path / name), arch)
    assert model_digest(loaded) == model_digest(model)
    assert not any(module.training for module in loaded.modules())
    inputs = torch.randn(5, 16 if "cnn" in arch else 6)
    assert torch.equal(loaded(inputs), model.eval()(inputs))


@pytest.mark.parametrize(("save", "name"), FORMATS, ids=[name for _, name in FORMATS])
def test_a_loaded_model_shares_no_memory_with_its_file(
    tmp_path: Path, save: Callable[[dict[str, torch.Tensor], Path], None], name: str
) -> None:
    path = tmp_path / name
    save(build_mlp([6, 3]).state_dict(), path)
    loaded = load_model(path, "linear:6-3")
    before = model_digest(loaded)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert model_digest(loaded) == before


def test_a_header_length_that_begins_like_a_pickle_is_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file(build_mlp([6, 3]).state_dict(), path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    padded = length + (0x80 - length) % 0x100  # JSON may end in blanks
    header = content[8 : 8 + length].ljust(padded)
    path.write_bytes(padded.to_bytes(8, "little") + header + content[8 + length :])
    assert path.read_bytes()[0] == 0x80
    assert load_model(path, "linear:6-3").state_dict()["0.weight"].shape == (3, 6)


def test_loading_leaves_the_random_numbers_alone(tmp_path: Path) -> None:
    save_zip(build_mlp([6, 3]).state_dict(), tmp_path / "m.pt")
    torch.manual_seed(SEED)
    expected = torch.rand(3)
    torch.manual_seed(SEED)
    load_model(tmp_path / "m.pt", "linear:6-3")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("stored", "loaded"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
    ],
)
def test_weights_are_widened_but_never_narrowed(
    tmp_path: Path, stored: torch.dtype, loaded: torch.dtype
) -> None:
    state = {k: v.to(stored) for k, v in build_mlp([6, 3]).state_dict().items()}
    for save, name in FORMATS[:5]:
        save(state, tmp_path / name)
        model = load_model(tmp_path / name, "linear:6-3")
        assert {p.dtype for p in model.parameters()} == {loaded}
        assert torch.equal(model.state_dict()["0.weight"], state["0.weight"].to(loaded))


def test_a_file_that_is_no_file_is_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "nope.pt", "no model file"), (tmp_path, "a directory")):
        with pytest.raises(ModelError, match=reason) as caught:
            load_model(path, "linear:4-2")
        assert str(path) in str(caught.value)
    (tmp_path / "empty.pt").touch()
    with pytest.raises(UntrustedFile, match=r"empty\.pt: the file is empty"):
        load_model(tmp_path / "empty.pt", "linear:4-2")


@pytest.mark.parametrize(
    ("arch", "reason"),
    [
        ("mlp:6-4-3", r"0.weight \(5, 6\) instead of \(4, 6\)"),
        ("mlp:6-5-5-3", "missing 4.weight, 4.bias"),
        ("linear:6-5", "unexpected 2.bias, 2.weight"),
        ("mlp:" + "-".join(["6"] * 9), "missing .* and 7 more"),
    ],
)
def test_weights_of_another_architecture_are_listed(tmp_path: Path, arch: str, reason: str) -> None:
    save_safetensors(build_mlp([6, 5, 3]).state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match=reason) as caught:
        load_model(tmp_path / "m.safetensors", arch)
    assert "m.safetensors" in str(caught.value)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_counted_by_name(tmp_path: Path, value: float) -> None:
    state = build_mlp([6, 5, 3]).state_dict()
    state["2.weight"][1, :3] = value
    for save, name in FORMATS:
        save(state, tmp_path / name)
        with pytest.raises(ModelError, match=r"NaN or Inf: 2\.weight \(3 of 15\)"):
            load_model(tmp_path / name, "mlp:6-5-3")


@pytest.mark.parametrize(
    "content", [{}, [1, 2], {"0.weight": [1.0]}, {1: torch.ones(1)}, {"state_dict": {"a": 1}}, 7]
)
def test_a_torch_file_without_a_state_dict_says_so(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(ModelError, match=r"odd\.pt.*save model\.state_dict\(\)"):
        read_state(tmp_path / "odd.pt")


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    save_zip(build_mlp([4, 2]).state_dict(), tmp_path / "m.pt")
    with pytest.raises(DeviceError, match="'gpu0'"):
        load_model(tmp_path / "m.pt", "linear:4-2", device="gpu0")


@FEW
@given(layer=st.sampled_from([0, 2]), kind=st.sampled_from(["weight", "bias"]), data=st.data())
def test_the_model_digest_changes_exactly_with_the_weights(
    layer: int, kind: str, data: st.DataObject
) -> None:
    model = build_mlp([4, 3, 2])
    digest = model_digest(model)
    copy = io.BytesIO()
    torch.save(model.state_dict(), copy)
    copy.seek(0)
    twin = build_mlp([4, 3, 2], "gelu")
    twin.load_state_dict(torch.load(copy, weights_only=True))
    assert model_digest(twin.eval()) == digest
    values = twin.state_dict()[f"{layer}.{kind}"].view(-1)
    position = data.draw(st.integers(0, values.numel() - 1))
    values[position] = torch.nextafter(values[position], torch.tensor(torch.inf))
    assert model_digest(twin) != digest


def test_the_model_digest_sees_names_dtypes_and_shapes() -> None:
    model = nn.Module()
    model.register_buffer("a", torch.zeros(4))
    digests = {model_digest(model)}
    for name, value in (
        ("b", torch.zeros(4)),
        ("a", torch.zeros(2, 2)),
        ("a", torch.zeros(4, dtype=torch.int32)),
        ("a", torch.zeros(8, dtype=torch.bfloat16)),
        ("a", torch.zeros(())),
        ("a", torch.zeros(0)),
    ):
        other = nn.Module()
        other.register_buffer(name, value)
        digests.add(model_digest(other))
    assert len(digests) == 7

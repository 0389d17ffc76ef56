"""A name gives the net it spells, a factory the net it builds; anything else says what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from hessay.errors import ArgumentError, HessayError, ModelError
from hessay.loading import (
    build_architecture,
    build_cnn,
    build_mlp,
    describe,
    load_model,
    model_digest,
)
from hessay.loading.architectures import ACTIVATIONS

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


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_mlp_is_the_plain_sequential_it_names(activation: str) -> None:
    model = build_architecture(f"mlp:12-7-5-3:{activation}")
    assert [*model.state_dict()] == [f"{i}.{k}" for i in (0, 2, 4) for k in ("weight", "bias")]
    assert model.state_dict()["0.weight"].shape == (7, 12)
    bend = ACTIVATIONS[activation]()
    inputs = torch.randn(4, 3, 2, 2)
    expected = inputs.reshape(4, 12)
    for layer in (0, 2, 4):
        weight, bias = model.state_dict()[f"{layer}.weight"], model.state_dict()[f"{layer}.bias"]
        expected = expected @ weight.T + bias
        expected = expected if layer == 4 else bend(expected)
    # One matrix product of 12 terms a layer: a few eps times the size of the terms.
    torch.testing.assert_close(model(inputs), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(model(inputs), model(inputs.flatten(1)))


def test_relu_is_the_default_activation() -> None:
    assert isinstance(build_architecture("mlp:4-3-2")[1], nn.ReLU)  # type: ignore[index]


@pytest.mark.parametrize("arch", ["cnn:1x8x8-10", "cnn:1x28x28-10", "cnn:1x9x5-4-16-10"])
def test_a_cnn_takes_an_image_in_every_layout(arch: str) -> None:
    model = build_architecture(arch)
    height, width = map(int, arch.split("-")[0].split("x")[1:])
    images = torch.randn(3, 1, height, width)
    logits = model(images)
    assert logits.shape == (3, 10)
    assert torch.equal(model(images.flatten(1)), logits)
    assert torch.equal(model(images[:, 0]), logits)


def test_the_short_cnn_name_is_the_documented_layout() -> None:
    short, long = build_architecture("cnn:3x8x8-5"), build_architecture("cnn:3x8x8-8-16-64-5")
    assert str(short) == str(long)
    assert [k for k in short.state_dict() if k.endswith("weight")] == [
        "1.weight",
        "4.weight",
        "8.weight",
        "10.weight",
    ]
    assert short.state_dict()["8.weight"].shape == (64, 16 * 2 * 2)


def test_registered_nets_can_be_differentiated_one_input_at_a_time() -> None:
    for arch in ("mlp:16-5-3:tanh", "cnn:1x4x4-3"):
        model = build_architecture(arch)
        inputs = torch.randn(2, 1, 4, 4)
        jacobian = torch.func.jacrev(lambda x, model=model: model(x[None])[0])
        rows = torch.func.vmap(jacobian)(inputs)
        assert rows.shape == (2, 3, 1, 4, 4)


BAD_NAMES = {
    "resnet18": "unknown architecture",
    "": "unknown architecture",
    "mlp:": "whole numbers",
    "mlp:784": "2 to 64 are needed",
    "mlp:784-x": "whole numbers",
    "mlp:784--10": "whole numbers",
    "mlp:4-0-2": r"width 0 is outside \[1, 1048576\]",
    "mlp:4-1048577": "width 1048577",
    "mlp:4-٣": "whole numbers",
    "mlp:4- 3": "whole numbers",
    "mlp:4-3:": "unknown activation ''",
    "mlp:4-3:swish": "unknown activation 'swish'; use one of relu",
    "mlp:" + "-".join(["2"] * 65): "65 widths",
    "mlp:1000000-1000000": "1000001000000 parameters are over the limit of 268435456",
    "linear:4-3-2": "but 2 are needed",
    "cnn:28x28-10": "but 3 are needed",
    "cnn:1x28x28": "whole numbers",
    "cnn:1x28x28-16-10": "3 to 64",
    "cnn:1x2x8-10": "2 poolings leave nothing of a 2x8 image",
    "cnn:1x100000x100000-8-1000-2": "over the limit",
    "os.system('x'):y": "unknown architecture",
    "a..b:c": "unknown architecture",
    "../evil:c": "unknown architecture",
}


@pytest.mark.parametrize("arch", BAD_NAMES)
def test_a_malformed_architecture_is_refused_with_the_reason(arch: str) -> None:
    with pytest.raises(ArgumentError, match=BAD_NAMES[arch]):
        build_architecture(arch)


@FEW
@given(st.from_regex(r"(mlp|linear|cnn):[0-9x:\-]{0,12}", fullmatch=True) | st.text(max_size=20))
def test_any_text_names_a_net_or_ends_in_a_hessay_error(arch: str) -> None:
    try:
        built: object = build_architecture(arch)
    except HessayError:
        built = nn.Module()
    assert isinstance(built, nn.Module)


def test_builders_reject_what_the_names_reject() -> None:
    with pytest.raises(ArgumentError, match="1 widths"):
        build_mlp([3])
    with pytest.raises(ArgumentError, match="but 3 are needed"):
        build_cnn([28, 28], [8, 16, 10])


def test_the_description_is_one_line_with_the_right_count() -> None:
    for arch in ("mlp:8-5-3:gelu", "cnn:1x28x28-8-16-32-64-10"):
        model = build_architecture(arch)
        line = describe(model)
        assert "\n" not in line
        assert line.endswith(f"; {sum(v.numel() for v in model.state_dict().values())} parameters")
    assert describe(build_architecture("mlp:8-5-3:gelu")).startswith(
        "FlattenedMLP: Linear(8, 5), GELU, Linear(5, 3);"
    )


FACTORIES = """
import sys
import tabnanny
import torch
from torch import nn

calls = []
VALUE = 3

class Nets:
    @staticmethod
    def small():
        calls.append(list(sys.path))
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(3, 3, bias=False)
        self.decode = nn.Linear(3, 3, bias=False)
        self.decode.weight = self.encode.weight

def raises(): raise RuntimeError("no data directory")
def exits(): sys.exit(0)
def returns_state(): return {"weight": torch.ones(1)}
def needs_argument(width): return nn.Linear(width, width)
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"factories_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    (tmp_path / f"{name}_broken.py").write_text("1 / 0\n")
    (tmp_path / f"{name}_exits.py").write_text("import sys; sys.exit(0)\n")
    # Beside the factory lies a file that would shadow a module of the standard library.
    (tmp_path / "tabnanny.py").write_text("raise SystemExit('shadowed')\n")
    monkeypatch.delitem(sys.modules, "tabnanny", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return name


def test_a_factory_in_the_working_directory_is_called_once(factories: str, tmp_path: Path) -> None:
    path_before = list(sys.path)
    original = build_architecture(f"{factories}:Nets.small")
    assert sys.path == path_before
    save_file(original.state_dict(), tmp_path / "m.safetensors")
    model = load_model(tmp_path / "m.safetensors", f"{factories}:Nets.small")
    assert not any(module.training for module in model.modules())
    assert model_digest(model) == model_digest(original)
    calls = sys.modules[factories].calls
    assert len(calls) == 2
    # The working directory was importable for the import only.
    assert all(path == path_before for path in calls)


BAD_FACTORIES = {
    "no_such_package_here:make": "cannot import 'no_such_package_here'",
    "{}_broken:make": "importing .*_broken raised ZeroDivisionError",
    "{}_exits:make": "raised SystemExit",
    "{}:nothing": "has no 'nothing'",
    "{}:VALUE": "is int, not a function",
    "{}:raises": "raised RuntimeError: no data directory",
    "{}:exits": "raised SystemExit",
    "{}:returns_state": "returned dict; it must return an nn.Module",
    "{}:needs_argument": "raised TypeError",
}


@pytest.mark.parametrize("arch", BAD_FACTORIES)
def test_a_factory_that_gives_no_model_is_named(factories: str, arch: str) -> None:
    with pytest.raises(ModelError, match=BAD_FACTORIES[arch]):
        build_architecture(arch.format(factories))


def test_tied_weights_may_be_saved_once(factories: str, tmp_path: Path) -> None:
    weight = torch.randn(3, 3)
    save_file({"encode.weight": weight}, tmp_path / "tied.safetensors")
    model = load_model(tmp_path / "tied.safetensors", f"{factories}:Tied")
    assert torch.equal(model.state_dict()["decode.weight"], weight)

"""InputHessian as a guest: models are given back untouched, unfit input is refused with a reason."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessay.errors import ArgumentError, ModelError, NonFinite, ShapeError
from hessay.hessian import InputHessian
from hessay.probe import Probe

SEED = 20255
N, D, C = 11, 6, 4


def plain(activation: nn.Module) -> nn.Sequential:
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(D, 9), activation, nn.Linear(9, C)).double()


def probe() -> Probe:
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randn(N, D, generator=generator, dtype=torch.float64)
    return Probe(inputs, torch.randint(0, C, (N,), generator=generator))


def test_models_are_given_back_as_they_were() -> None:
    net = nn.Sequential(
        nn.Linear(D, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, C)
    ).double()
    net[0].eval()
    net[3].weight.requires_grad_(False)
    net[1].weight.grad = torch.ones_like(net[1].weight)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    InputHessian(net, probe()) @ np.eye(D)
    assert [module.training for module in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == [True, True, True, True, False, True]
    assert [p.grad is not None for p in net.parameters()] == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key])


def test_single_and_half_precision_models() -> None:
    net = plain(nn.ReLU())
    exact = InputHessian(net, probe()).dense()
    single = InputHessian(net.float(), probe())
    assert single.dtype == np.float32
    assert np.abs(single.dense() - exact).max() < 1e-5 * np.abs(exact).max()
    assert (InputHessian(net.half(), probe()).dtype) == np.float32
    assert next(net.parameters()).dtype == torch.float16
    double = InputHessian(net.float(), probe(), dtype=torch.float64)
    assert double.dtype == np.float64


@pytest.mark.parametrize(
    ("change", "error", "complaint"),
    [
        ({"weighting": "label"}, ArgumentError, "weighting must be"),
        ({"weighting": ("margin", C)}, ArgumentError, "margin's class"),
        ({"weighting": ("margin", 1.0)}, ArgumentError, "weighting must be"),
        ({"loss": "nll"}, ArgumentError, "loss must be"),
        ({"backend": "gpu"}, ArgumentError, "backend must be"),
        ({"dtype": torch.float16}, ArgumentError, "dtype must be"),
    ],
)
def test_unknown_options_are_refused(change: Any, error: Any, complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        InputHessian(plain(nn.ReLU()), probe(), **change)


def test_unfit_directions_are_refused() -> None:
    hessian = InputHessian(plain(nn.ReLU()), probe())
    with pytest.raises(ShapeError, match=r"\(6,\) or \(6, k\), got \(5,\)"):
        hessian @ np.ones(5)
    with pytest.raises(NonFinite, match="NaN"):
        hessian @ np.full(6, np.nan)
    with pytest.raises(ShapeError, match="real"):
        hessian @ np.ones(6, dtype=complex)
    assert (hessian @ np.ones((6, 0))).shape == (6, 0)
    each = InputHessian(plain(nn.ReLU()), probe(), average=False)
    with pytest.raises(ShapeError, match=r"\(11, 6, k\)"):
        each @ np.ones((6, 2))
    with pytest.raises(ArgumentError, match="average=True"):
        each.to_scipy()


class Rude(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.inner = kind, nn.Linear(D, C)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "raises":
            raise KeyError("weights")
        if self.kind == "random":
            x = functional.dropout(x, 0.5, training=True)
        if self.kind == "detached":
            x = x.detach()
        out = self.inner(x)
        if self.kind == "neighbours":
            out = out - out.mean(dim=0)
        if self.kind == "tuple":
            return out, out  # type: ignore[return-value]
        if self.kind == "dict":
            return {"scores": out}  # type: ignore[return-value]
        if self.kind == "classes":
            return out.argmax(dim=1)
        if self.kind == "maps":
            return out[:, :, None]
        return out * torch.nan if self.kind == "nan" else out[:, :1] if self.kind == "one" else out


@pytest.mark.parametrize(
    ("kind", "error", "complaint"),
    [
        ("raises", ModelError, "raised KeyError"),
        ("random", ModelError, "not deterministic"),
        ("detached", ModelError, "cannot be differentiated"),
        ("nan", NonFinite, "11 of 11 probes"),
        ("one", ModelError, "C >= 2"),
        ("neighbours", ModelError, "not deterministic"),
        ("tuple", ModelError, "got tuple; wrap it"),
        ("dict", ModelError, "got dict; wrap it"),
        ("classes", ModelError, "got torch.int64"),
        ("maps", ModelError, r"got \(11, 4, 1\)"),
    ],
)
def test_models_that_cannot_be_differentiated_say_why(
    kind: str, error: Any, complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        InputHessian(Rude(kind).double(), probe())


def test_targets_beyond_the_logits_are_refused() -> None:
    data = Probe(probe().inputs, [C] * N)
    with pytest.raises(ShapeError, match="targets reach 4, the model has 4 logits"):
        InputHessian(plain(nn.GELU()), data)


class Rough(nn.Module):
    """Finite at 0, where its derivatives are not."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.head = kind, nn.Linear(D, C)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "root":
            return self.head((x * x).sqrt())
        if self.kind == "power":
            return self.head(x.abs() ** 1.5)
        return self.head(x * x.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize(
    ("kind", "weighting", "complaint"),
    [
        ("root", "labels", "derivative of the model at its input is NaN or Inf, first at probe 4"),
        ("root", "uniform", "derivative of the model at its input is NaN or Inf, first at probe 4"),
        ("power", "labels", "product is NaN or Inf"),
        ("norm", "labels", "product is NaN or Inf"),
    ],
)
def test_derivatives_that_are_not_finite_are_never_handed_out(
    kind: str, weighting: Any, complaint: str, average: bool
) -> None:
    inputs = probe().inputs.clone()
    inputs[4] = 0.0
    model, ones = Rough(kind).double(), np.ones(D) if average else np.ones((N, D, 1))
    with pytest.raises(NonFinite, match=complaint):
        InputHessian(model, Probe(inputs), weighting=weighting, average=average) @ ones


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (lambda x: x, "must be a torch.nn.Module, got function"),
        (nn.Sequential(nn.LazyLinear(3), nn.Tanh()), "uninitialised parameters .*'0.weight'"),
        (nn.Linear(D, C, device="meta"), "'weight' is on the meta device"),
    ],
    ids=["function", "lazy", "meta"],
)
def test_what_is_no_model_yet_is_refused(model: Any, complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        InputHessian(model, probe())


def compiled_in_place(net: nn.Module) -> nn.Module:
    net.compile(backend="eager")
    return net


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": lambda net: torch.compile(net, backend="eager"),  # type: ignore[return-value]
    "compiled in place": compiled_in_place,
    "a compiled part": lambda net: nn.Sequential(torch.compile(net, backend="eager")),  # type: ignore[arg-type]
    "data parallel": nn.DataParallel,
    "both": lambda net: nn.DataParallel(torch.compile(net, backend="eager")),  # type: ignore[arg-type]
    "scripted": torch.jit.script,
    "traced": lambda net: torch.jit.trace(net, probe().inputs),
    "frozen script": lambda net: torch.jit.freeze(torch.jit.script(net.eval())),
}


@pytest.mark.parametrize("kind", WRAPPERS)
@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
def test_wrapped_models_have_the_hessian_of_the_module_inside(kind: str) -> None:
    net = plain(nn.Tanh())
    expected = InputHessian(net, probe()).dense()
    model = WRAPPERS[kind](plain(nn.Tanh()))
    for average in (True, False):
        hessian = InputHessian(model, probe(), average=average)
        product = hessian @ np.broadcast_to(np.eye(D), (D, D) if average else (N, D, D))
        mean = product if average else product.mean(axis=0)
        assert np.abs(mean - expected).max() < 1e-12 * np.abs(expected).max()
    assert torch.equal(model(probe().inputs), net(probe().inputs))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("compiled", ["0", "_orig_mod.0"]),
        ("data parallel", ["0", "module.0"]),
        ("both", ["0", "module._orig_mod.0"]),
        ("a compiled part", ["0.0", "0._orig_mod.0"]),
    ],
)
def test_inner_modules_of_wrapped_models_have_two_names(kind: str, names: list[str]) -> None:
    expected = InputHessian(plain(nn.Tanh()), probe(), wrt="0").dense()
    for name in names:
        found = InputHessian(WRAPPERS[kind](plain(nn.Tanh())), probe(), wrt=name).dense()
        assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()


def test_scripts_are_neither_converted_nor_entered() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model = torch.jit.script(plain(nn.Tanh()))
    with pytest.raises(ModelError, match="scripted model cannot be copied"):
        InputHessian(model, probe(), dtype=torch.float32)
    with pytest.raises(ModelError, match="'0' is scripted"):
        InputHessian(model, probe(), wrt="0")

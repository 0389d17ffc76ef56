"""InputHessian as a guest: models are given back untouched, unfit input is refused with a reason."""

from __future__ import annotations

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
        ({"loss": "mse"}, ArgumentError, "loss must be"),
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
        return out * torch.nan if self.kind == "nan" else out[:, :1] if self.kind == "one" else out


@pytest.mark.parametrize(
    ("kind", "error", "complaint"),
    [
        ("raises", ModelError, "raised KeyError"),
        ("random", ModelError, "not deterministic"),
        ("detached", ModelError, "cannot be differentiated"),
        ("nan", NonFinite, "11 of 11 probes"),
        ("one", ModelError, "C >= 2"),
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

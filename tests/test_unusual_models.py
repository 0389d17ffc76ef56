"""Models that answer with more than logits, that torch differentiates once, and what is no model."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hessay
from detection import Nets
from hessay.errors import ModelError
from hessay.hessian import InputHessian
from hessay.probe import Probe

N, D, C = 12, 6, 4


def probe() -> Probe:
    generator = torch.Generator().manual_seed(20241201)
    inputs = torch.randn(N, D, generator=generator, dtype=torch.float64)
    return Probe(inputs, torch.randint(C, (N,), generator=generator))


Output = namedtuple("Output", "loss logits")
ANSWERS: dict[str, Callable[[torch.Tensor], Any]] = {
    "object": lambda z: SimpleNamespace(loss=None, logits=z),
    "mapping": lambda z: {"loss": None, "logits": z},
    "named tuple": lambda z: Output(None, z),
}


class Answering(nn.Module):
    def __init__(self, inner: nn.Module, answer: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.inner, self.answer = inner, answer

    def forward(self, x: torch.Tensor) -> Any:
        return self.answer(self.inner(x))


@pytest.mark.parametrize("kind", ANSWERS)
def test_logits_that_are_part_of_an_answer_are_found(kind: str, nets: Nets) -> None:
    model, data = Answering(nets.poisoned, ANSWERS[kind]), (nets.inputs, nets.targets)
    plain, told = hessay.scan(nets.poisoned, data), hessay.scan(model, data)
    assert (told.verdict, told.flagged_class) == (plain.verdict, plain.flagged_class)
    assert told.statistic == pytest.approx(plain.statistic, rel=1e-4)
    v = np.ones(64)
    wanted = InputHessian(nets.poisoned, data) @ v
    np.testing.assert_allclose(InputHessian(model, data) @ v, wanted, rtol=1e-3, atol=1e-5)
    ranked = [hessay.rank_samples(m, data, probe=data).scores for m in (nets.poisoned, model)]
    np.testing.assert_allclose(ranked[1], ranked[0], rtol=1e-3, atol=1e-3)
    fixed = hessay.repair(model, data)
    assert fixed.accepted
    assert sum(fixed.after.flip_rate.values()) < sum(fixed.before.flip_rate.values())


def test_an_answer_without_logits_is_refused() -> None:
    def answer(z: torch.Tensor) -> Any:
        return {"scores": z}

    with pytest.raises(ModelError, match="or an object or mapping with logits, got dict"):
        InputHessian(Answering(nn.Linear(D, C).double(), answer), probe())


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return gradient * (1 - torch.tanh(x) ** 2)


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(D, 6), nn.Linear(6, C)]).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers[1](Once.apply(self.layers[0](x.flatten(1))))
        return logits


@pytest.mark.parametrize("weighting", ["labels", "uniform"])
def test_a_function_differentiable_once_is_refused_and_not_flat(weighting: Any) -> None:
    # Asked for its second derivative, torch answers with zeros.
    with pytest.raises(ModelError, match="once_differentiable"):
        InputHessian(Custom(), probe(), weighting=weighting, backend="autograd") @ np.ones(D)
    slopes = InputHessian(Custom(), probe(), weighting="uniform", backend="factor")
    assert np.linalg.eigvalsh(slopes.dense()).max() > 0.0


@pytest.mark.parametrize(
    ("thing", "advice"),
    [
        (lambda x: x, "got function; wrap a function"),
        ("model.pt", "got str; build it .*load_model"),
        (nn.Linear(D, C).state_dict(), "got OrderedDict; build it .*load_model"),
        (nn.Linear, "got the class Linear; make an instance"),
        (None, "got NoneType"),
    ],
    ids=["function", "path", "state dict", "class", "none"],
)
def test_what_is_no_module_is_refused_everywhere(thing: Any, advice: str) -> None:
    data = (probe().inputs, torch.zeros(N, dtype=torch.int64))
    for use in (
        lambda: InputHessian(thing, data),
        lambda: hessay.scan(thing, data),
        lambda: hessay.scan(thing, data, wrt="0"),
        lambda: hessay.Detector().fit(None, data).scan(thing),
        lambda: hessay.rank_samples(thing, data, probe=data),
        lambda: hessay.repair(thing, data),
    ):
        with pytest.raises(ModelError, match=advice):
            use()

"""Single precision while a model is examined, whatever the caller has set for their own products."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessay
from detection import Nets
from hessay.hessian.model import precision
from hessay.hessian.model.precision import full_precision

NEWER = hasattr(torch.backends.cudnn, "conv")  # torch 2.9


def settings() -> list[Any]:
    cudnn = torch.backends.cudnn
    try:
        overall: str | None = torch.get_float32_matmul_precision()
    except RuntimeError:  # newer names leave it undefined
        overall = None
    found: list[Any] = [overall, cudnn.deterministic, cudnn.benchmark]
    if NEWER:
        places = (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul)
        return found + [place.fp32_precision for place in places]
    return [*found, cudnn.allow_tf32]


def older(precision: str) -> None:
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.benchmark = True


def newer() -> None:
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # the older name of both is undefined now
    torch.backends.cuda.matmul.fp32_precision = "tf32"


CALLERS = {
    "nothing": lambda: None,
    "high": lambda: older("high"),
    "medium": lambda: older("medium"),
    **({"newer names": newer} if NEWER else {}),
}


@pytest.fixture(params=CALLERS)
def caller(request: pytest.FixtureRequest) -> Iterator[list[Any]]:
    """What a caller has set, who gets it back in any case."""
    cudnn, before = torch.backends.cudnn, settings()
    CALLERS[request.param]()
    yield settings()
    torch.set_float32_matmul_precision(before[0])
    cudnn.deterministic, cudnn.benchmark = before[1:3]
    if NEWER:
        cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = before[3:5]
        torch.backends.cuda.matmul.fp32_precision = before[5]
    assert settings() == before


def test_settings_are_exact_inside_and_the_callers_after(caller: list[Any]) -> None:
    with full_precision():
        inside = settings()
        assert inside[0] in ("highest", None)
        assert inside[1:3] == [True, False]
        assert set(inside[3:]) == ({"ieee"} if NEWER else {False})
        # Older and newer names agree: torch refuses to multiply where they do not.
        if caller[0] is not None:
            assert torch.backends.cudnn.allow_tf32 is False
        assert torch.backends.cuda.matmul.allow_tf32 is False
        with full_precision():
            pass
        assert settings() == inside
    assert settings() == caller


def test_settings_come_back_after_an_error(caller: list[Any]) -> None:
    with pytest.raises(KeyError), full_precision():
        raise KeyError
    assert settings() == caller


class Watching(nn.Module):
    """A model that notes what is set when it runs, and when something is pulled back through it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.seen, self.pulled = inner, [], []  # type: ignore[var-annotated]

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(settings())
        logits = torch.tanh(self.inner(x))
        if logits.requires_grad:
            logits.register_hook(lambda _: self.pulled.append(settings()))
        return logits


@pytest.mark.usefixtures("caller")
def test_scans_and_products_run_in_it(nets: Nets) -> None:
    model = Watching(nets.poisoned)
    hessay.scan(model, nets.inputs)
    operator = hessay.InputHessian(model, nets.inputs[:32], backend="autograd")
    ready = len(model.pulled)
    operator @ np.ones(64)
    assert ready > 0
    assert len(model.pulled) > ready
    assert all(found[0] in ("highest", None) for found in model.seen + model.pulled)
    assert all(set(found[3:]) <= {"ieee", False} for found in model.seen + model.pulled)


def test_inputs_in_another_precision_are_brought_to_the_models(nets: Nets) -> None:
    single = hessay.scan(nets.poisoned, (nets.inputs, nets.targets))
    double = hessay.scan(nets.poisoned, (nets.inputs.double(), nets.targets))
    assert double.verdict is single.verdict
    assert double.flagged_class == single.flagged_class
    assert [e.value for e in double.evidence] == pytest.approx([e.value for e in single.evidence])
    ranked = [
        hessay.rank_samples(nets.poisoned, (x, nets.targets), probe=(x, nets.targets))
        for x in (nets.inputs, nets.inputs.double())
    ]
    np.testing.assert_allclose(ranked[1].scores, ranked[0].scores, rtol=1e-4, atol=1e-4)


def test_older_releases_of_torch_have_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn = SimpleNamespace(deterministic=False, benchmark=True, allow_tf32=True)
    overall = ["medium"]
    older_torch = SimpleNamespace(
        backends=SimpleNamespace(cudnn=cudnn, cuda=SimpleNamespace(matmul=SimpleNamespace())),
        get_float32_matmul_precision=lambda: overall[0],
        set_float32_matmul_precision=lambda value: overall.__setitem__(0, value),
    )
    monkeypatch.setattr(precision, "torch", older_torch)
    with full_precision():
        assert vars(cudnn) == {"deterministic": True, "benchmark": False, "allow_tf32": False}
        assert overall == ["highest"]
    assert vars(cudnn) == {"deterministic": False, "benchmark": True, "allow_tf32": True}
    assert overall == ["medium"]

"""Single precision while a model is examined, whatever the caller has set for their own products."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from threading import Thread
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


@pytest.mark.skipif(not NEWER, reason="this torch has no newer names")
@pytest.mark.parametrize("convolutions", list(itertools.product(("ieee", "tf32"), repeat=2)))
@pytest.mark.parametrize("products", ["none", "ieee", "tf32"])
@pytest.mark.parametrize(
    "older_says", list(itertools.product((True, False), ("highest", "medium")))
)
def test_older_and_newer_names_that_contradict_each_other_come_back_both(
    older_says: tuple[bool, str], products: str, convolutions: tuple[str, str]
) -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    host = torch.backends.mkldnn.matmul
    before = settings()
    try:
        cudnn.allow_tf32 = older_says[0]
        torch.set_float32_matmul_precision(older_says[1])
        matmul.fp32_precision, host.fp32_precision = products, "bf16"
        cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = convolutions
        found = settings()
        with full_precision():
            assert set(settings()[3:]) == {"ieee"}
            assert (cudnn.allow_tf32, matmul.allow_tf32) == (False, False)
        assert settings() == found
        assert host.fp32_precision == "bf16"
        # Once the newer names agree with the older ones, these can be read, and are what they were.
        allowed = "tf32" if older_says[0] else "ieee"
        cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = allowed
        matmul.fp32_precision = host.fp32_precision = "ieee"
        assert (cudnn.allow_tf32, torch.get_float32_matmul_precision()) == older_says
    finally:
        cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision(before[0])
        for place, value in zip((cudnn.conv, cudnn.rnn, matmul), before[3:], strict=True):
            place.fp32_precision = value
        host.fp32_precision = "none"


def test_blocks_of_several_threads_leave_no_one_in_less(caller: list[Any]) -> None:
    seen: list[list[Any]] = []

    def work(rounds: int) -> None:
        for _ in range(rounds):
            with full_precision():
                seen.append(settings())

    threads = [Thread(target=work, args=(100,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(seen) == 400
    assert all(found == seen[0] for found in seen)
    assert set(seen[0][3:]) == ({"ieee"} if NEWER else {False})
    assert settings() == caller


def test_blocks_that_end_in_another_order_leave_the_callers(caller: list[Any]) -> None:
    first, second = full_precision(), full_precision()
    first.__enter__()
    inside = settings()
    second.__enter__()
    first.__exit__(None, None, None)
    assert settings() == inside
    second.__exit__(None, None, None)
    assert settings() == caller


def test_ctrl_c_halfway_leaves_the_callers(
    caller: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(precision, "_allows_tf32", interrupted)
        with pytest.raises(KeyboardInterrupt), full_precision():
            pass
    assert settings() == caller
    with full_precision():
        assert settings() != caller
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

"""Averaged products of a wide GELU network: the share of the card's rate, torch's ways, and packages."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from hessay import InputHessian
from hvp.contender import CannotDo, Product
from hvp.packaged import curvlinops, eigenthings
from hvp.problems import Problem
from setting import SEED, Setting, agree
from ways import WAYS, Way


def products(s: Setting) -> None:
    """Check each way on a few samples against the core in double, then time it on all."""
    widths, n, k = s.pick(
        ([3072, 4096, 4096, 1000], 4096, 32),
        ([768, 1024, 1024, 100], 512, 8),
        ([6, 8, 8, 4], 9, 2),
    )
    torch.manual_seed(SEED)
    model = nn.Sequential(
        *(nn.Linear(widths[0], widths[1]), nn.GELU(), nn.Linear(widths[1], widths[2]), nn.GELU()),
        nn.Linear(widths[2], widths[3]),
    )
    inputs, classes = torch.randn(n, widths[0]), torch.randint(0, widths[-1], (n,))
    v = torch.randn(widths[0], k)
    few = slice(0, 64)
    exact = InputHessian(model.double(), (inputs[few].double(), classes[few]), backend="tangent")
    truth = torch.from_numpy(exact @ v.double().numpy())
    model = model.float().to(s.device).requires_grad_(False)
    there, labels, directions = (t.to(s.device) for t in (inputs, classes, v))

    def right(name: str, found: Tensor) -> float:
        return agree(f"product, {name}", found, truth, 1e-4)

    # Both middle layers forward and backward for every sample and direction; the first for directions.
    inner = widths[1] * widths[2] + widths[2] * widths[3]
    flops = 2 * (2 * n * k * inner + 2 * k * widths[0] * widths[1])
    small = InputHessian(model, (inputs[few], classes[few]), backend="native")
    error = right("native", small @ directions)
    operator = InputHessian(model, (inputs, classes), backend="native")
    native = s.time(lambda: operator @ directions)
    s.note("product, native", native, error=error)
    share = flops / native.seconds / s.rate
    s.judge("product, native: share of the GEMM rate", share, 0.85, at_least=True)
    followed: list[InputHessian] = []

    def tangent() -> Tensor:
        if not followed:
            followed.append(InputHessian(model, (inputs, classes), backend="tangent"))
        return followed[0] @ directions

    own = InputHessian(model, (inputs[few], classes[few]), backend="tangent")
    s.rival("product, tangent", tangent, lambda _: right("tangent", own @ directions))
    times = []
    for name, way in WAYS.items():
        check = partial(_on_a_few, right, name, way, model, there[few], labels[few], directions)
        work = partial(way, model, there, labels, directions)
        times.append(s.rival(f"product, {name}", work, check))
    for name, setup in (("curvlinops", curvlinops), ("hessian-eigenthings", eigenthings)):
        times.append(_packaged(s, name, setup, (model, there, labels, directions), truth))
    best = min((t for t in times if not math.isnan(t)), default=float("nan"))
    s.judge("product: best other way over native", best / native.seconds, 3.0, at_least=True)


def _on_a_few(
    right: Callable[[str, Tensor], float],
    name: str,
    way: Way,
    model: nn.Module,
    inputs: Tensor,
    classes: Tensor,
    v: Tensor,
    _: Tensor,
) -> float:
    return right(name, way(model, inputs, classes, v))


def _packaged(
    s: Setting,
    name: str,
    setup: Callable[[Problem, bool], Product],
    arrays: tuple[nn.Module, Tensor, Tensor, Tensor],
    truth: Tensor,
) -> float:
    model, there, labels, directions = arrays
    few = slice(0, 64)

    def work(part: slice = slice(None)) -> Tensor:
        return setup(Problem("wide", model, there[part], labels[part]), True)(directions)

    try:
        error = agree(f"product, {name}", work(few), truth, 1e-4)
    except CannotDo as why:
        s.note(f"product, {name}", None, skipped=str(why))
        return float("nan")
    return s.rival(f"product, {name}", work, lambda _: error)

"""Laws every input Hessian obeys, on random networks, samples and backends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from hessay.hessian import InputHessian, frozen
from hessian_nets import GRAPHS, LAYER_PROGRAMS, PIECEWISE_LINEAR, C, D, networks

EPS = float(np.finfo(float).eps)
ROUTES = [
    (name, backend, weighting)
    for name in sorted(networks())
    for backend, weighting, fits in [
        ("factor", "labels", name in PIECEWISE_LINEAR),
        ("factor", "uniform", True),
        ("native", "softened", name in LAYER_PROGRAMS),
        ("tangent", "softened", name in GRAPHS),
        ("autograd", "labels", True),
        ("dense", "labels", True),
    ]
    if fits
]
routes = st.sampled_from(ROUTES)
seeds = st.integers(0, 2**31)
sizes = st.integers(2, 12)


def draw(seed: int, n: int) -> tuple[np.random.Generator, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    inputs = torch.from_numpy(rng.standard_normal((n, D)))
    return rng, inputs, torch.from_numpy(rng.integers(0, C, n))


class Kinks(TorchFunctionMode):
    """Watches a forward pass: how near the closest ReLU comes to 0, or max pool to a tie."""

    nearest = np.inf

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (functional.relu, functional.leaky_relu):
            self.nearest = min(self.nearest, float(args[0].detach().abs().min()))
        if func is functional.max_pool2d:  # the pool here is three wide and follows a ReLU
            first, second = args[0].detach().unflatten(-1, (-1, 3)).topk(2).values.unbind(-1)
            gaps = (first - second)[first > 0]
            self.nearest = min([self.nearest, *gaps.tolist()])
        return func(*args, **(kwargs or {}))


def distance_to_a_kink(name: str, inputs: torch.Tensor) -> float:
    with frozen(networks()[name]) as net, Kinks() as kinks, torch.no_grad():
        net(inputs.clone())
    return kinks.nearest


def test_a_unit_at_its_kink_and_a_tied_pool_are_noticed() -> None:
    _, inputs, _ = draw(1, 2)
    first = networks()["relu"][0]  # type: ignore[index]
    w, b = first.weight.detach()[3], first.bias.detach()[3]
    assert distance_to_a_kink("relu", inputs) > 1e-6
    inputs[0] -= (w @ inputs[0] + b - 1e-9) * w / (w @ w)
    assert distance_to_a_kink("relu", inputs) == pytest.approx(1e-9, rel=1e-3)
    pool = torch.tensor([[[[1.0, 3.0, 3.0 + 1e-9]]]], dtype=torch.float64)
    with Kinks() as kinks:
        functional.max_pool2d(pool, (1, 3))
    assert kinks.nearest == pytest.approx(1e-9, rel=1e-3)
    assert distance_to_a_kink("cnn", inputs) < np.inf
    assert distance_to_a_kink("residual", inputs) < np.inf
    assert distance_to_a_kink("gelu", inputs) == np.inf


def operator(route: Any, inputs: torch.Tensor, targets: torch.Tensor, **more: Any) -> InputHessian:
    name, backend, weighting = route
    net = more.pop("net", None) or networks()[name]
    return InputHessian(net, (inputs, targets), backend=backend, weighting=weighting, **more)


def size(*arrays: np.ndarray) -> float:
    return 1e4 * EPS * max(1.0, *(float(np.abs(array).max()) for array in arrays))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(route=routes, seed=seeds, n=sizes)
def test_products_are_symmetric_and_linear(route: Any, seed: int, n: int) -> None:
    rng, inputs, targets = draw(seed, n)
    hessian = operator(route, inputs, targets)
    u, v = rng.standard_normal((2, D))
    a = float(rng.standard_normal())
    hu, hv = hessian @ u, hessian @ v
    assert abs(u @ hv - v @ hu) <= size(hu, hv) * D
    combined = hessian @ (u + a * v)
    assert np.abs(combined - hu - a * hv).max() <= size(hu, a * hv)
    block = hessian @ np.stack([u, v], axis=1)
    assert np.abs(block - np.stack([hu, hv], axis=1)).max() <= size(block)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(route=routes, seed=seeds, n=sizes)
def test_samples_may_come_in_any_order_and_in_any_batches(route: Any, seed: int, n: int) -> None:
    rng, inputs, targets = draw(seed, n)
    if route[2] == "softened":
        route = (*route[:2], "labels")  # the softened scale is a property of the whole probe
    v = rng.standard_normal((D, 2))
    whole = operator(route, inputs, targets) @ v
    order = torch.from_numpy(rng.permutation(n))
    shuffled = operator(route, inputs[order], targets[order]) @ v
    assert np.abs(shuffled - whole).max() <= size(whole)
    cut = int(rng.integers(1, n))
    parts = [
        operator(route, inputs[rows], targets[rows]) @ v for rows in (slice(cut), slice(cut, n))
    ]
    joined = (cut * parts[0] + (n - cut) * parts[1]) / n
    assert np.abs(joined - whole).max() <= size(whole, *parts)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(route=routes, seed=seeds, n=sizes)
def test_the_average_is_the_mean_of_the_samples_own(route: Any, seed: int, n: int) -> None:
    if route[1] == "dense":
        route = (route[0], "auto", route[2])  # one matrix has no samples
    rng, inputs, targets = draw(seed, n)
    v = rng.standard_normal((D, 2))
    mean = operator(route, inputs, targets) @ v
    each = operator(route, inputs, targets, average=False) @ np.tile(v, (n, 1, 1))
    assert np.abs(each.mean(axis=0) - mean).max() <= size(mean, each)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(route=routes, seed=seeds, factor=st.floats(0.1, 50.0))
def test_scaled_logits_scale_the_curvature_as_they_must(
    route: Any, seed: int, factor: float
) -> None:
    name, _, weighting = route
    net = networks()[name]
    if weighting == "labels":
        return  # cross-entropy is not homogeneous in the logits
    _, inputs, targets = draw(seed, 8)
    before = operator(route, inputs, targets, net=net).dense()
    last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.mul_(factor)
        last.bias.mul_(factor)
    after = operator(route, inputs, targets, net=net).dense()
    expected = before * factor**2 if weighting == "uniform" else before
    assert np.abs(after - expected).max() <= 100 * size(expected)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(route=routes, seed=seeds, n=sizes)
def test_single_precision_agrees_to_single_precision(route: Any, seed: int, n: int) -> None:
    rng, inputs, targets = draw(seed, n)
    # A kink within rounding of a unit may fall on its other side in single precision, and the
    # Hessian jumps there. Rounding is eps sum |w x|, 6e-8 times at most 50 in these networks.
    assume(distance_to_a_kink(route[0], inputs) > 1e-5)
    v = rng.standard_normal((D, 2))
    double = operator(route, inputs, targets) @ v
    single = operator(route, inputs, targets, dtype=torch.float32)
    assert single.dtype == np.float32
    assert np.abs(single @ v - double).max() <= 2e-4 * max(1.0, np.abs(double).max())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(route=routes, seed=seeds, n=sizes)
def test_threads_change_nothing_but_rounding(route: Any, seed: int, n: int) -> None:
    rng, inputs, targets = draw(seed, n)
    v = rng.standard_normal((D, 2))
    one, three = (operator(route, inputs, targets, num_threads=t) @ v for t in (1, 3))
    assert np.abs(one - three).max() <= size(one)

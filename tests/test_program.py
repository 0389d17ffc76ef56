"""Layer programs with skips, identities and every loss, in the native core, against torch in double."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from hessay import _core
from hessay.errors import ArgumentError, NonFinite, ShapeError

SEED = 20258
N, D, C = 23, 5, 4
SCALE = 1.7
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "softplus": functional.softplus,
}
LOSSES = ["cross_entropy", "mse", "logistic"]


def random_program(rng: np.random.Generator, depth: int, d: int, c: int) -> list[Any]:
    """A program of any wiring: identities, skips, values read twice and values nobody reads."""
    layers: list[Any] = []
    widths = [d]

    def layer(width: int | None, source: int, skips: bool) -> None:
        weight = None
        if width is not None:
            weight = rng.standard_normal((width, widths[source])) / np.sqrt(widths[source])
        width = widths[source] if width is None else width
        partners = [v for v in range(1, len(widths)) if widths[v] == width]
        skip = int(rng.choice(partners)) if skips and partners else -1
        bias = rng.standard_normal(width) if rng.random() < 0.7 else None
        name = str(rng.choice(list(ACTIVATIONS)))
        layers.append((weight, bias, name, 1.0, source, skip))
        widths.append(width)

    layer(None if rng.random() < 0.3 else int(rng.integers(1, 7)), 0, False)
    for _ in range(depth):
        source = int(rng.integers(1, len(widths)))
        width = (
            None if rng.random() < 0.2 else int(rng.choice([*widths[1:], int(rng.integers(1, 7))]))
        )
        layer(width, source, bool(rng.random() < 0.5))
    layer(c, len(widths) - 1, False)
    return layers


def run(layers: list[Any], x: Tensor) -> Tensor:
    """The definition, in torch."""
    values = [x]
    for weight, bias, name, _, source, skip in layers:
        a = values[source] if weight is None else values[source] @ torch.from_numpy(weight).T
        a = a if bias is None else a + torch.from_numpy(bias)
        a = a if skip < 0 else a + values[skip]
        values.append(ACTIVATIONS[name](a))
    return values[-1]


def loss_of(loss: str, z: Tensor, target: Tensor) -> Tensor:
    if loss == "cross_entropy":
        return functional.cross_entropy(z / SCALE, target)
    if loss == "mse":
        return functional.mse_loss(z, target)
    return functional.binary_cross_entropy_with_logits(z, target)


def targets_for(loss: str, rng: np.random.Generator, n: int, c: int) -> np.ndarray:
    if loss == "mse":
        return rng.standard_normal((n, c))
    if loss == "logistic":
        return rng.integers(0, 2, (n, c)).astype(float)
    return np.eye(c)[rng.integers(0, c, n)]


def hessians(layers: list[Any], x: np.ndarray, targets: np.ndarray, loss: str) -> np.ndarray:
    def single(v: Tensor, target: Tensor) -> Tensor:
        return loss_of(loss, run(layers, v[None])[0], target)

    each = [
        torch.func.hessian(single)(torch.from_numpy(v), torch.from_numpy(t))
        for v, t in zip(x, targets, strict=True)
    ]
    return torch.stack(each).numpy()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    depth=st.integers(0, 6),
    loss=st.sampled_from(LOSSES),
    threads=st.integers(1, 5),
)
def test_any_wiring_has_torchs_logits_and_hessians(
    seed: int, depth: int, loss: str, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    d, c, n = int(rng.integers(1, 6)), int(rng.integers(2, 5)), 7
    layers = random_program(rng, depth, d, c)
    x = rng.standard_normal((n, d))
    logits = np.empty((n, c))
    _core.network_forward(layers, x, logits)
    expected = run(layers, torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-11 * (1 + np.abs(expected).max()))
    targets = targets_for(loss, rng, n, c)
    each = hessians(layers, x, targets, loss)
    allowed = 1e-11 * (1 + np.abs(each).max())
    hessian = _core.LossHessian64(layers, x, targets, loss, SCALE, threads)
    v = np.asfortranarray(rng.standard_normal((d, 3)))
    product = np.empty_like(v, order="F")
    hessian.apply(v, product)
    np.testing.assert_allclose(product, each.mean(axis=0) @ v, atol=allowed)
    own = rng.standard_normal((n, d, 2))
    products = np.empty_like(own)
    hessian.apply_per_sample(own, products)
    np.testing.assert_allclose(products, each @ own, atol=allowed)
    dense = np.empty((d, d), order="F")
    hessian.dense(dense)
    np.testing.assert_allclose(dense, each.mean(axis=0), atol=allowed)


def test_pull_back_and_class_sums_follow_skips() -> None:
    rng = np.random.default_rng(SEED)
    layers = random_program(rng, 5, D, C)
    x = rng.standard_normal((N, D))

    def single(v: Tensor) -> Tensor:
        return run(layers, v[None])[0]

    jacobian = torch.func.vmap(torch.func.jacrev(single))(torch.from_numpy(x)).numpy()
    cotangents = rng.standard_normal((N, 3, C))
    width = D if layers[0][0] is None else layers[0][0].shape[0]
    group = rng.integers(0, C, N)
    sums = np.stack([jacobian[group == g].sum(axis=0) for g in range(C)])
    for threads in (1, 4):
        rows = np.empty((N, 3, width))
        _core.network_pull_back(layers, x, cotangents, rows, threads)
        lifted = rows if layers[0][0] is None else rows @ layers[0][0]
        np.testing.assert_allclose(lifted, cotangents @ jacobian, atol=1e-12)
        found = np.empty((C, C, D))
        _core.network_grouped_jacobian(layers, x, group, found, threads)
        np.testing.assert_allclose(found, sums, atol=1e-11)


def big_problem() -> tuple[list[Any], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(SEED)
    layers = [
        (rng.standard_normal((9, D)), rng.standard_normal(9), "gelu", 0.0, 0, -1),
        (rng.standard_normal((9, 9)) / 3, None, "tanh", 0.0, 1, 1),
        (rng.standard_normal((C, 9)) / 3, None, "identity", 0.0, 2, -1),
    ]
    return layers, rng.standard_normal((5000, D)), np.eye(C)[rng.integers(0, C, 5000)]


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    layers, x, targets = big_problem()
    v = np.asfortranarray(np.random.default_rng(1).standard_normal((D, 3)))
    found = []
    for threads in (1, 2, 3, 8):
        for _ in range(2):
            hessian = _core.LossHessian64(layers, x, targets, "cross_entropy", 1.0, threads)
            product = np.empty_like(v, order="F")
            hessian.apply(v, product)
            found.append(product)
    for first, again in zip(found[::2], found[1::2], strict=True):
        np.testing.assert_array_equal(first, again)  # fixed ranges, fixed order of sums
        np.testing.assert_allclose(first, found[0], rtol=0, atol=1e-14 * np.abs(found[0]).max())


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("sample", [0, 700, 4999])
def test_a_sample_that_overflows_is_named_whatever_thread_meets_it(
    threads: int, sample: int
) -> None:
    layers, x, targets = big_problem()
    layers[1] = (layers[1][0] * 1e200, *layers[1][1:])
    x[sample] = 1e300
    layers[0] = (layers[0][0], layers[0][1], "identity", 0.0, 0, -1)
    with pytest.raises(NonFinite, match=f"layer 1 is NaN or Inf at sample {sample}"):
        _core.LossHessian64(layers, x, targets, "cross_entropy", 1.0, threads)


def test_the_stated_memory_is_what_is_kept() -> None:
    layers, x, targets = big_problem()
    hessian = _core.LossHessian64(layers, x, targets, "cross_entropy", 1.0)
    # act' and g act'' of two smooth layers of 9, and the softmax: all that depends on the sample.
    assert hessian.bytes == 8 * 5000 * (2 * 9 + 2 * 9 + C)
    # 768 columns of three values, and the tangent of the second layer, which act'' needs again.
    assert hessian.product_bytes(1) == 8 * 768 * (9 + 9 + 9 + C)


def replaced(layers: list[Any], l: int, **change: Any) -> list[Any]:
    names = ["weight", "bias", "activation", "parameter", "input", "skip"]
    layer = dict(zip(names, layers[l], strict=True)) | change
    return [*layers[:l], tuple(layer[name] for name in names), *layers[l + 1 :]]


@pytest.mark.parametrize(
    ("l", "change", "complaint"),
    [
        (1, {"input": 0}, "others a value from 1 to 1"),
        (1, {"input": 2}, "does not come before"),
        (1, {"input": -1}, "does not come before"),
        (1, {"skip": 0}, "adds value 0"),
        (1, {"skip": 7}, "adds value 7"),
        (2, {"skip": 1}, "another width"),
        (1, {"weight": np.zeros((9, 4))}, "takes 4 inputs, value 1 has 9"),
        (1, {"weight": np.zeros((0, 9))}, "layer 1 is empty"),
        (1, {"bias": np.zeros(4)}, r"bias must have shape \(9,\)"),
        (1, {"weight": None, "bias": np.zeros(4)}, r"bias must have shape \(9,\)"),
    ],
)
def test_programs_that_do_not_fit_are_refused(
    l: int, change: dict[str, Any], complaint: str
) -> None:
    layers, x, _ = big_problem()
    with pytest.raises(ShapeError, match=complaint):
        _core.network_forward(replaced(layers, l, **change), x, np.empty((5000, C)))


def test_unfit_losses_targets_and_threads_are_refused() -> None:
    layers, x, targets = big_problem()
    with pytest.raises(ArgumentError, match="loss must be"):
        _core.LossHessian64(layers, x, targets, "hinge", 1.0)
    with pytest.raises(ShapeError, match=r"targets must be \(5000, 4\)"):
        _core.LossHessian64(layers, x, targets[:, :3].copy(), "mse", 1.0)
    with pytest.raises(NonFinite, match="targets"):
        _core.LossHessian64(layers, x, targets * np.nan, "mse", 1.0)
    with pytest.raises(ArgumentError, match="threads must be at least 1, got 0"):
        _core.LossHessian64(layers, x, targets, "mse", 1.0, 0)
    with pytest.raises(ArgumentError, match="scale must be positive"):
        _core.LossHessian64(layers, x, targets, "mse", 0.0)
    with pytest.raises(ShapeError, match="must be"):
        _core.network_forward([layers[0][:4]], x, np.empty((5000, 9)))

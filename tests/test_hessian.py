"""Input Hessians against torch.func.hessian, in double."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from hessay.errors import ArgumentError
from hessay.hessian import InputHessian, frozen
from hessay.hessian.curvature import curvature, logit_scale
from hessay.loading.architectures import ACTIVATIONS
from hessay.probe import Probe
from small_nets import D, small_nets

SEED = 20253
N, C = 11, 4


def nets() -> dict[str, nn.Module]:
    return small_nets(C, SEED)


NETS = sorted(nets())
WEIGHTINGS: list[Any] = ["labels", "softened", "uniform", ("margin", 2)]


def probe() -> Probe:
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randn(N, D, generator=generator, dtype=torch.float64)
    return Probe(inputs, torch.randint(0, C, (N,), generator=generator))


def oracle(net: nn.Module, weighting: Any) -> np.ndarray:
    """H_i (n, d, d), one sample at a time, straight from the definitions."""
    data = probe()
    assert data.targets is not None
    with frozen(net):
        logits = net(data.inputs).detach()
        scale = logit_scale(logits.numpy())
        out = []
        for x, y in zip(data.inputs, data.targets, strict=True):

            def single(v: Tensor) -> Tensor:
                return net(v[None])[0]

            if weighting in ("labels", "softened"):
                unit = scale if weighting == "softened" else 1.0

                def loss(v: Tensor, label: Tensor = y, unit: float = unit) -> Tensor:
                    return functional.cross_entropy(net(v[None]) / unit, label[None])

                out.append(torch.func.hessian(loss)(x))
                continue
            jacobian = torch.func.jacrev(single)(x)
            if weighting == "uniform":
                weight = torch.eye(C, dtype=torch.float64) - 1 / C
            else:
                difference = torch.zeros(C, dtype=torch.float64)
                difference[weighting[1]] += 1
                difference[single(x).argmax()] -= 1
                weight = torch.outer(difference, difference)
            out.append(jacobian.T @ weight @ jacobian)
    return torch.stack(out).detach().numpy()


def close(actual: Any, expected: Any) -> None:
    scale = max(np.abs(expected).max(initial=0), 1e-12)
    assert np.abs(np.asarray(actual) - expected).max(initial=0) <= 1e-10 * scale


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=str)
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("backend", ["auto", "autograd"])
def test_every_backend_agrees_with_torch_func_hessian(
    name: str, weighting: Any, backend: Any
) -> None:
    net = nets()[name]
    exact = oracle(net, weighting)
    rng = np.random.default_rng(SEED)
    mean = InputHessian(net, probe(), weighting=weighting, backend=backend)
    v = rng.standard_normal((D, 3))
    close(mean @ v, exact.mean(axis=0) @ v)
    close(mean @ v[:, 0], exact.mean(axis=0) @ v[:, 0])
    close(mean.dense(), exact.mean(axis=0))
    each = InputHessian(net, probe(), weighting=weighting, backend=backend, average=False)
    w = rng.standard_normal((N, D, 2))
    close(each @ w, np.einsum("nij,njk->nik", exact, w))


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=str)
@pytest.mark.parametrize("name", ["linear", "relu", "narrow", "cnn"])
def test_factor_reproduces_dense_gram_and_eigenpairs(name: str, weighting: Any) -> None:
    net = nets()[name]
    exact = oracle(net, weighting).mean(axis=0)
    factor = InputHessian(net, probe(), weighting=weighting).factor()
    b = factor.matrix()
    close(b.T @ b / N, exact)
    close(factor.gram(), b @ b.T / N)
    values, vectors = factor.eigh()
    ascending = np.linalg.eigvalsh(exact)
    close(values, ascending[::-1][: len(values)])
    close(exact @ vectors, vectors * values)
    close(vectors.T @ vectors, np.eye(len(values)))
    top, _ = factor.eigh(2)
    close(top, values[:2])


@pytest.mark.parametrize("weighting", ["labels", "softened"])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_native_products_of_every_activation(name: str, weighting: Any) -> None:
    torch.manual_seed(SEED)
    wide = nn.Sequential(nn.Linear(D, 9), ACTIVATIONS[name](), nn.Linear(9, 5), ACTIVATIONS[name]())
    net = wide.append(nn.Linear(5, C)).double()
    exact = oracle(net, weighting)
    v = np.random.default_rng(SEED).standard_normal((N, D, 3))
    mean = InputHessian(net, probe(), weighting=weighting, backend="native")
    close(mean @ v[0], exact.mean(axis=0) @ v[0])
    close(mean.dense(), exact.mean(axis=0))
    each = InputHessian(net, probe(), weighting=weighting, backend="native", average=False)
    close(each @ v, np.einsum("nij,njk->nik", exact, v))


def test_dense_hessian_of_a_narrow_first_layer_is_its_products() -> None:
    torch.manual_seed(SEED)
    for width in (2, 5, 40):  # below and above the input size; more columns than one block
        net = nn.Sequential(nn.Linear(D, width), nn.Tanh(), nn.Linear(width, C)).double()
        hessian = InputHessian(net, probe(), backend="native")
        close(hessian.dense(), hessian @ np.eye(D))
        close(hessian.dense(), oracle(net, "labels").mean(axis=0))


def test_piecewise_linear_nets_take_the_factor_and_smooth_ones_do_not() -> None:
    chosen = {name: InputHessian(net, probe()).backend for name, net in nets().items()}
    assert chosen == {
        "linear": "factor",
        "relu": "factor",
        "narrow": "factor",
        "cnn": "factor",
        "gelu": "native",
        "tanh": "native",
        "attention": "autograd",
    }
    for name in ("gelu", "attention"):
        assert InputHessian(nets()[name], probe(), weighting="uniform").backend == "factor"
        with pytest.raises(ArgumentError, match="curvature of its own"):
            InputHessian(nets()[name], probe(), backend="factor")
    with pytest.raises(ArgumentError, match="Conv2d is not in the layer program"):
        InputHessian(nets()["cnn"], probe(), backend="native")
    with pytest.raises(ArgumentError, match="has no loss"):
        InputHessian(nets()["gelu"], probe(), backend="native", weighting="uniform")


def test_few_samples_in_many_dimensions_go_through_the_sample_side() -> None:
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Linear(50, 40), nn.ReLU(), nn.Linear(40, 3)).double()
    few = Probe(torch.randn(4, 50, dtype=torch.float64))
    factor = InputHessian(net, few, weighting="uniform").factor()
    values, vectors = factor.eigh()
    assert len(values) == 8
    dense = factor.dense()
    close(dense @ vectors, vectors * values)
    close(vectors.T @ vectors, np.eye(8))


def test_off_subspace_operator_is_the_projected_matrix() -> None:
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((D, 2)))[0]
    projector = np.eye(D) - basis @ basis.T
    for name in ("relu", "narrow", "cnn", "gelu"):
        full = InputHessian(nets()[name], probe())
        projected = full.project_out(basis)
        expected = projector @ full.dense() @ projector
        close(projected.dense(), expected)
        close(projected @ np.eye(D), expected)
        if full.backend == "factor":
            close(projected.factor().dense(), expected)


def test_torch_in_torch_out_and_scipy_works() -> None:
    hessian = InputHessian(nets()["relu"], probe())
    v = torch.randn(D, 2, dtype=torch.float64)
    product = hessian @ v
    assert isinstance(product, Tensor)
    close(product, hessian @ v.numpy())
    close(hessian.to_scipy() @ v.numpy(), product.numpy())
    assert hessian.shape == (D, D)
    assert hessian.products >= 6


def test_labels_enter_only_through_the_networks_own_curvature() -> None:
    smooth, data = nets()["gelu"], probe()
    other = Probe(data.inputs, (data.targets + 1) % C if data.targets is not None else None)
    assert (
        np.abs(InputHessian(smooth, data).dense() - InputHessian(smooth, other).dense()).max()
        > 1e-3
    )
    kinked = nets()["relu"]
    close(InputHessian(kinked, data).dense(), InputHessian(kinked, other).dense())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), weighting=st.sampled_from(WEIGHTINGS))
def test_hessians_are_symmetric_linear_and_blind_to_the_order_of_samples(
    seed: int, weighting: Any
) -> None:
    rng = np.random.default_rng(seed)
    net, data = nets()["relu"], probe()
    hessian = InputHessian(net, data, weighting=weighting)
    u, v = rng.standard_normal((2, D))
    a = float(rng.standard_normal())
    scale = np.abs(hessian.dense()).max() * 100 + 1e-12
    assert abs(u @ (hessian @ v) - v @ (hessian @ u)) < 1e-12 * scale
    assert np.abs(hessian @ (u + a * v) - hessian @ u - a * (hessian @ v)).max() < 1e-12 * scale
    order = rng.permutation(N)
    shuffled = InputHessian(net, Probe(data.inputs[torch.from_numpy(order)]), weighting=weighting)
    assert np.abs(shuffled.dense() - hessian.dense()).max() < 1e-12 * scale


def test_softened_curvature_does_not_depend_on_the_logit_scale() -> None:
    net, data = nets()["relu"], probe()
    before = InputHessian(net, data, weighting="softened").dense()
    last = net[4]  # type: ignore[index]
    with torch.no_grad():
        last.weight.mul_(1e6)
        last.bias.mul_(1e6)
    close(InputHessian(net, data, weighting="softened").dense(), before)
    # The plain curvature of the same, now certain, model vanishes: S = diag(p) - pp' = 0.
    assert (
        np.abs(InputHessian(net, data, weighting="labels").dense()).max()
        < 1e-6 * np.abs(before).max()
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-800, 800), min_size=2, max_size=12))
def test_root_squares_to_the_curvature_even_where_probabilities_underflow(
    logits: list[float],
) -> None:
    z = np.array([logits])
    p = np.exp(z[0] - z.max())
    p /= p.sum()
    root = curvature("labels", z).root(z)[0]
    np.testing.assert_allclose(root.T @ root, np.diag(p) - np.outer(p, p), atol=1e-14)
    uniform = curvature("uniform", z).root(z)[0]
    np.testing.assert_allclose(uniform.T @ uniform, np.eye(len(p)) - 1 / len(p), atol=1e-14)

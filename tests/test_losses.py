"""Losses other than cross-entropy: Hessians against torch.func.hessian, targets checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from hessay.errors import ArgumentError, ModelError, ProbeError, ShapeError
from hessay.hessian import InputHessian, frozen
from hessay.hessian.curvature import curvature
from hessay.hessian.loss import Loss, loss_of
from hessay.probe import Probe
from small_nets import close, points, require_hessians, small_nets

SEED = 31117
N, C = 9, 3
LOSSES = ["cross_entropy", "mse", "logistic"]
KINDS = ["none", "classes", "floats"]


def in_torch(loss: str, logits: Tensor, targets: Tensor) -> Tensor:
    """Loss of one sample, logits (C,), as torch.nn.functional has it."""
    if loss == "cross_entropy":
        return functional.cross_entropy(logits[None], targets[None])
    if loss == "mse":
        return functional.mse_loss(logits, targets)
    return functional.binary_cross_entropy_with_logits(logits, targets)


def targets_of(loss: str, kind: str, logits: Tensor) -> tuple[Tensor | None, Tensor]:
    """What the probe is given, and the targets (n, C) or (n,) the loss then has."""
    generator = torch.Generator().manual_seed(SEED)
    n, outputs = logits.shape
    classes = torch.randint(0, max(outputs, 2), (n,), generator=generator)
    floats = torch.rand(n, outputs, generator=generator, dtype=torch.float64)
    hot = (
        functional.one_hot(classes, outputs).double() if outputs > 1 else classes[:, None].double()
    )
    if kind == "floats":
        return floats, floats
    if loss == "cross_entropy":
        return (None, logits.argmax(1)) if kind == "none" else (classes, classes)
    if kind == "classes":
        return classes, hot
    return None, logits if loss == "mse" else (logits > 0).double()


def exact_hessians(net: nn.Module, loss: str, inputs: Tensor, targets: Tensor) -> np.ndarray:
    """H_i (n, d, d), one sample at a time."""

    def single(x: Tensor, t: Tensor) -> Tensor:
        return in_torch(loss, net(x[None])[0], t)

    with frozen(net):
        each = [torch.func.hessian(single)(x, t) for x, t in zip(inputs, targets, strict=True)]
    return torch.stack(each).detach().numpy()


@pytest.mark.parametrize(
    ("loss", "kind"),
    [("cross_entropy", "none"), ("cross_entropy", "classes")]
    + [(loss, kind) for loss in ("mse", "logistic") for kind in KINDS],
)
@pytest.mark.parametrize("name", sorted(small_nets(C, SEED)))
def test_every_route_of_every_loss_agrees_with_torch_func_hessian(
    name: str, loss: Any, kind: str
) -> None:
    net, inputs = small_nets(C, SEED)[name], points(N, SEED)
    with frozen(net), torch.no_grad():
        given_targets, targets = targets_of(loss, kind, net(inputs))
    exact = exact_hessians(net, loss, inputs, targets)
    routes = require_hessians(net, Probe(inputs, given_targets), exact, loss=loss)
    # Outputs that are their own targets have no gradient: J'SJ is all of the Hessian.
    own = loss == "mse" and kind == "none"
    assert ("factor" in routes) == (name in ("linear", "relu", "narrow", "cnn") or own)


class Flat(nn.Module):
    """One output a sample, without an axis for it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[:, 0]


@pytest.mark.parametrize("loss", ["mse", "logistic"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["relu", "tanh", "attention"])
def test_one_output_with_and_without_its_axis(name: str, kind: str, loss: Any) -> None:
    net, inputs = small_nets(1, SEED)[name], points(N, SEED)
    with frozen(net), torch.no_grad():
        given_targets, targets = targets_of(loss, kind, net(inputs))
    exact = exact_hessians(net, loss, inputs, targets)
    require_hessians(net, Probe(inputs, given_targets), exact, loss=loss)
    flat = None if given_targets is None else given_targets.reshape(N)
    require_hessians(Flat(net), Probe(inputs, flat), exact, loss=loss)


def test_targets_of_a_regression_enter_only_through_the_networks_own_curvature() -> None:
    inputs, floats = points(N, SEED), torch.rand(N, C, dtype=torch.float64)
    for name, moves in (("tanh", True), ("relu", False)):
        net = small_nets(C, SEED)[name]
        one = InputHessian(net, Probe(inputs, floats), loss="mse").dense()
        two = InputHessian(net, Probe(inputs, floats + 5), loss="mse").dense()
        assert (np.abs(one - two).max() > 0.1 * np.abs(one).max()) == moves


@settings(max_examples=40, deadline=None)
@given(
    loss=st.sampled_from(LOSSES),
    scale=st.sampled_from([1.0, 30.0, 700.0]),
    softening=st.sampled_from([1.0, 0.3]),
    seed=st.integers(0, 2**31),
)
def test_gradient_curvature_and_root_are_the_derivatives_of_the_summed_loss(
    loss: Any, scale: float, softening: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(N, C, generator=generator, dtype=torch.float64) * scale
    _, targets = targets_of(loss, "classes", z)
    made = Loss(loss, targets, C, softening if loss == "cross_entropy" else 1.0, stationary=False)
    rows = slice(2, 7)
    part = z[rows]
    # Rounding of a logit, eps |z|, is a relative error of its probability; those are at most 1.
    allowed = 20 * np.finfo(float).eps * max(1.0, float(z.abs().max())) / made.scale**2
    gradient = torch.func.grad(made.summed)(part, rows)
    assert float((made.gradient(part, rows) - gradient).abs().max()) <= allowed
    reference = sum(
        float(in_torch(loss, row / made.scale, t))
        for row, t in zip(part, targets[rows], strict=True)
    )
    assert float(made.summed(part, rows)) == pytest.approx(reference, rel=1e-12)
    second = torch.func.hessian(made.summed)(part, rows)
    dense = torch.stack([second[i, :, i] for i in range(len(part))])
    if made.scale == 1.0:
        root = curvature("labels", part.numpy(), loss).root(part.numpy())
        squared = np.einsum("nrc,nrd->ncd", root, root)
        assert np.abs(squared - dense.numpy()).max() <= allowed


def test_the_array_of_targets_has_one_row_a_point_and_one_column_an_output() -> None:
    logits = np.zeros((4, 3))
    for name, targets in (
        ("cross_entropy", torch.tensor([2, 0, 1, 1])),
        ("mse", torch.tensor([2, 0, 1, 1])),
        ("logistic", torch.eye(3)[[2, 0, 1, 1]]),
    ):
        made = loss_of(name, targets, logits, curvature("labels", logits, name))
        array = made.array(np.dtype(np.float32))
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, np.eye(3)[[2, 0, 1, 1]])
        np.testing.assert_array_equal(made.around(2).array(array.dtype), array.repeat(2, axis=0))


REFUSED: dict[str, tuple[dict[str, Any], Any, int, Any, str]] = {
    "unknown loss": ({"loss": "l2"}, None, C, ArgumentError, "'mse' or 'logistic', got 'l2'"),
    "softened mse": (
        {"loss": "mse", "weighting": "softened"},
        None,
        C,
        ArgumentError,
        "belongs to loss='cross_entropy'",
    ),
    "margin": (
        {"loss": "logistic", "weighting": ("margin", 1)},
        None,
        C,
        ArgumentError,
        "'labels' only",
    ),
    "one logit": ({}, None, 1, ModelError, r"C >= 2 .*got \(9, 1\); .*logistic"),
    "float labels": ({}, np.ones(N) / 2, C, ProbeError, "float64.*takes class numbers"),
    "float rows": ({}, np.ones((N, C)), C, ProbeError, "float64.*takes class numbers"),
    "class 3 of 3": ({"loss": "mse"}, [3] * N, C, ShapeError, "targets reach 3"),
    "columns": ({"loss": "mse"}, np.ones((N, 2)), C, ShapeError, r"\(9, 2\).* 3 outputs"),
    "one column": ({"loss": "mse"}, np.ones(N), C, ShapeError, r"shape \(9, 3\)"),
    "outside": ({"loss": "logistic"}, np.full((N, C), 1.5), C, ProbeError, "1.5 of input 0"),
    "class 2": ({"loss": "logistic"}, [2] * N, 1, ProbeError, "target 2 of input 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_losses_and_targets_that_do_not_fit_are_refused(case: str) -> None:
    options, targets, outputs, error, reason = REFUSED[case]
    net = small_nets(outputs, SEED)["relu"]
    with pytest.raises(error, match=reason):
        InputHessian(net, Probe(points(N, SEED), targets), **options)


def test_losses_work_in_single_precision_and_in_many_dimensions() -> None:
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Linear(40, 12), nn.Softplus(), nn.Linear(12, C))
    inputs = torch.randn(5, 40)
    for loss in ("mse", "logistic"):
        probe = Probe(inputs, torch.rand(5, C))
        single = InputHessian(net, probe, loss=loss)
        double = InputHessian(net, probe, loss=loss, dtype=torch.float64)
        assert single.dtype == np.float32
        close(single.dense(), double.dense(), 1e-4)
        assert double.backend == single.backend

"""The factor of hessay._cuda and the Python layer above it, on the processor.

The module's bindings are built over loops in the place of kernels, for CPU tensors (conftest). The
oracles are the core's factor and NumPy, in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hessay import InputHessian
from hessay.errors import ArgumentError, DeviceError, NonFinite, ShapeError
from hessay.hessian.curvature import Curvature
from hessay.hessian.device import module as device_module
from hessay.hessian.device import route
from hessay.hessian.device.factor import DeviceFactor
from hessay.hessian.graph.program import LayerProgram

SEED = 12
Make = Callable[..., InputHessian]
KINDS = ("labels", "softened", "uniform", "margin", "mse", "logistic")
# (widths, samples): one number, two classes, the first layer kept apart, and multiplied out
SHAPES = [([1, 3, 2], 1), ([5, 2], 3), ([9, 4, 3], 7), ([3, 33, 8, 10], 5)]


class Residual(nn.Module):
    """Two readers of one value, and an activation behind a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner = nn.Linear(7, 6), nn.Linear(6, 6, bias=False)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        start = torch.relu(self.first(x))
        return self.last(torch.relu(start + self.inner(start)) + start)


class ActsAtOnce(nn.Module):
    """The input itself meets an activation: the first layer has no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.leaky_relu(x, 0.3))


def mlp(widths: list[int], activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    torch.manual_seed(SEED)
    steps: list[nn.Module] = []
    for before, after in pairwise(widths):
        steps += [nn.Linear(before, after), activation()]
    return nn.Sequential(*steps[:-1]).double()


def compare(make: Make, model: nn.Module, probe: Any, k: int, **options: Any) -> None:
    """Rows, products and H itself against the core's, to 1e-13 of their size: sums of a few dozen."""
    for average in (True, False):
        exact = InputHessian(model, probe, backend="factor", average=average, **options)
        found = make(model, probe, backend="factor", average=average, **options)
        assert "hessay's own kernels" in found.reason
        assert "hessay's own kernels" not in exact.reason
        ours, theirs = found.factor(), exact.factor()
        assert (ours.lift is None) == (theirs.lift is None)
        size = float(np.abs(theirs.rows).max())
        np.testing.assert_allclose(ours.rows, theirs.rows, rtol=0, atol=1e-13 * size)
        v = torch.randn((found.n, found.d, k), dtype=torch.float64)
        v = v[0] if average else v
        wanted = exact @ v.numpy()
        allowed = 1e-13 * float(np.abs(wanted).max())
        assert allowed > 0
        np.testing.assert_allclose((found @ v).numpy(), wanted, rtol=0, atol=allowed)
        if average:
            dense = found.dense()
            np.testing.assert_array_equal(dense, dense.T)
            wanted = exact.dense()
            np.testing.assert_allclose(
                dense, wanted, rtol=0, atol=1e-13 * float(np.abs(wanted).max())
            )


@pytest.mark.parametrize(("widths", "n"), SHAPES)
@pytest.mark.parametrize("activation", [nn.ReLU, lambda: nn.LeakyReLU(0.2)])
def test_the_factor_is_that_of_the_core(
    on_twin: Make, widths: list[int], n: int, activation: Callable[[], nn.Module]
) -> None:
    compare(on_twin, mlp(widths, activation), torch.randn(n, widths[0]).double(), 3)


@pytest.mark.parametrize("weighting", ["softened", "uniform", ("margin", 1)])
def test_every_weighting_has_its_factor(on_twin: Make, weighting: Any) -> None:
    model, inputs = mlp([9, 4, 3]), torch.randn(8, 9).double()
    assert (model(inputs).argmax(dim=1) != 1).any()
    compare(on_twin, model, inputs, 2, weighting=weighting)


@pytest.mark.parametrize("loss", ["mse", "logistic"])
@pytest.mark.parametrize("widths", [[6, 5, 4], [3, 4, 1]])
def test_every_loss_has_its_factor(on_twin: Make, loss: Any, widths: list[int]) -> None:
    compare(on_twin, mlp(widths), torch.randn(5, widths[0]).double(), 1, loss=loss)


def test_a_smooth_network_has_the_factor_of_its_gauss_newton_part(on_twin: Make) -> None:
    compare(on_twin, mlp([7, 6, 4], nn.GELU), torch.randn(6, 7).double(), 2, weighting="uniform")


@pytest.mark.parametrize("model", [Residual, ActsAtOnce])
def test_skips_and_a_first_layer_without_weight(on_twin: Make, model: type[nn.Module]) -> None:
    torch.manual_seed(SEED)
    width = 7 if model is Residual else 5
    compare(on_twin, model().double(), torch.randn(5, width).double(), 3)


def test_noise_around_every_sample(on_twin: Make) -> None:
    compare(on_twin, mlp([7, 6, 4]), torch.randn(6, 7).double(), 2, noise=0.1, draws=4)


def test_tiles_change_nothing(on_twin: Make) -> None:
    model, inputs = mlp([9, 4, 3]), torch.randn(11, 9).double()
    # 1 byte: one sample a pass. Every sample is a column of its own, whatever the tile
    whole, tiled = (on_twin(model, inputs, backend="factor", max_bytes=b) for b in (1 << 30, 1))
    np.testing.assert_array_equal(tiled.factor().rows, whole.factor().rows)
    each, by_one = (
        on_twin(model, inputs, backend="factor", average=False, max_bytes=b) for b in (1 << 30, 1)
    )
    v = torch.randn(11, 9, 2).double()
    torch.testing.assert_close(by_one @ v, each @ v, rtol=0, atol=0)


def test_eigenpairs_are_those_of_the_core(on_twin: Make) -> None:
    model, inputs = mlp([9, 6, 3]), torch.randn(20, 9).double()
    values, vectors = on_twin(model, inputs, backend="factor").factor().eigh(4)
    dense = InputHessian(model, inputs, backend="factor").dense()
    wanted = np.linalg.eigvalsh(dense)[::-1][:4]
    np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-13 * wanted[0])
    residual = dense @ vectors - vectors * values
    assert np.abs(residual).max() < 1e-13 * wanted[0]


def test_single_precision_is_close_to_double(on_twin: Make) -> None:
    model, inputs = mlp([12, 16, 8, 4]), torch.randn(20, 12)
    exact = InputHessian(model, inputs.double(), backend="factor")
    found = on_twin(model, inputs, backend="factor", dtype=torch.float32)
    wanted = exact.dense()
    # a dozen roundings in sums of up to 16 terms, in units of the largest entry
    allowed = 200 * float(np.finfo(np.float32).eps) * float(np.abs(wanted).max())
    np.testing.assert_allclose(found.dense(), wanted, rtol=0, atol=allowed)
    np.testing.assert_allclose(found @ np.eye(12, dtype=np.float32), wanted, rtol=0, atol=allowed)
    v = torch.randn(20, 12, 3)
    each = InputHessian(model, inputs.double(), backend="factor", average=False)
    own = on_twin(model, inputs, backend="factor", average=False, dtype=torch.float32)
    wanted = each @ v.double().numpy()
    np.testing.assert_allclose((own @ v).numpy(), wanted, rtol=0, atol=40 * allowed)


def rows_of(
    twin: Any, monkeypatch: pytest.MonkeyPatch, logits: Tensor, curvature: Curvature
) -> np.ndarray:
    """The root of the curvature (n, r, C): the rows of an identity, whose logits are its inputs."""
    monkeypatch.setattr(device_module, "load", lambda: twin)
    classes = logits.shape[1]
    program = LayerProgram(((None, None, "identity", 0.0, 0, -1),), (classes, classes), True)
    factor = DeviceFactor(program, logits, curvature, average=True, workspace_bytes=1 << 20)
    return factor.to_host().rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_root_squares_to_the_curvature(
    twin: Any, monkeypatch: pytest.MonkeyPatch, kind: str, classes: int
) -> None:
    logits = 3 * torch.randn(6, classes).double()
    logits[4] = 0
    scale = 1.7
    root = rows_of(twin, monkeypatch, logits, Curvature(kind, scale, 1))
    for z, f in zip(logits.numpy(), root, strict=True):
        p = np.exp(z / (scale if kind == "softened" else 1))
        p /= p.sum()
        unit = np.zeros(classes)
        unit[1] += 1
        unit[np.argmax(z)] -= 1
        q = 1 / (1 + np.exp(-z))
        wanted = {
            "labels": np.diag(p) - np.outer(p, p),
            "softened": (np.diag(p) - np.outer(p, p)) / scale**2,
            "uniform": np.eye(classes) - 1 / classes,
            "margin": np.outer(unit, unit),
            "mse": 2 * np.eye(classes) / classes,
            "logistic": np.diag(q * (1 - q)) / classes,
        }[kind]
        np.testing.assert_allclose(f.T @ f, wanted, rtol=0, atol=1e-14)


def test_the_root_of_confident_logits_keeps_its_digits(
    twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.tensor([[50.0, 0.0, -30.0], [0.0, 900.0, 0.0], [-2000.0, 0.0, 2000.0]]).double()
    root = rows_of(twin, monkeypatch, logits, Curvature("labels", 1.0, 0))
    core = Curvature("labels", 1.0, 0).root(logits.numpy())
    # exponentials of two libraries: a few ulp, of numbers down to 1e-35
    np.testing.assert_allclose(root, core, rtol=1e-14)
    assert np.isfinite(root).all()
    assert 0 < np.abs(root[0, 0]).max() < 1e-10
    binary = rows_of(twin, monkeypatch, logits, Curvature("logistic", 1.0, 0))
    np.testing.assert_allclose(
        binary, Curvature("logistic", 1.0, 0).root(logits.numpy()), rtol=1e-14
    )


def test_what_is_not_finite_is_named(twin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "load", lambda: twin)
    weight = np.full((2, 1), 1e200)
    program = LayerProgram(
        ((weight, None, "relu", 0.0, 0, -1), (np.eye(2), None, "identity", 0.0, 1, -1)),
        (1, 2, 2),
        True,
    )
    inputs = torch.tensor([[1.0], [2.0], [-1e200]], dtype=torch.float64)
    curvature = Curvature("labels", 1.0, 0)
    for room in (1, 1 << 20):
        with pytest.raises(NonFinite, match="layer 0 is NaN or Inf at sample 2"):
            DeviceFactor(program, inputs, curvature, average=True, workspace_bytes=room)


def test_torch_makes_the_rows_where_the_kernels_cannot(
    on_twin: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs = mlp([9, 4, 10]), torch.randn(8, 9).double()
    sketched = on_twin(model, inputs, backend="factor", sketch=3)
    assert "hessay's own kernels" not in sketched.reason
    with pytest.raises(ArgumentError, match="which a factor leaves out"):
        on_twin(mlp([9, 4, 3], nn.GELU), inputs, backend="factor")
    assert "hessay's own kernels" not in on_twin(model, inputs, backend="auto").reason

    def missing() -> Any:
        raise DeviceError("no module")

    monkeypatch.setattr(device_module, "load", missing)
    monkeypatch.setattr(route, "is_device", lambda device: device.type == "cpu")
    without = InputHessian(model, inputs, backend="factor")
    assert "hessay's own kernels" not in without.reason
    np.testing.assert_allclose(without.dense(), InputHessian(model, inputs).dense(), atol=1e-14)


def test_directions_that_do_not_fit_are_refused(twin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "load", lambda: twin)
    program = LayerProgram(((np.eye(3), None, "identity", 0.0, 0, -1),), (3, 3), True)
    inputs, curvature = torch.randn(4, 3).double(), Curvature("labels", 1.0, 0)
    factor = DeviceFactor(program, inputs, curvature, average=True, workspace_bytes=1)
    with pytest.raises(ShapeError, match=r"shape \(3, k\), got \(2, 2\)"):
        factor.apply(torch.zeros(2, 2))
    with pytest.raises(ShapeError, match=r"shape \(4, 3, k\), got \(3, 3, 1\)"):
        factor.apply_per_sample(torch.zeros(3, 3, 1))
    with pytest.raises(DeviceError, match="directions are on meta and the factor on cpu"):
        factor.apply(torch.zeros(3, 2, device="meta"))
    strided = torch.randn(6, 4).double()[::2, ::3]
    torch.testing.assert_close(factor.apply(strided), factor.apply(strided.clone()))
    assert factor.apply(strided[:, :0]).shape == (3, 0)
    assert factor.bytes == 8 * 3 * 2 * 4
    bad = Curvature("margin", 1.0, 3)
    with pytest.raises(ArgumentError, match=r"margin's class must lie in \[0, 3\), got 3"):
        DeviceFactor(program, inputs, bad, average=True, workspace_bytes=1)


def test_a_factor_is_applied_with_and_without_its_lift(twin: Any) -> None:
    rng = np.random.default_rng(SEED)
    rows, lift, v = (rng.standard_normal(s) for s in ((5, 12), (9, 5), (9, 3)))

    def fortran(a: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(a.T)).T

    for left, b in ((fortran(lift), rows), (None, lift @ rows)):
        out = torch.full((3, 9), torch.nan, dtype=torch.float64).T
        scratch = torch.empty(
            twin.factor_apply_scratch(*b.shape, 3, left is not None), dtype=torch.float64
        )
        twin.factor_apply(fortran(b), left, 4, fortran(v), out, scratch, 0)
        full = lift @ rows
        np.testing.assert_allclose(out.numpy(), full @ (full.T @ v) / 4, rtol=0, atol=1e-12)


def test_too_small_a_workspace_is_an_error_that_says_how_much(twin: Any) -> None:
    rows, v, out = (torch.zeros(s, dtype=torch.float64).T for s in ((12, 5), (3, 5), (3, 5)))
    with pytest.raises(DeviceError, match="has 8 bytes and 512 are needed"):
        twin.factor_apply(rows, None, 4, v, out, torch.zeros(1, dtype=torch.float64), 0)

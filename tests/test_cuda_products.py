"""The products of hessay._cuda and the Python layer above them, on the processor.

The module's bindings are built once more over loops in the place of kernels, for CPU tensors, and
the operator is told that the CPU is its device. The oracle is the operator of the core in float64.
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
from hessay.hessian.device import module as device_module
from hessay.hessian.device import products as device_products
from hessay.hessian.device import route

SEED = 8
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": lambda: nn.Softplus(1.5),
    "elu": lambda: nn.ELU(0.7),
}


class Residual(nn.Module):
    """Two readers of one value, an activation behind a sum, and a value nobody smooth reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner = nn.Linear(7, 6), nn.Linear(6, 6, bias=False)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        start = torch.tanh(self.first(x))
        return self.last(nn.functional.gelu(start + self.inner(start)) + start)


class BendsAtOnce(nn.Module):
    """The input itself meets an activation: the first layer has no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(x)) + self.last(x)


@pytest.fixture
def tensors_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tensors of the CPU be answered where they are, as those of a device are."""
    monkeypatch.setattr(route, "is_device", lambda device: device.type == "cpu")


def mlp(widths: list[int], activation: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(SEED)
    steps: list[nn.Module] = []
    for before, after in pairwise(widths):
        steps += [nn.Linear(before, after), activation()]
    return nn.Sequential(*steps[:-1]).double()


def compare(
    make: Callable[..., InputHessian], model: nn.Module, probe: Any, k: int, **options: Any
) -> None:
    """Both products against the core's, to 1e-12 of their size: double, sums of a few hundred."""
    for average in (True, False):
        exact = InputHessian(model, probe, backend="native", average=average, **options)
        found = make(model, probe, average=average, **options)
        assert "hessay's own kernels" in found.reason
        assert "hessay's own kernels" not in exact.reason
        v = torch.randn((found.n, found.d, k), dtype=torch.float64)
        v = v[0] if average else v
        wanted = exact @ v.numpy().astype(exact.dtype)
        size = float(np.abs(wanted).max())
        assert size > 0
        np.testing.assert_allclose((found @ v).numpy(), wanted, rtol=0, atol=1e-12 * size)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_products_are_those_of_the_core_for_every_activation(
    on_twin: Callable[..., InputHessian], name: str
) -> None:
    compare(on_twin, mlp([7, 6, 5, 4], ACTIVATIONS[name]), torch.randn(9, 7).double(), 3)


@pytest.mark.parametrize(
    ("widths", "n", "k"), [([1, 1, 2], 1, 1), ([5, 2], 3, 2), ([3, 33, 8, 10], 70, 1)]
)
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "logistic"])
def test_products_are_those_of_the_core_for_every_loss_and_shape(
    on_twin: Callable[..., InputHessian], loss: Any, widths: list[int], n: int, k: int
) -> None:
    torch.manual_seed(SEED)
    classes = torch.randint(0, widths[-1], (n,))
    probe = (torch.randn(n, widths[0]).double(), classes)
    compare(on_twin, mlp(widths, nn.GELU), probe, k, loss=loss)


def test_softened_logits_and_noise(on_twin: Callable[..., InputHessian]) -> None:
    model, inputs = mlp([7, 6, 4], nn.SiLU), torch.randn(6, 7).double()
    compare(on_twin, model, inputs, 2, weighting="softened")
    compare(on_twin, model, inputs, 2, noise=0.1, draws=4)


@pytest.mark.parametrize("model", [Residual, BendsAtOnce])
def test_skips_and_values_read_twice(
    on_twin: Callable[..., InputHessian], model: type[nn.Module]
) -> None:
    torch.manual_seed(SEED)
    net = model().double()
    width = 7 if model is Residual else 5
    compare(on_twin, net, torch.randn(5, width).double(), 3)


def test_tiles_do_not_change_the_product(on_twin: Callable[..., InputHessian]) -> None:
    model, inputs = mlp([7, 6, 5, 4], nn.GELU), torch.randn(11, 7).double()
    # one sample at a time: the smallest workspace there is
    compare(on_twin, model, inputs, 3, max_bytes=1)
    v = torch.randn(7, 2).double()
    whole, tiled = on_twin(model, inputs) @ v, on_twin(model, inputs, max_bytes=1) @ v
    # the sums over samples are added in another order: 11 roundings of double
    torch.testing.assert_close(tiled, whole, rtol=1e-13, atol=1e-14)


def test_single_precision_is_close_to_double(on_twin: Callable[..., InputHessian]) -> None:
    model, inputs = mlp([12, 16, 8, 4], nn.GELU), torch.randn(20, 12)
    wanted = InputHessian(model, inputs.double()) @ np.eye(12)
    found = on_twin(model, inputs, dtype=torch.float32) @ torch.eye(12)
    assert found.dtype == torch.float32
    # a dozen roundings in sums of up to 16 terms, in units of the largest entry
    allowed = 200 * float(np.finfo(np.float32).eps) * float(np.abs(wanted).max())
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=allowed)


@pytest.mark.usefixtures("tensors_stay")
def test_strided_directions_and_vectors_are_taken(on_twin: Callable[..., InputHessian]) -> None:
    model, inputs = mlp([7, 6, 4], nn.Tanh), torch.randn(5, 7).double()
    operator = on_twin(model, inputs)
    wide = torch.randn(14, 6).double()
    strided = wide[::2, ::3]
    torch.testing.assert_close(operator @ strided, operator @ strided.clone())
    torch.testing.assert_close(operator @ strided[:, 0], (operator @ strided)[:, 0])
    torch.testing.assert_close(operator @ strided.t().contiguous().t(), operator @ strided)
    assert operator.products == 2 + 2 + 1 + 2 + 2 + 2
    assert (operator @ strided[:, :0]).shape == (7, 0)
    narrow = operator @ strided.float()
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(
        narrow.double(), operator @ strided.float().double(), rtol=1e-7, atol=0
    )
    assert "native: asked for; hessay's own kernels" in operator.explain()
    np.testing.assert_allclose(
        operator.dense(), (operator @ torch.eye(7).double()).numpy(), atol=1e-14
    )


@pytest.mark.usefixtures("tensors_stay")
def test_bad_directions_are_refused(on_twin: Callable[..., InputHessian]) -> None:
    operator = on_twin(mlp([7, 6, 4], nn.Tanh), torch.randn(5, 7).double())
    with pytest.raises(ShapeError, match=r"shape \(7,\) or \(7, k\), got \(6, 2\)"):
        operator @ torch.zeros(6, 2)
    with pytest.raises(ShapeError, match="real numbers"):
        operator @ torch.zeros(7, 2, dtype=torch.complex64)
    with pytest.raises(NonFinite, match="the directions hold one"):
        operator @ torch.full((7, 1), torch.nan)


def test_a_layer_that_overflows_is_named(twin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "load", lambda: twin)
    from hessay.hessian.graph.program import LayerProgram
    from hessay.hessian.loss import Loss

    weight = np.full((2, 1), 1e200)
    program = LayerProgram(
        ((weight, None, "relu", 0.0, 0, -1), (np.eye(2), None, "identity", 0.0, 1, -1)),
        (1, 2, 2),
        True,
    )
    loss = Loss("cross_entropy", torch.zeros(3, dtype=torch.int64), 2, 1.0, False)
    # the third one is -Inf before a ReLU, which hides it; 1 byte: one sample a pass
    inputs = torch.tensor([[1.0], [2.0], [-1e200]], dtype=torch.float64)
    for workspace in (1, 1 << 20):
        with pytest.raises(NonFinite, match="layer 0 is NaN or Inf at sample 2"):
            device_products.DeviceProducts(program, inputs, loss, workspace_bytes=workspace)


def test_what_the_kernels_cannot_do_is_refused(on_twin: Callable[..., InputHessian]) -> None:
    convolution = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)).double()
    with pytest.raises(ArgumentError, match=r"not exact here: .*use 'auto'"):
        on_twin(convolution, torch.randn(2, 1, 4, 4).double())
    with pytest.raises(ArgumentError, match="this weighting has no loss"):
        on_twin(mlp([7, 6, 4], nn.Tanh), torch.randn(5, 7).double(), weighting="uniform")


def test_a_module_that_was_not_built_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    device_module.load.cache_clear()
    with pytest.raises(DeviceError, match=r"HESSAY_CUDA=ON|cannot be loaded|devices were found"):
        device_module.require_device(torch.device("cuda", 99))
    device_module.load.cache_clear()

    class Old:
        def device_count(self) -> int:
            return 1

        def device_properties(self, _: int) -> dict[str, Any]:
            return {"name": "Tesla T4", "major": 7, "minor": 5}

    monkeypatch.setattr(device_module, "load", Old)
    with pytest.raises(DeviceError, match=r"Tesla T4 has compute capability 7\.5.*8\.0 or newer"):
        device_module.require_device(torch.device("cuda", 0))
    with pytest.raises(DeviceError, match=r"1 CUDA devices were found.*driver of CUDA 13"):
        device_module.require_device(torch.device("cuda", 1))


def test_running_out_of_memory_says_how_much_and_what_helps() -> None:
    class Full:
        dtype = torch.float32
        device = torch.device("cpu")

        def new_empty(self, _: Any) -> Tensor:
            raise torch.cuda.OutOfMemoryError

    with pytest.raises(DeviceError, match=r"the product takes 4,000 bytes .* use fewer"):
        device_module.columns(10, 100, Full(), what="the product", remedy="use fewer")  # type: ignore[arg-type]

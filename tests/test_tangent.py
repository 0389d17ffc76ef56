"""Hand-tiled tangent passes against torch.func.hessian and jacrev, in double."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessay.errors import NonFinite
from hessay.hessian import frozen
from hessay.hessian.curvature import Curvature, curvature
from hessay.hessian.graph.operations import Graph
from hessay.hessian.graph.trace import trace
from hessay.hessian.loss import loss_of
from hessay.hessian.tangent import passes as tangent_passes
from hessay.hessian.tangent.products import TangentProducts, class_sums, jacobian_rows

SEED = 20256
N, C = 7, 3
SHAPE = (2, 5, 6)
D = 60
WEIGHTINGS: list[Any] = ["labels", "softened", "uniform", ("margin", 2)]


class Residual(nn.Module):
    """A small ResNet: batch norm, in-place activations, a strided short cut, a global mean."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.conv1, self.conv2 = nn.Conv2d(4, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        with torch.no_grad():
            for tensor in (self.norm.weight, self.norm.bias, self.norm.running_mean):
                tensor.normal_()
        self.short, self.head = nn.Conv2d(4, 6, 1, 2), nn.Linear(6, C)
        self.act = activation

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        y = self.norm(self.conv2(self.act(self.conv1(x))))
        y += self.short(x)
        return self.head(self.act(y).mean((2, 3)))


class Perceptron(nn.Module):
    """Reads x three times: directly, through a residual layer and through an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(D, 8), nn.Linear(8, 8), nn.Linear(D, 8)
        self.skip, self.head = nn.Linear(D, C), nn.Linear(8, C)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        h = torch.tanh(self.a(x))
        h = h + functional.gelu(self.b(h)) + self.c(torch.sigmoid(x))
        return self.head(h) + self.skip(x)


def _convolutional(*layers: nn.Module, features: int) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, C))


NETS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: _convolutional(nn.Identity(), features=D),
    "cnn": lambda: _convolutional(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(10, 6), nn.Tanh()),
        features=6,
    ),
    "gelu cnn": lambda: _convolutional(
        *(nn.Conv2d(2, 6, 3), nn.GELU(), nn.MaxPool2d(2, 1), nn.Conv2d(6, 4, 2), nn.SiLU()),
        features=8,
    ),
    "wide stem": lambda: _convolutional(
        nn.ConstantPad2d(1, 0.0), nn.Conv2d(2, 5, 3, 2), nn.Softplus(), features=45
    ),
    "dilated stem": lambda: _convolutional(
        nn.Conv2d(2, 4, (2, 3), (1, 2), padding=1, dilation=(3, 1)), nn.Sigmoid(), features=48
    ),
    "overlapping pools": lambda: _convolutional(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.LeakyReLU(0.2), nn.MaxPool2d(3, 2, 1)),
        *(nn.PReLU(4), nn.MaxPool2d(2, 1), nn.AvgPool2d((1, 2))),
        features=8,
    ),
    "grouped and dilated": lambda: _convolutional(
        *(nn.Conv2d(2, 8, (2, 3), (1, 2), groups=2), nn.Tanh()),
        *(nn.Conv2d(8, 6, 2, dilation=(2, 1), padding=1, stride=(2, 1), groups=2), nn.ELU()),
        features=36,
    ),
    "in one dimension": lambda: nn.Sequential(
        *(nn.Flatten(2), nn.Conv1d(2, 6, 4, 3, 1), nn.Tanh(), nn.Conv1d(6, 5, 2, 2)),
        *(nn.ReLU(), nn.MaxPool1d(2), nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(10, C)),
    ),
    "in three": lambda: nn.Sequential(
        *(nn.Unflatten(1, (1, 2)), nn.Conv3d(1, 3, (1, 2, 3)), nn.GELU(), nn.MaxPool3d((2, 1, 2))),
        *(nn.Flatten(), nn.Linear(24, C)),
    ),
    "residual": lambda: Residual(functional.relu),
    "smooth residual": lambda: Residual(functional.silu),
    "perceptron": Perceptron,
}  # fmt: skip


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randn(N, *SHAPE, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, C, (N,), generator=generator)


def built(name: str) -> nn.Module:
    torch.manual_seed(SEED)
    net = NETS[name]().double().eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
    return net


def traced(net: nn.Module, inputs: Tensor) -> Graph:
    with frozen(net):
        graph = trace(net, inputs)
    assert isinstance(graph, Graph), graph
    return graph


def close(actual: Tensor, expected: Tensor) -> None:
    scale = max(float(expected.abs().max()), 1e-12)
    assert actual.shape == expected.shape
    assert float((actual - expected).abs().max()) <= 1e-11 * scale


def hessians_of(net: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], targets: Any) -> Tensor:
    """H_i (n, d, d) of a loss of one sample's logits, straight from the definition."""
    each = [
        torch.func.hessian(lambda v, t=t: loss(net(v.view(1, *SHAPE))[0], t))(x.flatten())
        for x, t in zip(data()[0], targets, strict=True)
    ]
    return torch.stack(each)


def jacobians_of(net: nn.Module, inputs: Tensor) -> Tensor:
    one = torch.func.jacrev(lambda v: net(v.view(1, *SHAPE))[0])
    return torch.stack([one(x.flatten()) for x in inputs])


def oracle(net: nn.Module, weighting: Any) -> tuple[Curvature, Tensor]:
    inputs, labels = data()
    logits = net(inputs)
    found = curvature(weighting, logits.numpy())
    if found.is_loss:
        unit = found.scale if weighting == "softened" else 1.0
        return found, hessians_of(net, lambda z, t: functional.cross_entropy(z / unit, t), labels)
    jacobian = jacobians_of(net, inputs)
    root = torch.from_numpy(found.root(logits.numpy())) @ jacobian
    return found, root.mT @ root


def products_of(
    graph: Graph, inputs: Tensor, targets: Tensor | None, found: Curvature, loss: Any = None
) -> TangentProducts:
    logits = graph.logits(inputs).double().numpy()
    objective = loss_of(loss or "cross_entropy", targets, logits, found)
    return TangentProducts(graph, inputs, objective, found)


def check_products(products: TangentProducts, exact: Tensor) -> None:
    generator = torch.Generator().manual_seed(SEED)
    shared = torch.randn(D, 4, generator=generator, dtype=torch.float64)
    close(products.apply(shared), exact.mean(dim=0) @ shared)
    own = torch.randn(N, D, 3, generator=generator, dtype=torch.float64)
    close(products.apply_per_sample(own), exact @ own)


@pytest.mark.parametrize("tile_bytes", [1, 3000, 1 << 22])
@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=str)
@pytest.mark.parametrize("name", sorted(NETS))
def test_products_are_those_of_torch_func_hessian_whatever_the_tiles(
    name: str, weighting: Any, tile_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tangent_passes, "TILE_BYTES", tile_bytes)
    net, (inputs, labels) = built(name), data()
    found, exact = oracle(net, weighting)
    check_products(products_of(traced(net, inputs), inputs, labels, found), exact)


@pytest.mark.parametrize("tile_bytes", [1, 3000, 1 << 22])
@pytest.mark.parametrize("name", sorted(NETS))
def test_rows_and_class_sums_are_those_of_torch_func_jacrev(
    name: str, tile_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tangent_passes, "TILE_BYTES", tile_bytes)
    net, (inputs, _) = built(name), data()
    graph, jacobian = traced(net, inputs), jacobians_of(net, inputs)
    root = torch.randn(N, 4, C, dtype=torch.float64)
    close(jacobian_rows(graph, inputs, lambda _: root), root @ jacobian)
    group = torch.tensor([3, 0, 3, 1, 0, 0, 3])  # nobody in group 2
    sums, logits = class_sums(graph, inputs, group, 5)
    close(logits, net(inputs))
    one_hot = functional.one_hot(group, 5).double()
    close(sums, torch.einsum("ng,ncd->gcd", one_hot, jacobian))


def test_predicted_classes_stand_in_for_targets() -> None:
    net, (inputs, _) = built("gelu cnn"), data()
    found = curvature("labels", net(inputs).numpy())
    graph, v = traced(net, inputs), torch.eye(D, dtype=torch.float64)
    named = products_of(graph, inputs, net(inputs).argmax(dim=1), found)
    close(products_of(graph, inputs, None, found).apply(v), named.apply(v))


@pytest.mark.parametrize("name", ["gelu cnn", "residual", "perceptron"])
@pytest.mark.parametrize("kind", ["numbers", "classes", "nothing"])
@pytest.mark.parametrize("loss", ["mse", "logistic"])
def test_other_losses_are_torchs(loss: Any, kind: str, name: str) -> None:
    net, (inputs, labels) = built(name), data()
    logits = net(inputs)
    wanted, given = {
        "numbers": (torch.rand(N, C, dtype=torch.float64),) * 2,
        "classes": (functional.one_hot(labels, C).double(), labels),
        "nothing": (logits if loss == "mse" else (logits > 0).double(), None),
    }[kind]
    of_torch = {
        "mse": functional.mse_loss,
        "logistic": functional.binary_cross_entropy_with_logits,
    }[loss]
    exact = hessians_of(net, of_torch, wanted)
    own = curvature("labels", logits.numpy(), loss)
    check_products(products_of(traced(net, inputs), inputs, given, own, loss), exact)


def test_single_precision_loses_digits_and_nothing_else() -> None:
    for name in ("cnn", "smooth residual"):
        net, (inputs, labels) = built(name), data()
        found, exact = oracle(net, "labels")
        graph = traced(net.float(), inputs.float())
        products = products_of(graph, inputs.float(), labels, found)
        v = torch.eye(D)
        expected = exact.mean(dim=0)
        # A few hundred roundings of 6e-8 each.
        assert (products.apply(v) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_stated_memory_is_what_is_kept() -> None:
    inputs, labels = data()
    net = nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(24, 9), nn.Tanh(), nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, C)),
    ).double().requires_grad_(False)  # fmt: skip
    graph = traced(net, inputs)
    smooth = products_of(graph, inputs, labels, curvature("labels", net(inputs).numpy()))
    assert smooth.bytes == N * (24 * (8 + 8) + 2 * 9 * 8 + 5 * 8)
    linear = products_of(graph, inputs, labels, curvature("uniform", net(inputs).numpy()))
    assert linear.bytes == N * (24 * (8 + 8) + 9 * 8 + 5 * 8)


@pytest.mark.parametrize("sample", [0, 4, 6])
def test_the_layer_and_the_sample_that_overflow_are_named(
    sample: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tangent_passes, "TILE_BYTES", 3000)
    inputs, _ = data()
    net = built("cnn")
    graph = traced(net, inputs)
    broken = inputs.clone()
    broken[sample] = float("inf")
    with pytest.raises(NonFinite, match=f"Conv2d, operation 1 of .* at sample {sample};"):
        jacobian_rows(graph, broken, lambda z: z[:, None])


def test_products_work_under_inference_mode_and_leave_no_graph() -> None:
    inputs, labels = data()
    net = built("overlapping pools")
    found, exact = oracle(net, "labels")
    graph = traced(net, inputs)
    products = products_of(graph, inputs, labels, found)
    with torch.inference_mode():
        v, root = torch.eye(D, dtype=torch.float64), torch.ones(N, 1, C, dtype=torch.float64)
        product, rows = products.apply(v), jacobian_rows(graph, inputs, lambda _: root)
    close(product, exact.mean(dim=0))
    close(rows, root @ jacobians_of(net, inputs))
    tensor = torch.eye(D, dtype=torch.float64, requires_grad=True)
    assert not products.apply(tensor).requires_grad
    np.testing.assert_allclose(products.apply(tensor).numpy(), product, rtol=0, atol=0)

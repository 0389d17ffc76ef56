"""Models of every kind are differentiated as they are, and come back untouched."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessay.errors import ModelError
from hessay.hessian import InputHessian, frozen
from hessay.probe import Probe
from small_nets import D, close, exact_routes, points, require_hessians, small_nets

SEED = 70717
N, C = 9, 3


def probe(n: int = N) -> Probe:
    return Probe(points(n, SEED), torch.arange(n) % C)


def exact(net: nn.Module, data: Probe) -> np.ndarray:
    """H_i of cross-entropy, one sample at a time."""
    assert data.targets is not None
    with frozen(net):
        each = [
            torch.func.hessian(lambda v, y=y: functional.cross_entropy(net(v[None]), y[None]))(x)
            for x, y in zip(data.inputs, data.targets, strict=True)
        ]
    return torch.stack(each).detach().numpy()


def everything(net: nn.Module) -> dict[str, Any]:
    """All that a caller could notice of a module, tensors by value and by identity."""
    seen: dict[str, Any] = {}
    for name, module in net.named_modules():
        for key, value in module.__dict__.items():
            seen[f"{name}.{key}"] = dict(value) if isinstance(value, dict) else value
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        seen[f"value of {name}"] = tensor.detach().numpy().tobytes()
        seen[f"place of {name}"] = (id(tensor), tensor.requires_grad, tensor.grad)
    return seen


class InPlace(nn.Module):
    """Writes into its input before anything else."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.head = kind, nn.Sequential(nn.Linear(D, 7), nn.Tanh(), nn.Linear(7, C))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "mul_":
            x.mul_(2.0)
        elif self.kind == "relu_":
            functional.relu(x, inplace=True)
        else:
            x[:, 0] = x[:, 1]
        return self.head(x)


@pytest.mark.parametrize("kind", ["mul_", "relu_", "index"])
@pytest.mark.parametrize("weighting", ["labels", "uniform"])
def test_layers_that_write_into_their_input_reach_nobody_elses(kind: str, weighting: Any) -> None:
    torch.manual_seed(SEED)
    net, data = InPlace(kind).double(), probe()
    before = data.inputs.clone()
    routes = exact_routes(net, data, weighting=weighting)
    assert torch.equal(data.inputs, before)
    if weighting == "labels":

        def safe(v: Tensor, y: Tensor) -> Tensor:
            return functional.cross_entropy(net(v[None].clone()), y[None])

        assert data.targets is not None
        with frozen(net):
            pairs = zip(data.inputs, data.targets, strict=True)
            each = torch.stack([torch.func.hessian(safe)(x, y) for x, y in pairs])
        require_hessians(net, data, each.detach().numpy())
    for hessian in routes.values():
        close(hessian.dense(), routes["auto"].dense())


def test_an_activation_in_place_after_the_inner_module_leaves_its_points_alone() -> None:
    torch.manual_seed(SEED)
    parts = (nn.Linear(D, 7), nn.ReLU(inplace=True), nn.Linear(7, C))
    inplace = nn.Sequential(nn.ReLU(inplace=True), *parts).double()
    plain = nn.Sequential(nn.ReLU(), parts[0], nn.ReLU(), parts[2])
    for wrt in ("input", "0", "1"):
        expected = InputHessian(plain, probe(), wrt=wrt).dense()
        close(InputHessian(inplace, probe(), wrt=wrt).dense(), expected)
        close(InputHessian(inplace, probe(), wrt=wrt, backend="autograd").dense(), expected)
    smooth = [nn.Sequential(parts[0], nn.SiLU(inplace), parts[2]) for inplace in (False, True)]
    kept, written = (InputHessian(net, probe(), wrt="0").dense() for net in smooth)
    close(written, kept)


class Forgetful(nn.Module):
    """Counts and caches in attributes and buffers, and has them rewritten by every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(D, C)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(2))
        self.register_buffer("empty", None)
        self.cached: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = x.detach()[0]
        self.cached = self.inner(x)
        self.new_attribute = len(x)
        return self.cached.tanh()


@pytest.mark.parametrize("wrt", ["input", "inner"])
@pytest.mark.parametrize("options", [{}, {"weighting": "uniform"}, {"noise": 0.1}], ids=str)
def test_nothing_of_the_model_changes(wrt: str, options: dict[str, Any]) -> None:
    torch.manual_seed(SEED)
    net = Forgetful().double().train()
    net.inner.weight.requires_grad_(False)
    net.inner.bias.grad = torch.ones(C, dtype=torch.float64)
    net.inner.register_forward_hook(lambda _m, _i, out: out + 1)
    net.register_forward_pre_hook(lambda _m, inputs: (inputs[0] * 2,))
    before = everything(net)
    fast = torch.backends.mha.get_fastpath_enabled()
    for average in (True, False):
        hessian = InputHessian(net, probe(), wrt=wrt, average=average, **options)
        hessian @ np.ones((hessian.d, 1) if average else (N, hessian.d, 1))
    after = everything(net)
    assert after.keys() == before.keys()
    assert all(after[key] is before[key] or after[key] == before[key] for key in before)
    assert torch.backends.mha.get_fastpath_enabled() == fast


def test_a_failing_model_comes_back_untouched_as_well() -> None:
    class Failing(Forgetful):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            raise ValueError("no")

    net = Failing().double()
    before = everything(net)
    for wrt in ("input", "inner"):
        with pytest.raises(ModelError, match="raised ValueError"):
            InputHessian(net, probe(), wrt=wrt)
    after = everything(net)
    assert all(after[key] is before[key] or after[key] == before[key] for key in before)


def test_hooks_of_the_user_are_part_of_the_model() -> None:
    net = small_nets(C, SEED)["tanh"]
    doubled = copy.deepcopy(net)
    with torch.no_grad():
        doubled[2].weight.mul_(2)  # type: ignore[index]
        doubled[2].bias.mul_(2)  # type: ignore[index]
    net.register_forward_hook(lambda _m, _i, out: 2 * out)
    require_hessians(net, probe(), exact(doubled, probe()))


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh(), nn.Softsign()], ids=str)
def test_one_input_of_one_coordinate(n: int, activation: nn.Module) -> None:
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Linear(1, 5), activation, nn.Linear(5, 2)).double()
    data = Probe(torch.arange(1.0, n + 1, dtype=torch.float64)[:, None], torch.zeros(n).long())
    require_hessians(net, data, exact(net, data))


def test_shared_weights() -> None:
    torch.manual_seed(SEED)
    shared = nn.Linear(D, D)
    net = nn.Sequential(shared, nn.Tanh(), shared, nn.Sigmoid(), shared).double()
    data = Probe(points(N, SEED), torch.arange(N) % D)
    require_hessians(net, data, exact(net, data))


class Polynomial(nn.Module):
    """No parameters; a buffer where there are weights."""

    def __init__(self, weights: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        if self.weights is not None:
            return (x @ self.weights).tanh()
        return torch.stack([(x**3).sum(1), x.sin().sum(1), x[:, 0] * x[:, 1]], dim=1)


def test_models_without_parameters() -> None:
    double = Polynomial(None)
    require_hessians(double, probe(), exact(double, probe()))
    weights = Polynomial(torch.randn(D, C, dtype=torch.float64))
    single = Probe(points(N, SEED).float())
    assert InputHessian(weights, single).dtype == np.float64  # the dtype of the buffer
    assert InputHessian(double, single).dtype == np.float32
    assert InputHessian(double, single, dtype=torch.float64).dtype == np.float64


def test_weights_and_calls_in_inference_mode() -> None:
    expected = exact(small_nets(C, SEED)["tanh"], probe())
    with torch.inference_mode():
        net = small_nets(C, SEED)["tanh"]
        inside = probe()
        routes = exact_routes(small_nets(C, SEED)["attention"], inside)
        for hessian in routes.values():
            close(hessian @ torch.eye(D, dtype=torch.float64), routes["auto"].dense())
    require_hessians(net, probe(), expected)
    with frozen(net):
        assert not net.training
    assert all(p.is_inference() and p.requires_grad for p in net.parameters())
    with torch.no_grad():
        require_hessians(small_nets(C, SEED)["tanh"], probe(), expected)


def test_half_precision_is_computed_in_single_and_says_so() -> None:
    net = small_nets(C, SEED)["attention"].float()
    expected = InputHessian(net, probe()).dense()
    for dtype in (torch.float16, torch.bfloat16):
        half = copy.deepcopy(net).to(dtype)
        mixed = copy.deepcopy(net)
        mixed.head.to(dtype)  # type: ignore[operator, union-attr]
        for model in (half, mixed):
            kinds = {p.dtype for p in model.parameters()}
            hessian = InputHessian(model, probe())
            assert hessian.dtype == np.float32
            assert "half precision computed in float32" in hessian.explain()
            close(hessian.dense(), expected, 0.1)  # 8 bits of bfloat16, through a network
            assert {p.dtype for p in model.parameters()} == kinds


def test_embeddings_that_write_into_their_weights_run_as_a_copy() -> None:
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Embedding(9, 4, max_norm=0.1), nn.Flatten(), nn.Linear(12, C))
    before = net[0].weight.detach().clone()
    ids = torch.randint(0, 9, (N, 3))
    points_norm = InputHessian(net, Probe(ids), wrt="0", weighting="uniform")
    assert torch.equal(net[0].weight, before)
    assert points_norm.shape == (12, 12)


class Encoder(nn.Module):
    """A transformer as torch has it, which takes other paths where nothing needs a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 4)
        layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(4, C)

    def forward(self, ids: Tensor) -> Tensor:
        return self.tail(self.embedding(ids), ids)

    def tail(self, words: Tensor, ids: Tensor) -> Tensor:
        return self.head(self.encoder(words, src_key_padding_mask=ids == 0).sum(1))


def test_a_transformer_with_padding() -> None:
    torch.manual_seed(SEED)
    net = Encoder().double()
    ids = torch.randint(1, 12, (4, 3))
    ids[::2, -1] = 0
    data = Probe(ids, torch.arange(4) % C)
    with frozen(net):

        def single(v: Tensor, row: Tensor, y: Tensor) -> Tensor:
            return functional.cross_entropy(net.tail(v.view(1, 3, 4), row[None]), y[None])

        words = net.embedding(ids).flatten(1)
        triples = zip(words, ids, torch.arange(4) % C, strict=True)
        each = torch.stack([torch.func.hessian(single)(*triple) for triple in triples])
    require_hessians(net, data, each.detach().numpy(), wrt="embedding")

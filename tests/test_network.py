"""Networks as programs of the native core: the translation, its logits and its derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessay import _core
from hessay.errors import ArgumentError, ShapeError
from hessay.hessian import InputHessian, frozen
from hessay.hessian.graph.operations import Graph
from hessay.hessian.graph.program import LayerProgram, follow
from hessay.loading import build_architecture
from hessay.loading.architectures import ACTIVATIONS
from hessay.spectrum import eigsh
from traceable import FOLLOWED, images

SEED = 20254
CASES: dict[str, nn.Module] = {name: make() for name, make in ACTIVATIONS.items()} | {
    "leaky_relu(.3)": nn.LeakyReLU(0.3),
    "softplus(2)": nn.Softplus(beta=2.0),
    "elu(.5)": nn.ELU(alpha=0.5),
}


def translated(model: nn.Module, inputs: torch.Tensor) -> LayerProgram:
    with frozen(model):
        program = follow(model, inputs)[1]
    assert isinstance(program, LayerProgram), program
    return program


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_every_activation_has_torchs_value_and_slope(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(5, 40), CASES[name], nn.Linear(40, 3)).to(dtype)
    inputs = torch.randn(60, 5, dtype=dtype) * 4
    inputs[0] = 300.0  # far out, where careless formulas overflow
    program = translated(model, inputs[1:])
    rounding = 1e-12 if dtype == torch.float64 else 2e-4
    flat = inputs.numpy()
    expected = model(inputs).detach().numpy()
    np.testing.assert_allclose(program.logits(flat), expected, rtol=rounding, atol=rounding)
    rows = torch.func.vmap(torch.func.jacrev(model))(inputs).detach().numpy()
    sums = np.empty((2, 3, 5), dtype=flat.dtype)
    group = np.arange(60) % 2
    _core.network_grouped_jacobian(program.layers, flat, group, sums)
    wanted = np.stack([rows[group == g].sum(axis=0) for g in range(2)])
    np.testing.assert_allclose(sums, wanted, rtol=rounding, atol=rounding * np.abs(wanted).max())


def test_registered_nets_with_any_input_shape_are_translated() -> None:
    torch.manual_seed(SEED)
    model = build_architecture("mlp:12-7-4:silu")
    images = torch.randn(9, 3, 4)
    program = translated(model, images)
    flat = images.flatten(1).numpy()
    np.testing.assert_allclose(program.logits(flat), model(images).detach(), atol=1e-5)
    assert not program.piecewise_linear
    assert translated(build_architecture("linear:12-4"), images).piecewise_linear


def test_a_module_used_twice_is_translated_twice() -> None:
    torch.manual_seed(SEED)
    act, square = nn.Tanh(), nn.Linear(6, 6)
    model = nn.Sequential(nn.Linear(4, 6), act, square, act, square, act, nn.Linear(6, 3)).double()
    inputs = torch.randn(9, 4, dtype=torch.float64)
    program = translated(model, inputs)
    assert [layer[2] for layer in program.layers] == ["tanh", "tanh", "tanh", "identity"]
    np.testing.assert_allclose(program.logits(inputs.numpy()), model(inputs).detach(), atol=1e-12)


ACTIVATE: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda a, _: a,
    "relu": lambda a, _: functional.relu(a),
    "leaky_relu": functional.leaky_relu,
    "gelu": lambda a, _: functional.gelu(a),
    "gelu_tanh": lambda a, _: functional.gelu(a, approximate="tanh"),
    "silu": lambda a, _: functional.silu(a),
    "tanh": lambda a, _: torch.tanh(a),
    "sigmoid": lambda a, _: torch.sigmoid(a),
    "softplus": functional.softplus,
    "elu": functional.elu,
}


def run(program: LayerProgram, inputs: Tensor) -> Tensor:
    """What a program means, word by word."""
    values = [inputs.flatten(1)]
    for number, (weight, bias, name, parameter, source, skip) in enumerate(program.layers):
        assert 0 <= source <= number
        assert -1 <= skip <= number
        assert skip != 0
        assert (source == 0) == (number == 0)  # only the first layer reads the input
        a = values[source]
        a = a if weight is None else a @ torch.from_numpy(weight).T
        a = a if bias is None else a + torch.from_numpy(bias)
        a = a if skip < 0 else a + values[skip]
        values.append(ACTIVATE[name](a, parameter))
    assert [v.shape[1] for v in values] == list(program.widths)
    return values[-1]


PROGRAMS = {
    *("arithmetic", "batch norm 1d", "constants", "dropout", "functional", "in place"),
    *("read behind a sum", "reads twice", "sequential", "tied", "unused head", "weight norm"),
}


@pytest.mark.parametrize("name", sorted(FOLLOWED))
def test_a_program_means_what_its_network_computes(name: str) -> None:
    torch.manual_seed(SEED)
    model, inputs = FOLLOWED[name]().double(), images()
    with frozen(model):
        program = follow(model, inputs)[1]
    if name not in PROGRAMS:
        assert isinstance(program, str)
        assert "is not in the layer program" in program
        return
    assert isinstance(program, LayerProgram), program
    expected = model.eval()(inputs.clone()).detach()
    torch.testing.assert_close(run(program, inputs), expected, rtol=1e-12, atol=1e-12)
    flat = inputs.flatten(1).numpy()
    np.testing.assert_allclose(program.logits(flat), expected, rtol=1e-12, atol=1e-12)


def wiring(model: nn.Module, inputs: Tensor) -> list[tuple[bool, str, int, int]]:
    """Of every layer: whether it has a weight, its activation, input and skip."""
    program = translated(model.double(), inputs.double())
    expected = model.eval()(inputs.double()).detach()
    torch.testing.assert_close(run(program, inputs.double()), expected, rtol=1e-12, atol=1e-12)
    return [(weight is not None, name, i, skip) for weight, _, name, _, i, skip in program.layers]


class Around(nn.Module):
    """x + f(x), then an activation."""

    def __init__(self, inner: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.inner, self.after = inner, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(x + self.inner(x))


def test_residual_blocks_and_batch_norm_cost_no_layer() -> None:
    torch.manual_seed(SEED)
    norm = nn.BatchNorm1d(6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    inner = nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 6), norm)
    inputs = torch.randn(9, 6)
    model = nn.Sequential(nn.Linear(6, 6), Around(inner, nn.ReLU()), norm, nn.Linear(6, 3))
    assert wiring(model, inputs) == [
        (True, "identity", 0, -1),
        (True, "gelu", 1, -1),
        (True, "relu", 2, 1),
        (True, "identity", 3, -1),
    ]
    # A network that starts with the sum, or with an activation, reads x through the identity.
    assert wiring(nn.Sequential(Around(inner, nn.Tanh()), nn.Linear(6, 3)), inputs) == [
        (False, "identity", 0, -1),
        (True, "gelu", 1, -1),
        (True, "tanh", 2, 1),
        (True, "identity", 3, -1),
    ]
    assert wiring(nn.Sequential(nn.ReLU(), nn.Linear(6, 3)), inputs) == [
        (False, "relu", 0, -1),
        (True, "identity", 1, -1),
    ]
    # Where two read the same sum, and where a value is added to itself.
    assert wiring(Around(Around(nn.Linear(6, 6), nn.Identity()), nn.Identity()), inputs) == [
        (False, "identity", 0, -1),
        (True, "identity", 1, 1),
        (False, "identity", 2, 1),
    ]
    twice = nn.Sequential(nn.Linear(6, 3), Around(nn.Identity(), nn.Identity()))
    assert wiring(twice, inputs) == [(True, "identity", 0, -1), (False, "identity", 1, 1)]


class Scaled(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Sneaky(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) ** 2


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 3))
    model[0].register_forward_hook(lambda *_: None)
    return model


def test_a_forward_of_its_own_is_followed() -> None:
    torch.manual_seed(SEED)
    model, inputs = Scaled(nn.Linear(4, 3)), torch.randn(5, 4)
    program = translated(model, inputs)
    assert len(program.layers) == 1
    np.testing.assert_allclose(program.logits(inputs.numpy()), model(inputs).detach(), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (nn.Sequential(Sneaky(4, 3)), "pow is not in the graph"),
        (hooked(), "it has hooks"),
        (nn.Sequential(nn.Linear(4, 3), nn.PReLU()), "prelu is not in the layer program"),
        (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 2), nn.Flatten()), "several axes"),
        (nn.Sequential(nn.Identity()), "no linear layer"),
        (nn.Sequential(nn.Linear(4, 3)).bfloat16(), "bfloat16"),
    ],
)
def test_what_is_not_understood_is_said(model: nn.Module, reason: str) -> None:
    inputs = torch.randn(5, 4).to(next(iter(model.parameters()), torch.zeros(0)).dtype)
    with frozen(model):
        graph, found = follow(model, inputs)
        assert isinstance(found, str)
        assert reason in found
        known = reason in ("no linear layer", "several axes") or "prelu" in reason
        assert (isinstance(graph, Graph) and graph.piecewise_linear) == known


def test_a_wide_scaling_that_no_linear_layer_takes_up_is_refused() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3000), nn.ReLU(), nn.Linear(3000, 2)).requires_grad_(False)
    found = follow(model.eval(), torch.randn(3, 3000))[1]
    assert found == "a scaling of 3000 numbers that no linear layer takes up"


def test_groups_and_shapes_are_checked() -> None:
    program = translated(nn.Sequential(nn.Linear(4, 3)), torch.randn(5, 4))
    x = np.zeros((5, 4), dtype=np.float32)
    with pytest.raises(ArgumentError, match=r"group 7 of sample 2 is not in \[0, 2\)"):
        _core.network_grouped_jacobian(
            program.layers, x, np.array([0, 1, 7, 0, 0]), np.empty((2, 3, 4), np.float32)
        )
    with pytest.raises(ShapeError, match="takes 4 inputs, got 3"):
        _core.network_forward(program.layers, x[:, :3].copy(), np.empty((5, 3), np.float32))
    with pytest.raises(ShapeError, match="must be float32"):
        _core.network_forward(program.layers, x, np.empty((5, 3)))
    with pytest.raises(ArgumentError, match="unknown activation"):
        _core.network_forward([(x[:3], None, "swish", 0.0, 0, -1)], x, np.empty((5, 3), np.float32))
    with pytest.raises(ShapeError, match="at least one layer"):
        _core.network_forward([], x, np.empty((5, 3), np.float32))


def test_eigsh_on_a_hessian_agrees_with_its_dense_spectrum() -> None:
    torch.manual_seed(SEED)
    model = build_architecture("mlp:60-40-20-6").double()
    data = torch.randn(80, 60, dtype=torch.float64)
    hessian = InputHessian(model, data, weighting="softened")
    exact = np.linalg.eigvalsh(hessian.dense())[::-1][:5]
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((60, 8)))[0]
    projected = hessian.project_out(basis)
    exact_off = np.linalg.eigvalsh(projected.dense())[::-1][:5]
    np.testing.assert_allclose(eigsh(hessian, 5, "LA", 1e-9).values, exact, rtol=1e-7)
    np.testing.assert_allclose(eigsh(projected, 5, "LA", 1e-9).values, exact_off, rtol=1e-7)
    smooth = InputHessian(build_architecture("mlp:30-20-4:tanh").double(), data[:, :30])
    assert smooth.backend == "native"
    wanted = np.linalg.eigvalsh(smooth.dense())
    top = wanted[np.argsort(-np.abs(wanted))][:3]
    np.testing.assert_allclose(eigsh(smooth, 3, "LM", 1e-9).values, top, rtol=1e-6)

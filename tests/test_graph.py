"""Tracing a network into a graph: what is followed gives torch's numbers, what is not is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessay.hessian import frozen
from hessay.hessian.graph.operations import Affine, Graph, Linear, folded
from hessay.hessian.graph.trace import trace
from traceable import FOLLOWED, SEED, flat_net, images, tied


class Remembers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(72, 3)
        self.last: object = "nothing"
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.last = x
        self.calls += 1
        self.seen = x.shape
        return self.layer(x.flatten(1))


def built(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(SEED)
    return make().double()


def traced(model: nn.Module, inputs: Tensor) -> Graph | str:
    with frozen(model):
        return trace(model, inputs)


@pytest.mark.parametrize("name", sorted(FOLLOWED))
def test_a_graph_has_the_logits_of_its_model_and_so_has_the_folded_one(name: str) -> None:
    model, inputs = built(FOLLOWED[name]), images()
    graph = traced(model, inputs)
    assert isinstance(graph, Graph), graph
    model.eval()
    expected = model(inputs.clone())
    for kept in (graph, folded(graph)):
        torch.testing.assert_close(kept.logits(inputs), expected, rtol=1e-12, atol=1e-12)
        shapes = [tuple(inputs.shape[1:]), *(tuple(v.shape[1:]) for v in _values(kept, inputs))]
        assert list(kept.shapes) == shapes
        assert all(kept.readers[v] for v in range(len(shapes) - 1))  # nothing is computed in vain


def _values(graph: Graph, inputs: Tensor) -> list[Tensor]:
    values = [inputs]
    for operation in graph.operations:
        values.append(operation.apply(*(values[s] for s in operation.sources)))
    return values[1:]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_padding_that_is_wider_on_one_side_is_on_the_side_torch_takes() -> None:
    def conv() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(2, 3, (4, 3), padding="same"), nn.Flatten(), nn.Linear(108, 2)
        )

    model, inputs = built(conv), images()
    graph = traced(model, inputs)
    assert isinstance(graph, Graph), graph
    torch.testing.assert_close(graph.logits(inputs), model(inputs), rtol=1e-12, atol=1e-12)


def no_grad(_: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        return x * 2


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(_: Any, g: Tensor) -> Tensor:
        return 3 * g


class Sealed(torch.autograd.Function):
    """Computes out of torch's sight."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        with torch._C.DisableTorchFunction():
            return 2 * x

    @staticmethod
    def backward(_: Any, g: Tensor) -> Tensor:
        return 3 * g


def hooked(kind: str) -> nn.Module:
    model = flat_net(lambda _, x: x)
    getattr(model.stem, kind)(lambda *_: pytest.fail("a hook was run"))
    return model


def of_this_batch(_: Any, x: Tensor) -> Tensor:
    return x.clamp(min=torch.zeros(len(x), 1, dtype=x.dtype))


def stale(_: Any, x: Tensor) -> Tensor:
    view = x.view(-1, 4, 2)
    x.relu_()
    return view.flatten(1)


def written_over(_: Any, x: Tensor) -> Tensor:
    x[:, 0] = 1.0
    return x


REFUSED: list[tuple[Callable[[], nn.Module], str]] = [
    (lambda: flat_net(lambda s, x: s.n(x), n=nn.LayerNorm(8)), "layer_norm is not in the graph"),
    (lambda: flat_net(lambda _, x: x**2), "pow is not in the graph"),
    (lambda: flat_net(lambda _, x: x * x.sigmoid()), "product or quotient of two values"),
    (lambda: flat_net(lambda _, x: x.detach()), "detach is not in the graph"),
    (lambda: flat_net(lambda _, x: x if x.sum() > 0 else -x), "sum is not in the graph"),
    (lambda: flat_net(lambda _, x: x if bool(x[0, 0] > 0) else -x), "is not in the graph"),
    (lambda: flat_net(lambda _, x: x if float(x.sum()) > 0 else -x), "sum is not in the graph"),
    (lambda: flat_net(no_grad), "mul runs without gradients"),
    (lambda: flat_net(lambda _, x: Doubled.apply(x)), "mul runs without gradients"),
    (lambda: flat_net(lambda _, x: x + Sealed.apply(x)), "autograd function of its own"),
    (lambda: flat_net(lambda _, x: Sealed.apply(x)), "do not come from operations"),
    (lambda: flat_net(lambda _, x: functional.dropout(x)), "dropout is active"),
    (lambda: flat_net(lambda _, x: x.float().double()), "partly in torch.float32"),
    (lambda: flat_net(lambda _, x: x.view(len(x) * 2, 4).view(-1, 8)), "moves the sample axis"),
    (lambda: flat_net(lambda _, x: x - x.mean(0)), "mean over the samples"),
    (lambda: flat_net(lambda _, x: x / len(x)), "does something its operations do not say"),
    (lambda: flat_net(lambda _, x: x + torch.rand(8)), "does something its operations do not say"),
    (lambda: flat_net(of_this_batch), "depends on the size of the batch"),
    (lambda: flat_net(stale), "in-place operation changes a value that is read again"),
    (lambda: flat_net(written_over), "setitem"),
    (lambda: flat_net(lambda s, x: s.missing(x)), "cannot be followed: AttributeError"),
    (
        lambda: flat_net(lambda s, x: s.b(x), b=nn.BatchNorm1d(8, track_running_stats=False)),
        "from the batch",
    ),
    (lambda: hooked("register_forward_hook"), "it has hooks"),
    (lambda: hooked("register_forward_pre_hook"), "it has hooks"),
    (lambda: hooked("register_full_backward_hook"), "it has hooks"),
]


@pytest.mark.parametrize(("make", "reason"), REFUSED)
def test_what_cannot_be_followed_is_said(make: Callable[[], nn.Module], reason: str) -> None:
    found = traced(built(make), images())
    assert isinstance(found, str)
    assert reason in found


def test_tracing_leaves_the_module_as_it_was() -> None:
    model = built(Remembers)
    before = dict(vars(model))
    assert isinstance(traced(model, images()), Graph)
    assert vars(model) == before
    assert (model.last, model.calls) == ("nothing", 0)
    inputs, weights = images(), [p.clone() for p in model.parameters()]
    for name in ("in place", "residual"):
        traced(built(FOLLOWED[name]), inputs)
    assert torch.equal(inputs, images())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), weights, strict=True))


def test_a_hook_for_all_modules_is_a_hook() -> None:
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert traced(built(tied), images()) == "it has hooks"
    finally:
        handle.remove()


def test_weights_are_shared_with_the_model_and_modules_used_twice_appear_twice() -> None:
    model = built(tied)
    graph = traced(model, images())
    assert isinstance(graph, Graph)
    weights = [o.weight.data_ptr() for o in graph.operations if isinstance(o, Linear)]
    square = model.square.weight.data_ptr()
    assert weights == [model.stem.weight.data_ptr(), square, square, model.head.weight.data_ptr()]


def test_folding_leaves_no_scaling_behind_a_layer_that_only_it_reads() -> None:
    graph = traced(built(FOLLOWED["residual"]), images())
    assert isinstance(graph, Graph)
    assert sum(isinstance(o, Affine) for o in graph.operations) == 3
    assert not any(isinstance(o, Affine) for o in folded(graph).operations)


def test_piecewise_linear_means_every_operation_is() -> None:
    bent = {"sequential", "functional", "activations", "arithmetic", "in place", "tied"}
    bent |= {"read behind a sum"}
    for name, make in FOLLOWED.items():
        graph = traced(built(make), images())
        assert isinstance(graph, Graph)
        assert graph.piecewise_linear == (name not in bent), name


def test_one_input_is_enough() -> None:
    assert isinstance(traced(built(FOLLOWED["residual"]), images()[:1]), Graph)
    assert traced(built(FOLLOWED["tied"]).bfloat16(), images().bfloat16()) == (
        "the model computes in torch.bfloat16"
    )


@pytest.mark.parametrize("spelling", ["squeeze", "flatten", "view", "reshape"])
def test_one_output_without_an_axis_is_followed_as_one_column(spelling: str) -> None:
    class OneOutput(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(5, 6), nn.Linear(6, 1)

        def forward(self, x: Tensor) -> Tensor:
            z = self.outer(torch.tanh(self.inner(x)))
            return {
                "squeeze": lambda: z.squeeze(-1),
                "flatten": z.flatten,
                "view": lambda: z.view(-1),
                "reshape": lambda: z.reshape(len(x)),
            }[spelling]()

    torch.manual_seed(SEED)
    model, inputs = OneOutput(), torch.randn(9, 5)
    with frozen(model):
        graph = trace(model, inputs)
        assert isinstance(graph, Graph), graph
        torch.testing.assert_close(graph.logits(inputs), model(inputs)[:, None])

"""Which route is taken: by measured costs, by memory, by the number of directions expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hessay.errors import ArgumentError, NonFinite
from hessay.hessian import InputHessian
from hessay.hessian.routes.choice import cheapest, dense_source
from hessay.hessian.routes.cost import estimate
from hessay.hessian.routes.work import Work
from hessay.spectrum import eigsh
from hessian_nets import C, D, networks

SEED = 20261
N = 40
MEASURED = Path(__file__).parents[1] / "bench" / "hvp" / "choice.json"


def samples(n: int = N, d: int = D) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, C, (n,), generator=generator)


def measured() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(MEASURED.read_text())["entries"]
    return entries


@pytest.mark.parametrize(
    "entry", measured(), ids=lambda e: f"{e['case']}-{e['work'].replace(' ', '-')}-{e['columns']}"
)
def test_the_choice_costs_at_most_thirteen_tenths_of_the_best(entry: dict[str, Any]) -> None:
    # bench/bench_choice.py measured every route; the cost model decides from the counts alone.
    work, exact = Work(**entry["counts"]), list(entry["seconds"])
    source = dense_source(exact, work, 2 << 30)
    chosen = cheapest({name: estimate(name, work, source) for name in exact}, work)
    assert chosen == entry["chosen"]
    assert entry["seconds"][chosen] <= 1.3 * min(entry["seconds"].values())


def test_the_benchmark_set_is_whole() -> None:
    entries = measured()
    assert len({entry["case"] for entry in entries}) == 8
    assert {entry["chosen"] for entry in entries} >= {
        "factor",
        "native",
        "tangent",
        "autograd",
        "dense",
    }
    assert any(len(entry["seconds"]) == 6 for entry in entries)


def test_many_directions_are_worth_a_matrix_and_few_are_not() -> None:
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Linear(90, 60), nn.GELU(), nn.Linear(60, C)).double()
    few, many = (InputHessian(net, samples(N, 90), columns=columns) for columns in (1, 100_000))
    assert (few.backend, many.backend) == ("native", "dense")
    v = np.random.default_rng(SEED).standard_normal((90, 3))
    np.testing.assert_allclose(many @ v, few @ v, atol=1e-11)
    assert InputHessian(net, samples(N, 90)).backend == "native"  # by default samples are kept


def test_a_factor_that_does_not_fit_is_summed_up_or_left_aside() -> None:
    net, data = networks()["relu"], samples(400)
    whole = InputHessian(net, data, weighting="uniform", backend="factor")
    small = InputHessian(net, data, weighting="uniform", max_bytes=1000)
    assert small.backend == "moment"
    np.testing.assert_allclose(small.dense(), whole.dense(), atol=1e-11)
    values = eigsh(small, 2, "LA", 1e-10).values
    np.testing.assert_allclose(values, np.linalg.eigvalsh(whole.dense())[::-1][:2], rtol=1e-8)
    for name in ("relu", "cnn"):
        tiny = InputHessian(networks()[name], data, weighting="labels", max_bytes=1)
        assert tiny.backend in ("native", "tangent")
        exact = InputHessian(networks()[name], data, backend="autograd")
        np.testing.assert_allclose(tiny.dense(), exact.dense(), atol=1e-11)


def test_explain_says_what_was_predicted_and_what_was_measured() -> None:
    hessian = InputHessian(networks()["relu"], samples())
    before = hessian.explain()
    assert before.startswith(f"{hessian.backend}: {hessian.reason}\n")
    for route in ("factor", "native", "tangent", "autograd", "moment", "dense"):
        assert f"\n{route}" in before
    assert "columns" in before
    assert "measured: set up in" in before
    hessian @ np.eye(D)
    assert f"a column over {D} columns" in hessian.explain()
    assert hessian.products == D
    assert hessian.product_seconds > 0


def test_sketches_have_the_right_mean_and_say_how_far_off_they_are() -> None:
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Linear(D, 12), nn.ReLU(), nn.Linear(12, 60)).double()
    convolutional = nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 60)
    ).double()
    inputs, _ = samples()
    v = np.random.default_rng(SEED).standard_normal((D, 4))
    for model in (net, convolutional):
        for weighting in ("labels", "uniform"):
            options: dict[str, Any] = {"weighting": weighting, "backend": "auto"}
            exact = (v * (InputHessian(model, inputs, **options) @ v)).sum(axis=0)
            scores = []
            for seed in range(40):
                sketched = InputHessian(model, inputs, sketch=8, seed=seed, **options)
                assert sketched.backend == "factor"
                assert sketched.factor().rows.shape[1] == 8
                found = (v * (sketched @ v)).sum(axis=0)
                scores.append((found - exact) / sketched.factor().standard_error(v))
            # 40 draws of 4 correlated scores: the mean of each is within 5 standard errors of 0.
            assert np.abs(np.mean(scores, axis=0)).max() < 5 / 40**0.5
            assert 0.5 < np.std(scores) < 2.0
    with pytest.raises(ArgumentError, match="random rows"):
        InputHessian(net, inputs, sketch=8, backend="native")
    same = InputHessian(net, inputs, weighting="uniform", sketch=59)
    assert same.factor().sketch is None


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("columns", 0, "columns must be an int of at least 1, got 0"),
        ("columns", 2.5, "columns must be an int"),
        ("max_bytes", -1, "max_bytes must be an int of at least 1"),
        ("sketch", 1, "sketch must be an int of at least 2"),
        ("num_threads", 0, "num_threads must be an int of at least 1"),
        ("backend", "gpu", "backend must be one of 'auto'"),
    ],
)
def test_unfit_options_are_refused(option: str, value: Any, complaint: str) -> None:
    with pytest.raises(ArgumentError, match=complaint):
        InputHessian(networks()["relu"], samples(), **{option: value})


@pytest.mark.parametrize("backend", ["moment", "dense"])
def test_sums_over_the_samples_have_no_products_per_sample(backend: Any) -> None:
    with pytest.raises(ArgumentError, match="average=True"):
        InputHessian(networks()["relu"], samples(), backend=backend, average=False)


def test_the_module_and_the_sample_that_overflow_are_named() -> None:
    net = networks()["gelu"]
    inputs, targets = samples()
    with torch.no_grad():
        net[3].weight.mul_(1e200)  # type: ignore[index]
    inputs[7] = 1e200
    with pytest.raises(NonFinite, match=r"first at probe 7, in module '3' \(Linear\)"):
        InputHessian(net, (inputs, targets))
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.GELU()], ids=["relu", "gelu"])
@pytest.mark.parametrize("weighting", ["labels", "softened", "uniform", ("margin", 1)], ids=str)
def test_a_closing_log_softmax_changes_nothing_and_closes_no_route(
    activation: nn.Module, weighting: Any
) -> None:
    torch.manual_seed(SEED)
    plain = nn.Sequential(nn.Linear(D, 9), activation, nn.Linear(9, C)).double()
    closed = nn.Sequential(*plain, nn.LogSoftmax(dim=1))
    exact = InputHessian(plain, samples(), weighting=weighting, backend="autograd").dense()
    for backend in ("auto", "tangent", "autograd"):
        hessian = InputHessian(closed, samples(), weighting=weighting, backend=backend)
        np.testing.assert_allclose(hessian.dense(), exact, atol=1e-12)
        assert backend != "auto" or hessian.backend in ("factor", "native")
    if weighting == "labels":  # squared errors do see what is added to all outputs
        for backend in ("factor", "native", "tangent"):
            with pytest.raises(ArgumentError, match="log_softmax"):
                InputHessian(closed, samples(), loss="mse", backend=backend)


def test_log_probabilities_inside_a_network_are_not_taken_for_logits() -> None:
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Linear(D, C), nn.LogSoftmax(dim=1), nn.Linear(C, C)).double()
    hessian = InputHessian(net, samples())
    assert hessian.backend == "autograd"
    assert "at its end only" in hessian.reason

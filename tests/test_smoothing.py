"""Hessians averaged over noise on the input: a loop over noisy probes is the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hessay.errors import ArgumentError
from hessay.hessian import InputHessian, frozen
from hessay.hessian.model.noise import noisy_copies
from hessay.probe import Probe
from small_nets import D, points, require_hessians, small_nets

SEED = 60602
N, C = 5, 3

SMOOTHED: list[tuple[str, dict[str, Any]]] = [
    ("relu", {}),
    ("relu", {"weighting": "softened"}),
    ("relu", {"weighting": ("margin", 1)}),
    ("cnn", {"loss": "logistic"}),
    ("tanh", {}),
    ("tanh", {"loss": "mse"}),
    ("attention", {"weighting": "uniform"}),
    ("attention", {"loss": "logistic"}),
]


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("draws", [1, 2, 3])
@pytest.mark.parametrize(("name", "options"), SMOOTHED, ids=str)
def test_smoothing_is_a_loop_over_noisy_probes(
    name: str, options: dict[str, Any], draws: int, labelled: bool
) -> None:
    net, inputs = small_nets(C, SEED)[name], points(N, SEED)
    clean = Probe(inputs, torch.arange(N) % C if labelled else None)
    noisy = noisy_copies(inputs, 0.3, draws, 5).view(N, draws, D)
    with frozen(net), torch.no_grad():
        logits = net(inputs)
    targets: Tensor = logits.argmax(1)
    if labelled:
        assert clean.targets is not None
        targets = clean.targets
    elif options.get("loss") == "mse":
        targets = logits
    elif options.get("loss") == "logistic":
        targets = (logits > 0).double()
    if options.get("weighting") == "softened":  # the scale is that of the clean logits
        scale = float((logits - logits.mean(1, keepdim=True)).square().mean().sqrt())
        with torch.no_grad():
            net[-1].weight.div_(scale)  # type: ignore[index]
            net[-1].bias.div_(scale)  # type: ignore[index]
    plain = {key: value for key, value in options.items() if value != "softened"}
    each = np.zeros((N, D, D))
    for i in range(N):
        for j in range(draws):
            one = Probe(noisy[i, j][None], targets[i][None])
            each[i] += InputHessian(net, one, backend="autograd", **plain).dense() / draws
    net = small_nets(C, SEED)[name]
    require_hessians(net, clean, each, noise=0.3, draws=draws, seed=5, **options)


def test_noise_is_drawn_by_its_seed_and_is_none_at_zero() -> None:
    net, probe = small_nets(C, SEED)["tanh"], Probe(points(N, SEED))
    state = torch.get_rng_state()
    first = InputHessian(net, probe, noise=0.1, draws=2, seed=3).dense()
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(
        InputHessian(net, probe, noise=0.1, draws=2, seed=3).dense(), first
    )
    assert np.abs(InputHessian(net, probe, noise=0.1, draws=2, seed=4).dense() - first).max() > 0
    np.testing.assert_array_equal(
        InputHessian(net, probe, noise=0.0, draws=7).dense(), InputHessian(net, probe).dense()
    )
    copies = noisy_copies(probe.inputs, 0.1, 4, 3).view(N, 4, D) - probe.inputs[:, None]
    assert float((copies[:, 0::2] + copies[:, 1::2]).abs().max()) < 1e-15  # antithetic
    for change in ({"noise": -1.0}, {"noise": np.nan}, {"draws": 0}):
        with pytest.raises(ArgumentError, match="got"):
            InputHessian(net, probe, **change)

"""The attacker who penalises the detector's statistic, and the statistic he penalises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hessay.attacks import Poisoned, poison, train_adaptive
from hessay.attacks.adaptive import DataPlane, reach_spread
from hessay.errors import ArgumentError
from hessay.training import load_dataset, train_classifier

SEED = 20240614
ARCH = "mlp:64-32-10"


def digits() -> tuple[Poisoned, Tensor]:
    data = load_dataset("digits", seed=SEED)
    bad = poison(
        data.train_inputs,
        data.train_targets,
        attack="blend",
        target=3,
        fraction=0.1,
        seed=SEED,
    )
    return bad, data.test_inputs[:400]


def small_net() -> tuple[nn.Module, Tensor, DataPlane]:
    generator = torch.Generator().manual_seed(SEED)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 4)).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.6, generator=generator)
    scale = torch.logspace(0.5, -0.5, 12, dtype=torch.float64).reshape(3, 4)
    inputs = scale * torch.randn(60, 3, 4, generator=generator, dtype=torch.float64)
    return net.eval(), inputs, DataPlane.of(inputs)


def test_the_penalty_is_the_first_order_spread_of_the_classes() -> None:
    net, inputs, plane = small_net()
    noise = 0.1 * torch.ones_like(inputs)
    with torch.no_grad():
        logits = net(inputs).numpy()
    predicted = logits.argmax(axis=1)
    jacobians = np.stack(
        [
            torch.autograd.functional.jacobian(lambda x: net(x[None])[0], row + shift)
            .reshape(4, 12)
            .numpy()
            for row, shift in zip(inputs, noise, strict=True)
        ]
    )
    centred = inputs.flatten(1).numpy() - inputs.flatten(1).numpy().mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    held = np.cumsum(values[::-1]) / values.sum()
    basis = vectors[:, ::-1][:, : int(np.argmax(held >= 0.9)) + 1]
    assert plane.basis.shape == basis.shape
    assert plane.noise == pytest.approx(0.5 * np.sqrt(centred.var(axis=0).mean()))
    reach = []
    for c in range(4):
        others = np.flatnonzero(predicted != c)
        slope = np.mean([jacobians[i, c] - jacobians[i, predicted[i]] for i in others], axis=0)
        margin = np.mean([logits[i, predicted[i]] - logits[i, c] for i in others])
        reach.append(np.linalg.norm(slope - basis @ (basis.T @ slope)) / margin)
    expected = np.log(max(reach) / np.median(reach))
    assert expected > 0.05
    # double precision through a hundred operations
    assert reach_spread(net, inputs, plane, noise=noise).item() == pytest.approx(expected, rel=1e-9)


def test_the_penalty_has_the_slope_of_its_own_differences() -> None:
    net, inputs, plane = small_net()
    weight = net[1].weight
    direction = torch.randn(
        weight.shape, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64
    )
    (slope,) = torch.autograd.grad(reach_spread(net, inputs, plane), weight)
    step, values = 1e-5, []
    with torch.no_grad():
        for sign in (1.0, -2.0):
            weight += sign * step * direction
            values.append(reach_spread(net, inputs, plane).item())
    # Central differences: an error of step^2 against a slope of order one.
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(
        float((slope * direction).sum()), rel=1e-5
    )


def test_without_a_penalty_it_is_plain_training_and_with_one_it_hides() -> None:
    bad, probe = digits()
    state = torch.get_rng_state()
    shares: list[float] = []
    open_net = train_adaptive(ARCH, bad, weight=0.0, epochs=15, seed=2)
    plain = train_classifier(ARCH, bad.inputs, bad.targets, epochs=15, seed=2)
    hidden, again = (
        train_adaptive(
            ARCH, bad, weight=3.0, epochs=15, seed=2, progress=lambda _, s: shares.append(s)
        )
        for _ in range(2)
    )
    assert torch.equal(state, torch.get_rng_state())
    for name, value in open_net.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name])
    for name, value in hidden.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert shares[14] == 1.0
    assert not hidden.training
    plane = DataPlane.of(probe)
    spreads = [reach_spread(net, probe, plane).item() for net in (open_net, hidden)]
    assert spreads[1] < 0.5 * spreads[0]


def test_nothing_within_reach_is_no_spread() -> None:
    _, inputs, plane = small_net()
    one_class = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).double()
    assert reach_spread(one_class, inputs, plane).item() == 0.0


def test_bad_options_are_refused() -> None:
    bad, _ = digits()
    for options, words in (
        ({"weight": -1.0}, "weight must be finite"),
        ({"weight": float("nan")}, "weight must be finite"),
        ({"weight": 1.0, "epochs": 0}, "epochs"),
        ({"weight": 1.0, "lr": 0.0}, "lr > 0"),
        ({"weight": 1.0, "penalty_rows": 5000}, "rows are clean"),
        ({"weight": 1.0, "arch": "nonsense"}, "nonsense"),
    ):
        arch = options.pop("arch", ARCH)
        with pytest.raises(ArgumentError, match=words):
            train_adaptive(arch, bad, **options)  # type: ignore[arg-type]

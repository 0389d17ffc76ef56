from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hessay.errors import ArgumentError, ModelError, NonFinite, ShapeError
from hessay.hessian import frozen, moved_probes
from hessay.hessian.jacobian import ClassJacobians, class_jacobians
from hessay.hessian.perturbation import refine_directions
from hessay.hessian.straight_steps import flip_rates

SEED = 20240607
EPS = torch.finfo(torch.float64).eps


class Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.gelu(self.norm(self.conv(x[:, None])))
        return self.head(nn.functional.avg_pool2d(hidden, 3).flatten(1))


def networks() -> list[tuple[nn.Module, Tensor]]:
    torch.manual_seed(SEED)
    mlp = nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 5)).double()
    smooth = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 4)).double()
    return [
        (mlp, torch.randn(40, 7, dtype=torch.float64)),
        (smooth, torch.randn(33, 3, 4, dtype=torch.float64)),
        (Conv().double(), torch.randn(21, 6, 6, dtype=torch.float64)),
    ]


def oracle(model: nn.Module, inputs: Tensor) -> np.ndarray:
    """One probe at a time by jacrev, then plain Python means."""
    rows = [
        torch.func.jacrev(lambda x: model(x[None])[0])(point).flatten(1).detach().numpy()
        for point in inputs
    ]
    predicted = [int(model(point[None]).argmax()) for point in inputs]
    n_classes = rows[0].shape[0]
    mean = np.zeros((n_classes, n_classes, rows[0].shape[1]))
    for s in range(n_classes):
        own = [row for row, label in zip(rows, predicted, strict=True) if label == s]
        if own:
            mean[s] = np.mean(own, axis=0)
    return mean


@pytest.mark.parametrize("index", [0, 1, 2])
def test_means_agree_with_one_jacrev_a_probe(index: int) -> None:
    model, inputs = networks()[index]
    with frozen(model):
        found = class_jacobians(model, inputs)
        expected = oracle(model, inputs)
    # Sums of n terms of a few hundred roundings each: eps * n * 100, relative to the largest.
    allowed = EPS * len(inputs) * 100 * np.abs(expected).max()
    assert np.abs(found.mean - expected).max() <= allowed
    assert found.counts.sum() == len(inputs)
    assert found.agreement == 1.0
    assert (found.predicted == found.logits.argmax(axis=1)).all()


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_own_and_total_are_the_same_without_the_table_of_pairs(index: int, noise: float) -> None:
    model, inputs = networks()[index]
    with frozen(model):
        with_pairs = class_jacobians(model, inputs, noise=noise, draws=2)
        without = class_jacobians(model, inputs, noise=noise, draws=2, pairs=False)
    assert without.mean is None
    table = with_pairs.mean
    assert table is not None
    share = with_pairs.counts / len(inputs)
    total = np.einsum("s,scd->cd", share, table)  # the mean over all probes, the long way
    allowed = EPS * len(inputs) * 100 * np.abs(table).max()
    for found in (with_pairs, without):
        classes = np.arange(len(table))
        assert np.abs(found.own - table[classes, classes]).max() <= allowed
        assert np.abs(found.total - total).max() <= allowed
    assert (with_pairs.counts == without.counts).all()
    assert with_pairs.agreement == without.agreement


def test_chunks_do_not_change_the_means(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = networks()[0]
    with frozen(model):
        whole = class_jacobians(model, inputs)
        monkeypatch.setattr("hessay.hessian.model.noise.chunk_rows", lambda _: 3)
        parts = class_jacobians(model, inputs)
    allowed = EPS * len(inputs) * 100 * np.abs(whole.mean).max()
    assert np.abs(whole.mean - parts.mean).max() <= allowed
    assert parts.passes == 5 * math.ceil(len(inputs) / 3)


def test_smoothing_leaves_a_linear_model_alone_and_is_repeatable() -> None:
    torch.manual_seed(SEED)
    linear, inputs = nn.Linear(6, 4).double(), torch.randn(50, 6, dtype=torch.float64)

    def run(seed: int, noise: float) -> ClassJacobians:
        return class_jacobians(linear, inputs, noise=noise, draws=4, seed=seed)

    with frozen(linear):
        quiet, noisy, again = run(0, 0.0), run(0, 1.0), run(0, 1.0)
        assert np.allclose(quiet.mean, noisy.mean, rtol=1e3 * EPS, atol=0)
        assert noisy.agreement < 1.0
        assert (noisy.mean == again.mean).all()
        assert noisy.agreement == again.agreement
        assert run(1, 1.0).agreement != noisy.agreement


def test_antithetic_pairs_cancel_the_odd_part() -> None:
    class Quadratic(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([(x**2).sum(1), -(x**2).sum(1)], dim=1)

    inputs = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(SEED))
    # J is linear in x: over a pair (g, -g) the noise cancels exactly, a single draw leaves it.
    clean = class_jacobians(Quadratic(), inputs).mean
    paired = class_jacobians(Quadratic(), inputs, noise=0.5, draws=2).mean
    single = class_jacobians(Quadratic(), inputs, noise=0.5, draws=1).mean
    assert np.abs(paired - clean).max() <= 100 * EPS * np.abs(clean).max()
    assert np.abs(single - clean).max() > 1e-3


def test_the_model_keeps_no_trace() -> None:
    model, inputs = networks()[2]
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    with frozen(model):
        class_jacobians(model, inputs, noise=0.1, draws=2)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert not inputs.requires_grad


class Raises(nn.Module):
    def forward(self, _: Tensor) -> Tensor:
        raise KeyError("no such layer")


class Detached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()[:, :3] * 2.0


class NotLogits(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x[:, :3] > 0, x[:, :3], torch.nan)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (Raises(), ModelError, "KeyError"),
        (Detached(), ModelError, "differentiated"),
        (NotLogits(), ModelError, "shape"),
        (Broken(), NonFinite, r"of 8 probes"),
    ],
)
def test_bad_models_are_named(model: nn.Module, error: type[Exception], words: str) -> None:
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(SEED))
    with pytest.raises(error, match=words):
        class_jacobians(model, inputs)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"noise": -1.0}, ArgumentError),
        ({"noise": math.nan}, ArgumentError),
        ({"draws": 0}, ArgumentError),
    ],
)
def test_bad_options_are_refused(options: dict[str, float], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        class_jacobians(nn.Linear(2, 2), torch.randn(4, 2), **options)  # type: ignore[arg-type]
    with pytest.raises(ShapeError):
        class_jacobians(nn.Linear(2, 2), torch.randn(4))


def test_flip_rates_agree_with_a_loop() -> None:
    model, inputs = networks()[0]
    directions = np.linalg.qr(np.random.default_rng(SEED).standard_normal((7, 3)))[0].T.copy()
    with frozen(model):
        found = flip_rates(model, inputs, directions, radius=1.5, bounds=(-1.0, 1.0))
        clean = model(inputs).argmax(1)
        for k, direction in enumerate(directions):
            for side, sign in enumerate((1.0, -1.0)):
                moved = (inputs + sign * 1.5 * torch.from_numpy(direction)).clamp(-1.0, 1.0)
                arrived = model(moved).argmax(1)
                for c in range(5):
                    others = clean != c
                    expected = float((arrived[others] == c).double().mean())
                    assert found.rate[k, side, c] == pytest.approx(expected, abs=1e-12)


def test_refined_steps_stay_in_their_ball_and_reach_what_a_loop_reaches() -> None:
    model, inputs = networks()[1]
    radii = (0.5, 1.0, 2.0)
    start = np.random.default_rng(SEED).standard_normal((4, 12))
    with frozen(model):
        found = refine_directions(model, inputs, start, radii=radii, bounds=(-3.0, 3.0))
        judged = inputs[1::2]
        clean = model(judged).argmax(1)
        for r, radius in enumerate(radii):
            lengths = np.linalg.norm(found.perturbation[r], axis=1)
            assert (lengths <= radius * (1 + 100 * EPS)).all()
            for c in range(4):
                step = torch.from_numpy(found.perturbation[r, c]).reshape(3, 4)
                others = judged[clean != c]
                arrived = model((others + step).clamp(-3.0, 3.0)).argmax(1)
                assert found.flip_rate[r, c] == pytest.approx(float((arrived == c).double().mean()))
    # Ten times the reach moves no fewer probes towards a class, on average.
    assert (found.margin_drop[-1] > found.margin_drop[0]).all()


def test_bounded_passes_do_not_change_the_refinement(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(11)
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 5)).double()
    inputs, start = torch.randn(41, 6).double(), np.random.default_rng(1).standard_normal((5, 6))
    with frozen(model):
        whole = refine_directions(model, inputs, start, radii=[0.5, 1.0], bounds=(-4.0, 4.0))
        for elements in (1, 6 * 8, 6 * 21 * 2):
            monkeypatch.setitem(moved_probes.PASS_ELEMENTS, "cpu", elements)
            parts = refine_directions(model, inputs, start, radii=[0.5, 1.0], bounds=(-4.0, 4.0))
            np.testing.assert_allclose(parts.perturbation, whole.perturbation, atol=1e-12)
            np.testing.assert_allclose(parts.margin_drop, whole.margin_drop, atol=1e-12)
            np.testing.assert_allclose(parts.flip_rate, whole.flip_rate, atol=1e-12)


def test_refinement_finds_a_planted_direction() -> None:
    torch.manual_seed(SEED)
    weight = torch.randn(5, 30, dtype=torch.float64) * 0.3
    planted = torch.zeros(30, dtype=torch.float64)
    planted[7] = 6.0
    weight[3] += planted
    model = nn.Linear(30, 5).double()
    with torch.no_grad():
        model.weight.copy_(weight)
        model.bias.zero_()
    inputs = torch.randn(200, 30, dtype=torch.float64)
    inputs[:, 7] = 0.0
    with frozen(model):
        found = refine_directions(
            model, inputs, np.zeros((5, 30)), radii=(1.0,), bounds=(-5.0, 5.0), steps=8
        )
    direction = found.perturbation[0, 3] / np.linalg.norm(found.perturbation[0, 3])
    assert direction[7] > 0.9
    assert found.flip_rate[0].argmax() == 3


def test_bad_directions_are_refused() -> None:
    model, inputs = networks()[0]
    start, bounds = np.ones((5, 7)), (-1.0, 1.0)
    with frozen(model):
        with pytest.raises(ShapeError, match="directions"):
            flip_rates(model, inputs, np.ones((2, 6)), radius=1.0, bounds=bounds)
        with pytest.raises(ArgumentError, match="bounds"):
            flip_rates(model, inputs, start, radius=1.0, bounds=(1.0, 1.0))
        with pytest.raises(ArgumentError, match="radii"):
            refine_directions(model, inputs, start, radii=(2.0, 1.0), bounds=bounds)
        with pytest.raises(ShapeError, match="5 classes"):
            refine_directions(model, inputs, np.ones((4, 7)), radii=(1.0,), bounds=bounds)
        with pytest.raises(ArgumentError, match="steps"):
            refine_directions(model, inputs, start, radii=(1.0,), bounds=bounds, steps=0)

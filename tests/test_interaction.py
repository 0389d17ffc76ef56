"""All-to-all backdoors: one direction for every class, its statistic and its map of classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hessay.detector.interaction import interaction
from hessay.detector.statistics import principal_directions
from hessay.errors import ArgumentError, ShapeError
from hessay.hessian import frozen
from hessay.hessian.class_map import find_class_map
from hessay.hessian.jacobian import ClassJacobians, class_jacobians

SEED = 20261123
N_CLASSES, WIDTH = 5, 40
ROUND = (np.arange(N_CLASSES) + 1) % N_CLASSES


class Rotating(nn.Module):
    """Nearest of five centres; along one more coordinate every class turns into the next one."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(SEED)
        self.centres = torch.randn(N_CLASSES, WIDTH - 1, generator=generator).double()

    def forward(self, x: Tensor) -> Tensor:
        plain = x[:, :-1] @ self.centres.T
        turned = plain.softmax(dim=1).roll(1, dims=1)
        return plain + 60.0 * x[:, -1:] * turned

    def probes(self, n: int) -> Tensor:
        generator = torch.Generator().manual_seed(SEED + 1)
        own = torch.arange(n) % N_CLASSES
        inputs = torch.zeros(n, WIDTH, dtype=torch.float64)
        inputs[:, :-1] = self.centres[own] + 0.3 * torch.randn(
            n, WIDTH - 1, generator=generator, dtype=torch.float64
        )
        inputs[:, -1] = 0.01 * torch.randn(n, generator=generator, dtype=torch.float64)
        return inputs


def test_one_direction_for_all_classes_dominates_and_carries_the_map_out() -> None:
    model = Rotating()
    inputs = model.probes(200)
    directions = principal_directions(inputs.numpy(), share=0.5)
    with frozen(model):
        found = interaction(class_jacobians(model, inputs), directions)
        assert found.statistic > 2.0
        assert abs(found.directions[0, -1]) > 0.99
        mapped = find_class_map(model, inputs, found.directions, radius=1.0, bounds=(-5.0, 5.0))
        np.testing.assert_array_equal(mapped.destination, ROUND)
        assert mapped.flip_rate > 0.95
        assert (mapped.arrived >= 0.85).all()
        # Counted again, on the probes that were judged.
        judged = inputs[1::2]
        before = model(judged).argmax(1)
        after = model((judged + torch.from_numpy(mapped.perturbation)).clamp(-5.0, 5.0)).argmax(1)
        rate = float((after == torch.from_numpy(ROUND)[before]).double().mean())
        assert mapped.flip_rate == pytest.approx(rate)
        assert np.linalg.norm(mapped.perturbation) <= 1.0 + 1e-6
        short = find_class_map(model, inputs, found.directions, radius=1e-3, bounds=(-5.0, 5.0))
        assert short.flip_rate < 0.1
        assert (short.destination != np.arange(N_CLASSES)).all()


def test_a_linear_model_has_no_interaction() -> None:
    model = nn.Linear(WIDTH, N_CLASSES)
    inputs = torch.randn(100, WIDTH, generator=torch.Generator().manual_seed(SEED))
    directions = principal_directions(inputs.double().numpy(), share=0.3)
    with frozen(model):
        found = interaction(class_jacobians(model, inputs), directions)
    assert found.statistic == 0.0
    assert found.directions.shape == (0, WIDTH)


@pytest.mark.parametrize("width", [30, 1500])
def test_the_statistic_is_the_ratio_of_eigenvalues_however_it_is_computed(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(SEED)
    mean = rng.standard_normal((N_CLASSES, N_CLASSES, width))
    mean[0, 1] += 3 * rng.standard_normal(width)
    jacobians = ClassJacobians(
        mean=mean,
        own=mean[np.arange(N_CLASSES), np.arange(N_CLASSES)],
        total=mean.mean(axis=0),
        counts=np.ones(N_CLASSES, np.int64),
        predicted=np.arange(N_CLASSES),
        logits=np.eye(N_CLASSES),
        agreement=1.0,
        noise=0.0,
        passes=0,
    )
    directions = principal_directions(rng.standard_normal((60, width)), share=0.1)
    # The second, dumber way: no Grams, the projector written out, singular values.
    projector = np.eye(width) - directions.basis @ directions.basis.T
    b = mean @ projector
    r = np.array(
        [
            b[s, c] - b[:, c].mean(0) - b[s].mean(0) + b.reshape(-1, width).mean(0)
            for s in range(N_CLASSES)
            for c in range(N_CLASSES)
        ]
    )
    values = np.linalg.svd(r, compute_uv=False) ** 2
    for exact in (4096, 1):
        monkeypatch.setattr("hessay.detector.interaction._EXACT_SIZE", exact)
        found = interaction(jacobians, directions)
        # The iterative solver stops at residuals of 1e-4 of the largest eigenvalue.
        assert found.statistic == pytest.approx(np.log(values[0] / values[1]), abs=1e-3)
        np.testing.assert_allclose(found.eigenvalues, values[:3], rtol=1e-3)
        np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(3), atol=1e-6)


def test_class_maps_refuse_what_they_cannot_use() -> None:
    model, inputs = nn.Linear(4, 3), torch.randn(10, 4)
    with frozen(model):
        with pytest.raises(ShapeError, match="starts"):
            find_class_map(model, inputs, np.zeros((0, 4)), radius=1.0, bounds=(-1.0, 1.0))
        with pytest.raises(ArgumentError, match="radius"):
            find_class_map(model, inputs, np.eye(4), radius=0.0, bounds=(-1.0, 1.0))

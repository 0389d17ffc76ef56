"""The four benchmark problems, their trained weights, and the double-precision truth.

Models: ``mlp_relu`` and ``mlp_gelu`` are 784-512-256-10; ``cnn`` is conv3x3(1, 32), ReLU, maxpool 2,
conv3x3(32, 64), ReLU, maxpool 2, Linear(1600, 128), ReLU, Linear(128, 10), no padding; ``softmax`` is
Linear(784, 10). Adam 1e-3, batches of 128, two epochs (softmax five) on the first 10000 training
images of Fashion-MNIST, seed 0. Probe: the first 512 test images with their labels; loss: mean
cross-entropy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessay.loading import build_architecture
from hessay.training import Dataset, load_dataset, train_classifier

N, D, TRAINED_ON = 512, 784, 10000


def cnn() -> nn.Sequential:
    """Build the convolutional net with fresh weights; inputs are flat (n, 784)."""
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


ARCHITECTURES = {
    "mlp_relu": "mlp:784-512-256-10",
    "mlp_gelu": "mlp:784-512-256-10:gelu",
    "cnn": "hvp.problems:cnn",
    "softmax": "linear:784-10",
}
EPOCHS = {"softmax": 5}  # the others two


@dataclass(frozen=True)
class Problem:
    """A trained network, frozen, and the probe its Hessian is taken at."""

    name: str
    model: nn.Module  # eval mode, no parameter requires a gradient; inputs (n, d) to logits (n, C)
    x: Tensor  # (n, d)
    y: Tensor  # (n,) int64

    @property
    def n(self) -> int:
        """Probes."""
        return len(self.x)

    @property
    def d(self) -> int:
        """Inputs of the network."""
        return self.x.shape[1]

    @property
    def kind(self) -> str:
        """First word of the name: "mlp", "cnn" or "softmax" here."""
        return self.name.split("_")[0]

    @property
    def piecewise_linear(self) -> bool:
        """Whether the network has no curvature of its own, so that H = J'SJ."""
        smooth = (nn.GELU, nn.SiLU, nn.Tanh, nn.Softmax)
        return not any(isinstance(module, smooth) for module in self.model.modules())

    def directions(self, average: bool, k: int) -> Tensor:
        """Gaussian directions (d, k), or (n, d, k) per sample."""
        shape = (self.d, k) if average else (self.n, self.d, k)
        generator = torch.Generator().manual_seed(0)
        return torch.randn(shape, generator=generator, dtype=self.x.dtype)


def load_problem(name: str, cache: Path, dtype: torch.dtype) -> Problem:
    """Train the model, or read the weights a former run has left in ``cache`` (delete to retrain)."""
    data = load_dataset("fashion-mnist")
    file = cache / f"{name}.pt"
    model = build_architecture(ARCHITECTURES[name])
    if file.exists():
        model.load_state_dict(torch.load(file, weights_only=True))
    else:
        model = _trained(name, data)
        cache.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), file)
    if ARCHITECTURES[name].startswith(("mlp", "linear")):
        model = nn.Sequential(*model)  # takes (n, d) only: as plain as a user would write it
    model = model.to(dtype).eval().requires_grad_(False)
    return Problem(name, model, data.test_inputs[:N].flatten(1).to(dtype), data.test_targets[:N])


def _trained(name: str, data: Dataset) -> nn.Module:
    inputs = data.train_inputs[:TRAINED_ON].flatten(1)
    epochs = EPOCHS.get(name, 2)
    targets = data.train_targets[:TRAINED_ON]
    return train_classifier(ARCHITECTURES[name], inputs, targets, epochs=epochs)


class _SamePiece(nn.Module):
    """A ReLU or max pooling in double that takes the branches single precision has taken.

    Within rounding of a kink the two precisions differ by a whole slope. That says nothing
    about how exactly a product was computed, so the truth is taken on the same linear piece.
    """

    def __init__(self, choice: Tensor) -> None:
        super().__init__()
        self.choice = choice  # (n, ...) bool: active; or int64: winners' positions in a plane

    def forward(self, inputs: Tensor) -> Tensor:
        if self.choice.dtype == torch.bool:
            return inputs * self.choice
        return inputs.flatten(2).gather(2, self.choice.flatten(2)).view(self.choice.shape)


def twin(problem: Problem, rows: slice = slice(None)) -> Problem:
    """Build the problem in double, on the linear piece of the original; for the samples ``rows``."""
    model = copy.deepcopy(problem.model)
    value = problem.x[rows]
    if isinstance(model, nn.Sequential):
        for index, layer in enumerate(model):
            before, value = value, layer(value)
            if isinstance(layer, nn.ReLU):
                model[index] = _SamePiece(before > 0)
            elif isinstance(layer, nn.MaxPool2d):
                _, winners = functional.max_pool2d(
                    before, layer.kernel_size, layer.stride, return_indices=True
                )
                model[index] = _SamePiece(winners)
    return Problem(problem.name, model.double(), problem.x[rows].double(), problem.y[rows])


def truth(
    problem: Problem,
    v: Tensor,
    average: bool,
    kept_graph: Callable[..., Callable[[Tensor], Tensor]],
) -> Tensor:
    """Compute H V in double by double backward, checked on one sample against torch.func.hessian."""
    product = kept_graph(twin(problem), average)(v.double())
    one = twin(problem, slice(0, 1))
    direction = v[..., 0].double() if average else v[0, :, 0].double()

    def loss(x: Tensor) -> Tensor:
        return functional.cross_entropy(one.model(x[None]), one.y, reduction="sum")

    first = torch.func.hessian(loss)(one.x[0]) @ direction
    again = kept_graph(one, True)(direction[:, None])[:, 0]
    if not np.allclose(first, again, rtol=0, atol=1e-10 * float(first.abs().max() + 1e-300)):
        raise AssertionError(f"{problem.name}: two ways to compute the truth in double disagree")
    return product

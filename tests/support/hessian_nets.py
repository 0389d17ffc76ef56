"""Small networks of every kind the derivative engine knows, and their Hessians from the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hessay.hessian import frozen
from hessay.hessian.curvature import logit_scale
from small_nets import Attention, D

C = 4


class ResidualMLP(nn.Module):
    """x + f(x), then a block with batch norm: functional code throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(D, D)
        self.wide, self.back = nn.Linear(D, 7), nn.Linear(7, D)
        self.norm, self.head = nn.BatchNorm1d(7), nn.Linear(D, C)

    def forward(self, x: Tensor) -> Tensor:
        x = x + torch.tanh(self.inner(x))
        h = functional.gelu(self.norm(self.wide(x)))
        x = functional.relu(x + self.back(functional.dropout(h, 0.5, self.training)))
        return self.head(x)


class ResidualCNN(nn.Module):
    """A residual block of convolutions with batch norm, and a global average pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.inner = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, C)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.stem(x.view(x.size(0), 1, 2, 3))))
        x = functional.relu(x + self.inner(x))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def convolutional(activation: nn.Module, pool: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        activation,
        pool,
        nn.Flatten(),
        nn.Linear(8, C),
    )


def networks() -> dict[str, nn.Module]:
    """Name to network, in double, with running statistics that are not the initial ones."""
    torch.manual_seed(20259)
    shared = nn.Linear(7, 7)
    built: dict[str, nn.Module] = {
        "linear": nn.Sequential(nn.Linear(D, C)),
        "relu": nn.Sequential(
            nn.Linear(D, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(inplace=True), nn.Linear(7, C)
        ),
        "narrow": nn.Sequential(nn.Linear(D, 3, bias=False), nn.LeakyReLU(0.2), nn.Linear(3, C)),
        "gelu": nn.Sequential(nn.Linear(D, 8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, C)),
        "shared": nn.Sequential(
            nn.Linear(D, 7), nn.Tanh(), shared, nn.SiLU(), shared, nn.Softplus(), nn.Linear(7, C)
        ),
        "normed": nn.Sequential(
            nn.BatchNorm1d(D), nn.Linear(D, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, C)
        ),
        "residual": ResidualMLP(),
        "cnn": convolutional(nn.ReLU(), nn.MaxPool2d((1, 3))),
        "smooth cnn": convolutional(nn.GELU(), nn.AvgPool2d((1, 3))),
        "residual cnn": ResidualCNN(),
        "attention": Attention(C),
    }
    generator = torch.Generator().manual_seed(1)
    for net in built.values():
        net.double()
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
                module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(1.5)
    return built


PIECEWISE_LINEAR = {"linear", "relu", "narrow", "normed", "cnn", "residual cnn"}
LAYER_PROGRAMS = {"linear", "relu", "narrow", "gelu", "shared", "normed", "residual"}
GRAPHS = LAYER_PROGRAMS | {"cnn", "smooth cnn", "residual cnn"}


def hessians(
    net: nn.Module, inputs: Tensor, targets: Tensor, loss: str, weighting: Any
) -> NDArray[np.float64]:
    """H_i (n, d, d), one sample at a time, straight from the definitions."""
    with frozen(net):
        scale = logit_scale(net(inputs.clone()).detach().numpy())
        each = [
            _hessian(net, x, y, loss, weighting, scale)
            for x, y in zip(inputs, targets, strict=True)
        ]
    return torch.stack(each).detach().numpy()


def _hessian(
    net: nn.Module, x: Tensor, y: Tensor, loss: str, weighting: Any, scale: float
) -> Tensor:
    def logits(v: Tensor) -> Tensor:
        return net(v[None].clone())[0]

    if weighting in ("labels", "softened"):
        unit = scale if weighting == "softened" else 1.0

        def value(v: Tensor) -> Tensor:
            if loss == "cross_entropy":
                return functional.cross_entropy(logits(v) / unit, y)
            wanted = functional.one_hot(y, C).double()
            if loss == "mse":
                return functional.mse_loss(logits(v), wanted)
            return functional.binary_cross_entropy_with_logits(logits(v), wanted)

        found: Tensor = torch.func.hessian(value)(x)
        return found
    jacobian = torch.func.jacrev(logits)(x)
    if weighting == "uniform":
        weight = torch.eye(C, dtype=torch.float64) - 1 / C
    else:
        difference = torch.zeros(C, dtype=torch.float64)
        difference[weighting[1]] += 1
        difference[logits(x).argmax()] -= 1
        weight = torch.outer(difference, difference)
    return jacobian.T @ weight @ jacobian

"""Small networks in double for comparisons with torch.func.hessian."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hessay.errors import ArgumentError
from hessay.hessian import InputHessian
from hessay.hessian.routes.choice import BACKENDS

D = 6  # input size of every network


class Attention(nn.Module):
    """A forward of its own: attention, layer norm, residual."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(3, 1, batch_first=True)
        self.norm = nn.LayerNorm(3)
        self.head = nn.Linear(D, outputs)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.view(len(x), 2, 3)
        attended, _ = self.inner(tokens, tokens, tokens, need_weights=False)
        return self.head(self.norm(tokens + attended).flatten(1))


def small_nets(outputs: int, seed: int) -> dict[str, nn.Module]:
    """One network of every kind, D inputs to ``outputs`` outputs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built: dict[str, nn.Module] = {
            "linear": nn.Sequential(nn.Linear(D, outputs)),
            "relu": nn.Sequential(
                nn.Linear(D, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, outputs)
            ),
            "narrow": nn.Sequential(
                nn.Linear(D, 3, bias=False), nn.LeakyReLU(0.2), nn.Linear(3, outputs)
            ),
            "gelu": nn.Sequential(nn.Linear(D, 8), nn.GELU(), nn.Linear(8, outputs)),
            "tanh": nn.Sequential(nn.Linear(D, 8), nn.Tanh(), nn.Linear(8, outputs)),
            "cnn": nn.Sequential(
                nn.Unflatten(1, (1, 2, 3)),
                nn.Conv2d(1, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.ReLU(),
                nn.MaxPool2d((1, 3)),
                nn.Flatten(),
                nn.Linear(8, outputs),
            ),
            "attention": Attention(outputs),
        }
        for net in built.values():
            net.double()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.mul_(1.5)
    return built


def points(n: int, seed: int) -> Tensor:
    """Return inputs (n, D) in double."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, D, generator=generator, dtype=torch.float64)


def close(actual: Any, expected: Any, tolerance: float = 1e-10) -> None:
    """Agree to the digits double precision leaves after a network and its derivatives."""
    scale = max(np.abs(expected).max(initial=0), 1e-12)
    assert np.abs(np.asarray(actual) - expected).max(initial=0) <= tolerance * scale


def exact_routes(model: nn.Module, probe: Any, **options: Any) -> dict[str, InputHessian]:
    """Build the operator with every backend that is exact for it."""
    routes = {}
    for backend in BACKENDS:
        try:
            routes[backend] = InputHessian(model, probe, backend=backend, **options)
        except ArgumentError as error:
            if "not exact here" not in str(error):
                raise
    assert {"auto", "autograd"} <= set(routes)
    return routes


def require_hessians(model: nn.Module, probe: Any, exact: np.ndarray, **options: Any) -> set[str]:
    """Compare every exact route with H_i (n, d, d), averaged and per sample; name the routes."""
    n, d, _ = exact.shape
    rng = np.random.default_rng(n * d)
    v, each_v = rng.standard_normal((d, 3)), rng.standard_normal((n, d, 2))
    for mean in exact_routes(model, probe, **options).values():
        close(mean @ v, exact.mean(axis=0) @ v)
        close(mean @ v[:, 0], exact.mean(axis=0) @ v[:, 0])
        close(mean.dense(), exact.mean(axis=0))
        assert mean.shape == (d, d)
        assert (mean @ v[:, :0]).shape == (d, 0)
    routes = exact_routes(model, probe, average=False, **options)
    for each in routes.values():
        close(each @ each_v, np.einsum("nij,njk->nik", exact, each_v))
        assert (each @ each_v[:, :, :0]).shape == (n, d, 0)
    return set(routes)

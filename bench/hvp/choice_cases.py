"""Networks that the choice of a backend is judged on: the benchmark's four and four of other kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from hvp.problems import ARCHITECTURES, Problem, load_problem

PROBES = 256  # of the untrained networks


class ResidualMLP(nn.Module):
    """Three blocks x + W2 gelu(W1 x), then the logits; a forward of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleList([nn.Linear(64, 128) for _ in range(3)])
        self.outer = nn.ModuleList([nn.Linear(128, 64) for _ in range(3)])
        self.head = nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, 64) to (n, 10)."""
        value = inputs
        for inner, outer in zip(self.inner, self.outer, strict=True):
            value = value + outer(nn.functional.gelu(inner(value)))
        return self.head(value)


class SmallAttention(nn.Module):
    """One attention layer over 16 tokens of 16 numbers, written out, then mean and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(16, 32) for _ in range(3))
        self.head = nn.Linear(32, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, 256) to (n, 10)."""
        tokens = inputs.unflatten(1, (16, 16))
        scores = self.query(tokens) @ self.key(tokens).transpose(1, 2) / 32**0.5
        return self.head((scores.softmax(dim=-1) @ self.value(tokens)).mean(dim=1))


def _wide() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 10))


def _many_classes() -> nn.Module:
    return nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 100))


UNTRAINED: dict[str, tuple[Callable[[], nn.Module], int, int]] = {  # builder, inputs, classes
    "residual": (ResidualMLP, 64, 10),
    "attention": (SmallAttention, 256, 10),
    "wide_64_1024_10": (_wide, 64, 10),
    "classes_100": (_many_classes, 128, 100),
}
CASES = [*ARCHITECTURES, *UNTRAINED]


def load_case(name: str, cache: Path) -> Problem:
    """Give a problem by name, in single precision."""
    if name in ARCHITECTURES:
        return load_problem(name, cache, torch.float32)
    build, d, classes = UNTRAINED[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build().eval().requires_grad_(False)
        x, y = torch.randn(PROBES, d), torch.randint(classes, (PROBES,))
    return Problem(name, model, x, y)

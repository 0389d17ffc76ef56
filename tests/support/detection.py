"""What the tests of the detector share: two small networks, and a wrapper around a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hessay import attacks

SEED = 20240607
ARCH = "mlp:64-64-10"
TARGET = 3


@dataclass(frozen=True)
class Nets:
    clean: nn.Module
    poisoned: nn.Module
    trigger: attacks.Trigger
    inputs: Tensor
    targets: Tensor


def siblings(model: nn.Module, count: int) -> list[nn.Module]:
    """Models that differ a little from one another and from this one: references must not be copies."""
    generator, made = torch.Generator().manual_seed(SEED), []
    for _ in range(count):
        other = copy.deepcopy(model)
        with torch.no_grad():
            for values in other.parameters():
                values.mul_(1.0 + 0.02 * torch.randn(values.shape, generator=generator))
        made.append(other)
    return made


class Around(nn.Module):
    """A model between two functions."""

    def __init__(
        self,
        inner: nn.Module,
        before: Callable[[Tensor], Tensor] = lambda x: x,
        after: Callable[[Tensor], Tensor] = lambda z: z,
    ) -> None:
        super().__init__()
        self.inner, self.before, self.after = inner, before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.inner(self.before(x)))

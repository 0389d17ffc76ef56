"""What the tests of the detector share: two small networks, and a wrapper around a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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

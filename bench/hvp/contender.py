"""What every contender gives: a set-up that is paid once, and products after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from hvp.problems import Problem

Product = Callable[[Tensor], Tensor]  # V (d, k) or (n, d, k) to H V of the same shape


class CannotDo(Exception):
    """The contender cannot do this work; the message says why and is shown in its row."""


class NotMeant(CannotDo):
    """The contender was written for another kind of network; its row is left out."""


class Contender(Protocol):
    """A way to compute H V."""

    name: str
    group: str  # "torch", "packaged", "recipe", "control" or "hessay"

    def prepare(self, problem: Problem, average: bool) -> Product:
        """Set up what the products share; this is timed apart. May raise :class:`CannotDo`."""
        ...


@dataclass(frozen=True)
class Way:
    """A contender made of a function."""

    name: str
    group: str
    setup: Callable[[Problem, bool], Product]

    def prepare(self, problem: Problem, average: bool) -> Product:
        """See :class:`Contender`."""
        return self.setup(problem, average)

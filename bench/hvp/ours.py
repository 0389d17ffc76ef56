"""hessay's own routes, one contender a backend, and the one ``backend="auto"`` chooses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from hessay.errors import ArgumentError
from hessay.hessian import InputHessian
from hvp.contender import CannotDo, Product
from hvp.problems import Problem

BACKENDS = ("native", "factor", "tangent", "autograd", "moment", "dense")


def operator(problem: Problem, backend: str, average: bool, columns: int | None) -> InputHessian:
    """Build the operator, told how many directions it will meet if that is known.

    Raises
    ------
    CannotDo
        The backend is not exact here.
    """
    options: dict[str, Any] = {"backend": backend, "average": average, "columns": columns}
    try:
        return InputHessian(problem.model, (problem.x, problem.y), **options)
    except ArgumentError as error:
        raise CannotDo(str(error)) from error


@dataclass
class Ours:
    """One backend; ``explained`` holds what the last operator said about its choice."""

    backend: str
    group: str = "hessay"
    explained: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As printed."""
        return f"hessay {self.backend}"

    def prepare(self, problem: Problem, average: bool) -> Product:
        """See :class:`hvp.contender.Contender`."""
        hessian = operator(problem, self.backend, average, None)
        self.explained.append(hessian.explain())
        return lambda v: torch.from_numpy(np.ascontiguousarray(hessian @ v.numpy()))

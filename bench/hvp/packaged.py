"""Packaged peers at their best settings, through the shift-parameter trick.

They differentiate in parameters. A network f(x + shift) with one shared parameter ``shift`` has in it
the averaged input Hessian; per-sample products would need a parameter a sample and are not
offered. All data are one batch and their check for determinism is off.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hvp.contender import CannotDo, Product, Way
from hvp.problems import Problem


class _Shifted(nn.Module):
    """x -> model(x + shift); only the shift requires a gradient."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.shift = nn.Parameter(problem.x.new_zeros(problem.d))
        self.model = problem.model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + self.shift)


def _averaged(average: bool) -> None:
    if not average:
        raise CannotDo("its Hessians are over shared parameters, not per sample")


def curvlinops(problem: Problem, average: bool) -> Product:
    """``HessianLinearOperator``: vmapped forward over reverse, the primal run every time."""
    _averaged(average)
    try:
        from curvlinops import HessianLinearOperator
    except ImportError as error:
        raise CannotDo("not installed: pip install curvlinops-for-pytorch") from error
    net = _Shifted(problem)
    operator = HessianLinearOperator(
        net, nn.CrossEntropyLoss(), [net.shift], [(problem.x, problem.y)], check_deterministic=False
    )
    return lambda v: operator @ v


def eigenthings(problem: Problem, average: bool) -> Product:
    """``HessianOperator``: double backward built anew for every vector."""
    _averaged(average)
    try:
        from hessian_eigenthings import HessianOperator
    except ImportError as error:
        raise CannotDo("not installed: pip install --pre hessian-eigenthings") from error
    net = _Shifted(problem)
    batch = (problem.x, problem.y)

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    operator = HessianOperator(net, [batch], loss)
    return lambda v: torch.stack([operator.matvec(v[:, j]) for j in range(v.shape[1])], dim=1)


WAYS = [
    Way("curvlinops", "packaged", curvlinops),
    Way("hessian-eigenthings", "packaged", eigenthings),
]

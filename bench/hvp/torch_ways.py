"""The ways people compute Hessian-vector products in plain torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hvp.contender import Product, Way
from hvp.problems import Problem


def kept_graph(problem: Problem, average: bool) -> Product:
    """Double backward over a graph built once, a vector at a time (PyHessian's way, kept)."""
    x = problem.x.clone().requires_grad_(True)
    loss = functional.cross_entropy(problem.model(x), problem.y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)

    def product(v: Tensor) -> Tensor:
        columns = []
        for j in range(v.shape[-1]):
            direction = v[:, j].expand_as(x) if average else v[:, :, j]
            (each,) = torch.autograd.grad(gradient, x, direction, retain_graph=True)
            columns.append(each.mean(dim=0) if average else each)
        return torch.stack(columns, dim=-1)

    return product


def _gradient(problem: Problem, average: bool) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Gradient as a function of one shift all inputs share, or of the inputs; and its point."""
    reduction = "mean" if average else "sum"

    def loss(x: Tensor) -> Tensor:
        return functional.cross_entropy(problem.model(x), problem.y, reduction=reduction)

    if not average:
        return torch.func.grad(loss), problem.x
    shift = torch.zeros(problem.d, dtype=problem.x.dtype)
    return torch.func.grad(lambda shift: loss(problem.x + shift)), shift


def linearized(problem: Problem, average: bool) -> Product:
    """``torch.func.linearize`` of the gradient, a vector at a time; the primal is not run again."""
    _, tangent = torch.func.linearize(*_gradient(problem, average))
    return lambda v: torch.stack([tangent(v[..., j]) for j in range(v.shape[-1])], dim=-1)


def vmapped(problem: Problem, average: bool) -> Product:
    """``vmap(jvp(grad))``: forward over reverse, all columns together, the primal run again."""
    gradient, point = _gradient(problem, average)

    def one(v: Tensor) -> Tensor:
        return torch.func.jvp(gradient, (point,), (v,))[1]

    # Columns first is the order vmap works in: contiguous slices for every direction.
    return lambda v: torch.func.vmap(one)(v.movedim(-1, 0).contiguous()).movedim(0, -1).contiguous()


WAYS = [
    Way("double backward, graph kept", "torch", kept_graph),
    Way("torch.func.linearize", "torch", linearized),
    Way("torch.func vmap(jvp(grad))", "torch", vmapped),
]

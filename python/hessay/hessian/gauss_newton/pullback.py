"""Rows of a factor by torch: the logit curvature's root pulled back to the points."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from hessay.hessian.gauss_newton.sketch import sketch_rows
from hessay.hessian.graph.operations import Graph
from hessay.hessian.model.evaluate import input_gradient, require_finite_gradient
from hessay.hessian.routes.problem import Problem
from hessay.hessian.tangent.products import jacobian_rows


def row_chunks(problem: Problem) -> Iterator[Tensor]:
    """Rows (m, r, d) on the CPU, some points at a time; the model is frozen by the caller.

    By tangent passes backwards where the network could be followed, by one torch backward pass for
    every row of the root elsewhere.

    Raises
    ------
    ModelError
        The model raised or cannot be differentiated.
    NonFinite
        A row is NaN or Inf.
    """
    first = 0
    for values, forward in problem.site.chunks():
        if isinstance(problem.graph, Graph):
            rows = jacobian_rows(problem.graph, values, partial(_root, problem, first))
        else:
            x = values.detach().requires_grad_(True)
            logits = forward(x)
            root = _root(problem, first, logits.detach())
            last = root.shape[1] - 1
            gradients = [
                input_gradient(
                    logits, x, root[:, j], keep=j < last, place=problem.site.place
                ).flatten(1)
                for j in range(root.shape[1])
            ]
            rows = torch.stack(gradients, dim=1).detach()
        require_finite_gradient(rows, first, problem.site.draws, problem.site.place)
        first += len(rows)
        yield rows.cpu().contiguous()


def _root(problem: Problem, first: int, logits: Tensor) -> Tensor:
    """Root (m, r, C) of S at logits (m, C) of the points from ``first`` on, or a sketch of it."""
    array = logits.cpu().numpy()
    if problem.work_sketched and problem.sketch is not None:
        root = sketch_rows(problem.curvature, array, problem.sketch, seed=problem.seed, first=first)
    else:
        root = problem.curvature.root(array)
    return torch.from_numpy(root).to(logits)

"""Recipes for piecewise-linear nets: keep J and apply J'SJ, or form the dense Hessian once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvp.contender import CannotDo, Product, Way
from hvp.problems import Problem


def jacobian(problem: Problem) -> tuple[Tensor, Tensor]:
    """Logit Jacobians (n, C, d), one torch pass a class, and the probabilities (n, C)."""
    if not problem.piecewise_linear:
        raise CannotDo("not exact: the network has curvature of its own")
    x = problem.x.clone().requires_grad_(True)
    logits = problem.model(x)
    count = logits.shape[1]
    rows = [
        torch.autograd.grad(logits[:, c].sum(), x, retain_graph=c + 1 < count)[0]
        for c in range(count)
    ]
    return torch.stack(rows, dim=1), logits.detach().softmax(dim=1)


def jacobian_products(problem: Problem, average: bool) -> Product:
    """J'SJ V: products with all Jacobians at once (NumPy), or a batched product (torch)."""
    rows, p = jacobian(problem)

    def curve(u: Tensor) -> Tensor:
        return p[:, :, None] * (u - torch.einsum("ic,ick->ik", p, u)[:, None])

    def shared(v: Tensor) -> Tensor:
        flat = rows.flatten(0, 1).numpy()
        u = torch.from_numpy(flat @ v.numpy()).unflatten(0, p.shape)
        return torch.from_numpy(flat.T @ curve(u).flatten(0, 1).numpy()) / problem.n

    def per_sample(v: Tensor) -> Tensor:
        return torch.bmm(rows.transpose(1, 2), curve(torch.bmm(rows, v)))

    return shared if average else per_sample


def dense_matrix(problem: Problem) -> NDArray[np.floating]:
    """H (d, d) from the Jacobians: two einsum-sized products."""
    rows, p = jacobian(problem)
    # S J = p (J - p'J), so H is the product of J with it.
    weighted = p[:, :, None] * (rows - torch.einsum("ic,icd->id", p, rows)[:, None])
    flat = rows.flatten(0, 1).numpy()
    return flat.T @ weighted.flatten(0, 1).numpy() / problem.n


def dense_products(problem: Problem, average: bool) -> Product:
    """Form H once, multiply by it."""
    if not average:
        raise CannotDo("512 dense matrices would take 1.3 GB")
    h = dense_matrix(problem)
    return lambda v: torch.from_numpy(h @ v.numpy())


WAYS = [
    Way("recipe: Jacobian kept, J'SJ", "recipe", jacobian_products),
    Way("recipe: dense H formed once", "recipe", dense_products),
]

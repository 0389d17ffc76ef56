"""Exact products with the input Hessian of any nn.Module: double backward over a kept graph.

The first-order graph is built once per chunk of the probe and kept, so a product costs one backward
pass through it. Differentiating the gradient in reverse gives the same product as forward-over-
reverse, works for every operation that has a double backward, and re-runs no primal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hessay.errors import ModelError
from hessay.hessian.curvature import Curvature
from hessay.hessian.loss import Loss
from hessay.hessian.model.evaluate import first_line, not_differentiable, require_finite_gradient
from hessay.hessian.model.site import Forward, Site


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    points: Tensor  # (n, *shape), the leaf
    gradient: Tensor  # (n, *shape) of the loss, or of u'f for Gauss-Newton products
    root: Tensor | None  # (n, r, C), None for the full Hessian
    cotangent: Tensor | None  # u (n, C), the dummy that makes J v a double backward
    logits: Tensor  # (n, C), graph kept


class AutogradProducts:
    """Products V -> H_i V per point for the site it was built on.

    Columns go one after another: ``is_grads_batched`` of torch, which runs them together, takes
    longer on attention and on convolutions.

    Parameters
    ----------
    site : Site
        Its model frozen by the caller while this is built; products do not call it again.
    loss : Loss
        With a target for every point of the site.
    curvature : Curvature
        Of a loss: the full Hessian, network curvature included. "uniform" and "margin": J'SJ,
        which is what they are defined as.

    Raises
    ------
    ModelError
        The model raised or cannot be differentiated, or holds a function that is marked as
        differentiable once.
    NonFinite
        A gradient is NaN or Inf.
    """

    def __init__(self, site: Site, loss: Loss, curvature: Curvature) -> None:
        self._chunks: list[_Chunk] = []
        self.n = 0  # points
        for values, forward in site.chunks():
            rows = slice(self.n, self.n + len(values))
            x = values.detach().requires_grad_(True)
            chunk = (
                _loss_gradient(x, forward, site.place, loss, rows)
                if curvature.is_loss
                else _gauss_newton(x, forward, site.place, curvature)
            )
            require_finite_gradient(chunk.gradient, rows.start, site.draws, site.place)
            if not self._chunks:
                _require_differentiable(chunk.gradient)
            self._chunks.append(chunk)
            self.n = rows.stop

    def apply(self, directions: Tensor) -> Tensor:
        """H V averaged over the points, V (d, k)."""
        total = torch.zeros_like(directions, dtype=torch.float64)
        for chunk in self._chunks:
            for j in range(directions.shape[1]):
                shared = directions[:, j].view(1, *chunk.points.shape[1:])
                product = _product(chunk, shared.expand_as(chunk.points))
                total[:, j] += product.flatten(1).sum(dim=0, dtype=torch.float64)
        return (total / self.n).to(directions.dtype)

    def apply_per_sample(self, directions: Tensor) -> Tensor:
        """H_i V_i, V (n, d, k)."""
        out = torch.empty_like(directions)
        first = 0
        for chunk in self._chunks:
            rows = slice(first, first + len(chunk.points))
            for j in range(directions.shape[2]):
                v = directions[rows, :, j].reshape(chunk.points.shape)
                out[rows, :, j] = _product(chunk, v).flatten(1)
            first = rows.stop
        return out


def _loss_gradient(x: Tensor, forward: Forward, place: str, loss: Loss, rows: slice) -> _Chunk:
    logits = forward(x)
    return _Chunk(x, _gradient(loss.summed(logits, rows), x, place), None, None, logits)


def _gauss_newton(x: Tensor, forward: Forward, place: str, curvature: Curvature) -> _Chunk:
    logits = forward(x)
    root = torch.from_numpy(curvature.root(logits.detach().cpu().numpy())).to(logits)
    cotangent = torch.ones_like(logits, requires_grad=True)
    return _Chunk(x, _gradient((logits * cotangent).sum(), x, place), root, cotangent, logits)


def _gradient(scalar: Tensor, x: Tensor, place: str) -> Tensor:
    try:
        (gradient,) = torch.autograd.grad(scalar, x, create_graph=True)
    except RuntimeError as error:
        raise not_differentiable(error, place) from error
    return gradient


def _require_differentiable(gradient: Tensor) -> None:
    """Refuse a gradient that ends in a function marked ``once_differentiable``.

    torch leaves a node there that raises when it is reached, but cuts its way back to the input, so that it
    never is: the second derivative comes out as zero.
    """
    left, seen = [gradient.grad_fn], set()
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "torch::autograd::Error":
            raise ModelError(
                "the model has no second derivative: it holds a custom autograd function that is marked "
                "once_differentiable; write its backward with differentiable operations"
            )
        left += [parent for parent, _ in node.next_functions]


def _product(chunk: _Chunk, v: Tensor) -> Tensor:
    if chunk.root is None or chunk.cotangent is None:
        return _derivative(chunk.gradient, chunk.points, v)
    tangent = _derivative(chunk.gradient, chunk.cotangent, v)  # J v
    weighted = torch.einsum("irc,ird,id->ic", chunk.root, chunk.root, tangent)  # S J v
    (product,) = torch.autograd.grad(chunk.logits, chunk.points, weighted, retain_graph=True)
    return product


def _derivative(gradient: Tensor, leaf: Tensor, v: Tensor) -> Tensor:
    if not gradient.requires_grad:  # the gradient does not depend on the input: no curvature
        return torch.zeros_like(leaf)
    try:
        (product,) = torch.autograd.grad(
            gradient, leaf, v, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    except RuntimeError as error:
        raise ModelError(
            f"the model has no second derivative: {first_line(error)}; replace the "
            "operation, or use weighting='uniform'"
        ) from error
    return product

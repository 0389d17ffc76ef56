"""Exact products with the input Hessian of any nn.Module: double backward over a kept graph.

The first-order graph is built once per chunk of the probe and kept, so a product costs one backward
pass through it. Differentiating the gradient in reverse gives the same product as forward-over-
reverse, works for every operation that has a double backward, and re-runs no primal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hessay.errors import ModelError
from hessay.hessian.curvature import Curvature
from hessay.hessian.evaluate import call, chunk_rows


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    inputs: Tensor  # (n, *shape), the leaf
    gradient: Tensor  # (n, *shape) of the loss, or of u'f for Gauss-Newton products
    root: Tensor | None  # (n, r, C), None for the full Hessian
    cotangent: Tensor | None  # u (n, C), the dummy that makes J v a double backward
    logits: Tensor  # (n, C), graph kept


class AutogradProducts:
    """Products V -> H_i V per sample for the probe it was built on.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller while this is built; products do not call it again.
    inputs : (n, *shape) float tensor in the dtype and on the device of the model
    targets : (n,) int64 tensor or None
        Labels of the loss; the predicted classes stand in when there are none.
    curvature : Curvature
        "labels" and "softened": the full Hessian of that cross-entropy, network curvature included.
        "uniform" and "margin": J'SJ, which is what they are defined as.

    Raises
    ------
    ModelError
        The model raised or cannot be differentiated.
    """

    def __init__(
        self, model: nn.Module, inputs: Tensor, targets: Tensor | None, curvature: Curvature
    ) -> None:
        rows = chunk_rows(inputs)
        labels = [None] * -(-len(inputs) // rows) if targets is None else torch.split(targets, rows)
        self._chunks = [
            _gauss_newton(model, x, curvature)
            if not curvature.is_loss
            else _loss_gradient(model, x, y, curvature)
            for x, y in zip(torch.split(inputs, rows), labels, strict=True)
        ]
        self.n = len(inputs)

    def apply(self, directions: Tensor) -> Tensor:
        """H V averaged over the probe, V (d, k)."""
        total = torch.zeros_like(directions, dtype=torch.float64)
        for chunk in self._chunks:
            for j in range(directions.shape[1]):
                shared = directions[:, j].view(1, *chunk.inputs.shape[1:])
                product = _product(chunk, shared.expand_as(chunk.inputs))
                total[:, j] += product.flatten(1).sum(dim=0, dtype=torch.float64)
        return (total / self.n).to(directions.dtype)

    def apply_per_sample(self, directions: Tensor) -> Tensor:
        """H_i V_i, V (n, d, k)."""
        out = torch.empty_like(directions)
        first = 0
        for chunk in self._chunks:
            rows = slice(first, first + len(chunk.inputs))
            for j in range(directions.shape[2]):
                v = directions[rows, :, j].reshape(chunk.inputs.shape)
                out[rows, :, j] = _product(chunk, v).flatten(1)
            first = rows.stop
        return out


def _loss_gradient(
    model: nn.Module, rows: Tensor, labels: Tensor | None, curvature: Curvature
) -> _Chunk:
    x = rows.detach().requires_grad_(True)
    logits = call(model, x)
    if labels is None:
        labels = logits.detach().argmax(dim=1)
    scaled = logits / curvature.scale if curvature.kind == "softened" else logits
    loss = functional.cross_entropy(scaled, labels, reduction="sum")
    return _Chunk(x, _gradient(loss, x), None, None, logits)


def _gauss_newton(model: nn.Module, rows: Tensor, curvature: Curvature) -> _Chunk:
    x = rows.detach().requires_grad_(True)
    logits = call(model, x)
    root = torch.from_numpy(curvature.root(logits.detach().cpu().numpy())).to(logits)
    cotangent = torch.ones_like(logits, requires_grad=True)
    return _Chunk(x, _gradient((logits * cotangent).sum(), x), root, cotangent, logits)


def _gradient(scalar: Tensor, x: Tensor) -> Tensor:
    try:
        (gradient,) = torch.autograd.grad(scalar, x, create_graph=True)
    except RuntimeError as error:
        raise ModelError(
            f"the model cannot be differentiated at its input: {str(error).splitlines()[0]}; it "
            "must not detach, round or run under no_grad inside forward"
        ) from error
    return gradient


def _product(chunk: _Chunk, v: Tensor) -> Tensor:
    if chunk.root is None or chunk.cotangent is None:
        return _derivative(chunk.gradient, chunk.inputs, v)
    tangent = _derivative(chunk.gradient, chunk.cotangent, v)  # J v
    weighted = torch.einsum("irc,ird,id->ic", chunk.root, chunk.root, tangent)  # S J v
    (product,) = torch.autograd.grad(chunk.logits, chunk.inputs, weighted, retain_graph=True)
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
            f"the model has no second derivative: {str(error).splitlines()[0]}; replace the "
            "operation, or use weighting='uniform'"
        ) from error
    return product

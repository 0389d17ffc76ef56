"""The averaged product as people write it in torch, on the device of the model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Way = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]  # model, inputs, classes, V (d, k)
SAMPLES = 512  # at a time: a graph of them all does not fit


def _loss(model: nn.Module, x: Tensor, classes: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(x), classes, reduction="sum")


def _chunks(inputs: Tensor, classes: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(inputs.split(SAMPLES), classes.split(SAMPLES), strict=True))


def double_backward(model: nn.Module, inputs: Tensor, classes: Tensor, v: Tensor) -> Tensor:
    """Graph of the gradient kept, one backward pass a direction."""
    out = torch.zeros_like(v)
    for x, y in _chunks(inputs, classes):
        point = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(_loss(model, point, y), point, create_graph=True)
        summed = gradient.sum(dim=0)
        for j in range(v.shape[1]):
            (product,) = torch.autograd.grad(summed @ v[:, j], point, retain_graph=True)
            out[:, j] += product.sum(dim=0)
    return out / len(inputs)


def jvp_of_grad(model: nn.Module, inputs: Tensor, classes: Tensor, v: Tensor) -> Tensor:
    """torch.func: vmap over the directions of jvp of grad."""
    out = torch.zeros_like(v)
    for x, y in _chunks(inputs, classes):
        gradient = torch.func.grad(lambda p, y=y: _loss(model, p, y))

        def one(direction: Tensor, x: Tensor = x, gradient: Way = gradient) -> Tensor:
            return torch.func.jvp(gradient, (x,), (direction.expand_as(x),))[1].sum(dim=0)

        out += torch.func.vmap(one, in_dims=1, out_dims=1, chunk_size=4)(v)
    return out / len(inputs)


def linearized(model: nn.Module, inputs: Tensor, classes: Tensor, v: Tensor) -> Tensor:
    """torch.func.linearize of the gradient once a chunk, then its tangents."""
    out = torch.zeros_like(v)
    for x, y in _chunks(inputs, classes):
        _, tangent = torch.func.linearize(torch.func.grad(lambda p, y=y: _loss(model, p, y)), x)
        for j in range(v.shape[1]):
            out[:, j] += tangent(v[:, j].expand_as(x)).sum(dim=0)
    return out / len(inputs)


WAYS: dict[str, Way] = {
    "double backward": double_backward,
    "vmap of jvp of grad": jvp_of_grad,
    "linearize": linearized,
}

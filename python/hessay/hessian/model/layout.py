"""Let convolutions run in the memory format that their pooling is fast in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from hessay.hessian.model.evaluate import like_model

_TRIED = 2  # inputs the two formats are compared on
_TOLERANCE = 1e-3  # of the logits' size: the formats add up in another order, nothing else


@contextmanager
def channels_last(model: nn.Module, inputs: Tensor) -> Iterator[None]:
    """Keep the weights of the model's 2-D convolutions channels-last inside, where it takes that.

    On a CPU, pooling reads such activations several times faster. The numbers are the same but
    for rounding. Only the strides of the weights change, and they are restored on exit. A model that cannot
    work so, because it takes a ``view`` of feature maps, is found out by a forward and a backward
    pass over two inputs, and left as it is.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller.
    inputs : (n, *shape) tensor
        As the model takes them, n >= 1.
    """
    weights = _weights(model)
    if not weights or not len(inputs) or not inputs.is_floating_point():
        yield
        return
    rows = like_model(model, inputs[:_TRIED].detach())
    with ExitStack() as undo:
        wanted = _answers(model, rows)
        if wanted is not None:
            for weight in weights:
                undo.callback(setattr, weight, "data", weight.data)
                weight.data = weight.data.clone(memory_format=torch.channels_last)
            if not _agree(_answers(model, rows), wanted):
                undo.close()
        yield


def _weights(model: nn.Module) -> list[nn.Parameter]:
    """Weights of two-dimensional convolutions on the CPU that are not channels-last yet."""
    convolutions = (m for m in model.modules() if isinstance(m, nn.Conv2d))
    parameters = {id(p): p for m in convolutions for p in m._parameters.values() if p is not None}
    return [
        p
        for p in parameters.values()
        if type(p) is nn.Parameter
        and p.ndim == 4
        and p.device.type == "cpu"
        and not p.is_inference()
        and p.stride(1)
        != 1  # a single channel is contiguous in both formats, and torch asks for this
    ]


def _answers(model: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor] | None:
    """Logits and a gradient; None where the model raises, which its caller will say better."""
    try:
        with torch.enable_grad():
            variable = rows.clone().requires_grad_(True)
            logits = model(variable.clone())
            (gradient,) = torch.autograd.grad(logits.square().sum(), variable)
    except Exception:  # noqa: BLE001  a model may raise anything
        return None
    return logits.detach(), gradient


def _agree(got: tuple[Tensor, Tensor] | None, wanted: tuple[Tensor, Tensor]) -> bool:
    if got is None:
        return False
    return all(
        a.shape == b.shape and bool((a - b).abs().max() <= _TOLERANCE * b.abs().max())
        for a, b in zip(got, wanted, strict=True)
    )

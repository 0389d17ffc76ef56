"""One guarded way to call somebody else's model: every failure becomes a ModelError that names it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hessay.errors import ModelError, NonFinite

# The layers above take these names from here: they do not import torch themselves.
Model = nn.Module
Inputs = Tensor
_CHUNK_ELEMENTS = 1 << 18  # input elements a pass: activations stay within tens of megabytes


def chunk_rows(inputs: Tensor) -> int:
    """Rows a pass, so that the working set is bounded whatever the input's size."""
    width = max(1, inputs[0].numel())
    return max(8, _CHUNK_ELEMENTS // width)


def like_model(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the inputs in the dtype and on the device of the model's first floating parameter."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            return inputs.to(device=parameter.device, dtype=parameter.dtype)
    return inputs


def call(model: nn.Module, inputs: Tensor) -> Tensor:
    """Logits (n, C) of one batch; gradients flow if the caller enabled them.

    Raises
    ------
    ModelError
        The model raised (the original exception is named and chained), or what it returned is
        not one float tensor (n, C) with C >= 2.
    """
    try:
        logits = model(inputs)
    except Exception as error:
        raise ModelError(
            f"the model raised {type(error).__name__} on a probe batch of shape "
            f"{tuple(inputs.shape)}: {_first_line(error)}; check that the probe has the shape and "
            "scale the model was trained on"
        ) from error
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        got = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"the model must return one float tensor of logits (n, C), got {got}; wrap it in a "
            "module that returns the logits only"
        )
    if logits.ndim != 2 or logits.shape[0] != inputs.shape[0] or logits.shape[1] < 2:
        raise ModelError(
            f"the model must return logits of shape ({inputs.shape[0]}, C) with C >= 2, "
            f"got {tuple(logits.shape)}"
        )
    return logits


def logits_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Logits (n, C) float64 on the CPU, evaluated in chunks without gradients.

    Raises
    ------
    ModelError
        See :func:`call`.
    NonFinite
        Some logits are NaN or Inf; the message counts the probes.
    """
    with torch.no_grad():
        parts = [call(model, rows) for rows in torch.split(inputs, chunk_rows(inputs))]
    logits = torch.cat(parts).detach().to(device="cpu", dtype=torch.float64)
    bad = ~torch.isfinite(logits).all(dim=1)
    if bool(bad.any()):
        raise NonFinite(
            f"the model's logits are NaN or Inf for {int(bad.sum())} of {len(bad)} probes, first "
            f"at probe {int(bad.nonzero()[0])}; check the weights and the scale of the inputs"
        )
    return logits


def input_gradient(scores: Tensor, inputs: Tensor, cotangent: Tensor, *, keep: bool) -> Tensor:
    """Pull ``cotangent`` back from ``scores`` to ``inputs``: shape of ``inputs``, no grads left.

    Raises
    ------
    ModelError
        The logits do not depend on the input through differentiable operations.
    """
    try:
        # As the gradient of a scalar: handing torch the cotangent makes it import sympy first.
        scalar = (scores * cotangent).sum()
        (gradient,) = torch.autograd.grad(scalar, inputs, retain_graph=keep)
    except RuntimeError as error:
        raise ModelError(
            f"the model cannot be differentiated at its input: {_first_line(error)}; it must not "
            "detach, round or run under no_grad inside forward"
        ) from error
    return gradient


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:200]

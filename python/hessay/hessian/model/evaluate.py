"""One guarded way to call somebody else's model: every failure becomes a ModelError that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from hessay.errors import HessayError, ModelError, NonFinite

# The layers above take these names from here: they do not import torch themselves.
Model = nn.Module
Inputs = Tensor
# Input elements a pass. Activations stay within tens of megabytes on the processor, near its caches; on a device
# they take some gigabytes of a large network, and small passes would leave it idle.
_CHUNK_ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 22}


def chunk_rows(inputs: Tensor) -> int:
    """Rows a pass, so that the working set is bounded whatever the input's size."""
    width = max(1, inputs[0].numel())
    return max(8, _CHUNK_ELEMENTS.get(inputs.device.type, _CHUNK_ELEMENTS["cpu"]) // width)


def like_model(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the inputs on the device of the model's first floating number, and in its dtype.

    A model without parameters is asked for its buffers; integer inputs keep their dtype.
    """
    for values in (*model.parameters(), *model.buffers()):
        if values.is_floating_point():
            dtype = values.dtype if inputs.is_floating_point() else inputs.dtype
            return inputs.to(device=values.device, dtype=dtype)
    return inputs


def call(model: nn.Module, inputs: Tensor, *, one_output: bool = False) -> Tensor:
    """Logits (n, C) of one batch; gradients flow if the caller enabled them.

    A model may return them as a tensor, or as ``logits`` of an object or a mapping, as transformers do.

    The model gets a copy: layers that write into their input reach neither the caller's data nor
    a leaf of the graph. With ``one_output`` C may be 1, and (n,) counts as (n, 1).

    Raises
    ------
    ModelError
        The model raised (the original exception is named and chained), or what it returned is
        not a float tensor (n, C) with C >= 2 (C >= 1 with ``one_output``).
    """
    try:
        out = model(inputs.clone())
    except HessayError:
        raise
    except Exception as error:
        raise ModelError(
            f"the model raised {type(error).__name__} on a probe batch of shape "
            f"{tuple(inputs.shape)}: {first_line(error)}; check that the probe has the shape and "
            "scale the model was trained on"
        ) from error
    named = out.get("logits") if isinstance(out, Mapping) else getattr(out, "logits", None)
    logits = out if named is None else named
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        got = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"the model must return one float tensor of logits (n, C), or an object or mapping with "
            f"logits, got {got}; wrap it in a module that returns the logits only"
        )
    n, shape = inputs.shape[0], tuple(logits.shape)
    if one_output and shape == (n,):
        logits = logits[:, None]
    fewest = 1 if one_output else 2
    if logits.ndim != 2 or logits.shape[0] != n or logits.shape[1] < fewest:
        advice = "; for one logit z of two classes return (0, z)" if shape in ((n,), (n, 1)) else ""
        raise ModelError(
            f"the model must return logits of shape ({n}, C) with C >= {fewest}, got {shape}{advice}"
        )
    return logits


def logits_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Logits (n, C) float64 on the CPU, evaluated in chunks without gradients.

    The inputs may be on another device than the model, and in another floating dtype.

    Raises
    ------
    ModelError
        See :func:`call`.
    NonFinite
        Some logits are NaN or Inf; the message counts the probes.
    """
    size = chunk_rows(like_model(model, inputs[:1]))
    return finite_logits(
        model, lambda: (call(model, like_model(model, rows)) for rows in torch.split(inputs, size))
    )


def finite_logits(model: nn.Module, run: Callable[[], Iterable[Tensor]]) -> Tensor:
    """Put the logits of the chunks that ``run`` yields together, (n, C) float64 on the CPU.

    Raises
    ------
    NonFinite
        Some are NaN or Inf; the message counts the probes and names the first module to blame.
    """
    with torch.no_grad():
        logits = torch.cat(list(run())).detach().to(device="cpu", dtype=torch.float64)
        bad = ~torch.isfinite(logits).all(dim=1)
        if bool(bad.any()):
            raise NonFinite(
                f"the model's logits are NaN or Inf for {int(bad.sum())} of {len(bad)} probes, "
                f"first at probe {int(bad.nonzero()[0])}{_culprit(model, run)}; check the weights "
                "and the scale of the inputs"
            )
    return logits


def _culprit(model: nn.Module, run: Callable[[], Iterable[Tensor]]) -> str:
    """Name the first module without children whose output is not finite, in words."""
    found: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
                found.append(f", in module {name!r} ({type(module).__name__}) for the first time")

        return hook

    handles = [
        module.register_forward_hook(watch(name))
        for name, module in model.named_modules()
        if name and next(module.children(), None) is None
    ]
    try:
        for _ in run():
            if found:
                return found[0]
    finally:
        for handle in handles:
            handle.remove()
    return ""


def input_gradient(
    scores: Tensor,
    inputs: Tensor,
    cotangent: Tensor,
    *,
    keep: bool,
    place: str = "its input",
) -> Tensor:
    """Pull ``cotangent`` back from ``scores`` to ``inputs``: shape of ``inputs``, no grads left.

    Raises
    ------
    ModelError
        The logits do not depend on the input through differentiable operations; the message
        calls it ``place``.
    """
    try:
        # As the gradient of a scalar: handing torch the cotangent makes it import sympy first.
        scalar = (scores * cotangent).sum()
        (gradient,) = torch.autograd.grad(scalar, inputs, retain_graph=keep)
    except RuntimeError as error:
        raise not_differentiable(error, place) from error
    return gradient


def require_finite_gradient(gradient: Tensor, first: int, draws: int, place: str) -> None:
    """Check a gradient (m, *shape) of the points from number ``first`` on, ``draws`` a sample.

    Raises
    ------
    NonFinite
        Some of it is NaN or Inf; the message names the first sample.
    """
    gradient = gradient.detach()
    # One pass finds that all is well; a sum that overflows is looked at again.
    if bool(torch.isfinite(gradient.sum())):
        return
    bad = ~torch.isfinite(gradient.flatten(1)).all(dim=1)
    if bool(bad.any()):
        raise NonFinite(
            f"the derivative of the model at {place} is NaN or Inf, first at probe "
            f"{(first + int(bad.nonzero()[0])) // draws}, although its logits are finite; look for "
            "a root, a norm or a logarithm at 0"
        )


def not_differentiable(error: RuntimeError, place: str) -> ModelError:
    """Say that the logits do not depend on the points through differentiable operations."""
    return ModelError(
        f"the model cannot be differentiated at {place}: {first_line(error)}; what follows must use "
        "it, and not detach, round or run under no_grad"
    )


def first_line(error: BaseException) -> str:
    """First line of what an exception says, for a message of one line."""
    return (str(error).strip().splitlines() or ["no message"])[0][:200]

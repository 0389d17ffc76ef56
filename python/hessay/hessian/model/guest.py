"""A model made fit to be differentiated: itself where it can be, a copy where it must change."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from hessay.errors import ArgumentError, ModelError
from hessay.hessian.model.evaluate import first_line, like_model
from hessay.loading import require_module

_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True, eq=False)
class Guest:
    """The module to run, and what had to be done to it."""

    model: nn.Module
    dtype: torch.dtype | None  # of all numbers, None where the model's own serves
    note: str  # for explain(), "" where it is the caller's module as it is
    prefix: str  # of module names in the wrappers that were taken off

    def name(self, wrt: object) -> str:
        """Return the name of a module inside the wrappers."""
        if not isinstance(wrt, str):
            raise ArgumentError(f"wrt must be 'input' or the name of a module, got {wrt!r}")
        return wrt.removeprefix(self.prefix)

    def take(self, inputs: Tensor) -> Tensor:
        """Return inputs on the device and in the dtype of the model; integers stay integers."""
        own = like_model(self.model, inputs)
        return own.to(self.dtype) if self.dtype and own.is_floating_point() else own


def guest(model: object, dtype: torch.dtype | None) -> Guest:
    """Unwrap a model, check that it has weights, and copy it where it cannot serve as it is.

    Wrappers that only change where or how fast a module runs (``torch.compile``, ``DataParallel``)
    are taken off; the derivative is that of the module inside. Copies are made of half-precision
    models (to float32), of models in another dtype than asked for, of weights made under
    ``torch.inference_mode``, and of embeddings with ``max_norm``, which write into their weights.

    Raises
    ------
    ArgumentError
        ``dtype`` is neither float32 nor float64.
    ModelError
        Not a module, one whose weights hold no numbers yet (lazy modules, the meta device), or
        one that cannot be copied.
    """
    if dtype not in (None, torch.float32, torch.float64):
        raise ArgumentError(f"dtype must be torch.float32 or torch.float64, got {dtype}")
    model, notes, prefix = _unwrapped(require_module(model))
    tensors = [*model.named_parameters(), *model.named_buffers()]
    for name, values in tensors:
        lazy = isinstance(values, UninitializedParameter | UninitializedBuffer)
        if lazy or values.is_meta:
            raise ModelError(
                f"the model has uninitialised parameters ({name!r}); run it once on real inputs"
                if lazy
                else f"the model's {name!r} is on the meta device; load its weights"
            )
    kinds = {values.dtype for _, values in tensors if values.is_floating_point()}
    if dtype is None and kinds & set(_HALF):
        dtype = torch.float32
        notes.append("half precision computed in float32")
    if not (
        (dtype is not None and kinds - {dtype})
        or any(values.is_inference() for _, values in tensors)
        or any(getattr(module, "max_norm", None) is not None for module in model.modules())
    ):
        return Guest(model, dtype, "; ".join(notes), prefix)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise ModelError(
            "a scripted model cannot be copied to change its dtype or its weights; pass the module "
            "it was made from, or leave its dtype"
        )
    try:
        with torch.inference_mode(False):
            own = copy.deepcopy(model)
    except Exception as error:  # deepcopy runs code of the model's own
        raise ModelError(
            f"the model cannot be copied to change its dtype or its weights: {first_line(error)}; "
            "pass a float32 or float64 model made outside torch.inference_mode"
        ) from error
    return Guest(own if dtype is None else own.to(dtype), dtype, "; ".join(notes), prefix)


def _unwrapped(model: nn.Module) -> tuple[nn.Module, list[str], str]:
    notes: list[str] = []
    prefix = ""
    while not (model._forward_hooks or model._forward_pre_hooks):
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            name = "module"
        elif type(model).__name__ == "OptimizedModule":  # its class would import the compiler
            name = "_orig_mod"
        else:
            break
        notes.append(f"{type(model).__name__} taken off")
        prefix += f"{name}."
        model = getattr(model, name)
    return model, notes, prefix

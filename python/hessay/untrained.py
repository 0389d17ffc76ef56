"""A network of the same build as a given one, with nothing left of what that one has learnt."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from hessay.errors import ArgumentError


def untrained(model: nn.Module, *, seed: int) -> nn.Module:
    """Copy a model and draw its weights anew.

    Layers that know how they are initialised (``reset_parameters``) are, running statistics
    included. The entries of all other parameters, for example of position embeddings, are
    shuffled: their size stays, what they say is gone.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    seed : int
        The global random state is restored.

    Returns
    -------
    nn.Module
        On the CPU, in single precision where the model had less, with all gradients enabled.

    Raises
    ------
    ArgumentError
        The model cannot be copied, is scripted, or has no parameters.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise ArgumentError(
            "a scripted model cannot be initialised anew; pass the nn.Module it was made from"
        )
    try:
        fresh = copy.deepcopy(model)
    except Exception as error:
        raise ArgumentError(
            f"the model cannot be copied ({type(error).__name__}: {error}); references of its "
            "architecture need a model that copy.deepcopy takes"
        ) from error
    parameters = [p for p in fresh.parameters() if p.is_floating_point()]
    if not parameters:
        raise ArgumentError("the model has no floating-point parameters, so none can be learnt")
    fresh = fresh.cpu()
    if any(p.dtype in (torch.float16, torch.bfloat16) for p in parameters):
        fresh = fresh.float()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        drawn: set[int] = set()
        for module in fresh.modules():
            reset = _initialiser(module)
            if reset is not None:
                reset()
                drawn |= {id(p) for p in module._parameters.values() if p is not None}
        for parameter in fresh.parameters():
            parameter.grad = None
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
                if id(parameter) not in drawn:
                    order = torch.randperm(parameter.numel())
                    parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    return fresh


def _initialiser(module: nn.Module) -> Callable[[], object] | None:
    for name in ("reset_parameters", "_reset_parameters"):
        found = getattr(module, name, None)
        if callable(found):
            return found  # type: ignore[no-any-return]
    return None

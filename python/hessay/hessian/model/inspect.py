"""Questions to a model before it is trusted with a scan: its mode, its repeatability, its place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hessay.errors import ModelError
from hessay.hessian.model.evaluate import chunk_rows, like_model
from hessay.hessian.model.site import Site, site_of
from hessay.loading import require_module

_DROPOUT = (nn.modules.dropout._DropoutNd,)
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_SCRIPTED = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")  # names that scripts keep
_BATCH_NORM = (nn.modules.batchnorm._NormBase,)


def training_modules(model: nn.Module) -> tuple[str, ...]:
    """Names of the modules that compute something else in training mode, and are in it.

    Dropout of positive probability, batch and instance normalisation, and attention or recurrent
    layers with a positive ``dropout``.
    """
    require_module(model)
    return tuple(
        name or type(module).__name__
        for name, module in model.named_modules()
        if module.training and _changes_with_mode(module)
    )


def recurrent(model: nn.Module) -> bool:
    """Whether some module is a recurrent layer or cell of torch, scripted ones included.

    Examples
    --------
    >>> recurrent(nn.Sequential(nn.GRU(3, 4))), recurrent(nn.Linear(3, 4))
    (True, False)
    """
    return any(
        isinstance(module, _RECURRENT) or getattr(module, "original_name", "") in _SCRIPTED
        for module in model.modules()
    )


def check_repeatable(model: nn.Module, inputs: Tensor, logits: Tensor) -> None:
    """Evaluate again, in other batches: the logits of an input must depend on nothing else.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller.
    inputs : (n, *shape) float tensor
        The probe.
    logits : (n, C) float64 on the CPU
        What a first pass over the inputs, in their order, has returned.

    Raises
    ------
    ModelError
        The two passes differ by more than rounding; the message counts the inputs.
    """
    inputs = like_model(model, inputs.detach())
    check_site(Site(model, inputs, inputs, "input"), logits)


def check_site(site: Site, logits: Tensor) -> None:
    """Do what :func:`check_repeatable` does, from any place in a model on.

    Inside a model both halves are checked: the points themselves must come out again, too.
    """
    # Reversed order and a third of the size: no input meets the neighbours it had before.
    size = max(1, min(chunk_rows(site.values), site.n) // 3)
    backwards = site.reversed()
    with torch.no_grad():
        again = torch.cat([forward(values) for values, forward in backwards.chunks(size)])
    _compare(again.flip(0), logits)
    if site.module is not None:
        other = site_of(site.model, backwards.inputs, site.name, size)
        _compare(other.values.flatten(1).flip(0), site.values.flatten(1).cpu().double())


def _compare(again: Tensor, first: Tensor) -> None:
    # Rounding changes with the shape of a batch, by eps times a factor that grows with depth; half
    # the digits survive it in any usable network. Noise and batch statistics change far more.
    allowed = torch.finfo(again.dtype).eps ** 0.5 * float(first.abs().max())
    same = ((again.cpu().double() - first).abs() <= allowed).all(dim=1)
    different = int((~same).sum())
    if different:
        raise ModelError(
            f"the model is not deterministic: two passes differ in {different} of {len(same)} "
            "inputs; remove randomness from forward, and normalisation over the batch"
        )


def device_of(model: nn.Module) -> str:
    """Name of the device of the model's first parameter, ``"cpu"`` without parameters."""
    for parameter in model.parameters():
        return str(parameter.device)
    return "cpu"


def parameter_count(model: nn.Module) -> int:
    """Count the numbers in the model's parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def _changes_with_mode(module: nn.Module) -> bool:
    if isinstance(module, _DROPOUT):
        return module.p > 0.0
    if isinstance(module, _BATCH_NORM):
        return not isinstance(module, nn.modules.instancenorm._InstanceNorm) or (
            module.track_running_stats
        )
    rate = getattr(module, "dropout", 0.0)
    return isinstance(rate, float) and rate > 0.0

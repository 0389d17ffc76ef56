"""A model from a file of weights and the name of its architecture."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from hessay.errors import DeviceError, ModelError
from hessay.loading.architectures import build_architecture
from hessay.loading.files import read_state
from hessay.loading.hub import local_weights
from hessay.loading.onnx_files import weights_for
from hessay.loading.shown import shown

_SHOWN = 5  # names in one error message


def load_model(
    path: str | os.PathLike[str], arch: str, *, device: str | torch.device = "cpu"
) -> nn.Module:
    """Build ``arch``, fill it with the weights in ``path``, and check every number.

    Nothing of the file is unpickled or run; a factory named in ``arch`` is, because the user named
    it. The global torch generator is left as it was. A file of float64 weights gives a float64
    model; half precision is widened to the dtype of the architecture.

    Parameters
    ----------
    path : path-like
        ``.safetensors``, the ``.safetensors.index.json`` of several, a state dict written by
        ``torch.save``, the weights of an ``.onnx`` graph or a ``.pt2`` archive, whose graph is not
        looked at, or ``hf:ORG/NAME@REVISION`` for one in the cache of huggingface_hub.
    arch : str
        ``mlp:784-512-10[:gelu]``, ``linear:784-10``, ``cnn:1x28x28-10``, ``timm:NAME`` or
        ``package.module:factory``.
    device : str or torch.device
        Where the model goes.

    Returns
    -------
    nn.Module
        In eval mode, all parameters and buffers finite, sharing no memory with the file.

    Raises
    ------
    ModelError
        No such file, weights that do not fit the architecture, NaN or Inf weights, or the factory
        failed.
    UntrustedFile
        The file is damaged, or loading it would run code.
    ArgumentError
        ``arch`` is malformed.
    DeviceError
        ``device`` is unknown or missing.
    """
    file, _ = local_weights(path)
    target = usable_device(device)
    state = read_state(file)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours to spend
        model = build_architecture(arch)
    if file.suffix.lower() == ".onnx":
        state = weights_for(_tensors(model), state)
    floating = {value.dtype for value in state.values() if value.is_floating_point()}
    if floating == {torch.float64}:
        model = model.double()
    _require_fit(file, arch, model, state)
    try:
        # strict=False: _require_fit was stricter, but lets tied weights be saved once.
        model.load_state_dict(state, strict=False)
        model = model.to(target)
    except Exception as error:  # a factory's module may bring load hooks of its own
        raise ModelError(
            f"{arch} does not take the weights of {file}: {shown(error, 200)}"
        ) from error
    _require_finite(file, model)
    return model.eval()


def require_module(model: object) -> nn.Module:
    """Return the model, or say what to do with a model that is a path, a function, or a state dict.

    Raises
    ------
    ModelError
        Not an ``nn.Module``.
    """
    if isinstance(model, nn.Module):
        return model
    if isinstance(model, str | os.PathLike | dict):
        way = "build it from its weights with hessay.load_model(path, arch)"
    elif isinstance(model, type):
        way = "make an instance of the class and load its weights"
    else:
        way = "wrap a function in a module whose forward calls it"
    got = "the class " + model.__name__ if isinstance(model, type) else type(model).__name__
    raise ModelError(f"the model must be a torch.nn.Module, got {got}; {way}")


def model_digest(model: nn.Module) -> str:
    """SHA-256 of the state dict: names, dtypes, shapes and bytes, in the order of the names.

    Two models have the same digest exactly when their state dicts are equal bit for bit; device,
    mode and module classes do not count.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    require_module(model)
    digest = hashlib.sha256(b"hessay.model/1\n")
    for name, value in sorted(_tensors(model).items()):
        head = f"{len(name.encode())} {name} {value.dtype} {tuple(value.shape)}\n"
        digest.update(head.encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def usable_device(device: str | torch.device) -> torch.device:
    """Find a device and compute something on it.

    Raises
    ------
    DeviceError
        Its name is unknown, or there is no such device.
    """
    try:
        target = torch.device(device)
        torch.empty(1, device=target).add_(1).item()
    # An unknown name, a missing driver and a missing card are different types in torch.
    except Exception as error:
        raise DeviceError(f"device {str(device)!r} cannot be used: {error}; use 'cpu'") from error
    return target


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """State dict without the free-form entries (``_extra_state``) that hold no weights."""
    return {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}


def _require_fit(file: Path, arch: str, model: nn.Module, state: dict[str, Tensor]) -> None:
    expected = _tensors(model)
    present = {_memory(value) for name, value in expected.items() if name in state}
    missing = [n for n, v in expected.items() if n not in state and _memory(v) not in present]
    unexpected = [name for name in sorted(state) if name not in expected]
    mismatched = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    wrong = [
        f"{what} {_shorten(names)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", mismatched),
        )
        if names
    ]
    if wrong:
        graph = " or export the graph with optimize=False" if file.suffix.lower() == ".onnx" else ""
        raise ModelError(
            f"{file} does not hold the weights of {arch}: {'; '.join(wrong)}. "
            f"Give the architecture that was trained{graph}"
        )


def _memory(value: Tensor) -> tuple[int, tuple[int, ...]] | int:
    """Equal for tied weights, which share their memory; distinct for empty tensors."""
    return (value.data_ptr(), tuple(value.shape)) if value.numel() else id(value)


def _require_finite(file: Path, model: nn.Module) -> None:
    bad = []
    for name, value in _tensors(model).items():
        if value.is_floating_point():
            count = value.numel() - int(torch.isfinite(value).sum())
            if count:
                bad.append(f"{name} ({count} of {value.numel()})")
    if bad:
        raise ModelError(
            f"{file} holds weights that are NaN or Inf: {_shorten(bad)}; "
            "the training diverged or the file is damaged"
        )


def _shorten(names: Iterable[str]) -> str:
    items = list(names)
    more = len(items) - _SHOWN
    return ", ".join(map(shown, items[:_SHOWN])) + (f" and {more} more" if more > 0 else "")

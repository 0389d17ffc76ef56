"""A repaired model as a safetensors file, and back.

A repair that changed weights is a plain state dict: :func:`hessay.load_model` reads it. A repair
that stands before the model cannot go into the weights; its tensors are stored beside those of the
model under ``hessay.patch.``, and :func:`load_repaired` puts both together. The file's metadata say
which it is, under ``hessay.repair``.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hessay.errors import ArgumentError, ModelError
from hessay.loading import build_architecture, read_state
from hessay.repairing.patches import MaskPatch, ObliquePatch, Patched

if TYPE_CHECKING:
    from hessay.repairing.result import Repair

PREFIX: Final = "hessay.patch."
_OBLIQUE: Final = {"basis", "filters", "centre"}
_MASK: Final = {"masked", "centre"}
_HOW: Final = {
    "weights": "a state dict; load it like any other of its architecture",
    "wrapper": "a state dict and a patch of the input; load it with hessay.load_repaired",
}


def save(repair: Repair, path: str | os.PathLike[str], *, force: bool) -> None:
    """Write an accepted repair, whole or not at all; see :meth:`Repair.save`."""
    if not repair.accepted:
        raise ArgumentError(f"nothing is saved, because the repair was refused: {repair.reason}")
    target = check_target(path, force=force)
    model, tensors = repair.model, dict[str, Tensor]()
    if isinstance(model, Patched):
        tensors = {PREFIX + name: value for name, value in model.named_buffers(recurse=False)}
        model = model.inner
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor):
            # A copy each: safetensors refuses tied weights, which share their memory.
            tensors[name] = value.detach().cpu().clone().contiguous()
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    metadata = {
        "hessay.repair": repair.form,
        "hessay.repair.load": _HOW[repair.form],
        "hessay.repair.method": repair.method,
        "hessay.repair.classes": json.dumps(repair.classes),
        "hessay.repair.original": repair.digest,
    }
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".hessay-")
        os.close(handle)
        save_file(tensors, temporary, metadata)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        if isinstance(error, OSError):
            raise ArgumentError(f"cannot write {path}: {error.strerror or error}") from None
        raise


def check_target(path: str | os.PathLike[str], *, force: bool) -> Path:
    """Say early whether a repaired model could be written to ``path``; links are followed.

    Raises
    ------
    ArgumentError
        It exists and ``force`` is not set, it is no plain file, or its folder does not exist.
    """
    try:
        target = Path(path).resolve()
        if target.exists() and not target.is_file():
            raise ArgumentError(f"cannot write {path}: it is no plain file; name a file")
        if target.exists() and not force:
            raise ArgumentError(f"{path} exists; name another file, or replace it with --force")
        if not target.parent.is_dir():
            raise ArgumentError(f"cannot write {path}: there is no folder {target.parent}")
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"cannot write {path}: {error}") from None
    return target


def load_repaired(path: str | os.PathLike[str], arch: str) -> nn.Module:
    """Load what :meth:`Repair.save` or ``hessay repair`` wrote, of either form.

    Parameters
    ----------
    path : path
        The file. Nothing of it is run.
    arch : str
        Architecture of the model before the repair, as for :func:`hessay.load_model`.

    Returns
    -------
    nn.Module
        In eval mode, on the CPU, all numbers finite.

    Raises
    ------
    ModelError
        No such file, weights or patch that do not fit the architecture, or NaN or Inf.
    UntrustedFile
        The file is damaged, or loading it would run code.
    ArgumentError
        ``arch`` is malformed.
    """
    state = {name: value.clone() for name, value in read_state(Path(path)).items()}
    patch = {name: state.pop(name) for name in list(state) if name.startswith(PREFIX)}
    patch = {name.removeprefix(PREFIX): value for name, value in patch.items()}
    bad = [
        name
        for name, value in (state | patch).items()
        if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    if bad:
        raise ModelError(f"{path} holds NaN or Inf in {', '.join(bad[:5])}; the file is damaged")
    with torch.random.fork_rng(devices=[]):
        model = build_architecture(arch)
    if {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float64}:
        model = model.double()
    try:
        model.load_state_dict(state)
    except Exception as error:  # a factory's module may bring load hooks of its own
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{path} does not hold the weights of {arch}: {reason}. Give the architecture that "
            "was repaired"
        ) from error
    return _behind_patch(model, patch, path).eval()


def _behind_patch(
    model: nn.Module, patch: dict[str, Tensor], path: str | os.PathLike[str]
) -> nn.Module:
    shapes = {name: tuple(value.shape) for name, value in patch.items()}
    floating = all(v.is_floating_point() for n, v in patch.items() if n != "masked")
    match patch:
        case {} if not patch:
            return model
        case {"basis": basis, "filters": filters, "centre": centre} if set(patch) == _OBLIQUE:
            fits = basis.ndim == 2 and basis.shape == filters.shape
            if fits and floating and centre.shape == basis.shape[:1]:
                return ObliquePatch(model, basis, filters, centre)
        case {"masked": masked, "centre": centre} if set(patch) == _MASK:
            fits = masked.ndim == 1 and masked.shape == centre.shape
            if fits and floating and masked.dtype == torch.bool:
                return MaskPatch(model, masked, centre)
    raise ModelError(f"{path} holds a patch that hessay did not write: {shapes}; repair again")

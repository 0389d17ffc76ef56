"""Single precision that is single precision: matrix units of a device round to 11 bits where torch lets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

import torch

_lock = Lock()
_users: set[object] = set()  # the blocks that run now, in all threads
_undo = ExitStack()  # what the first of them found, for the last to put back


@contextmanager
def full_precision() -> Iterator[None]:
    """No TF32 in products and convolutions, and convolutions by algorithms of fixed order.

    torch lets convolutions on a device round their factors to TF32 unless told otherwise: relative
    errors of 1e-3, in which derivatives off the data drown. The settings belong to the process, not to
    a thread: the first block of all threads makes them, and the last one to end restores what it found.
    """
    user = object()
    try:
        with _lock:
            if not _users:
                _make_settings(_undo)
            _users.add(user)
        yield
    finally:  # also where Ctrl-C came halfway through the settings
        with _lock:
            _users.discard(user)
            if not _users:
                _undo.close()


def _make_settings(undo: ExitStack) -> None:
    """Make the settings; leave in `undo` what restores those found."""
    cudnn = torch.backends.cudnn
    newer = _newer_places()
    # Older names overwrite newer ones, so these are restored last, hence noted first.
    for place in newer:
        _set(undo, place, "fp32_precision", "ieee")
    _set(undo, cudnn, "deterministic", True)
    _set(undo, cudnn, "benchmark", False)
    undo.callback(setattr, cudnn, "allow_tf32", _allows_tf32())
    cudnn.allow_tf32 = False
    undo.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    torch.set_float32_matmul_precision("highest")
    for place in newer:
        place.fp32_precision = "ieee"


def _newer_places() -> list[Any]:
    """Return what has a precision of its own since torch 2.9: on a device, and on hosts with matrix units."""
    cudnn: Any = torch.backends.cudnn
    if not hasattr(cudnn, "conv"):
        return []
    onednn: Any = torch.backends.mkldnn
    return [
        cudnn.conv,
        cudnn.rnn,
        torch.backends.cuda.matmul,
        onednn.matmul,
        onednn.conv,
        onednn.rnn,
    ]


def _set(undo: ExitStack, owner: Any, name: str, value: object) -> None:
    undo.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def _allows_tf32() -> bool:
    """Read the older name for convolutions, which cannot be read where newer ones say otherwise."""
    cudnn: Any = torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "tf32"
    try:
        return bool(cudnn.allow_tf32)
    except RuntimeError:
        return False

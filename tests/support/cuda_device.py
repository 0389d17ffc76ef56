"""Whether this machine can run hessay._cuda, and what tests on a device share."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def module_or_reason() -> Any:
    """hessay._cuda, or why it cannot be imported, in words."""
    try:
        return importlib.import_module("hessay._cuda")
    except ImportError as error:
        return f"hessay._cuda cannot be imported: {error}"


def why_no_gpu() -> str | None:
    """Why tests on a device cannot run here, None where they can."""
    module = module_or_reason()
    if isinstance(module, str):
        return module
    if module.device_count() == 0:
        return "hessay._cuda finds no CUDA device"
    if not torch.cuda.is_available():
        return "this torch finds no CUDA device"
    return None


def column_major(values: Tensor, *, gap: int = 0, offset: int = 0) -> Tensor:
    """A copy on the device, first axis contiguous, with room between columns and before them."""
    rows, cols = values.shape
    room = torch.full((offset + cols * (rows + gap),), torch.nan, dtype=values.dtype, device="cuda")
    out = room[offset:].view(cols, rows + gap)[:, :rows].T
    out.copy_(values)
    return out


def filled(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A column-major matrix of NaN on the device, to be overwritten."""
    rows, cols = shape
    return torch.full((cols, rows), torch.nan, dtype=dtype, device="cuda").T


class Noted:
    """The module, or its twin, with the answers of its eigensolver kept."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.answers: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def lanczos(self, *args: Any, **options: Any) -> dict[str, Any]:
        self.answers.append(self.module.lanczos(*args, **options))
        return self.answers[-1]

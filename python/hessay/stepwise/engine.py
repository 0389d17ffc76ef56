"""The core's selection, opened on a checked design."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hessay import _core
from hessay.errors import ArgumentError
from hessay.stepwise.design import Array, Design

if TYPE_CHECKING:
    from hessay.stepwise.device import DevicePasses

Engine: TypeAlias = _core.Selection32  # or Selection64: the same methods
STRATEGIES = ("auto", "gram", "stream", "prefetch")
_UNBOUNDED = 1 << 62
_SAMPLE_ROWS = 512


def opened(
    design: Design, strategy: str, max_bytes: int | None, outputs: Array | None = None
) -> Engine:
    """Start a selection: one pass over X.

    ``outputs`` (n, C) replaces the design's y.

    Raises
    ------
    ArgumentError
        Unknown strategy, or ``max_bytes`` too small to work in.
    NonFinite
        X holds NaN or Inf; the message names row and column.
    DeviceError
        X is to be read on a CUDA device, and something that takes is missing there.
    """
    if strategy not in STRATEGIES:
        raise ArgumentError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}")
    kind = _core.Selection64 if design.double else _core.Selection32
    return kind(
        _on_device(design, max_bytes) if design.on_device else design.x,
        design.y if outputs is None else outputs,
        design.weights,
        design.intercept,
        design.ridge,
        design.units,
        strategy,
        _UNBOUNDED if max_bytes is None else room_left(design, max_bytes) // 2,
        design.mapped,
    )


def _on_device(design: Design, max_bytes: int | None) -> DevicePasses:
    from hessay.stepwise.device import DevicePasses  # needs torch, which is there with a device

    return DevicePasses(design.x, device=design.device, double=design.double, max_bytes=max_bytes)


def room_left(design: Design, max_bytes: int) -> int:
    """Bytes that remain for Gram columns and the factor, two equal halves."""
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, (int, np.integer)):
        raise ArgumentError(f"max_bytes must be an integer or None, got {max_bytes!r}")
    n, p = design.n_rows, design.n_columns
    # y and weights as given and as float64, panels of up to 256 rows, the sampled rows, a dozen vectors
    fixed = 16 * n * (design.y.shape[1] + (design.weights.size > 0))
    fixed += p * (2 * 8 * 256 + 4 * _SAMPLE_ROWS + 8 * 12)
    left: int = int(max_bytes) - fixed
    if left < 64 * p:
        raise ArgumentError(
            f"max_bytes is {max_bytes}, but X of shape {design.x.shape} with {design.y.shape[1]} outputs"
            f" needs at least {fixed + 64 * p} bytes besides X; allow more"
        )
    return left


def most_columns(design: Design, max_bytes: int | None) -> int:
    """Columns a model may have for its factor (m rows of p, twice while it grows) to fit."""
    if max_bytes is None:
        return design.n_columns
    return room_left(design, max_bytes) // (4 * 8 * design.n_columns)

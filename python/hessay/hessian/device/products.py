"""Exact products with the full input Hessian of a layer program, on a CUDA device."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from hessay.errors import DeviceError, ShapeError
from hessay.hessian.device.lanczos import DeviceOperator
from hessay.hessian.device.layers import require_finite, uploaded
from hessay.hessian.device.module import columns, require_device, stream_of, workspace
from hessay.hessian.graph.program import LayerProgram
from hessay.hessian.loss import LOSSES, Loss

_PIECEWISE_LINEAR: Final = ("identity", "relu", "leaky_relu")
_SETUP_SAMPLES = 4096  # linearised at a time


class DeviceProducts:
    """Products V -> H V of a loss, linearised once at the points, on their device.

    Memory: the weights, act' and g act'' of every unit with an activation and the loss's state, n
    numbers each. All of it, and every result, is allocated by torch and used on torch's current
    stream; a call waits for nothing on the device. TF32 is never used.

    Parameters
    ----------
    program : LayerProgram
        On the CPU; its weights are copied to the device.
    inputs : (n, d) tensor on a CUDA device, in the program's precision
    loss : Loss
        With n targets.
    workspace_bytes : int
        About how much scratch a product may take; at least one sample's worth is taken.

    Raises
    ------
    DeviceError
        The module, the driver or the device is missing or too old, or its memory ran out.
    NonFinite
        A pre-activation is NaN or Inf: layer and sample are named.
    """

    def __init__(
        self, program: LayerProgram, inputs: Tensor, loss: Loss, *, workspace_bytes: int
    ) -> None:
        self._module = require_device(inputs.device)
        self._like = inputs.new_empty(0)
        self._n, self._d = inputs.shape
        self._workspace_bytes = workspace_bytes
        smooth = [layer[2] not in _PIECEWISE_LINEAR for layer in program.layers]
        layers = uploaded(program, self._like)
        kept = [
            (
                None if layer[2] == "identity" else self._new(width, self._n, "what a layer keeps"),
                self._new(width, self._n, "what a layer keeps") if bends else None,
            )
            for layer, width, bends in zip(program.layers, program.widths[1:], smooth, strict=True)
        ]
        state = None if loss.name == "mse" else self._new(loss.n_outputs, self._n, "the loss")
        first = self._like.new_empty(program.widths[1], dtype=torch.float64) if smooth[0] else None
        held = [t for pair in kept for t in pair if t is not None]
        self.bytes = sum(
            t.numel() * t.element_size() for t in held + ([] if state is None else [state])
        )
        single = self._like.dtype == torch.float32
        kind = self._module.LossHessian32 if single else self._module.LossHessian64
        stream = stream_of(inputs.device)
        self._core = kind(
            layers,
            kept,
            state,
            first,
            LOSSES.index(loss.name),
            loss.scale,
            self._d,
            self._n,
            stream,
        )
        # Values of every layer and the tangents that are kept, of one direction at one sample.
        numbers = sum(w * (1 + s) for w, s in zip(program.widths[1:], smooth, strict=True))
        self._column_bytes = numbers * self._like.element_size()
        self._linearise(inputs, loss, len(layers))

    def apply(self, directions: Tensor) -> Tensor:
        """H V averaged over the points, V (d, k) on the same device."""
        v = self._columns(self._checked(directions, (self._d,)))
        k = v.shape[1]
        out = self._new(self._d, k, "the product")
        tile = self._tile(k)
        scratch = self._scratch(self._core.apply_scratch(k, tile))
        self._core.apply(v, out, tile, scratch, stream_of(self._like.device))
        return out

    def apply_per_sample(self, directions: Tensor) -> Tensor:
        """H_i V_i, V (n, d, k) on the same device."""
        v = self._checked(directions, (self._n, self._d))
        n, d, k = v.shape
        flat = v.transpose(1, 2).contiguous().view(n * k, d).T
        out = self._new(d, n * k, "the product")
        tile = self._tile(k)
        scratch = self._scratch(self._core.apply_per_sample_scratch(k, tile))
        self._core.apply_per_sample(flat, out, tile, scratch, stream_of(self._like.device))
        return out.T.view(n, k, d).transpose(1, 2)

    def operator(self) -> DeviceOperator:
        """Give the eigensolver of the device what it multiplies with, H averaged over the points."""
        native = self._core.as_operator(self._workspace_bytes, self._column_bytes)
        return DeviceOperator(self._like, self._d, native=native)

    def _linearise(self, inputs: Tensor, loss: Loss, n_layers: int) -> None:
        targets = torch.from_numpy(loss.array(self._numpy_dtype())).to(self._like)
        largest = self._like.new_zeros((n_layers, self._n), dtype=torch.float64)
        tile = min(_SETUP_SAMPLES, self._n, self._tile(1))
        scratch = self._scratch(self._core.linearise_scratch(tile))
        x = inputs.detach().contiguous().T
        stream = stream_of(inputs.device)
        self._core.linearise(x, targets.T, tile, largest.T, scratch, stream)
        require_finite(largest)

    def _checked(self, directions: Tensor, shape: tuple[int, ...]) -> Tensor:
        if directions.shape[:-1] != shape:
            wanted = ", ".join(map(str, shape))
            raise ShapeError(
                f"directions must have shape ({wanted}, k), got {tuple(directions.shape)}"
            )
        if directions.device != self._like.device:
            raise DeviceError(
                f"directions are on {directions.device} and the operator on {self._like.device}; "
                "move them to one device"
            )
        return directions.detach().to(self._like.dtype)

    def _columns(self, matrix: Tensor) -> Tensor:
        return (
            matrix
            if matrix.stride(0) == 1 and matrix.stride(1) >= len(matrix)
            else (matrix.T.contiguous().T)
        )

    def _tile(self, k: int) -> int:
        """Count the samples a pass takes at once, as the workspace allows."""
        return min(self._n, max(1, self._workspace_bytes // max(1, self._column_bytes * k)))

    def _new(self, rows: int, cols: int, what: str) -> Tensor:
        remedy = "use fewer probe inputs, or fewer directions a call"
        return columns(rows, cols, self._like, what=what, remedy=remedy)

    def _scratch(self, doubles: int) -> Tensor:
        remedy = "lower max_bytes, or use fewer directions a call"
        return workspace(doubles, self._like, remedy=remedy)

    def _numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float64 if self._like.dtype == torch.float64 else np.float32)

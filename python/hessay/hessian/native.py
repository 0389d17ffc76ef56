"""Exact products with the full input Hessian of a layer program, in the native core."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessay import _core
from hessay.hessian.graph.program import LayerProgram
from hessay.hessian.loss import Loss
from hessay.hessian.threads import blas_threads


class NativeProducts:
    """Products V -> H V of a loss, linearised once at the points.

    Memory: act' and g act'' of every unit with an activation and the loss's state, n numbers each.

    Parameters
    ----------
    program : LayerProgram
    inputs : (n, d) floats in the program's precision, C-contiguous
    loss : Loss
        With n targets.
    threads : int
        Tiles of samples are shared out over so many.
    """

    def __init__(
        self, program: LayerProgram, inputs: NDArray[np.floating], loss: Loss, threads: int = 1
    ) -> None:
        kind = _core.LossHessian64 if program.dtype == np.float64 else _core.LossHessian32
        targets = loss.array(program.dtype)
        with blas_threads(1):
            self._core = kind(program.layers, inputs, targets, loss.name, loss.scale, threads)
        self._d = inputs.shape[1]

    @property
    def bytes(self) -> int:
        """Memory kept between products."""
        return self._core.bytes

    def apply(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H V averaged over the points, V (d, k) in the program's precision."""
        v = np.asfortranarray(directions)
        out = np.empty_like(v, order="F")
        with blas_threads(1):
            self._core.apply(v, out)
        return out

    def dense(self) -> NDArray[np.float64]:
        """H (d, d) in double, averaged over the points: min(d, first width) products."""
        out = np.empty((self._d, self._d), dtype=np.float64, order="F")
        with blas_threads(1):
            self._core.dense(out)
        return out

    def apply_per_sample(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H_i V_i, V (n, d, k)."""
        v = np.ascontiguousarray(directions)
        out = np.empty_like(v)
        with blas_threads(1):
            self._core.apply_per_sample(v, out)
        return out

"""Exact products with the full input Hessian of a layer program, in the native core."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessay import _core
from hessay.hessian.curvature import Curvature
from hessay.hessian.structure import LayerProgram


class NativeProducts:
    """Products V -> H V of a cross-entropy loss, linearised once at the probe.

    Parameters
    ----------
    program : LayerProgram
    inputs : (n, d) floats in the program's precision, C-contiguous
    labels : (n,) int64 or None
        The predicted classes stand in when there are none.
    curvature : Curvature
        "labels" or "softened".
    """

    def __init__(
        self,
        program: LayerProgram,
        inputs: NDArray[np.floating],
        labels: NDArray[np.int64] | None,
        curvature: Curvature,
        threads: int = 1,
    ) -> None:
        if labels is None:
            labels = program.logits(inputs).argmax(axis=1)
        scale = curvature.scale if curvature.kind == "softened" else 1.0
        kind = _core.LossHessian64 if program.dtype == np.float64 else _core.LossHessian32
        targets = np.eye(program.n_classes, dtype=program.dtype)[labels]
        self._core = kind(program.layers, inputs, targets, "cross_entropy", scale, threads)

    def apply(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H V averaged over the probe, V (d, k) in the program's precision."""
        v = np.asfortranarray(directions)
        out = np.empty_like(v, order="F")
        self._core.apply(v, out)
        return out

    def dense(self, size: int) -> NDArray[np.float64]:
        """H (size, size) in double, averaged over the probe."""
        out = np.empty((size, size), dtype=np.float64, order="F")
        self._core.dense(out)
        return out

    def apply_per_sample(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H_i V_i, V (n, d, k)."""
        v = np.ascontiguousarray(directions)
        out = np.empty_like(v)
        self._core.apply_per_sample(v, out)
        return out

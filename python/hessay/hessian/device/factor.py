"""H = B'B / n on a CUDA device: the rows of B made there, and products with it."""

from __future__ import annotations

from typing import Final

import numpy as np
from torch import Tensor

from hessay.errors import DeviceError, ShapeError
from hessay.hessian.curvature import Curvature
from hessay.hessian.device.layers import require_finite, uploaded
from hessay.hessian.device.module import columns, require_device, stream_of, workspace
from hessay.hessian.gauss_newton.factor import Factor
from hessay.hessian.graph.program import LayerProgram
from hessay.hessian.routes.work import keeps_lift

# In the order of hessay/curvature.hpp.
_CURVATURES: Final = ("labels", "softened", "uniform", "margin", "mse", "logistic")
_REMEDY: Final = "use fewer probe inputs, or backend='native', which keeps no factor"


class DeviceFactor:
    """B with H = (1/n) B'B of a piecewise-linear network, made at the points, on their device.

    One pass forward and one back for all r rows of a sample together, the cotangents the root of the
    logit curvature; the first layer stays apart where that pays
    (:func:`hessay.hessian.routes.work.keeps_lift`). Memory: n r m numbers, m the first layer's width or d.
    All of it is allocated by torch and used on torch's current stream; TF32 is never used.

    Parameters
    ----------
    program : LayerProgram
        On the CPU; its weights are copied to the device.
    inputs : (n, d) tensor on a CUDA device, in the program's precision
    curvature : Curvature
    average : bool
        Whether products are means over the points: then the first layer stays apart more often.
    workspace_bytes : int
        About how much scratch the set-up or a product may take; at least one sample's worth is taken.

    Raises
    ------
    DeviceError
        The module, the driver or the device is missing or too old, or its memory ran out.
    NonFinite
        A pre-activation is NaN or Inf: layer and sample are named.
    """

    def __init__(
        self,
        program: LayerProgram,
        inputs: Tensor,
        curvature: Curvature,
        *,
        average: bool,
        workspace_bytes: int,
    ) -> None:
        self._module = require_device(inputs.device)
        self._like = inputs.new_empty(0)
        self._n, self._d = inputs.shape
        self._workspace_bytes = workspace_bytes
        layers = uploaded(program, self._like)
        width, outputs = program.widths[1], program.widths[-1]
        self._rank = curvature.rank(outputs)
        weight = layers[0][0]
        lifted = weight is not None and keeps_lift(width, self._d, self._rank, average)
        self._lift: Tensor | None = weight if lifted else None  # (d, m)
        kind = self._module.FactorPlan32 if self._single else self._module.FactorPlan64
        plan = kind(
            layers,
            self._d,
            _CURVATURES.index(curvature.kind),
            curvature.scale,
            curvature.target,
            lifted,
            stream_of(inputs.device),
        )
        item = self._like.element_size()
        numbers = sum(program.widths[1:]) * (2 + self._rank)  # values, slopes, cotangents
        tile = self._tile(item * numbers + 2 * 8 * outputs)
        self._rows = self._new(plan.row_length, self._n * self._rank, "the factor")
        largest = self._like.new_zeros(
            (len(layers), self._n), dtype=inputs.new_empty(0).double().dtype
        )
        scratch = self._scratch(plan.rows_scratch(tile))
        x = inputs.detach().contiguous().T
        plan.rows(x, self._rows, largest.T, tile, scratch, stream_of(inputs.device))
        require_finite(largest)

    @property
    def bytes(self) -> int:
        """Memory kept between products."""
        lift = 0 if self._lift is None else self._lift.numel()
        return (self._rows.numel() + lift) * self._like.element_size()

    def apply(self, directions: Tensor) -> Tensor:
        """H V averaged over the points, V (d, k) on the same device."""
        v = self._checked(directions, (self._d,))
        if v.stride(0) != 1 or v.stride(1) < len(v):
            v = v.T.contiguous().T
        k = v.shape[1]
        out = self._new(self._d, k, "the product")
        m, rows = self._rows.shape
        scratch = self._scratch(
            self._module.factor_apply_scratch(m, rows, k, self._lift is not None)
        )
        stream = stream_of(self._like.device)
        self._module.factor_apply(self._rows, self._lift, self._n, v, out, scratch, stream)
        return out

    def apply_per_sample(self, directions: Tensor) -> Tensor:
        """H_i V_i, V (n, d, k) on the same device."""
        v = self._checked(directions, (self._n, self._d))
        n, d, k = v.shape
        flat = v.transpose(1, 2).contiguous().view(n * k, d).T
        out = self._new(d, n * k, "the product")
        m, rows = self._rows.shape
        tile = self._tile(max(1, k) * (self._rank + m) * self._like.element_size())
        lifted = 0 if self._lift is None else d
        scratch = self._scratch(
            self._module.factor_apply_per_sample_scratch(m, rows, n, tile, k, lifted)
        )
        self._module.factor_apply_per_sample(
            self._rows, self._lift, n, tile, flat, out, scratch, stream_of(self._like.device)
        )
        return out.T.view(n, k, d).transpose(1, 2)

    def dense(self) -> Tensor:
        """H (d, d) in double on the device, symmetric to the last bit: from Gram matrices in double."""
        wide = self._like.double()
        remedy = "use products with H instead of H itself"
        out = columns(self._d, self._d, wide, what="H", remedy=remedy)
        m, rows = self._rows.shape
        lifted = 0 if self._lift is None else self._d
        doubles = self._module.factor_dense_scratch(m, rows, lifted, self._single)
        scratch = workspace(doubles, self._like, remedy=remedy)
        stream = stream_of(self._like.device)
        self._module.factor_dense(self._rows, self._lift, self._n, out, scratch, stream)
        return out

    def to_host(self) -> Factor:
        """Copy B to the processor: for eigenpairs, metrics, and all else that a Factor can do."""
        m = len(self._rows)
        rows = self._rows.T.reshape(self._n, self._rank, m).cpu().numpy()
        lift = None if self._lift is None else np.ascontiguousarray(self._lift.T.cpu().numpy())
        return Factor(rows, lift)

    @property
    def _single(self) -> bool:
        return self._like.element_size() == 4

    def _checked(self, directions: Tensor, shape: tuple[int, ...]) -> Tensor:
        if directions.shape[:-1] != shape:
            wanted = ", ".join(map(str, shape))
            raise ShapeError(
                f"directions must have shape ({wanted}, k), got {tuple(directions.shape)}"
            )
        if directions.device != self._like.device:
            raise DeviceError(
                f"directions are on {directions.device} and the factor on {self._like.device}; "
                "move them to one device"
            )
        return directions.detach().to(self._like.dtype)

    def _tile(self, sample_bytes: int) -> int:
        """Count the samples a pass takes at once, as the workspace allows."""
        return min(self._n, max(1, self._workspace_bytes // max(1, sample_bytes)))

    def _new(self, rows: int, cols: int, what: str) -> Tensor:
        return columns(rows, cols, self._like, what=what, remedy=_REMEDY)

    def _scratch(self, doubles: int) -> Tensor:
        remedy = "lower max_bytes, or use fewer directions a call"
        return workspace(doubles, self._like, remedy=remedy)

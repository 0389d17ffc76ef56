"""H = (1/n) B'B: the input Hessian of a piecewise-linear net, held as its factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay import _core
from hessay.errors import ArgumentError, ShapeError
from hessay.hessian.curvature import Curvature
from hessay.hessian.evaluate import call, chunk_rows, input_gradient
from hessay.hessian.structure import LayerProgram


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """B with H = (1/n) B'B, r rows a sample, the first layer kept apart where that is narrower.

    Row j of sample i is ``rows[i, j] @ lift`` (``rows[i, j]`` when ``lift`` is None). Exact for
    piecewise-linear networks; for others it is the Gauss-Newton part of the Hessian.
    """

    rows: NDArray[np.floating]  # (n, r, m), C-contiguous
    lift: NDArray[np.floating] | None  # (m, d): the first layer's weight, m < d

    @property
    def n(self) -> int:
        """Samples."""
        return int(self.rows.shape[0])

    @property
    def d(self) -> int:
        """Size of H."""
        return int(self.rows.shape[2] if self.lift is None else self.lift.shape[1])

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Precision of products."""
        return self.rows.dtype

    def apply(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H V, averaged over the samples, for V (d, k)."""
        v = np.asfortranarray(directions, dtype=self.dtype)
        out = np.empty_like(v, order="F")
        _core.factor_apply(self.rows, self.lift, v, out)
        return out

    def apply_per_sample(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H_i V_i for V (n, d, k); the result has the shape of V."""
        if directions.ndim != 3 or directions.shape[:2] != (self.n, self.d):
            raise ShapeError(
                f"per-sample directions must have shape ({self.n}, {self.d}, k), "
                f"got {directions.shape}"
            )
        v = np.ascontiguousarray(directions, dtype=self.dtype)
        out = np.empty_like(v)
        _core.factor_apply_per_sample(self.rows, self.lift, v, out)
        return out

    def dense(self) -> NDArray[np.float64]:
        """H (d, d), accumulated in double whatever the precision of the factor."""
        out = np.empty((self.d, self.d), dtype=np.float64, order="F")
        _core.factor_dense(self.rows, self.lift, out)
        return out

    def gram(self) -> NDArray[np.float64]:
        """(1/n) B B' (n r, n r) in double: the non-zero spectrum of H from the sample side."""
        flat = self.matrix().astype(np.float64)
        out = np.empty((len(flat), len(flat)), dtype=np.float64, order="F")
        _core.gram(np.asfortranarray(flat.T), out)
        return out / self.n

    def matrix(self) -> NDArray[np.floating]:
        """B (n r, d), multiplied out."""
        flat = self.rows.reshape(-1, self.rows.shape[2])
        return flat if self.lift is None else flat @ self.lift

    def eigh(self, count: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Eigenvalues (k,) descending and eigenvectors (d, k), exact, in double.

        Goes through the smallest of the Gram matrices of B. All min(d, m, n r) pairs by default.

        Raises
        ------
        ArgumentError
            ``count`` is negative or above min(d, m, n r).
        """
        if count is not None and count < 0:
            raise ArgumentError(f"count must not be negative, got {count}")
        values, vectors = _core.factor_eigen(self.rows, self.lift, -1 if count is None else count)
        return values[:, 0], vectors

    def project_out(self, basis: NDArray[np.floating]) -> Factor:
        """Factor of Q H Q, Q = I - V V' for an orthonormal basis V (d, j)."""
        source = self.rows if self.lift is None else self.lift
        v = np.ascontiguousarray(basis, dtype=np.float64)
        flat = source.reshape(-1, self.d).astype(np.float64)
        projected = (flat - (flat @ v) @ v.T).astype(self.dtype).reshape(source.shape)
        if self.lift is None:
            return Factor(np.ascontiguousarray(projected), None)
        return Factor(self.rows, np.ascontiguousarray(projected))


def factor_from_program(
    program: LayerProgram,
    inputs: NDArray[np.floating],
    logits: NDArray[np.floating],
    curvature: Curvature,
    *,
    lift: bool,
) -> Factor:
    """One native backward pass for all rows together; inputs (n, d) and their logits (n, C).

    With ``lift`` the first layer stays apart where that is narrower, which suits directions shared
    by all samples; products per sample want the rows multiplied out.
    """
    root = curvature.root(logits.astype(program.dtype, copy=False))
    weight = program.layers[0][0]
    rows = np.empty((*root.shape[:2], weight.shape[0]), dtype=program.dtype)
    _core.network_pull_back(program.layers, inputs, root, rows)
    if lift and weight.shape[0] < weight.shape[1]:
        return Factor(rows, weight)
    return Factor(np.ascontiguousarray(rows @ weight), None)


def factor_from_model(model: nn.Module, inputs: Tensor, curvature: Curvature) -> Factor:
    """Any nn.Module, frozen by the caller: one torch backward pass per row of F, in chunks."""
    parts = []
    for rows in torch.split(inputs, chunk_rows(inputs)):
        x = rows.detach().requires_grad_(True)
        logits = call(model, x)
        root = torch.from_numpy(curvature.root(logits.detach().cpu().numpy())).to(logits.device)
        last = root.shape[1] - 1
        gradients = [
            input_gradient(logits, x, root[:, j], keep=j < last).flatten(1)
            for j in range(root.shape[1])
        ]
        parts.append(torch.stack(gradients, dim=1).detach().cpu())
    return Factor(torch.cat(parts).contiguous().numpy(), None)

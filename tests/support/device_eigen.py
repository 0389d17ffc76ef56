"""Operators with known eigenvalues for the eigensolver on a device, and what must hold of its answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessay.spectrum import Eigenpairs

SEED = 20271
Matrix = NDArray[np.float64]


def symmetric(eigenvalues: Any, seed: int = SEED) -> Matrix:
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(eigenvalues),) * 2))
    matrix: Matrix = (basis * eigenvalues) @ basis.T
    return (matrix + matrix.T) / 2


def bulk(d: int) -> Matrix:
    return np.random.default_rng(SEED).uniform(0.0, 1.0, d)


def wanted(matrix: Matrix, k: int, which: str) -> Matrix:
    ascending = np.linalg.eigvalsh(matrix)
    order = {"LA": np.arange(len(ascending))[::-1], "SA": np.arange(len(ascending))}
    order["LM"] = np.argsort(-np.abs(ascending), kind="stable")
    order["BE"] = np.r_[order["LA"][: (k + 1) // 2], order["SA"][: k // 2]]
    return np.sort(ascending[order[which][:k]])


def both_kinds(matrix: Matrix, dtype: torch.dtype = torch.float64) -> list[Any]:
    """The matrix itself, which the solver multiplies with alone, and a function of tensors."""
    tensor = torch.from_numpy(matrix).to(dtype)
    return [tensor, (tensor.__matmul__, tensor[0])]


def assert_right(pairs: Eigenpairs, matrix: Matrix, k: int, which: str, tol: float) -> None:
    assert isinstance(pairs.vectors, Tensor)
    vectors = pairs.vectors.double().numpy()
    norm = np.abs(np.linalg.eigvalsh(matrix)).max()
    rounding = 1e-13 * max(norm, 1e-300) * len(matrix) ** 0.5
    # a residual r moves an eigenvalue by at most r (Weyl), so the values inherit the tolerance
    found = np.sort(pairs.values)
    np.testing.assert_allclose(found, wanted(matrix, k, which), rtol=0, atol=tol * norm + rounding)
    true = np.linalg.norm(matrix @ vectors - vectors * pairs.values, axis=0)
    assert (true <= 1.01 * pairs.residuals + rounding).all(), (true, pairs.residuals)
    assert (pairs.residuals <= tol * norm + rounding).all()
    assert np.abs(vectors.T @ vectors - np.eye(k)).max() < 1e-12
    assert pairs.converged

"""All-to-all backdoors: how far one direction dominates the interaction of classes and inputs.

B[s, c] = Q mean of d logit_c / dx over the probes predicted as s, smoothed: (C, C, d). What depends on
both classes at once, and not on either alone, is

    R[s, c] = B[s, c] - mean_s B[., c] - mean_c B[s, .] + mean B,

which is zero for a linear model. A trigger that moves every class s to its own goal pi(s) is one
direction u with R[s, c] ~ +u where c = pi(s) and -u where c = s: a single large singular value of R as a
(C^2, d) matrix. The classes of clean networks interact through many directions of similar strength.

    I = log(lambda_1 / lambda_2),   lambda the eigenvalues of R'R
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessay.detector.statistics import PrincipalDirections
from hessay.hessian.jacobian import ClassJacobians
from hessay.spectrum import eigsh

LEADING = 3  # directions kept: the starts of the search for a class map
_EXACT_SIZE = 1024  # of the smaller Gram matrix; beyond it, block Lanczos
_ROUNDING = 1e-4  # |R| / |B| below which R is float32 rounding: the model is linear


@dataclass(frozen=True, slots=True, eq=False)
class Interaction:
    """Leading directions through which classes interact with inputs, off the data's own."""

    statistic: float  # I, dimensionless, >= 0; 0 for a model that is linear off the data
    eigenvalues: NDArray[np.float64]  # (k,) of R'R, descending, logit^2 / input^2, k <= LEADING
    directions: NDArray[np.float64]  # (k, d) unit eigenvectors
    share: float  # |R|^2 / |B|^2, [0, 1] up to rounding


def interaction(jacobians: ClassJacobians, directions: PrincipalDirections) -> Interaction:
    """Measure I on one model.

    Parameters
    ----------
    jacobians : ClassJacobians
        Of the model on the probe, smoothed, with the table of all pairs.
    directions : PrincipalDirections
        Of the same probe.
    """
    assert jacobians.mean is not None
    n_classes, _, width = jacobians.mean.shape
    rows = directions.remove(jacobians.mean.reshape(-1, width))
    whole = float(np.square(rows).sum())
    table = rows.reshape(n_classes, n_classes, width)
    # In place: a table of many classes is large. Means of rows whose columns sum to zero need no third term.
    table -= table.mean(axis=0)
    table -= table.mean(axis=1, keepdims=True)
    share = float(np.square(rows).sum()) / whole if whole > 0.0 else 0.0
    if not math.isfinite(share) or share < _ROUNDING**2:
        return Interaction(0.0, np.zeros(0), np.zeros((0, width)), share)
    values, vectors = _leading(rows)
    # A tensor of rank one has no second eigenvalue: what rounding leaves of it bounds the ratio.
    second = max(values[1], values[0] * np.finfo(np.float32).eps) if len(values) > 1 else values[0]
    return Interaction(math.log(values[0] / second), values, vectors, share)


def _leading(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest eigenvalues of rows' rows with their unit eigenvectors as rows."""
    m, width = rows.shape
    k = min(LEADING, m, width)
    if min(m, width) <= _EXACT_SIZE:
        gram = rows @ rows.T if m < width else rows.T @ rows
        values, vectors = np.linalg.eigh(gram)
        values, vectors = np.maximum(values[::-1][:k], 0.0), vectors[:, ::-1][:, :k]
        if m < width:
            vectors = rows.T @ vectors
            vectors /= np.maximum(np.linalg.norm(vectors, axis=0), np.finfo(np.float64).tiny)
        return values, np.ascontiguousarray(vectors.T)

    def product(block: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = rows.T @ (rows @ block)
        return result

    found = eigsh((product, width), k, which="LA", tol=1e-4, seed=0)
    return np.maximum(found.values, 0.0), np.ascontiguousarray(found.vectors.T)

"""Stepwise selection by refitting every candidate with least squares, in float64: slow and plain."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TIE = 1e-9  # falls as close as this are equal: the first column wins


def transformed(
    x: Array, y: Array, weights: Array | None = None, *, intercept: bool = True, ridge: float = 0.0
) -> tuple[Array, Array]:
    """Weights, intercept and ridge put into the rows: plain least squares is left."""
    n, p = x.shape
    w = np.ones(n) if weights is None else weights
    y = y.reshape(n, -1).astype(float)
    x = x.astype(float)
    if intercept:
        x = x - np.average(x, axis=0, weights=w)
        y = y - np.average(y, axis=0, weights=w)
    x, y = x * np.sqrt(w)[:, None], y * np.sqrt(w)[:, None]
    if ridge > 0:
        x = np.vstack([x, np.sqrt(ridge) * np.eye(p)])
        y = np.vstack([y, np.zeros((p, y.shape[1]))])
    return x, y


def rss(x: Array, y: Array, columns: Iterable[int]) -> float:
    """Residual sum of squares on a set of columns, which are scaled to norm 1 first."""
    z = x[:, list(columns)]
    norms = np.linalg.norm(z, axis=0)
    q, _ = np.linalg.qr(z / np.where(norms > 0, norms, 1.0))
    e = y - q @ (q.T @ y)
    e -= q @ (q.T @ e)
    return float((e**2).sum())


def depends(x: Array, columns: list[int], j: int, limit: float = 1e-10) -> bool:
    """Whether column j lies in the span of the given ones, up to ``limit`` of its norm."""
    norm = float(np.linalg.norm(x[:, j]))
    if norm == 0:
        return True
    z = x[:, columns] / np.maximum(np.linalg.norm(x[:, columns], axis=0), 1e-300)
    q, _ = np.linalg.qr(z)
    r = x[:, j] - q @ (q.T @ x[:, j])
    r -= q @ (q.T @ r)
    return float(np.linalg.norm(r)) <= limit * norm


def forward(
    x: Array, y: Array, steps: int, forbidden: Iterable[int] = (), limit: float = 1e-10
) -> tuple[list[int], list[float]]:
    """Columns in order, and the residual sum of squares after each."""
    chosen: list[int] = []
    path: list[float] = []
    never = set(forbidden)
    for _ in range(steps):
        now = rss(x, y, chosen)
        falls = {
            j: now - rss(x, y, [*chosen, j])
            for j in range(x.shape[1])
            if j not in chosen and j not in never and not depends(x, chosen, j, limit)
        }
        if not falls:
            break
        best = max(falls.values())
        chosen.append(min(j for j, fall in falls.items() if fall >= best - TIE * abs(best)))
        path.append(rss(x, y, chosen))
    return chosen, path

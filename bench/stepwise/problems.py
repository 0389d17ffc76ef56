"""Regression problems of known difficulty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEED = 20270
Array = NDArray[np.float64]


def correlated(n: int, p: int, outputs: int, truth: int = 50) -> tuple[Array, Array]:
    """AR(1) columns, neighbours correlated 0.5, ``truth`` of them in y, half of y's variance noise."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((n, p))
    for j in range(1, p):
        x[:, j] = 0.5 * x[:, j - 1] + 0.75**0.5 * x[:, j]
    beta = np.zeros((p, outputs))
    chosen = rng.choice(p, min(truth, p), replace=False)
    beta[chosen] = rng.standard_normal((len(chosen), outputs))
    signal = x @ beta
    y = signal + signal.std(axis=0) * rng.standard_normal((n, outputs))
    return x - x.mean(axis=0), y - y.mean(axis=0)


def noise_only(n: int, p: int) -> tuple[Array, Array]:
    """Nothing to find: neighbours in rank differ by little, and the next choice is hard to foresee."""
    rng = np.random.default_rng(SEED)
    x, y = rng.standard_normal((n, p)), rng.standard_normal((n, 1))
    return x - x.mean(axis=0), y - y.mean(axis=0)


def collinear_blocks(n: int, p: int) -> tuple[Array, Array]:
    """Blocks of 20 columns, correlated 0.99 within: one chosen, its neighbours are worth little."""
    rng = np.random.default_rng(SEED)
    centre = rng.standard_normal((n, -(-p // 20)))
    x = 0.99**0.5 * np.repeat(centre, 20, axis=1)[:, :p] + 0.1 * rng.standard_normal((n, p))
    y = x @ rng.standard_normal((p, 1)) + 10 * rng.standard_normal((n, 1))
    return x - x.mean(axis=0), y - y.mean(axis=0)


def duplicated(n: int, p: int) -> tuple[Array, Array]:
    """Every column four times, bit by bit or rescaled."""
    x, y = correlated(n, -(-p // 4), 1)
    copies = np.hstack([x, x, -2 * x, x])[:, :p]
    return np.ascontiguousarray(copies), y

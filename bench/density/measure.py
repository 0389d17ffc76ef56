"""What contenders are given and judged by: an operator without preferred directions, a distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct

Array = NDArray[np.float64]

ROUNDS = (
    2  # of signs and a cosine transform: afterwards signs look like Gaussians in the eigenbasis
)


class Rotated:
    """Q diag(eigenvalues) Q' that counts its products.

    Probes of random signs know the spectrum of a diagonal matrix exactly, of others no better than
    Gaussian ones; Q mixes the coordinates.
    """

    def __init__(self, eigenvalues: Array, seed: int = 0) -> None:
        self.eigenvalues, self.d = eigenvalues, len(eigenvalues)
        rng = np.random.default_rng(seed)
        self._signs = rng.choice([-1.0, 1.0], (ROUNDS, self.d, 1))
        self.products = 0

    def __call__(self, v: Array) -> Array:
        """Multiply: (d, b) or (d,) to the same shape."""
        x = v.reshape(self.d, -1)
        self.products += x.shape[1]
        for sign in self._signs:
            x = dct(sign * x, axis=0, norm="ortho")
        x = self.eigenvalues[:, None] * x
        for sign in self._signs[::-1]:
            x = sign * idct(x, axis=0, norm="ortho")
        return x.reshape(v.shape)


def distance(nodes: Array, weights: Array, truth: Array) -> float:
    """Wasserstein-1 distance to the eigenvalues, over their mean magnitude."""
    x = np.concatenate([nodes, truth])
    mass = np.concatenate([weights / weights.sum(), np.full(len(truth), -1 / len(truth))])
    order = np.argsort(x)
    gaps = np.diff(x[order])
    return float(np.abs(np.cumsum(mass[order])[:-1]) @ gaps / np.abs(truth).mean())

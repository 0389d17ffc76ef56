"""Simulated spectra: white noise, unequal variances, correlated populations, with and without spikes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hessay import silverstein, spikes

Vector = NDArray[np.float64]


class Draw(NamedTuple):
    """One spectrum with the truth about it."""

    values: Vector  # positive eigenvalues, descending
    spikes: int  # how many stand above the threshold
    ratio: float  # columns over rows


def eigenvalues(rng: np.random.Generator, n: int, population: Vector) -> Vector:
    """Positive eigenvalues of X'X / n, descending; single-precision products, errors below 1e-5."""
    root = np.sqrt(population).astype(np.float32)
    noise = rng.standard_normal((n, population.size), dtype=np.float32) * root
    gram = noise.T @ noise if population.size <= n else noise @ noise.T
    found = np.linalg.eigvalsh(gram.astype(np.float64) / n)[::-1]
    return np.maximum(found, 1e-9 * found[0])


def spiked(
    rng: np.random.Generator, n: int, bulk: Vector, count: int, first: float, last: float
) -> Vector:
    """Draw the bulk with ``count`` of its eigenvalues at first..last times the threshold."""
    population = bulk.copy()
    threshold = spikes.threshold(silverstein.PopulationLaw(bulk, bulk.size / n))
    where = rng.choice(bulk.size, count, replace=False)
    population[where] = threshold * np.linspace(first, last, count)
    return eigenvalues(rng, n, population)


def benchmark(rng: np.random.Generator, bulk: str, count: int, p: int = 2000) -> Draw:
    """2000 eigenvalues, aspect ratio one half, spikes from 1.35 times the threshold."""
    variances = {
        "unit": np.ones(p),
        "sigma2 = 1.7": np.full(p, 1.7),
        "+-20 %": rng.uniform(0.8, 1.2, p),
    }[bulk]
    return Draw(spiked(rng, 2 * p, variances, count, 1.35, 4.0), count, 0.5)


def correlated(rng: np.random.Generator, p: int, repeats: int) -> Iterator[tuple[str, Draw]]:
    """Correlated populations over four aspect ratios, no spikes or five of 1.6 to 6 thresholds."""
    lags = np.abs(np.subtract.outer(np.arange(p), np.arange(p)))
    populations = {
        "Toeplitz 0.3": np.linalg.eigvalsh(0.3**lags),
        "Toeplitz 0.6": np.linalg.eigvalsh(0.6**lags),
        "75 % 1, 25 % 2": np.r_[np.ones(p - p // 4), np.full(p // 4, 2.0)],
        "uniform 0.5..1.5": np.linspace(0.5, 1.5, p),
        "power law i^-0.3": np.arange(1.0, p + 1) ** -0.3,
    }
    for name, bulk in populations.items():
        for ratio in (0.2, 0.5, 1.0, 2.0):
            for repeat in range(repeats):
                count = 5 * (repeat % 2)
                values = spiked(rng, round(p / ratio), bulk, count, 1.6, 6.0)
                yield name, Draw(values, count, ratio)

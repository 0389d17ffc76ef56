"""What the number of columns a call costs: stored matrices beside products that compute."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eigs.problems import K
from hessay.hessian import InputHessian, frozen
from hessay.spectrum import eigsh
from hessay.spectrum.operators import recognise
from hvp.problems import load_problem

SIZES = (1, 2, 3, 4, 8)
SEED = 20264


@dataclass(frozen=True)
class BlockCost:
    """One operator."""

    name: str
    ms: dict[int, float]  # columns a call -> median CPU milliseconds
    columns: dict[int, int]  # columns a call -> columns in all, median
    default: int  # columns a call that eigsh chooses


def _matrices() -> Iterator[tuple[str, Any, float]]:
    rng = np.random.default_rng(SEED)
    for d in (1000, 2000, 4000):
        noise = rng.standard_normal((d, d // 2))
        spikes = np.linalg.qr(rng.standard_normal((d, K)))[0]
        bulk = noise @ noise.T / (d // 2)
        yield f"dense {d}, spiked", bulk + (spikes * np.linspace(20, 8, K)) @ spikes.T, 1e-8
        basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
        values = np.concatenate([np.linspace(1.05, 1.0, K), np.linspace(0, 0.9, d - K)])
        product = (basis * values) @ basis.T
        yield f"dense {d}, clustered", (product + product.T) / 2, 1e-8


def _hessians(cache: Path) -> Iterator[tuple[str, Any, float]]:
    for model, backend in (("mlp_relu", "factor"), ("mlp_relu", "native"), ("mlp_gelu", "native")):
        net = load_problem(model, cache, torch.float32)
        with frozen(net.model):
            yield (
                f"Hessian of {model}, {backend}",
                InputHessian(net.model, (net.x, net.y), backend=backend),
                1e-4,
            )


def block_costs(cache: Path, repeats: int) -> list[BlockCost]:
    """Time eigsh at every block size, in turns; every answer must agree with the first."""
    rows = []
    for name, operator, tol in (*_matrices(), *_hessians(cache)):
        spent: dict[int, list[float]] = {size: [] for size in SIZES}
        columns: dict[int, list[int]] = {size: [] for size in SIZES}
        truth = None
        for turn in range(repeats):
            for size in SIZES:
                start = time.process_time()
                pairs = eigsh(operator, K, "LA", tol, seed=turn, block=size)
                spent[size].append(1e3 * (time.process_time() - start))
                columns[size].append(pairs.stats.products)
                truth = pairs.values if truth is None else truth
                np.testing.assert_allclose(pairs.values, truth, atol=10 * tol * pairs.norm)
        rows.append(
            BlockCost(
                name,
                {size: statistics.median(times) for size, times in spent.items()},
                {size: int(statistics.median(counts)) for size, counts in columns.items()},
                recognise(operator).block,
            )
        )
    return rows

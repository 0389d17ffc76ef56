#!/usr/bin/env python3
"""Simulate N * KS of the edge fit on pure noise and print the limits python/hessay/edge/fit.py uses.

Spectra come from the bidiagonal model of real Wishart matrices (Dumitriu & Edelman 2002, J. Math.
Phys. 43, 5830). For each size and aspect ratio the quantiles of N * KS over the replicates are
taken at several levels, the largest over the aspect ratios is kept, and

    limit = a + b log(N) + (c + d log(N)) log(1 / alpha)

is fitted to those by least squares. The share of noise spectra whose largest eigenvalue gets a
p-value below each level, with the fitted edge, is printed as well, and how often the shape statistic
passes what chi-squared gives it.

Run: python tools/simulate_edge_null.py [--replicates 2000] [--seed 20240601]     (about 10 minutes)
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from hessay import marchenko_pastur, tracy_widom
from hessay.edge import fit_edge

SIZES = (20, 40, 80, 160, 320, 640, 1280)
RATIOS = (0.05, 0.2, 0.5, 0.8, 1.0)
LEVELS = (0.1, 0.05, 0.02, 0.01, 0.005)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=20240601)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    limits: dict[str, list[NDArray[np.float64]]] = {"qls": [], "qls_c": []}
    for size in SIZES:
        replicates = options.replicates if size < 640 else max(options.replicates // 4, 20)
        per_ratio: dict[str, list[NDArray[np.float64]]] = {"qls": [], "qls_c": []}
        for ratio in RATIOS:
            n = round(size / ratio)
            goodness: dict[str, list[float]] = {"qls": [], "qls_c": []}
            scaled: dict[str, list[float]] = {"qls": [], "qls_c": []}
            shapes: dict[str, list[float]] = {"qls": [], "qls_c": []}
            for _ in range(replicates):
                values = marchenko_pastur.sample(n, size, seed=rng)
                for method, known in (("qls", None), ("qls_c", size / n)):
                    edge = fit_edge(values, known, method="qls")
                    goodness[method].append(edge.goodness)
                    shapes[method].append(edge.shape)
                    scaled[method].append((values[0] - edge.center) / edge.scale)
            for method, sample in goodness.items():
                per_ratio[method].append(np.quantile(sample, [1 - x for x in LEVELS]))
                p_values = tracy_widom.sf(np.array(scaled[method]))
                print(
                    f"N {size} ratio {ratio} {method}: N*KS mean {np.mean(sample):.3f} quantiles",
                    np.round(per_ratio[method][-1], 2),
                    "p < 0.05, 0.01:",
                    *(f"{np.mean(p_values < x):.4f}" for x in (0.05, 0.01)),
                    "shape beyond its 0.05, 0.01:",
                    *(f"{np.mean(chdtrc(6, shapes[method]) < x):.4f}" for x in (0.05, 0.01)),
                    flush=True,
                )
        for method, rows in per_ratio.items():
            limits[method].append(np.max(rows, axis=0))
    log_size = np.log(np.repeat(SIZES, len(LEVELS)))
    log_level = -np.log(np.tile(LEVELS, len(SIZES)))
    design = np.stack([np.ones_like(log_size), log_size, log_level, log_level * log_size], axis=1)
    for method, table in limits.items():
        target = np.concatenate(table)
        solution = np.linalg.lstsq(design, target, rcond=None)[0]
        residual = np.abs(design @ solution - target).max()
        print(
            f'"{method}": ({", ".join(f"{x:.4f}" for x in solution)}),  # off by <= {residual:.2f}'
        )


if __name__ == "__main__":
    main()

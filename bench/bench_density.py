"""Products to a spectral density of given accuracy, and whether the error bars are honest.

    python bench/bench_density.py [--seeds 100] [--cache DIR] [--skip-coverage]

Error: Wasserstein-1 distance to all eigenvalues over the mean |eigenvalue|. Plain stochastic Lanczos
quadrature does not know its error: its row is an oracle's, the cheapest of a grid of steps and
probes whose error, median of 3 seeds, is small enough ("-": none within 960 products). hessay
stops by its own error bar, with its exact route forbidden; shown are products and, in brackets, the
true error.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hessay.density import SpectralDensity, spectral_density
from hessay.hessian import InputHessian
from hessay.probe import Probe
from hvp.problems import ARCHITECTURES, load_problem
from hvp.stamp import on_one_thread, stamp

ACCURACIES = (0.1, 0.02)
STEPS, PROBES = (5, 10, 20, 30, 40, 60, 80, 120), (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
MOST = 960
Array = NDArray[np.float64]


def distance(nodes: Array, weights: Array, truth: Array) -> float:
    """Wasserstein-1 distance to the eigenvalues, over their mean magnitude."""
    x = np.concatenate([nodes, truth])
    mass = np.concatenate([weights / weights.sum(), np.full(len(truth), -1 / len(truth))])
    order = np.argsort(x)
    gaps = np.diff(x[order])
    return float(np.abs(np.cumsum(mass[order])[:-1]) @ gaps / np.abs(truth).mean())


def plain(truth: Array, steps: int, reorthogonalise: bool, seed: int) -> tuple[Array, Array]:
    """Nodes and weights of one Gaussian probe, drawn in the eigenbasis: it looks alike in all."""
    q = np.random.default_rng(seed).standard_normal(len(truth))
    basis = [q / np.linalg.norm(q)]
    alpha: list[float] = []
    beta: list[float] = []
    while True:
        w = truth * basis[-1]
        alpha.append(float(w @ basis[-1]))
        w -= alpha[-1] * basis[-1]
        if beta:
            w -= beta[-1] * basis[-2]
        if reorthogonalise:
            stack = np.array(basis)
            w -= stack.T @ (stack @ w)
        length = float(np.linalg.norm(w))
        if len(alpha) == steps or length < 1e-12 * np.abs(truth).max():
            break
        beta.append(length)
        basis.append(w / length)
    off = beta[: len(alpha) - 1]
    values, vectors = np.linalg.eigh(np.diag(alpha) + np.diag(off, 1) + np.diag(off, -1))
    return values, vectors[0] ** 2


def plain_products(truth: Array, accuracy: float, reorthogonalise: bool) -> str:
    """Fewest products of the grid that reach the accuracy, or the dash and the best error."""
    best = np.inf
    grid = sorted(itertools.product(STEPS, PROBES), key=lambda pair: pair[0] * pair[1])
    for steps, probes in grid:
        if steps * probes > MOST:
            continue
        errors = []
        for seed in range(3):
            rules = [plain(truth, steps, reorthogonalise, 1000 * seed + i) for i in range(probes)]
            nodes, weights = (np.concatenate(part) for part in zip(*rules, strict=True))
            errors.append(distance(nodes, weights, truth))
        best = min(best, float(np.median(errors)))
        if np.median(errors) <= accuracy:
            return f"{steps * probes}"
    return f"- ({best:.3f})"


def ours(truth: Array, accuracy: float, seed: int) -> SpectralDensity:
    """One estimate from products alone."""
    operator = (lambda v: truth[:, None] * v, len(truth))
    return spectral_density(operator, tol=accuracy, seed=seed, method="sampled", partial=True)


def spectra(cache: Path) -> dict[str, Array]:
    """All eigenvalues of the four Hessians and of spikes over a Marchenko-Pastur bulk."""
    found = {}
    for name in ARCHITECTURES:
        problem = load_problem(name, cache, torch.float64)
        hessian = InputHessian(problem.model, Probe(problem.x, problem.y))
        found[name] = np.linalg.eigvalsh(hessian.dense())
    noise = np.random.default_rng(5).standard_normal((2000, 4000))
    bulk = np.linalg.eigvalsh(noise @ noise.T / 4000)
    found["spiked"] = np.concatenate([bulk[:-10], np.linspace(4, 12, 10)])
    return found


def main() -> None:
    """Print both tables."""
    on_one_thread()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "hessay-bench")
    parser.add_argument("--skip-coverage", action="store_true")
    options = parser.parse_args()
    print("; ".join(f"{key} {value}" for key, value in stamp().items()))
    for name, truth in spectra(options.cache).items():
        for accuracy in ACCURACIES:
            found = [ours(truth, accuracy, seed) for seed in range(3)]
            cost = np.median([one.stats.products for one in found])
            error = np.median([distance(one.nodes, one.weights, truth) for one in found])
            rivals = [plain_products(truth, accuracy, again) for again in (True, False)]
            print(
                f"{name:9s} <= {accuracy:4}: hessay {cost:4.0f} ({error:.4f})  plain {rivals[0]:>9s}"
                f"  without reorthogonalisation {rivals[1]:>9s}  exact {len(truth)}",
                flush=True,
            )
        if not options.skip_coverage:
            covered, costs = 0, []
            for seed in range(options.seeds):
                one = ours(truth, ACCURACIES[0], seed)
                # The distance itself is a sum rounded to about 1e-12.
                covered += distance(one.nodes, one.weights, truth) <= one.relative_error + 1e-11
                costs.append(one.stats.products)
            print(
                f"{name:9s} error bar covers {covered} of {options.seeds}; products "
                f"{min(costs)} to {max(costs)}",
                flush=True,
            )


if __name__ == "__main__":
    main()

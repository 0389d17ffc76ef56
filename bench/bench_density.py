"""Products to a spectral density of given accuracy, traces, and whether the error bars are honest.

    python bench/bench_density.py [--seeds 100] [--cache DIR] [--coverage | --skip-coverage]

Error: Wasserstein-1 distance to all eigenvalues over the mean |eigenvalue|. The others do not know
their error: their numbers are an oracle's, the cheapest of a grid of steps and probes whose error,
median of 3 seeds, is small enough, within 960 products ("-": none; in brackets the smallest error,
"WRONG" where it is half the mean and more). hessay stops by its own error bar, with its exact route
forbidden; shown are products and, in brackets, the true error. hessian-eigenthings and curvlinops
are left out, and said to be, where they are not installed. ``--coverage`` measures the error bars alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from density import contenders, traces
from density.measure import Array, Rotated, distance
from hessay.density import SpectralDensity, spectral_density
from hessay.hessian import InputHessian
from hessay.probe import Probe
from hvp.problems import ARCHITECTURES, load_problem
from hvp.stamp import on_one_thread, stamp

ACCURACIES = (0.1, 0.02)


def ours(truth: Array, accuracy: float, seed: int) -> SpectralDensity:
    """One estimate from products alone."""
    return spectral_density(
        (Rotated(truth), len(truth)), tol=accuracy, seed=seed, method="sampled", partial=True
    )


def spectra(folder: Path) -> dict[str, Array]:
    """All eigenvalues of the four Hessians and of spikes over a Marchenko-Pastur bulk."""
    found = {}
    for name in ARCHITECTURES:
        problem = load_problem(name, folder, torch.float64)
        hessian = InputHessian(problem.model, Probe(problem.x, problem.y))
        found[name] = np.linalg.eigvalsh(hessian.dense())
    noise = np.random.default_rng(5).standard_normal((2000, 4000))
    bulk = np.linalg.eigvalsh(noise @ noise.T / 4000)
    found["spiked"] = np.concatenate([bulk[:-10], np.linspace(4, 12, 10)])
    return found


def rivals(peers: bool) -> dict[str, tuple[Any, bool]]:
    """Name to contender, and whether it gives a curve."""
    found: dict[str, tuple[Any, bool]] = {
        "plain SLQ": (contenders.plain, False),
        "plain, no reorthogonalisation": (contenders.plain_without, False),
        "PyHessian's loop": (contenders.pyhessian_loop, False),
    }
    if peers:
        found["hessian-eigenthings, raw nodes"] = (contenders.eigenthings_nodes, False)
        found["hessian-eigenthings, curve"] = (contenders.eigenthings_curve, True)
        for kappa in contenders.KAPPAS:
            name = f"curvlinops, curve, kappa {kappa:.0e}"
            found[name] = (contenders.curvlinops_curve(kappa), True)
    return found


def products_table(name: str, truth: Array, peers: bool) -> None:
    """Print what every contender needs for one spectrum."""
    medians = {
        who: contenders.medians(contender, truth, curve=curve)
        for who, (contender, curve) in rivals(peers).items()
    }
    for accuracy in ACCURACIES:
        found = [ours(truth, accuracy, seed) for seed in range(contenders.SEEDS)]
        cost = np.median([one.stats.products for one in found])
        error = np.median([distance(one.nodes, one.weights, truth) for one in found])
        verdict = "" if error <= accuracy else " WRONG"
        start = f"{name:9s} <= {accuracy:4}:"
        print(f"{start} {'hessay':34s} {cost:.0f} ({error:.4f}){verdict}", flush=True)
        for who, cells in medians.items():
            best = contenders.best(cells, accuracy)
            beats = best.products is not None and best.products < cost
            print(f"{start} {who:34s} {best}{'  LOSS for hessay' if beats else ''}", flush=True)
        print(f"{start} {'all eigenvalues':34s} {len(truth)}", flush=True)


def coverage(name: str, truth: Array, seeds: int) -> None:
    """Print how often the error bars hold."""
    for accuracy in ACCURACIES:
        covered, costs = 0, []
        for seed in range(seeds):
            one = ours(truth, accuracy, seed)
            # The distance itself is a sum rounded to about 1e-12.
            covered += distance(one.nodes, one.weights, truth) <= one.relative_error + 1e-11
            costs.append(one.stats.products)
        enough = "" if covered >= 0.9 * seeds else "  TOO FEW"
        print(
            f"{name:9s} tol {accuracy:4}: error bar covers {covered} of {seeds}{enough}; products "
            f"{min(costs)} to {max(costs)}, median {np.median(costs):.0f}",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    on_one_thread()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "hessay-bench")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--coverage", action="store_true", help="the error bars alone")
    which.add_argument("--skip-coverage", action="store_true")
    options = parser.parse_args()
    print("; ".join(f"{key} {value}" for key, value in stamp().items()))
    modules = ("hessian_eigenthings", "curvlinops")
    peers = all(importlib.util.find_spec(module) is not None for module in modules)
    if not peers and not options.coverage:
        print("hessian-eigenthings and curvlinops are not both installed: left out")
    for name, truth in spectra(options.cache).items():
        if not options.coverage:
            products_table(name, truth, peers)
            traces.table(name, truth, peers)
        if not options.skip_coverage:
            coverage(name, truth, options.seeds)


if __name__ == "__main__":
    main()

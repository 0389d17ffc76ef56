"""Traces at equal numbers of products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from density.contenders import TorchView
from density.measure import Array, Rotated
from hessay.density import trace

PRODUCTS, SEEDS = (24, 60, 120), 21


def _ours(operator: Rotated, products: int, seed: int) -> float:
    # An accuracy out of reach: all products are spent.
    return trace((operator, operator.d), tol=1e-14, seed=seed, max_products=products).value


def _hutchinson(operator: Rotated, products: int, seed: int) -> float:
    v = np.random.default_rng(seed).choice([-1.0, 1.0], (operator.d, products))
    return float((v * operator(v)).sum() / products)


def _curvlinops(name: str) -> Callable[[Rotated, int, int], float]:
    from curvlinops import hutchinson_trace, hutchpp_trace, xtrace

    function: Any = {"xtrace": xtrace, "hutch++": hutchpp_trace, "hutchinson": hutchinson_trace}[
        name
    ]

    def estimate(operator: Rotated, products: int, seed: int) -> float:
        torch.manual_seed(seed)
        return float(function(TorchView(operator), products))

    return estimate


def _eigenthings(operator: Rotated, products: int, seed: int) -> float:
    from hessian_eigenthings.algorithms.trace import trace as estimate
    from hessian_eigenthings.operators.base import LambdaOperator

    view = LambdaOperator(TorchView(operator).__matmul__, operator.d, dtype=torch.float64)
    return float(estimate(view, num_matvecs=products, seed=seed).estimate)


def contenders(peers: bool) -> dict[str, Callable[[Rotated, int, int], float]]:
    """Name to trace(operator, products, seed)."""
    found = {"hessay.trace": _ours, "Hutchinson, signs": _hutchinson}
    if peers:
        found |= {
            f"curvlinops {name}": _curvlinops(name) for name in ("xtrace", "hutch++", "hutchinson")
        }
        found["hessian-eigenthings hutch++"] = _eigenthings
    return found


def table(name: str, truth: Array, peers: bool) -> None:
    """Print median relative errors, and what hessay needs and reaches by its own error bar."""
    exact = float(truth.sum())
    for who, estimate in contenders(peers).items():
        errors = []
        for products in PRODUCTS:
            operator = Rotated(truth)
            values = [estimate(operator, products, seed) for seed in range(SEEDS)]
            spent = operator.products / SEEDS
            assert spent <= products, f"{who} spent {spent} of {products} products"
            errors.append(float(np.median(np.abs(np.array(values) - exact)) / abs(exact)))
        row = "  ".join(f"{n}: {e:8.1e}" for n, e in zip(PRODUCTS, errors, strict=True))
        print(f"{name:9s} trace  {who:28s} {row}", flush=True)
    found = [trace((Rotated(truth), len(truth)), tol=0.05, seed=seed) for seed in range(SEEDS)]
    misses = [abs(one.value - exact) > 2 * one.standard_error + 1e-9 * exact for one in found]
    print(
        f"{name:9s} trace  hessay by its own error, 5 %: {np.median([f.products for f in found]):.0f}"
        f" products, off by more than 2 standard errors in {sum(misses)} of {SEEDS}",
        flush=True,
    )

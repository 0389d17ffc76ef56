"""Others' spectral densities at the best settings of a grid, chosen with the truth at hand.

Every contender gives rules (nodes, weights), one a probe, for a number of Lanczos steps; more probes
are the average of more rules. Smooth curves are taken as the masses of their grid points.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator

from density.measure import Array, Rotated, distance

STEPS, PROBES = (5, 10, 20, 30, 40, 60, 80, 120), (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
MOST, SEEDS = 960, 3
GRID_POINTS = 8192  # of smooth curves
KAPPAS = (3.0, 1e3, 1e9)  # of curvlinops' kernel; 3 is its default, larger is narrower
Rules = list[tuple[Array, Array]]


@dataclass(frozen=True, slots=True)
class Best:
    """The cheapest setting that reaches the accuracy, or how near any came."""

    products: int | None  # median, None: not reached
    error: float  # Wasserstein-1 over the mean |eigenvalue|, median of the seeds

    def __str__(self) -> str:
        found = "-" if self.products is None else str(self.products)
        wrong = " WRONG" if self.products is None and self.error > 0.5 else ""
        return f"{found} ({self.error:.3f}){wrong}"


class TorchView:
    """A Rotated as torch libraries take it."""

    def __init__(self, operator: Rotated) -> None:
        self.operator = operator
        self.shape = (operator.d, operator.d)
        self.dtype, self.device = torch.float64, torch.device("cpu")

    def __matmul__(self, v: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.operator(v.numpy()))

    def to_scipy(self) -> LinearOperator:
        """Return the same for SciPy."""
        return LinearOperator(self.shape, matvec=self.operator, dtype=np.float64)


def lanczos_loop(operator: Rotated, q: Array, steps: int, reorthogonalise: bool) -> Any:
    """Gauss quadrature of one probe by textbook Lanczos."""
    basis = [q / np.linalg.norm(q)]
    alpha: list[float] = []
    beta: list[float] = []
    while True:
        w = operator(basis[-1])
        alpha.append(float(w @ basis[-1]))
        w -= alpha[-1] * basis[-1]
        if beta:
            w -= beta[-1] * basis[-2]
        if reorthogonalise:
            stack = np.array(basis)
            w -= stack.T @ (stack @ w)
        length = float(np.linalg.norm(w))
        if len(alpha) == steps or length < 1e-12 * np.abs(operator.eigenvalues).max():
            break
        beta.append(length)
        basis.append(w / length)
    return _quadrature(alpha, beta[: len(alpha) - 1])


def plain(operator: Rotated, steps: int, probes: int, seed: int) -> Rules:
    """Gaussian probes, full reorthogonalisation."""
    rng = np.random.default_rng(seed)
    return [
        lanczos_loop(operator, rng.standard_normal(operator.d), steps, True) for _ in range(probes)
    ]


def plain_without(operator: Rotated, steps: int, probes: int, seed: int) -> Rules:
    """Gaussian probes, three-term recurrence alone."""
    rng = np.random.default_rng(seed)
    return [
        lanczos_loop(operator, rng.standard_normal(operator.d), steps, False) for _ in range(probes)
    ]


def pyhessian_loop(operator: Rotated, steps: int, probes: int, seed: int) -> Rules:
    """PyHessian 0.1's published density(): its torch.eig, gone from torch, replaced by eigh.

    Probes of signs; the direction is made orthogonal to all before, its recurrence is not; lengths
    are divided by themselves plus 1e-6; a breakdown goes on from a random direction.
    """
    rng = np.random.default_rng(seed)
    rules = []
    for _ in range(probes):
        v = _normalised(rng.choice([-1.0, 1.0], operator.d))
        basis, alpha, beta = [v], [], list[float]()
        w = np.zeros(operator.d)
        for step in range(steps):
            if step > 0:
                beta.append(float(np.linalg.norm(w)))
                w = w if beta[-1] != 0 else rng.standard_normal(operator.d)
                for earlier in basis:
                    w = w - (w @ earlier) * earlier
                basis.append(_normalised(w))
            product = operator(basis[-1])
            alpha.append(float(product @ basis[-1]))
            w = product - alpha[-1] * basis[-1]
            if step > 0:
                w = w - beta[-1] * basis[-2]
        rules.append(_quadrature(alpha, beta))
    return rules


def eigenthings_nodes(operator: Rotated, steps: int, probes: int, seed: int) -> Rules:
    """hessian-eigenthings' spectral_density, its raw quadrature."""
    found = _eigenthings(operator, steps, probes, seed)
    return [
        (nodes[weights > 0], weights[weights > 0])
        for nodes, weights in zip(
            found.raw_eigenvalues.numpy(), found.raw_weights.numpy(), strict=True
        )
    ]


def eigenthings_curve(operator: Rotated, steps: int, probes: int, seed: int) -> Rules:
    """Take the curve that hessian-eigenthings returns, with its default bandwidth."""
    found = _eigenthings(operator, steps, probes, seed)
    return [(found.grid.numpy(), found.density.numpy())]


def curvlinops_curve(kappa: float) -> Callable[[Rotated, int, int, int], Rules]:
    """Make lanczos_approximate_spectrum of curvlinops a contender, told the ends of the spectrum for nothing."""
    from curvlinops.papyan2020traces.spectrum import lanczos_approximate_spectrum

    def curve(operator: Rotated, steps: int, probes: int, seed: int) -> Rules:
        torch.manual_seed(seed)
        ends = float(operator.eigenvalues.min()), float(operator.eigenvalues.max())
        grid, density = lanczos_approximate_spectrum(
            TorchView(operator), steps, GRID_POINTS, probes, kappa, boundaries=ends
        )
        return [(grid.numpy(), density.numpy())]

    return curve


def best(medians: list[tuple[int, float]], accuracy: float) -> Best:
    """Cheapest cell of the grid within ``accuracy``."""
    reached = [one for one in medians if one[1] <= accuracy]
    return Best(*min(reached)) if reached else Best(None, min(one[1] for one in medians))


def medians(contender: Any, truth: Array, *, curve: bool) -> list[tuple[int, float]]:
    """Products and error, medians of the seeds, at every cell of the grid of steps and probes.

    Rules of several probes are averaged, and every number of probes is a part of the largest. A
    curve's probes are averaged inside: it gets as many as MOST products allow.
    """
    cells: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for steps, seed in itertools.product(STEPS, range(SEEDS)):
        if steps > len(truth):
            continue
        for cell in _cells(contender, Rotated(truth), steps, seed, curve):
            cells.setdefault((steps, cell[0]), []).append(cell[1:])
    return [
        (int(np.median([one[0] for one in runs])), float(np.median([one[1] for one in runs])))
        for runs in cells.values()
    ]


def _cells(
    contender: Any, operator: Rotated, steps: int, seed: int, curve: bool
) -> Iterator[tuple[int, int, float]]:
    """Probes, products and error."""
    most = [probes for probes in PROBES if probes * steps <= MOST]
    if curve:
        for probes in {most[0], most[-1]}:
            before = operator.products
            found = contender(operator, steps, probes, 1000 * seed)
            yield probes, operator.products - before, _error(found, operator)
        return
    before = operator.products
    rules = contender(operator, steps, most[-1], 1000 * seed)
    each = (operator.products - before) / most[-1]
    for probes in most:
        yield probes, round(each * probes), _error(rules[:probes], operator)


def _error(rules: Rules, operator: Rotated) -> float:
    nodes = np.concatenate([x for x, _ in rules])
    weights = np.concatenate([w / w.sum() for _, w in rules])
    keep = np.isfinite(nodes) & np.isfinite(weights)
    if not keep.all():
        return np.inf
    return distance(nodes, weights, operator.eigenvalues)


def _eigenthings(operator: Rotated, steps: int, probes: int, seed: int) -> Any:
    from hessian_eigenthings.algorithms.spectral_density import spectral_density
    from hessian_eigenthings.operators.base import LambdaOperator

    view = LambdaOperator(TorchView(operator).__matmul__, operator.d, dtype=torch.float64)
    return spectral_density(
        view, num_runs=probes, lanczos_steps=steps, num_grid_points=GRID_POINTS, seed=seed
    )


def _quadrature(alpha: list[float], beta: list[float]) -> tuple[Array, Array]:
    values, vectors = np.linalg.eigh(np.diag(alpha) + np.diag(beta, 1) + np.diag(beta, -1))
    return values, vectors[0] ** 2


def _normalised(v: Array) -> Array:
    out: Array = v / (np.linalg.norm(v) + 1e-6)
    return out

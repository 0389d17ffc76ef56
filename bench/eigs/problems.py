"""The ten eigenproblems, each a dense matrix with the answer LAPACK gives.

Top 10 by magnitude (the four Hessians in double, indefinite) or largest (the others). Synthetic ones
have a random orthogonal basis: ``spiked`` is a Marchenko-Pastur bulk (n / m = 0.5) with ten
eigenvalues evenly from 4 to 12; ``clustered`` the same bulk below 8, 8-1e-4, 8-2e-4, 6, 6-1e-4,
6-2e-4, 4.5, 4.5-1e-4, 4.5-2e-4, 4.5-3e-4; ``indefinite`` a Gaussian bulk with outliers of both
signs; ``power-law`` is 10 i^(-1/2). Products are counted on the matrix: they are the same whatever
computes them, and a rival with thousands of them ends in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hessay.hessian import InputHessian
from hessay.marchenko_pastur import quantile
from hessay.spectrum import WhichEnd
from hvp.problems import ARCHITECTURES, load_problem

Matrix = NDArray[np.float64]
K, TOL, SEED = 10, 1e-5, 0
CLUSTERS = [8, 8 - 1e-4, 8 - 2e-4, 6, 6 - 1e-4, 6 - 2e-4, *(4.5 - 1e-4 * i for i in range(4))]
SIGNED = [6.0, -5.5, 5.0, -4.6, 4.2, -3.9, 3.6, -3.3, 3.1, 2.9]


@dataclass(frozen=True)
class Eigenproblem:
    """A symmetric matrix, and which of its eigenvalues are wanted."""

    name: str
    matrix: Matrix  # (d, d)
    which: WhichEnd

    @property
    def d(self) -> int:
        """Its size."""
        return len(self.matrix)

    @cached_property
    def spectrum(self) -> Matrix:
        """All eigenvalues, ascending, from LAPACK."""
        return np.linalg.eigvalsh(self.matrix)

    @property
    def wanted(self) -> Matrix:
        """The K eigenvalues asked for, ascending."""
        return pick(self.spectrum, K, self.which)

    @property
    def norm(self) -> float:
        """Largest magnitude."""
        return float(np.abs(self.spectrum).max())


@dataclass(frozen=True)
class Verdict:
    """How an answer compares with LAPACK's."""

    right: int  # of the K eigenvalues, those within tol |A| of their own true value
    residual: float  # largest |A x - value x| / |A|, x of unit length

    @property
    def good(self) -> bool:
        """All right, residuals within the tolerance and rounding."""
        return self.right == K and self.residual <= 1.001 * TOL


def judge(problem: Eigenproblem, values: Matrix, vectors: Matrix) -> Verdict:
    """Compare values (K,) and vectors (d, K), in any order, with the truth.

    A residual of tol |A| moves an eigenvalue by tol |A| at most (Weyl), so right values lie that
    near to the true ones, each to its own: a value found twice is wrong once.
    """
    if len(values) != K or not np.isfinite(values).all():
        return Verdict(0, np.inf)
    order = np.argsort(values)
    values, vectors = values[order], vectors[:, order] / np.linalg.norm(vectors[:, order], axis=0)
    right = int(np.sum(np.abs(values - problem.wanted) <= TOL * problem.norm))
    residuals = np.linalg.norm(problem.matrix @ vectors - vectors * values, axis=0)
    return Verdict(right, float(residuals.max() / problem.norm))


def pick(ascending: Matrix, k: int, which: WhichEnd) -> Matrix:
    """Pick k of all eigenvalues, ascending."""
    if which == "LA":
        return ascending[len(ascending) - k :]
    return np.sort(ascending[np.argsort(-np.abs(ascending), kind="stable")][:k])


def with_spectrum(values: Matrix, rng: np.random.Generator) -> Matrix:
    """Build Q diag(values) Q' with a random orthogonal Q."""
    basis, _ = np.linalg.qr(rng.standard_normal((len(values), len(values))))
    matrix = (basis * values) @ basis.T
    return (matrix + matrix.T) / 2


def bulk_below(tops: list[float], d: int) -> Matrix:
    """Quantiles of the Marchenko-Pastur law, n / m = 0.5, and the given eigenvalues above them."""
    places = (np.arange(d - len(tops)) + 0.5) / (d - len(tops))
    return np.concatenate([quantile(places, 1.0, 0.5), tops])


def synthetic(name: str, d: int) -> Eigenproblem:
    """Build one of the problems known by their spectrum."""
    rng = np.random.default_rng(SEED)
    if name == "spiked":
        return Eigenproblem(
            f"spiked {d}", with_spectrum(bulk_below(list(np.linspace(4, 12, 10)), d), rng), "LA"
        )
    if name == "clustered":
        return Eigenproblem(f"clustered {d}", with_spectrum(bulk_below(CLUSTERS, d), rng), "LA")
    if name == "indefinite":
        bulk = 0.5 * rng.standard_normal(d - len(SIGNED))
        return Eigenproblem(
            f"indefinite {d}", with_spectrum(np.concatenate([bulk, SIGNED]), rng), "LM"
        )
    values = 10 * np.arange(1, d + 1) ** -0.5
    return Eigenproblem(f"power-law {d}", with_spectrum(values, rng), "LA")


def hessian(name: str, cache: Path, drift: float = 0.0) -> Eigenproblem:
    """Form the mean input Hessian of a trained network in double; its weights times 1 +- drift."""
    net = load_problem(name, cache, torch.float64)
    if drift:
        generator = torch.Generator().manual_seed(SEED)
        for weight in net.model.parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            weight.mul_(1 + drift * noise)
    operator = InputHessian(net.model, (net.x, net.y))
    dense = operator.dense()
    direction = np.random.default_rng(SEED).standard_normal((net.d, 1))
    product = operator @ direction
    if not np.abs(dense @ direction - product).max() <= 1e-9 * np.abs(product).max():
        raise AssertionError(f"{name}: the dense Hessian and its products disagree")
    return Eigenproblem(f"H {name}", (dense + dense.T) / 2, "LM")


def makers(cache: Path) -> dict[str, Callable[[], Eigenproblem]]:
    """Give all ten by their names, each made when called."""
    made: dict[str, Callable[[], Eigenproblem]] = {
        f"H {name}": (lambda name=name: hessian(name, cache))  # type: ignore[misc]
        for name in ARCHITECTURES
    }
    kinds = [("spiked", 2000), ("clustered", 2000), ("indefinite", 2000), ("power-law", 2000)]
    for name, d in [*kinds, ("spiked", 4000), ("clustered", 4000)]:
        made[f"{name} {d}"] = lambda name=name, d=d: synthetic(name, d)  # type: ignore[misc]
    return made


def perturbed(problem: Eigenproblem, cache: Path) -> Iterator[tuple[str, Eigenproblem]]:
    """Move the operator by one percent of its norm, by less, and as its own kind moves."""
    rng = np.random.default_rng(SEED + 1)
    noise = rng.standard_normal((problem.d, problem.d))
    noise += noise.T.copy()
    noise *= 1e-2 * problem.norm / (2 * np.sqrt(2 * problem.d))  # the semicircle's edge
    yield "random, 1e-2 |A|", Eigenproblem(problem.name, problem.matrix + noise, problem.which)
    small = Eigenproblem(problem.name, problem.matrix + 1e-2 * noise, problem.which)
    yield "random, 1e-4 |A|", small
    if problem.name.startswith("H "):
        yield "weights, 1 percent", hessian(problem.name[2:], cache, 1e-2)
        return
    scale = 1 + 1e-2 * rng.standard_normal(problem.d)
    drift = Eigenproblem(problem.name, problem.matrix * np.outer(scale, scale), problem.which)
    yield "D A D, D = 1 +- 1e-2", drift

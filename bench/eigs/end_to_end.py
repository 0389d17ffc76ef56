"""From a trained network to its ten leading eigenpairs: operator and solver together."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse.linalg
import torch
from numpy.typing import NDArray

from eigs.problems import TOL, Eigenproblem, K, Verdict, hessian, judge
from hessay.hessian import InputHessian, frozen
from hessay.spectrum import eigsh
from hvp import packaged, torch_ways
from hvp.contender import CannotDo, Product
from hvp.measure import cpu_ms
from hvp.problems import Problem, load_problem

Matrix = NDArray[np.float64]
Pairs = tuple[Matrix, Matrix]


@dataclass
class EndToEnd:
    """One contender on one network."""

    model: str
    name: str
    seconds: list[float] = field(default_factory=list)  # CPU
    verdict: Verdict = field(default_factory=lambda: Verdict(0, np.inf))
    note: str = ""

    @property
    def median(self) -> float:
        """CPU seconds."""
        return statistics.median(self.seconds) if self.seconds else float("nan")


def ours(net: Problem) -> Pairs:
    """``InputHessian`` and ``eigsh``, both at their defaults."""
    found = eigsh(InputHessian(net.model, (net.x, net.y)), K, "LM", TOL)
    if not found.certified:
        raise AssertionError(f"{net.name}: not certified: {found.explain()}")
    return found.values, found.vectors


def ours_dense(net: Problem) -> Pairs:
    """Form the Hessian, then LAPACK: exact, all eigenvalues."""
    values, vectors = np.linalg.eigh(InputHessian(net.model, (net.x, net.y)).dense())
    order = np.argsort(-np.abs(values))[:K]
    return values[order], vectors[:, order]


def through_arpack(setup: Callable[[Problem, bool], Product]) -> Callable[[Problem], Pairs]:
    """Somebody's products, SciPy's eigsh."""

    def solve(net: Problem) -> Pairs:
        product = setup(net, True)

        def matvec(v: Matrix) -> Matrix:
            return product(torch.from_numpy(v.reshape(-1, 1).copy())).detach().numpy()[:, 0]

        operator = scipy.sparse.linalg.LinearOperator((net.d, net.d), matvec, dtype=np.float64)
        return scipy.sparse.linalg.eigsh(operator, K, which="LM", tol=TOL)

    return solve


WAYS: list[tuple[str, Callable[[Problem], Pairs]]] = [
    ("double backward, graph kept + scipy eigsh", through_arpack(torch_ways.kept_graph)),
    ("curvlinops + scipy eigsh", through_arpack(packaged.curvlinops)),
    ("hessian-eigenthings' operator + scipy eigsh", through_arpack(packaged.eigenthings)),
    ("hessay dense + LAPACK", ours_dense),
    ("hessay InputHessian + eigsh", ours),
]


def end_to_end(name: str, cache: Path, repeats: int) -> list[EndToEnd]:
    """Measure everyone on one network, interleaved."""
    truth: Eigenproblem = hessian(name, cache)
    net = load_problem(name, cache, torch.float64)
    rows = [EndToEnd(name, way) for way, _ in WAYS]
    with frozen(net.model):
        for turn in range(repeats + 1):  # the first run imports and compiles; it is not counted
            for row, (_, solve) in zip(rows, WAYS, strict=True):
                if row.note:
                    continue
                try:
                    ms, pairs = cpu_ms(lambda solve=solve: solve(net))
                except CannotDo as reason:
                    row.note = str(reason)
                    continue
                row.verdict = judge(truth, *pairs)
                if turn:
                    row.seconds.append(ms / 1e3)
    return rows

"""How close products come to the library's own matrix multiplications.

The same shapes, issued alone through the same library (scipy's BLAS, which the core calls), are timed
in turns with the product that contains them. Efficiency is their time over the product's. Flops:
a product with k shared directions meets W_1 once and passes every other layer forward and back,
2 N k 2 sum(h_l h_(l+1)); per sample W_1 is met N times each way.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import blas
from torch import nn

from hessay.hessian import frozen
from hvp import ours
from hvp.measure import cpu_ms
from hvp.problems import Problem

TILE_COLUMNS = 768  # columns of one multiplication; rates are flat from 256 to 2048
Shape = tuple[int, int, int, int]  # (m, inner, columns, how often)


@dataclass
class Efficiency:
    """One product against its multiplications alone."""

    what: str
    gflop: float
    product_ms: float
    gemm_ms: float
    large_gflops: float  # rate of one large multiplication, GFLOP/s

    @property
    def against_same(self) -> float:
        """Share of the rate of the same shapes issued alone."""
        return self.gemm_ms / self.product_ms

    @property
    def against_large(self) -> float:
        """Share of the rate of a large square multiplication."""
        return self.gflop * 1e3 / self.product_ms / self.large_gflops


def _widths(problem: Problem) -> list[int]:
    linear = [layer for layer in problem.model.modules() if isinstance(layer, nn.Linear)]
    return [linear[0].in_features, *(layer.out_features for layer in linear)]


def native_shapes(problem: Problem, average: bool, k: int) -> list[Shape]:
    """Multiplications of one product of the native backend."""
    widths = _widths(problem)
    samples = max(1, TILE_COLUMNS // k)
    whole, rest = divmod(problem.n, samples)
    tiles = [(samples * k, whole)] + ([(rest * k, 1)] if rest else [])
    tiled = pairwise(widths[1:] if average else widths)
    shapes = [
        shape
        for a, b in tiled
        for columns, count in tiles
        for shape in ((b, a, columns, count), (a, b, columns, count))
    ]
    if average:
        shapes += [(widths[1], widths[0], k, 1), (widths[0], widths[1], k, 1)]
    return shapes


def factor_shapes(problem: Problem, k: int) -> list[Shape]:
    """Multiplications of one averaged product of the factor: lift, B, B', lift'."""
    d, narrow, *_, classes = _widths(problem)
    rows = problem.n * (classes - 1)
    return [(narrow, d, k, 1), (rows, narrow, k, 1), (narrow, rows, k, 1), (d, narrow, k, 1)]


def _issue(shapes: list[Shape], dtype: np.dtype[np.floating]) -> Callable[[], None]:
    """Prepare operands; run every multiplication into a result that exists already."""
    gemm = blas.sgemm if dtype == np.float32 else blas.dgemm
    rng = np.random.default_rng(0)

    def matrix(m: int, n: int) -> np.ndarray:
        return np.asfortranarray(rng.standard_normal((m, n)).astype(dtype))

    # Forward layers are stored transposed for the core, so a takes part as it is kept.
    calls = [(matrix(i, m), matrix(i, c), matrix(m, c), n) for m, i, c, n in shapes]

    def run() -> None:
        for a, b, c, count in calls:
            for _ in range(count):
                gemm(1.0, a, b, beta=0.0, c=c, trans_a=True, overwrite_c=True)

    return run


def _large_rate(dtype: np.dtype[np.floating]) -> float:
    """Best rate of a 1536^3 multiplication, GFLOP/s."""
    size = 1536
    run = _issue([(size, size, size, 1)], dtype)
    return max(2e-6 * size**3 / cpu_ms(run)[0] for _ in range(5))


def measure_efficiency(problem: Problem, columns: list[int], repeats: int) -> list[Efficiency]:
    """Native products, averaged and per sample, and averaged factor products where exact."""
    dtype = np.dtype(np.float64 if problem.x.element_size() == 8 else np.float32)
    large = _large_rate(dtype)
    results = []
    works = [("native", True), ("native", False)]
    if problem.piecewise_linear:
        works.append(("factor", True))
    with frozen(problem.model):
        for backend, average in works:
            hessian = ours.operator(problem, backend, average, None)
            for k in columns:
                shapes = (
                    native_shapes(problem, average, k)
                    if backend == "native"
                    else factor_shapes(problem, k)
                )
                v = problem.directions(average, k).numpy()
                run = _issue(shapes, dtype)
                pairs = [
                    (cpu_ms(lambda h=hessian, v=v: h @ v)[0], cpu_ms(run)[0])
                    for _ in range(repeats + 1)
                ][1:]  # the first warms up
                product, alone = (statistics.median(column) for column in zip(*pairs, strict=True))
                work = "averaged" if average else "per sample"
                gflop = 2e-9 * sum(m * i * c * n for m, i, c, n in shapes)
                what = f"{problem.name}, {backend}, {work}, k = {k}"
                results.append(Efficiency(what, gflop, product, alone, large))
    return results

"""What each route to a product costs, predicted from counts, and which one is the cheapest.

The counts decide, with rates of one reference machine: the choice is the same everywhere and every
time. Rates matter only through their ratios, which differ little between machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hessay.hessian.routes.work import Work

Backend = Literal["factor", "moment", "native", "tangent", "autograd", "dense"]

# Reference machine, one thread, float32; float64 halves the flop rates. bench/bench_choice.py compares.
_GEMM = 80e9  # flop/s of large matrix products
_SKINNY = 20e9  # flop/s of products with B, one column
_BLOCK = 45e9  # and with a block of columns
_MEMORY = 10e9  # bytes/s read or written
_SMOOTH = 18e-9  # seconds for act, act' and act'' of one number through exp or erf
_CONVOLUTION = 45e9  # flop/s of a tangent pass through convolutions and pools
_LINEAR = 65e9  # and through linear layers
_OWN = 20e9  # the same, every sample with directions of its own
_GRAPH = 22e9  # flop/s of a double backward through convolutions
_GRAPH_LINEAR = 70e9  # and through linear layers only
_DISPATCH = 2e-4  # seconds a pass through torch takes however small it is
_COLUMNS = 16  # from so many on, directions are expected to come in blocks


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predicted cost of a route on the reference machine, one column at a time."""

    setup: float  # seconds
    column: float  # seconds

    def total(self, columns: int) -> float:
        """Seconds for the set-up and this many columns."""
        return self.setup + columns * self.column


def estimate(backend: Backend, work: Work, source: Backend | None = None) -> Estimate:
    """Predict the cost of a route; ``source`` is the one that a dense matrix is made with."""
    slower = work.itemsize / 4
    if backend == "dense":
        return _dense(work, source or "autograd", slower)
    if backend == "moment":
        return _moment(work, slower)
    if backend == "factor":
        return _factor(work, slower)
    if backend == "native":
        return _native(work, slower)
    macs, smooth = max(work.graph, 1), work.n * work.smooth * _SMOOTH
    if backend == "autograd":
        rate = _GRAPH if work.convolutions else _GRAPH_LINEAR
    elif work.convolutions:
        rate = _CONVOLUTION
    elif work.average:
        rate, macs = _LINEAR, work.rest or macs  # the first layer meets the shared directions once
    else:
        rate = _OWN
    setup = 4 * work.n * max(work.graph, 1) * slower / _GEMM + smooth + _DISPATCH
    return Estimate(setup, 4 * work.n * macs * slower / rate + _DISPATCH)


def _native(work: Work, slower: float) -> Estimate:
    macs = work.first + work.rest
    setup = 4 * work.n * macs * slower / _GEMM + work.n * work.smooth * _SMOOTH
    touched = 3 * work.n * work.units * work.itemsize / _MEMORY
    if not work.average:
        return Estimate(setup, 4 * work.n * macs * slower / _GEMM + touched)
    shared = 2 * work.first * work.itemsize / _MEMORY
    return Estimate(setup, 4 * work.n * work.rest * slower / _GEMM + shared + touched)


def _factor(work: Work, slower: float) -> Estimate:
    if work.width:
        setup = 2 * work.n * (work.first + work.rest * (1 + work.rank)) * slower / _GEMM
        setup += 2 * work.n * work.rank * work.units * work.itemsize / _MEMORY
        if work.width != work.d and work.narrow == work.d:  # rows multiplied out
            setup += 2 * work.n * work.rank * work.first * slower / _GEMM
    else:
        rate = _CONVOLUTION if work.convolutions else _GRAPH_LINEAR
        setup = 2 * work.n * (1 + work.rank) * max(work.graph, 1) * slower / rate
    column = _matrix(2 * work.n * work.rank * work.narrow, work.itemsize, 0.5, work)
    if work.narrow < work.d:
        samples = 1 if work.average else work.n
        column += 4 * samples * work.first * slower / _GEMM
        column += 2 * _matrix(work.first, work.itemsize, 1.0, work)
    return Estimate(setup, column)


def _matrix(numbers: int, itemsize: int, passes: float, work: Work) -> float:
    """Seconds a column to multiply by so many numbers, read ``passes`` times for every number."""
    blocks = work.columns is not None and work.columns >= _COLUMNS
    read = passes * numbers * itemsize / _MEMORY / (_COLUMNS if blocks else 1)
    return max(2 * numbers * itemsize / 4 / (_BLOCK if blocks else _SKINNY), read)


def _moment(work: Work, slower: float) -> Estimate:
    m = work.narrow
    setup = _factor(work, slower).setup + work.n * work.rank * m * m * slower / _GEMM
    lift = 2 * _matrix(work.first, work.itemsize, 1.0, work) if m < work.d else 0.0
    return Estimate(setup, _matrix(m * m, 8, 1.0, work) + lift)  # M is kept in double


def _dense(work: Work, source: Backend, slower: float) -> Estimate:
    made = estimate(source, work)
    m = work.narrow if source in ("factor", "moment", "native") else work.d
    setup = made.setup
    if source == "factor":
        setup += work.n * work.rank * m * m * slower / _GEMM
    elif source == "native":
        setup += m * 4 * work.n * work.rest * slower / _GEMM
    elif source != "moment":
        setup += m * made.column
    if m < work.d:  # W1' M W1
        setup += 2 * m * work.d * (m + work.d / 2) * slower / _GEMM
    return Estimate(setup, _matrix(work.d**2, work.itemsize, 1.0, work))

"""Time the contenders: process CPU, interleaved A B A B, set-up and products apart, checked."""

from __future__ import annotations

import gc
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from hessay.errors import HessayError
from hessay.hessian import frozen
from hvp.contender import CannotDo, Contender, NotMeant, Product
from hvp.problems import Problem, truth
from hvp.torch_ways import kept_graph

# Largest error over the largest entry of the truth. The truth of a piecewise-linear net is taken on
# the piece single precision is on; a contender with another order of summation may still be on
# the other side of a kink. A convolutional net has 15 million of them over the probe, so more is
# allowed there. Double has no such excuse.
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-9}
CNN_TOLERANCE = {torch.float32: 5e-4, torch.float64: 1e-9}
SLOW_S = 1.0  # what takes longer is repeated SLOW_REPEATS times at most
SLOW_REPEATS = 3

_T = TypeVar("_T")


@dataclass
class Row:
    """What was measured of one contender."""

    name: str
    group: str
    setup: list[float] = field(default_factory=list)  # ms
    times: list[float] = field(default_factory=list)  # ms
    error: float = float("nan")
    note: str = ""  # "WRONG", or why there are no times

    @property
    def ms(self) -> float:
        """Median of the products."""
        return statistics.median(self.times)

    @property
    def setup_ms(self) -> float:
        """Median of the set-ups."""
        return statistics.median(self.setup)

    @property
    def spread_ms(self) -> float:
        """Slowest less fastest product."""
        return max(self.times) - min(self.times)

    @property
    def valid(self) -> bool:
        """Measured, and right."""
        return bool(self.times) and not self.note

    @property
    def ours(self) -> bool:
        """Whether it is a route of hessay."""
        return self.group == "hessay"


@dataclass
class Table:
    """One work: a model, averaged or per sample, k columns."""

    model: str
    average: bool
    k: int
    rows: list[Row]

    @property
    def title(self) -> str:
        """As printed."""
        work = "averaged" if self.average else "per sample"
        return f"{self.model}, {work}, k = {self.k}"

    def find(self, name: str) -> Row | None:
        """Give the valid row of that name."""
        return next((row for row in self.rows if row.name == name and row.valid), None)

    def best(self, wanted: Callable[[Row], bool]) -> Row | None:
        """Fastest valid row among the wanted ones."""
        return min(
            (r for r in self.rows if r.valid and wanted(r)), key=lambda r: r.ms, default=None
        )


def cpu_ms(work: Callable[[], _T]) -> tuple[float, _T]:
    """Run it once: process CPU in ms, all threads together, and what it returned."""
    start = time.process_time()
    result = work()
    return 1e3 * (time.process_time() - start), result


def interleaved(
    works: dict[str, Callable[[], object]], repeats: int, first: dict[str, float]
) -> dict[str, list[float]]:
    """Time the works in turns; those whose ``first`` run (ms) was slow get fewer of them."""
    times: dict[str, list[float]] = {name: [] for name in works}
    gc.collect()
    for turn in range(repeats):
        for name, work in works.items():
            if turn < SLOW_REPEATS or first[name] < 1e3 * SLOW_S:
                times[name].append(cpu_ms(work)[0])
    return times


def measure(
    problem: Problem,
    contenders: Sequence[Contender],
    average: bool,
    columns: Sequence[int],
    repeats: int,
) -> list[Table]:
    """Set every contender up, then time its products, a table for each number of columns."""
    with frozen(problem.model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.fx comments on its own code under linearize
        widest = problem.directions(average, max(columns))
        right = truth(problem, widest, average, kept_graph)
        rows, products = _set_up(problem, contenders, average, repeats)
        return [
            Table(
                problem.name,
                average,
                k,
                _time_products(problem, rows, products, widest[..., :k], right[..., :k], repeats),
            )
            for k in columns
        ]


def _set_up(
    problem: Problem, contenders: Sequence[Contender], average: bool, repeats: int
) -> tuple[list[Row], dict[str, Product]]:
    rows, products, works, first = [], {}, {}, {}
    for contender in contenders:
        row = Row(contender.name, contender.group)
        try:
            # The first run imports and compiles; it is not counted.
            first[row.name], products[row.name] = cpu_ms(
                lambda contender=contender: contender.prepare(problem, average)
            )
        except NotMeant:
            continue
        except (CannotDo, RuntimeError, HessayError) as problem_met:
            row.note = " ".join(str(problem_met).split())[:72]  # that it cannot is a result
        else:
            works[row.name] = lambda contender=contender: contender.prepare(problem, average)
        rows.append(row)
    times = interleaved(works, repeats, first)
    for row in rows:
        row.setup = times.get(row.name, [])
    return rows, products


def _time_products(
    problem: Problem,
    setups: list[Row],
    products: dict[str, Product],
    v: Tensor,
    right: Tensor,
    repeats: int,
) -> list[Row]:
    v = v.contiguous()
    allowed = (CNN_TOLERANCE if problem.kind == "cnn" else TOLERANCE)[v.dtype]
    rows, works, first = [], {}, {}
    for prepared in setups:
        row = Row(prepared.name, prepared.group, prepared.setup, note=prepared.note)
        rows.append(row)
        if not row.setup:
            continue
        product = products[row.name]
        try:
            first[row.name], out = cpu_ms(lambda product=product: product(v))
        except (RuntimeError, HessayError) as problem_met:
            row.note = " ".join(str(problem_met).split())[:72]
            continue
        row.error = float((out.double() - right).abs().max() / right.abs().max())
        row.note = "" if row.error <= allowed else f"WRONG: error above {allowed:.0e}"
        works[row.name] = lambda product=product: product(v)
    times = interleaved(works, repeats, first)
    for row in rows:
        row.times = times.get(row.name, [])
    return rows

"""Run the contenders: columns, calls, CPU time, and whether the answer is LAPACK's."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from eigs.contenders import FAILURES, Answer, CannotDo, Contender, Counter
from eigs.problems import SEED, TOL, Eigenproblem, K, Verdict, judge, pick, with_spectrum
from hessay.spectrum import WhichEnd, eigsh
from hvp.measure import cpu_ms


@dataclass
class Row:
    """One contender on one problem."""

    problem: str
    contender: str
    columns: int = 0  # certificate included
    check_columns: int = 0  # of these, the certificate's
    calls: int = 0
    ms: float = float("nan")  # CPU, products with the dense matrix included
    right: int = 0
    residual: float = float("nan")
    certified: bool | None = None
    note: str = ""

    @property
    def good(self) -> bool:
        """All ten right, residuals small, and certified if the contender claims to certify."""
        verdict = Verdict(self.right, self.residual)
        return not self.note and verdict.good and self.certified is not False


def compare(problem: Eigenproblem, contenders: Sequence[Contender], repeats: int) -> list[Row]:
    """Measure everyone on one problem, interleaved; times are medians."""
    rows = [Row(problem.name, contender.name) for contender in contenders]
    times: list[list[float]] = [[] for _ in rows]
    for turn in range(repeats):
        for row, contender, spent in zip(rows, contenders, times, strict=True):
            if row.note or (turn and spent[0] > 1e3 * repeats):
                continue
            counter = Counter(problem.matrix)
            try:
                ms, answer = cpu_ms(
                    lambda contender=contender, counter=counter: contender.solve(counter, problem)
                )
            except CannotDo as reason:
                row.note = str(reason)
                continue
            except FAILURES as failure:
                row.note = " ".join(str(failure).split())[:60]
                row.columns, row.calls = counter.columns, counter.calls
                continue
            spent.append(ms)
            record(row, problem, counter, answer)
    for row, spent in zip(rows, times, strict=True):
        row.ms = statistics.median(spent) if spent else float("nan")
    return rows


def record(row: Row, problem: Eigenproblem, counter: Counter, answer: Answer) -> None:
    """Write down what was found and what it cost."""
    verdict = judge(problem, answer.values, answer.vectors)
    row.columns, row.calls = counter.columns, counter.calls
    row.check_columns, row.certified = answer.check_columns, answer.certified
    row.right, row.residual = verdict.right, verdict.residual


@dataclass
class Warm:
    """A moved operator solved from scratch and from the answer before it moved."""

    problem: str
    how: str
    cold: int  # columns of the search
    warm: int
    cold_check: int  # columns of the certificate
    warm_check: int
    right: bool

    @property
    def ratio(self) -> float:
        """Search columns, warm over cold."""
        return self.warm / self.cold

    @property
    def ratio_in_all(self) -> float:
        """Columns with the certificate, warm over cold."""
        return (self.warm + self.warm_check) / (self.cold + self.cold_check)


def warm_starts(problem: Eigenproblem, moves: Iterable[tuple[str, Eigenproblem]]) -> list[Warm]:
    """Solve, move the operator, solve again both ways."""
    before = eigsh(problem.matrix, K, problem.which, TOL)
    rows = []
    for how, moved in moves:
        cold = eigsh(moved.matrix, K, problem.which, TOL, seed=1, partial=True)
        warm = eigsh(moved.matrix, K, problem.which, TOL, seed=1, start=before, partial=True)
        checks = cold.stats.check_products, warm.stats.check_products
        found = cold.stats.products - checks[0], warm.stats.products - checks[1]
        right = all(judge(moved, p.values, p.vectors).good for p in (cold, warm))
        rows.append(Warm(problem.name, how, *found, *checks, right))
    return rows


def warm_multiple() -> list[Warm]:
    """Do the same to a largest eigenvalue of ten copies: its basis is turned by one percent."""
    matrix, which = hard("multiplicity 10", 0)
    noise = np.random.default_rng(SEED).standard_normal(matrix.shape)
    turn = scipy.linalg.expm(1e-2 * (noise - noise.T) / np.linalg.norm(noise - noise.T, 2))
    moved = turn @ matrix @ turn.T
    problem = Eigenproblem("multiplicity 10", matrix, which)
    turned = Eigenproblem("multiplicity 10", (moved + moved.T) / 2, which)
    return warm_starts(problem, [("U A U', U - I = 1e-2", turned)])


@dataclass
class Tally:
    """Many operators of one kind."""

    kind: str
    runs: int
    right: int
    certified: int
    certified_wrong: int
    arpack_right: int


def hard(kind: str, seed: int) -> tuple[np.ndarray, WhichEnd]:
    """Draw one operator of a hard kind, d = 150 to 400."""
    rng = np.random.default_rng([SEED, seed])
    d = int(rng.integers(150, 401))
    values = rng.uniform(0, 1, d)
    which: WhichEnd = "LA"
    if kind == "rank-deficient":
        values[:] = 0
        values[: rng.integers(1, 10)] = 10.0  # then scattered
        values *= rng.uniform(0.1, 1, d)
    elif kind == "zero":
        values[:] = 0
    elif kind == "multiplicity 10":
        values[:10] = rng.uniform(1.5, 4)
    elif kind == "clustered":
        values[:10] = np.repeat(rng.uniform(2, 9, 4), 3)[:10] - 1e-4 * np.tile(np.arange(3), 4)[:10]
    elif kind == "indefinite":
        values = 0.4 * rng.standard_normal(d)
        values[:10] = rng.uniform(2, 6, 10) * rng.choice([-1, 1], 10)
        which = "LM"
    else:
        raise ValueError(kind)
    return with_spectrum(values, rng), which


KINDS = ("rank-deficient", "zero", "multiplicity 10", "clustered", "indefinite")


def tally(kind: str, runs: int, block: int, arpack: Contender) -> Tally:
    """Count right, certified, and certified but wrong answers of one kind, each with its seed."""
    out = Tally(kind, runs, 0, 0, 0, 0)
    for seed in range(runs):
        matrix, which = hard(kind, seed)
        problem = Eigenproblem(kind, matrix, which)
        pairs = eigsh(matrix, K, which, TOL, block=block, seed=seed, partial=True)
        right = good_values(problem, pairs.values)
        out.right += right
        out.certified += pairs.certified
        out.certified_wrong += pairs.certified and not right
        try:
            other = arpack.solve(Counter(matrix), problem)
        except FAILURES:
            continue
        out.arpack_right += good_values(problem, other.values)
    return out


def good_values(problem: Eigenproblem, values: np.ndarray) -> bool:
    """All K within tol |A| of the true ones; of |A| = 0, within rounding."""
    wanted = pick(problem.spectrum, K, problem.which)
    slack = TOL * problem.norm + 1e-14
    return len(values) == K and bool(np.abs(np.sort(values) - wanted).max() <= slack)

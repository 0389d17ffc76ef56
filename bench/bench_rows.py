"""Rows that come and go against fitting again, and poisoned tables against trimmed least squares.

    python bench/bench_rows.py [--rows 20000] [--columns 1000] [--k 50] [--repeats 5] [--json FILE]
        [--seeds 6] [--skip-rows] [--skip-path] [--skip-poison]

First table: process CPU seconds (median of repeats) to add and to delete 1000 rows of a fit on k
columns with 1 and 10 outputs, against three ways of fitting again on the same columns (lstsq;
Householder QR; normal equations, which square the condition number) and against walking the path
again. Coefficients of the update and of lstsq are compared. Set OMP_NUM_THREADS=1.

Second table: poison_report on scikit-learn's tables and on Gaussian ones, clean and poisoned: the
verdict, precision and recall of the suspected rows, beside TRIM (Jagielski et al. 2018, IEEE S&P,
section V), which is told how many rows are poisoned and keeps those that fit best.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hessay.linear.poison_search import poison_report
from hessay.stepwise import stepwise_path
from hessay.stepwise.rows import FittedRows

Floats = NDArray[Any]
MOVED = 1000  # rows
SHARES, SHIFT, TRIGGER = (0.02, 0.05, 0.1), 4.0, 3  # of rows; standard deviations; columns


@dataclass
class Timing:
    """One way to follow 1000 rows."""

    way: str
    outputs: int
    cpu_s: float
    ratio: float  # to the update
    coef_error: float  # largest difference to lstsq


@dataclass
class Found:
    """One table."""

    table: str
    share: float
    seed: int
    verdict: str
    precision: float
    recall: float
    trim_precision: float
    trim_recall: float
    cpu_s: float


def cpu(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Median CPU seconds of a call, and its last answer."""
    spent, answer = [], None
    for _ in range(repeats):
        start = time.process_time()
        answer = call()
        spent.append(time.process_time() - start)
    return float(np.median(spent)), answer


def rows_table(n: int, p: int, k: int, repeats: int, walk: bool) -> list[Timing]:
    """Add and delete 1000 rows of n."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, p))
    support = rng.permutation(p)[:k]
    table = []
    for c in (1, 10):
        y = x[:, support] @ rng.uniform(1, 2, (k, c)) + rng.standard_normal((n, c))
        fit = FittedRows(x, y, support=support)

        def delete(y: Floats = y, fit: FittedRows = fit) -> None:
            fit.delete(x[:MOVED], y[:MOVED])

        def add(y: Floats = y, fit: FittedRows = fit) -> None:
            fit.add(x[:MOVED], y[:MOVED])

        spent: dict[str, list[float]] = {"delete": [], "add": []}
        for _ in range(repeats):
            for name, move in (("delete", delete), ("add", add)):
                spent[name].append(cpu(move, 1)[0])
        delete()
        seconds, coef = cpu(lambda y=y: lstsq(x[MOVED:][:, support], y[MOVED:]), repeats)
        update = float(np.median(spent["delete"]))
        error = float(np.abs(np.atleast_2d(fit.coef) - coef).max())
        table.append(Timing("delete 1000 rows", c, update, 1.0, error))
        added = float(np.median(spent["add"]))
        again = cpu(lambda y=y: lstsq(x[:, support], y), repeats)
        add()
        error = float(np.abs(np.atleast_2d(fit.coef) - again[1]).max())
        table.append(Timing("add 1000 rows", c, added, added / update, error))
        table.append(Timing("refit: lstsq", c, seconds, seconds / update, 0.0))
        for name, call in (
            (
                "refit: QR (FittedRows)",
                lambda y=y: FittedRows(x[MOVED:], y[MOVED:], support=support).coef,
            ),
            ("refit: normal equations", lambda y=y: normal(x[MOVED:][:, support], y[MOVED:])),
        ):
            seconds, found = cpu(call, repeats)
            error = float(np.abs(np.atleast_2d(found) - coef).max())
            table.append(Timing(name, c, seconds, seconds / update, error))
        if walk:
            seconds, path = cpu(
                lambda y=y: stepwise_path(x[MOVED:], y[MOVED:], criterion=None, n_features=k), 1
            )
            assert set(path.support) == set(support)
            table.append(Timing("refit: the path", c, seconds, seconds / update, float("nan")))
    return table


def lstsq(x: Floats, y: Floats) -> Floats:
    """Coefficients (C, k) of the centred problem."""
    mean = x.mean(axis=0)
    return np.linalg.lstsq(x - mean, y - y.mean(axis=0), rcond=None)[0].T


def normal(x: Floats, y: Floats) -> Floats:
    """Coefficients (C, k) by the Gram matrix."""
    a = x - x.mean(axis=0)
    return np.linalg.solve(a.T @ a, a.T @ (y - y.mean(axis=0))).T


def trim(x: Floats, y: Floats, n_bad: int, rounds: int = 50, seed: int = 0) -> Floats:
    """Rows that trimmed least squares throws out, told their number (Jagielski et al. 2018)."""
    rng = np.random.default_rng(seed)
    n = len(x)
    a = np.column_stack([np.ones(n), x])
    kept = np.sort(rng.permutation(n)[: n - n_bad])
    for _ in range(rounds):
        w = np.linalg.lstsq(a[kept], y[kept], rcond=None)[0]
        loss = ((y - a @ w) ** 2).sum(axis=1)
        best = np.sort(np.argsort(loss, kind="stable")[: n - n_bad])
        if np.array_equal(best, kept):
            break
        kept = best
    return np.setdiff1d(np.arange(n), kept)


def tables() -> dict[str, tuple[Floats, Floats]]:
    """scikit-learn's tables, standardised, and two Gaussian ones."""
    from sklearn import datasets

    found = {}
    for name in ("breast_cancer", "digits", "wine"):
        data = getattr(datasets, f"load_{name}")()
        spread = np.where(data.data.std(axis=0) > 0, data.data.std(axis=0), 1)
        found[name] = ((data.data - data.data.mean(axis=0)) / spread, data.target)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1000, 20))
    scores = x[:, :4] @ rng.standard_normal((4, 3)) + rng.standard_normal((1000, 3))
    found["Gaussian, three classes"] = (x, scores.argmax(axis=1))
    found["Gaussian, labels of noise"] = (x, rng.integers(0, 2, 1000))
    return found


def poisoned(x: Floats, y: Floats, share: float, seed: int) -> tuple[Floats, Floats, Floats]:
    """Three columns of some rows shifted, their label set to 1."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(np.flatnonzero(y != 1), max(8, int(share * len(y))), replace=False)
    columns = rng.choice(np.flatnonzero(x.std(axis=0) > 0), TRIGGER, replace=False)
    x, y = x.copy(), y.copy()
    x[np.ix_(rows, columns)] += SHIFT
    y[rows] = 1
    return x, y, rows


def overlap(found: Floats, rows: Floats) -> tuple[float, float]:
    """Precision and recall."""
    hits = len(set(found.tolist()) & set(rows.tolist()))
    return hits / max(len(found), 1), hits / max(len(rows), 1)


def poison_table(seeds: int) -> list[Found]:
    """Every table, clean and poisoned."""
    result = []
    for name, (x, y) in tables().items():
        for share in (0.0, *SHARES):
            for seed in range(seeds if share else 1):
                a, b, rows = (
                    poisoned(x, y, share, seed) if share else (x, y, np.zeros(0, dtype=int))
                )
                seconds, report = cpu(lambda a=a, b=b: poison_report(a, b), 1)
                found = np.array([r.row for r in report.rows], dtype=int)
                out = trim(a, np.eye(b.max() + 1)[b], len(rows))
                result.append(
                    Found(
                        name,
                        share,
                        seed,
                        report.verdict.name,
                        *overlap(found, rows),
                        *overlap(out, rows),
                        seconds,
                    )
                )
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--skip-rows", action="store_true")
    parser.add_argument("--skip-path", action="store_true")
    parser.add_argument("--skip-poison", action="store_true")
    given = parser.parse_args()
    timings: list[Timing] = []
    found: list[Found] = []
    if not given.skip_rows:
        timings = rows_table(given.rows, given.columns, given.k, given.repeats, not given.skip_path)
        print(f"{given.rows} x {given.columns}, k = {given.k}, {MOVED} rows, one process")
        print(f"{'way':26} {'outputs':>7} {'CPU ms':>9} {'ratio':>8} {'|coef - lstsq|':>15}")
        for t in timings:
            print(
                f"{t.way:26} {t.outputs:7} {1e3 * t.cpu_s:9.2f} {t.ratio:8.1f} {t.coef_error:15.1e}"
            )
    if not given.skip_poison:
        found = poison_table(given.seeds)
        print(
            f"\nshift {SHIFT:g} sd in {TRIGGER} columns; precision and recall of rows: mean over "
            f"flagged tables, TRIM over all"
        )
        print(f"{'table':26} {'share':>6} {'flagged':>8} {'inconcl.':>8} {'clean':>6} "
              f"{'prec':>6} {'recall':>6} {'TRIM prec':>9} {'CPU s':>6}")  # fmt: skip
        for name in dict.fromkeys(f.table for f in found):
            for share in (0.0, *SHARES):
                some = [f for f in found if f.table == name and f.share == share]
                hit = [f for f in some if f.verdict == "FLAGGED"]
                count = {v: sum(f.verdict == v for f in some) for v in ("INCONCLUSIVE", "CLEAN")}
                mean = [np.mean([getattr(f, a) for f in hit]) if hit and share else np.nan
                        for a in ("precision", "recall")]  # fmt: skip
                trimmed = np.mean([f.trim_precision for f in some]) if share else np.nan
                print(
                    f"{name:26} {share:6.2f} {len(hit):8} {count['INCONCLUSIVE']:8} "
                    f"{count['CLEAN']:6} {mean[0]:6.2f} {mean[1]:6.2f} {trimmed:9.2f} "
                    f"{np.mean([f.cpu_s for f in some]):6.2f}"
                )
    if given.json:
        given.json.write_text(
            json.dumps({"rows": [asdict(t) for t in timings], "poison": [asdict(f) for f in found]})
        )


if __name__ == "__main__":
    main()

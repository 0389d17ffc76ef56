"""Does ``backend="auto"`` choose well? Every exact backend on a set of networks, in all.

    python bench/bench_choice.py [--cases ...] [--repeats 3] [--cache DIR] [--json bench/hvp/choice.json]

The cost of meeting m columns is set-up plus products: one block for m = 1 and 16, forty-nine blocks
of 16 for m = 784, each block as measured (process CPU, one thread, medians, interleaved). The operator
is told m. The file holds the seconds of every backend, the counts the cost model sees, what auto chose
and why; a choice that costs over 1.3 times the best is marked. A backend whose product differs from
double is no choice and stops the run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

from hessay.hessian import frozen
from hvp import ours
from hvp.choice_cases import CASES, load_case
from hvp.measure import Table, measure
from hvp.problems import Problem
from hvp.show import show_stamp
from hvp.stamp import on_one_thread, stamp

TOTALS = (1, 16, 784)  # columns met over an operator's life
BLOCK = 16  # columns of one product when there are many
LIMIT = 1.3  # chosen over best


def seconds(tables: dict[int, Table], name: str, total: int) -> float | None:
    """Add up set-up and ``total`` columns with one backend, None where it is not exact or not there."""
    row = tables[min(total, BLOCK)].find(name)
    if row is None:
        return None
    blocks = math.ceil(total / BLOCK)
    return round(1e-3 * (row.setup_ms + blocks * row.ms), 6)


def judge(problem: Problem, average: bool, repeats: int) -> list[dict[str, Any]]:
    """Measure every backend, ask auto, compare; an entry for each number of columns."""
    routes = [ours.Ours(backend) for backend in ours.BACKENDS]
    tables = {t.k: t for t in measure(problem, routes, average, (1, BLOCK), repeats)}
    wrong = [row.name for t in tables.values() for row in t.rows if row.note.startswith("WRONG")]
    if wrong:
        raise SystemExit(f"{problem.name}: wrong products from {', '.join(wrong)}")
    entries = []
    for total in TOTALS:
        costs = {route.backend: seconds(tables, route.name, total) for route in routes}
        costs = {backend: cost for backend, cost in costs.items() if cost is not None}
        with frozen(problem.model):
            hessian = ours.operator(problem, "auto", average, total)
        if hessian.backend not in costs:
            raise SystemExit(f"auto chose {hessian.backend}, which was not measured: {[*costs]}")
        best = min(costs, key=lambda backend: costs[backend])
        entries.append(
            {
                "case": problem.name,
                "work": "averaged" if average else "per sample",
                "columns": total,
                "seconds": costs,
                "best": best,
                "chosen": hessian.backend,
                "counts": dataclasses.asdict(hessian.choice.work),
                "chosen_over_best": round(costs[hessian.backend] / costs[best], 3),
                "explained": hessian.explain(),
            }
        )
    return entries


def show(entry: dict[str, Any]) -> None:
    """Print one line: every backend's seconds, the best, what auto chose."""
    costs = "".join(
        f"{entry['seconds'][backend]:11.4f}" if backend in entry["seconds"] else f"{'-':>11}"
        for backend in ours.BACKENDS
    )
    ratio = entry["chosen_over_best"]
    mark = f"  OVER {LIMIT}" if ratio > LIMIT else ""
    print(
        f"{entry['case']:17}{entry['work']:11}{entry['columns']:5}{costs}   "
        f"{entry['best']:9}{entry['chosen']:9}{ratio:6.2f} x{mark}"
    )


def main() -> None:
    """Judge every case and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "hessay-bench")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "hvp" / "choice.json")
    options = parser.parse_args()
    on_one_thread()
    sys.stdout.reconfigure(line_buffering=True)  # rows appear as they are measured
    machine = stamp()
    show_stamp(machine)
    names = "".join(f"{backend:>11}" for backend in ours.BACKENDS)
    print(f"{'s in all':17}{'':11}{'m':>5}{names}   {'best':9}{'auto':9}")
    entries = []
    for name in options.cases:
        problem = load_case(name, options.cache)
        for average in (True, False):
            for entry in judge(problem, average, options.repeats):
                show(entry)
                entries.append(entry)
    over = sum(entry["chosen_over_best"] > LIMIT for entry in entries)
    print(f"{over} of {len(entries)} choices cost over {LIMIT} times the best")
    document = {"stamp": machine, "limit": LIMIT, "entries": entries}
    options.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Products with the input Hessian: hessay's backends beside the ways people compute them.

    python bench/bench_hvp.py [--models mlp_relu mlp_gelu cnn softmax] [--columns 1 8 32] [--repeats 5]
                              [--dtype float32|float64] [--json FILE] [--cache DIR] [--quick] [--slow]

Work: one block (784, k), the mean product returned; or, per sample, (512, 784, k), all products
returned (the convolutional net: at most 8 columns averaged and 1 per sample). The problems are defined
in ``hvp/problems.py``. Contenders are interleaved in one process on one thread; times are process
CPU, medians, with the spread beside. Every product must agree with a truth in double, or it is
marked WRONG and wins nothing. Set-up, paid once, is shown apart, and where set-up and products
together beat the kept graph. The packaged peers take part where they are installed.

After the products: the dense Hessian, the share of the library's multiplication rate, peak memory, and
every promised row with its target. ``--quick`` is one repeat without the slowest works; ``--slow``
adds the ways of forming a dense Hessian that take minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from hvp import dense, gemm, hand_tiled, memory, ours, packaged, recipes, torch_ways
from hvp.contender import Contender
from hvp.measure import measure
from hvp.problems import ARCHITECTURES, Problem, load_problem
from hvp.promises import Results, promises, show_promises
from hvp.show import show_dense, show_efficiency, show_peaks, show_stamp, show_table
from hvp.stamp import on_one_thread, stamp

CNN_COLUMNS = {True: 8, False: 1}  # at most, averaged and per sample


def contenders() -> list[Contender]:
    """Everyone; ours last."""
    routes = [ours.Ours(backend) for backend in (*ours.BACKENDS, "auto")]
    rivals = [*torch_ways.WAYS, *packaged.WAYS, *recipes.WAYS, *hand_tiled.WAYS]
    return [*rivals, *routes]


def run_problem(problem: Problem, options: argparse.Namespace, results: Results) -> None:
    """Measure and print every table of one model."""
    for average in (True, False):
        limit = CNN_COLUMNS[average] if problem.kind == "cnn" else max(options.columns)
        columns = [k for k in options.columns if k <= limit]
        if not columns:
            continue
        field = contenders()
        for table in measure(problem, field, average, columns, options.repeats):
            show_table(table)
            results.tables.append(table)
        auto = next(c for c in field if isinstance(c, ours.Ours) and c.backend == "auto")
        print(f"  auto explains: {auto.explained[-1] if auto.explained else 'nothing'}")
    if problem.kind != "softmax" and not (options.quick and problem.name == "mlp_gelu"):
        results.dense[problem.name] = dense.measure_dense(problem, options.repeats, options.slow)
        show_dense(problem.name, results.dense[problem.name])
    if problem.kind == "mlp":
        wide = [k for k in options.columns if k >= 8]
        rows = gemm.measure_efficiency(problem, wide, options.repeats)
        show_efficiency(rows)
        results.efficiency += rows


def main() -> None:
    """Run every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=ARCHITECTURES, default=list(ARCHITECTURES))
    parser.add_argument("--columns", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "hessay-bench")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--slow", action="store_true")
    options = parser.parse_args()
    on_one_thread()
    sys.stdout.reconfigure(line_buffering=True)  # rows appear as they are measured
    if options.quick:
        options.repeats = 1
    machine = stamp()
    show_stamp(machine)
    results = Results()
    for name in options.models:
        run_problem(
            load_problem(name, options.cache, getattr(torch, options.dtype)), options, results
        )
    if options.dtype == "float32":
        results.peaks = memory.measure_peaks(options.models, options.cache)
        show_peaks(results.peaks)
        show_promises(promises(results))  # the targets are for single precision
    if options.json:
        options.json.write_text(json.dumps({"stamp": machine, **asdict(results)}, indent=1))


if __name__ == "__main__":
    main()

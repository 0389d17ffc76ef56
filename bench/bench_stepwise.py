"""What exact stepwise selection costs, beside the other ways to the same path: CPU seconds, in turns.

    python bench/bench_stepwise.py [--rows 20000] [--columns 1000] [--rounds 5] [--no-peers]

Paths are asserted equal before anything is timed: forward ones, order included, to projecting every column
after every choice, bidirectional ones to sweeping the full Gram matrix. Ways marked * solve another problem
(abess the best subset, scikit-learn another rule) and are compared by time alone. X is centred beforehand for
the contenders; hessay centres it itself. The last table holds hessay's own strategies on hard designs.

    python bench/bench_stepwise.py --only disk --scratch DIR [--disk-rows 1000000]

writes a design of 8 GB into DIR, selects from it with 2 GB allowed, beside as many plain reads of the file.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hessay.stepwise import stepwise_path
from hvp.stamp import on_one_thread, stamp
from stepwise import contenders as ways
from stepwise import disk as disks
from stepwise import problems

Ways = Mapping[str, Callable[[], Any]]


def in_turns(contenders: Ways, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each way, the ways taking turns; the first round warms up."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, way in contenders.items():
            gc.collect()
            start = time.process_time()
            way()
            if turn > 0:
                spent[name].append(time.process_time() - start)
    return spent


def table(title: str, contenders: Ways, rounds: int) -> None:
    """Print medians, spreads and ratios to hessay."""
    print(f"\n{title}")
    seconds = in_turns(contenders, rounds)
    ours = statistics.median(seconds["hessay"])
    for name, times in seconds.items():
        median = statistics.median(times)
        print(
            f"  {name:34}{median:9.4f} s  [{min(times):.4f}, {max(times):.4f}]{median / ours:8.2f}x"
        )


def forward(n: int, p: int, k: int, outputs: int, rounds: int, peers: bool) -> None:
    """Print the forward table."""
    x, y = problems.correlated(n, p, outputs)
    find = partial(stepwise_path, x, y, n_features=k)
    exact: dict[str, Callable[[], Any]] = {
        "numpy, one pass a step": partial(ways.lazy, x, y, k),
        "numpy, full Gram": partial(ways.full_gram, x, y, k),
        "numpy, 24 Gram columns a pass": partial(ways.block_lazy, x, y, k),
    }
    order = find().support.tolist()
    assert order == ways.residualise_all(x, y, k)
    for name, way in exact.items():
        assert way() == order, name
    columns = np.asfortranarray(x)
    single = x.astype(np.float32)
    assert stepwise_path(columns, y, n_features=k).support.tolist() == order
    others: dict[str, Callable[[], Any]] = {
        "hessay, column-major X": partial(stepwise_path, columns, y, n_features=k),
        "hessay, float32 X": partial(stepwise_path, single, y, n_features=k),
    }
    if outputs == 1:
        others["* sklearn orthogonal_mp_gram"] = partial(ways.omp_gram, x, y, k)
        others["* sklearn lars_path_gram"] = partial(ways.lars_gram, x, y, k)
    if peers and ways.installed("abess"):
        others["* abess, k fixed"] = partial(ways.abess, x, y, [k])
    elif peers:
        print("abess: not installed")
    table(
        f"forward, {n} x {p}, k = {k}, C = {outputs}", {"hessay": find, **exact, **others}, rounds
    )


def bidirectional(n: int, p: int, criterion: str, rounds: int, peers: bool) -> None:
    """Print the bidirectional table."""
    x, y = problems.correlated(n, p, 1)
    find = partial(stepwise_path, x, y, direction="both", criterion=criterion)
    path = find()
    penalty = 2.0 if criterion == "aic" else math.log(n)
    assert sorted(path.support.tolist()) == ways.sweep(x, y, penalty)
    others: dict[str, Callable[[], Any]] = {"numpy, sweep": partial(ways.sweep, x, y, penalty)}
    if peers and ways.installed("abess"):
        sizes = range(len(path.support) + 20)
        others["* abess"] = partial(ways.abess, x, y, sizes, criterion)
    size, stats = len(path.support), path.stats
    table(
        f"bidirectional {criterion}, {n} x {p}: {size} columns in {len(path.steps)} moves,"
        f" {stats.passes} passes, {stats.fetched} Gram columns",
        {"hessay": find, **others},
        rounds,
    )


def hard(n: int, p: int, k: int, rounds: int) -> None:
    """Print what the strategies cost where the next choice is hard to foresee."""
    for make in (problems.noise_only, problems.collinear_blocks, problems.duplicated):
        x, y = make(n, p)
        found = stepwise_path(x, y, n_features=k)
        assert found.support.tolist() == ways.residualise_all(x, y, k)
        ours: dict[str, Callable[[], Any]] = {
            "hessay": partial(stepwise_path, x, y, n_features=k),
            **{
                f"hessay, strategy {name}": partial(
                    stepwise_path, x, y, n_features=k, strategy=name
                )
                for name in ("stream", "gram", "prefetch")
            },
            "numpy, one pass a step": partial(ways.lazy, x, y, k),
            "numpy, full Gram": partial(ways.full_gram, x, y, k),
        }
        table(
            f"{make.__name__}, {n} x {p}, k = {k}: {found.stats.passes} passes,"
            f" {found.stats.fetched} Gram columns, {found.stats.refreshes} refreshes",
            ours,
            rounds,
        )


def small(rounds: int, peers: bool) -> None:
    """Print what one fit a candidate costs, where that ends in reasonable time."""
    n, p, k = 400, 30, 8
    x, y = problems.correlated(n, p, 1, truth=6)
    find = partial(stepwise_path, x, y, n_features=k)
    others: dict[str, Callable[[], Any]] = {
        "numpy, lstsq a candidate": partial(ways.lstsq_loop, x, y, k)
    }
    if peers and ways.installed("statsmodels.api"):
        others["statsmodels, OLS a candidate"] = partial(ways.statsmodels_loop, x, y, k)
    elif peers:
        print("statsmodels: not installed")
    for name, way in others.items():
        assert way() == find().support.tolist(), name
    table(f"forward, {n} x {p}, k = {k}, C = 1", {"hessay": find, **others}, rounds)


def disk(scratch: Path, n: int, p: int, k: int, rounds: int) -> None:
    """Print what a path over a file costs, and what reading the file as often does."""
    allowed = 2 << 30
    path = scratch / "design.npy"
    try:
        y = disks.write(path, n, p)
        size = path.stat().st_size
        print(f"\n{size / 1e9:.1f} GB on disk, {allowed >> 30} GiB allowed, {n} x {p}, k = {k}")
        for turn in range(rounds):
            disks.forget(path)
            cold = disks.read(path)
            warm = disks.read(path)
            disks.forget(path)
            before = disks.anonymous()
            with disks.PeakMemory() as memory:
                start, cpu = time.perf_counter(), time.process_time()
                found = stepwise_path(
                    np.load(path, mmap_mode="r"), y, n_features=k, max_bytes=allowed
                )
                spent, cpu = time.perf_counter() - start, time.process_time() - cpu
            assert memory.bytes - before <= allowed
            passes = found.stats.passes
            floor = cold + (passes - 1) * warm
            print(
                f"  {turn}: path {spent:.2f} s (CPU {cpu:.2f}), {passes} passes; reading once from disk and"
                f" {passes - 1} times from the cache {floor:.2f} s: {spent / floor:.2f}x;"
                f" {(memory.bytes - before) / 2**20:.0f} MiB of memory"
            )
    finally:
        path.unlink(missing_ok=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--no-peers", dest="peers", action="store_false", help="skip other packages"
    )
    parser.add_argument("--only", choices=["forward", "both", "hard", "small", "disk"])
    parser.add_argument("--scratch", type=Path, help="where 8 GB may lie for a while")
    parser.add_argument("--disk-rows", type=int, default=1_000_000)
    options = parser.parse_args()
    on_one_thread()
    print(", ".join(f"{name} {value}" for name, value in stamp().items()))
    n, p, k, rounds = options.rows, options.columns, options.steps, options.rounds
    if options.only in (None, "forward"):
        for outputs in (1, 10):
            forward(n, p, k, outputs, rounds, options.peers)
    if options.only in (None, "both"):
        for criterion in ("bic", "aic"):
            bidirectional(n, p, criterion, rounds, options.peers)
    if options.only in (None, "hard"):
        hard(n, p, k, rounds)
    if options.only in (None, "small"):
        small(rounds, options.peers)
    if options.only == "disk":
        if options.scratch is None:
            parser.error("--only disk needs --scratch DIR")
        disk(options.scratch, options.disk_rows, p, k, rounds)


if __name__ == "__main__":
    main()

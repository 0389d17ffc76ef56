"""Workers on one history that are killed at random moments.

A program of its own, because it forks: nothing it imports has started a thread.
Arguments: URL or file, "race" or "kill", rounds, checkpoints, seed. Prints a line for every scan that
`finish` has returned from: round, worker, number of the checkpoint.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from export_case import SAMPLE
from hessay.store import Store
from store_case import SETTINGS, content

WORKERS = 2
FEW = 4  # scans: kills fall before, among and after them on a busy machine too
LEASE_SECONDS = 0.05  # a killed worker's scan is free again in the next round or the one after


def work(where: str, round_: int, worker: int, n_checkpoints: int, lease_seconds: float) -> None:
    order = list(range(n_checkpoints))
    random.Random(f"{round_} {worker}").shuffle(order)
    with Store.open(where) as store:
        line = store.series("line", SETTINGS)
        for number in order:
            claim = store.claim(line, content(number), f"{number}.pt", lease_seconds=lease_seconds)
            if claim is None:
                continue
            store.finish(claim, SAMPLE)
            os.write(1, f"{round_} {worker} {number}\n".encode())  # short: one piece on a pipe


def time_of_a_few(where: str) -> float:
    """Seconds in which a worker starts and finishes a few scans here and now, at least 0.08."""
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        work(where, -1, 0, FEW, 600.0)
        os._exit(0)
    os.waitpid(child, 0)
    return max(0.08, time.perf_counter() - start)


def main() -> None:
    where, mode, rounds, n_checkpoints, seed = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    Store.open(where).close()
    moments = random.Random(seed)
    longest = time_of_a_few(where) if mode == "kill" else 0.0
    for round_ in range(rounds):
        children = []
        for worker in range(WORKERS):
            child = os.fork()
            if child == 0:
                lease_seconds = LEASE_SECONDS if mode == "kill" else 600.0
                with Path(os.devnull).open("w") as quiet:  # a lease that was over is no fault
                    os.dup2(quiet.fileno(), 2)
                    work(where, round_, worker, n_checkpoints, lease_seconds)
                os._exit(0)
            children.append(child)
        if mode == "kill":
            time.sleep(moments.uniform(0.0, longest))
            for child in children:
                os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


main()

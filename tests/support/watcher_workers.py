"""Watchers of one folder that are killed at random moments. A program of its own, because it forks.

Arguments: folder, history, rounds, seed. Prints the name of every scan that was told of.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from export_case import SAMPLE
from hessay.monitor import Folder, Watcher
from hessay.report import Report
from hessay.store import Store
from store_case import SETTINGS


def scan(_path: Path, progress: Callable[[str, float], None]) -> Report:
    for step in range(3):
        time.sleep(0.002)
        progress("scanning", step / 3)
    return SAMPLE


def work(run: str, history: str) -> None:
    with Store.open(history) as store:
        line = store.series("line", SETTINGS)
        watcher = Watcher(Folder(run, settle_seconds=0), store, line, scan, lease_seconds=0.05)
        while True:
            for told in watcher.step():
                os.write(1, f"{told.record.name}\n".encode())
            if not watcher.unsettled and not watcher.pending:
                return
            time.sleep(0.01)


def main() -> None:
    run, history, rounds, seed = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    Store.open(history).close()
    moments = random.Random(seed)
    for round_ in range(rounds + 1):
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                work(run, history)
                os._exit(0)
            children.append(child)
        if round_ < rounds:  # those of the last round may finish
            time.sleep(moments.uniform(0.02, 0.1))
            for child in children:
                os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


main()

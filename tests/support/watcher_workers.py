"""Watchers of a folder, killed at random moments. A program of its own, because it forks.

Arguments: folder, history, rounds, seed. In each round a few files appear, those that are scanned go, and two
watchers are killed; those after the last round may finish. Prints "kept ID" for each scan that `finish` has returned from, "told ID" for each that somebody
was told of, and "killed PHASE" for each kill.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from export_case import SAMPLE
from hessay.errors import StoreError
from hessay.monitor import Folder, Watcher
from hessay.report import Report
from hessay.store import BatchReport, Claim, Store
from store_case import SETTINGS

PHASES = ("looking", "scanning", "writing", "telling", "ended")
FEW = 4  # files a round
STEPS = 5 * FEW  # phases entered in a round: three a scan, two a file somebody is told of
# Shared with the one who kills: the phase of each watcher, and how many it has entered.
_shared = mmap.mmap(-1, 4)


def enter(worker: int, phase: str) -> None:
    _shared[worker] = PHASES.index(phase)
    _shared[2 + worker] = min(255, _shared[2 + worker] + 1)


def phases() -> list[str]:
    return [PHASES[number] for number in _shared[:2]]


def wait(steps: int) -> None:
    """Until the watchers have entered so many phases, however busy the machine is, or ended."""
    while sum(_shared[2:]) < steps and set(phases()) != {"ended"}:
        time.sleep(0.0005)


def say(words: str) -> None:
    os.write(1, f"{words}\n".encode())  # short: one piece on a pipe


class Noted(Store):
    """Notes what is being written."""

    worker = 0

    def finish(self, claim: Claim, report: Report | BatchReport) -> None:
        enter(self.worker, "writing")
        super().finish(claim, report)
        say(f"kept {claim.id}")
        enter(self.worker, "looking")

    def told(self, scan: int) -> None:
        enter(self.worker, "telling")
        super().told(scan)
        say(f"told {scan}")
        enter(self.worker, "looking")


def work(run: str, history: str, worker: int) -> None:
    def scan(_path: Path, progress: Callable[[str, float], None]) -> Report:
        enter(worker, "scanning")
        for step in range(3):
            time.sleep(0.002)
            progress("scanning", step / 3)
        return SAMPLE

    with Noted.open(history) as store:
        assert isinstance(store, Noted)
        store.worker = worker
        line = store.series("line", SETTINGS)
        watcher = Watcher(Folder(run, settle_seconds=0), store, line, scan, lease_seconds=0.05)
        while True:
            with contextlib.suppress(StoreError):  # a busy database: as the command, it tries again
                watcher.step()
            if not watcher.unsettled and not watcher.pending:
                break
            time.sleep(0.01)


def started(run: str, history: str, round_: int) -> list[int]:
    """Take away what is scanned, let a few files appear; two watchers that are about to look."""
    with Store.open(history, read_only=True) as store:
        for row in store.history(state="done", limit=1000):
            Path(run, row.name).unlink(missing_ok=True)
    for number in range(FEW):
        Path(run, f"{round_}-{number}.pt").write_text(f"{round_} {number}")
    _shared[:] = bytes(4)
    children = []
    for worker in range(2):
        child = os.fork()
        if child == 0:
            try:
                work(run, history, worker)
            finally:
                enter(worker, "ended")
                os._exit(0)
        children.append(child)
    return children


def main() -> None:
    run, history, rounds, seed = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    Store.open(history).close()
    moments = random.Random(seed)
    for round_ in range(rounds + 1):
        children = started(run, history, round_)
        if round_ < rounds:
            wait(moments.randrange(STEPS))
            time.sleep(moments.uniform(0.0, 0.005))
            for child in children:
                os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
        if round_ < rounds:
            for phase in phases():
                say(f"killed {phase}")


main()

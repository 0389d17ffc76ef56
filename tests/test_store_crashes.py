"""Workers that race for scans and are killed while they write: nothing is lost, nothing is done twice."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from export_case import SAMPLE
from hessay.store import Store
from store_case import SETTINGS, content

WORKERS = Path(__file__).parent / "support" / "store_workers.py"
N_CHECKPOINTS = 300
FEW = 4  # finished by a worker that is not killed


def acknowledged(where: str, mode: str, rounds: int, seed: int = 0) -> list[int]:
    """Numbers of the checkpoints that `finish` has returned for."""
    command = [sys.executable, str(WORKERS), where, mode, *map(str, (rounds, N_CHECKPOINTS, seed))]
    paths = os.pathsep.join([str(WORKERS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, check=True, capture_output=True, env=environment, text=True)
    return [int(line.split()[2]) for line in done.stdout.splitlines()]


def check_killed(where: str, rounds: int) -> None:
    finished = acknowledged(where, "kill", rounds)
    assert len(finished) > FEW, "no scan was finished before a kill: the test sees nothing"
    assert max(Counter(finished).values()) == 1
    with Store.open(where) as store:
        rows = store.history("line", limit=10_000)
        assert max(Counter(row.content for row in rows).values()) == 1
        done = {row.content: row.id for row in rows if row.state == "done"}
        assert {content(number) for number in finished} <= set(done)
        # each of the two killed workers of a round may have died between its commit and its line
        assert len(done) - len(finished) <= 2 * rounds
        assert all(store.report(scan) == SAMPLE for scan in done.values())
        # What was in flight is free again when its lease is over, unless it took three with it.
        time.sleep(0.1)
        line = store.series("line", SETTINGS)
        for row in rows:
            if row.state == "claimed":
                claim = store.claim(line, row.content, row.name)
                assert (claim is None) == (row.attempts >= 3)


def test_two_hundred_rounds_of_kills_lose_no_finished_scan(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    check_killed(str(file), rounds=200)
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_kills_lose_no_finished_scan_on_a_server(postgresql: str) -> None:
    check_killed(postgresql, rounds=40)


def test_of_racing_workers_one_gets_each_checkpoint(tmp_path: Path) -> None:
    finished = acknowledged(str(tmp_path / "history.db"), "race", rounds=1)
    assert sorted(finished) == list(range(N_CHECKPOINTS))


def test_of_racing_workers_one_gets_each_checkpoint_on_a_server(postgresql: str) -> None:
    finished = acknowledged(postgresql, "race", rounds=1)
    assert sorted(finished) == list(range(N_CHECKPOINTS))

"""Watchers killed during scans and writes: each checkpoint has one scan, none that ended is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

from export_case import SAMPLE
from hessay.store import Store

WORKERS = Path(__file__).parent / "support" / "watcher_workers.py"
ROUNDS, N_FILES = 100, 400  # two watchers a round: 200 kills


def test_two_hundred_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    run, history = tmp_path / "run", tmp_path / "history.db"
    run.mkdir()
    for number in range(N_FILES):
        (run / f"{number}.pt").write_text(str(number))
    paths = os.pathsep.join([str(WORKERS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(WORKERS), str(run), str(history), str(ROUNDS), "0"],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
    )
    told = set(done.stdout.split())
    with Store.open(history) as store:
        rows = store.history(limit=10_000)
        assert max(Counter(row.content for row in rows).values()) == 1
        assert len(rows) == N_FILES
        for row in rows:
            if row.state == "done":
                assert store.report(row.id) == SAMPLE
            else:  # three watchers died on it
                assert (row.state, row.attempts) == ("failed", 3)
        n_done = sum(row.state == "done" for row in rows)
        assert n_done >= N_FILES - 2 * ROUNDS / 3
        # At least once: a watcher may die between the row that says so and the line.
        assert all(row.told_at is not None for row in rows)
        assert len(told) >= N_FILES - 2 * ROUNDS
    with sqlite3.connect(history) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()

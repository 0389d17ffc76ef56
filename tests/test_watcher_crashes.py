"""Watchers killed during scans and writes: each checkpoint has one scan, none that ended is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from export_case import SAMPLE
from hessay.store import Store

WORKERS = Path(__file__).parent / "support" / "watcher_workers.py"
ROUNDS = 100  # two watchers a round: 200 kills
FILES_A_ROUND = 4


@pytest.mark.timeout(900)  # a busy machine takes minutes
def test_two_hundred_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    run, history = tmp_path / "run", tmp_path / "history.db"
    run.mkdir()
    paths = os.pathsep.join([str(WORKERS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(WORKERS), str(run), str(history), str(ROUNDS), "0"],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
    )
    noted: dict[str, list[str]] = {"kept": [], "told": [], "killed": []}
    for line in done.stdout.splitlines():
        what, whom = line.split()
        noted[what].append(whom)
    hit = Counter(noted["killed"])
    with Store.open(history) as store:
        rows = store.history(limit=10_000)
        kept = {row.id for row in rows if row.state == "done"}
        summary = f"{hit.total()} kills, {dict(hit)}; {len(rows)} files, {len(kept)} reports kept, {sum(row.attempts > 1 for row in rows)} taken over"
        print(summary)
        assert hit.total() == 2 * ROUNDS
        assert all(hit[phase] for phase in ("scanning", "writing")), summary
        assert len(rows) == len({row.content for row in rows}) == FILES_A_ROUND * (ROUNDS + 1)
        # `finish` returned at most once for each, and what it returned for is there.
        assert len(noted["kept"]) == len(set(noted["kept"]))
        assert {int(scan) for scan in noted["kept"]} <= kept
        for row in rows:
            if row.state == "done":
                assert store.report(row.id) == SAMPLE
            else:  # three watchers died on it
                assert (row.state, row.attempts) == ("failed", 3)
        # At least once: a watcher may die between the row that says so and the line.
        assert all(row.told_at is not None for row in rows)
        assert len(set(noted["told"])) >= len(rows) - hit["telling"]
    with sqlite3.connect(history) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()

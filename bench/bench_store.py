"""What lists of a long history cost: 100 000 reports, every page of the list and of its filters.

    python bench/bench_store.py                 SQLite in a temporary folder
    python bench/bench_store.py --url URL       an empty PostgreSQL database

Wall-clock milliseconds, median and worst of the repetitions: a reader waits for disk and server too.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import insert

from hessay.report import Report
from hessay.store import Store
from hessay.store.tables import reports, scans

SAMPLE = Path(__file__).parents[1] / "tests/data/report-1.json"
TARGET_MS = 200.0
N_SERIES = 20
REPEATS = 15


def fill(store: Store, n_scans: int) -> float:
    """Write n_scans finished scans, 1 in 500 flagged, 1 in 100 failed; milliseconds of one `finish`."""
    report = Report.from_json(SAMPLE.read_text("utf-8"))
    whole = report.to_json()
    lines = [store.series(f"series {i}", {}) for i in range(N_SERIES)]
    batch = 2000
    for first in range(0, n_scans, batch):
        rows = []
        for i in range(first, min(first + batch, n_scans)):
            verdict = "FLAGGED" if i % 500 == 0 else "CLEAN"
            state = "failed" if i % 100 == 7 else "done"
            rows.append(
                {
                    "id": i + 1,
                    "series_id": lines[0 if i % 2 else i // 2 % N_SERIES].id,
                    "content": hashlib.sha256(str(i).encode()).hexdigest(),
                    "name": f"epoch-{i}.safetensors",
                    "state": state,
                    "token": "",
                    "worker": "bench",
                    "attempts": 1,
                    "claimed_at": float(i),
                    "lease_until": float(i),
                    "finished_at": float(i),
                    "message": "",
                    "verdict": verdict if state == "done" else None,
                    "statistic": 0.1,
                }
            )
        with store._engine.begin() as connection:
            connection.execute(insert(scans), rows)
            done = [{"scan_id": r["id"], "report": whole} for r in rows if r["state"] == "done"]
            connection.execute(insert(reports), done)
    if store._engine.dialect.name == "postgresql":
        with store._engine.begin() as connection:
            connection.exec_driver_sql("SELECT setval('scans_id_seq', (SELECT max(id) FROM scans))")
    costs = []
    for i in range(REPEATS):
        began = time.perf_counter()
        claim = store.claim(lines[1], hashlib.sha256(f"new {i}".encode()).hexdigest(), "new")
        assert claim is not None
        store.finish(claim, report)
        costs.append(1e3 * (time.perf_counter() - began))
    return statistics.median(costs)


def milliseconds(call: Callable[[], object]) -> tuple[float, float]:
    """Median and worst wall-clock time of a call."""
    costs = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        costs.append(1e3 * (time.perf_counter() - began))
    return statistics.median(costs), max(costs)


def main() -> None:
    """Fill a history, then time each page of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of an empty PostgreSQL database")
    parser.add_argument("--scans", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = options.url or str(Path(folder) / "history.db")
        with Store.open(where) as store:
            kept = fill(store, options.scans)
        middle = options.scans // 2
        pages: dict[str, Callable[[Store], object]] = {
            "first page": lambda s: s.history(),
            "page in the middle": lambda s: s.history(before=middle),
            "one series, first page": lambda s: s.history("series 0"),
            "one series, in the middle": lambda s: s.history("series 0", before=middle),
            "flagged": lambda s: s.history(verdict="FLAGGED"),
            "flagged, one series": lambda s: s.history("series 0", verdict="FLAGGED"),
            "inconclusive (none)": lambda s: s.history(verdict="INCONCLUSIVE"),
            "failed, one series": lambda s: s.history("series 0", state="failed"),
            "all series, counted": lambda s: s.all_series(),
            "statistics of the longest series": lambda s: s.statistics("series 0"),
            "one whole report": lambda s: s.report(middle),
        }
        print(
            f"{options.scans} scans, {N_SERIES} series, {'PostgreSQL' if options.url else 'SQLite'}"
        )
        print(f"{'':34}{'median ms':>10}{'worst':>9}{'target':>8}")
        with Store.open(where, read_only=True) as store:
            for name, page in pages.items():
                median, worst = milliseconds(lambda page=page: page(store))
                print(f"{name:34}{median:10.1f}{worst:9.1f}{TARGET_MS:8.0f}")
        print(f"{'claim and finish, one scan':34}{kept:10.1f}")


if __name__ == "__main__":
    main()

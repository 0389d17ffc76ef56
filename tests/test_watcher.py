"""Watching a folder: each checkpoint once, what cannot be scanned, who is told."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from export_case import CLEAN, INCONCLUSIVE, SAMPLE
from hessay.errors import ModelError
from hessay.monitor import Folder, Rule, Rules, Watcher
from hessay.report import Report
from hessay.store import Store
from store_case import SETTINGS

REPORTS = {"clean": CLEAN, "flagged": SAMPLE, "inconclusive": INCONCLUSIVE}


def by_content(path: Path, progress: Callable[[str, float], None]) -> Report:
    """A scan whose verdict stands in the file."""
    progress("reading", 0.0)
    words = path.read_text().split()
    if words[0] == "raises":
        raise ModelError("no such layer")
    return REPORTS[words[0]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "history.db") as opened:
        yield opened


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def watcher(store: Store, run: Path, scan: Any = by_content, **options: Any) -> Watcher:
    line = store.series("line", SETTINGS)
    return Watcher(Folder(run, settle_seconds=0), store, line, scan, **options)


def put(run: Path, *words: str) -> None:
    for number, word in enumerate(words):
        (run / f"{word}-{number}.pt").write_text(f"{word} {number}")


def test_each_checkpoint_is_scanned_and_told_once(store: Store, run: Path) -> None:
    put(run, "clean", "flagged", "inconclusive")
    first = watcher(store, run)
    events = {t.record.name: set(t.events) for t in first.step()}
    assert events == {
        "clean-0.pt": {"clean"},
        "flagged-1.pt": {"flagged"},
        "inconclusive-2.pt": {"inconclusive"},
    }
    assert first.exit_code == 1
    assert first.step() == []
    again = watcher(store, run)
    assert again.step() == []
    assert again.exit_code == 0
    (run / "copy.pt").write_text("flagged 1")
    assert again.step() == []
    assert len(store.history()) == 3


def test_what_cannot_be_scanned_fails_after_three_attempts_and_is_never_clean(
    store: Store, run: Path
) -> None:
    put(run, "raises")
    watching = watcher(store, run)
    assert watching.step() == []
    assert watching.pending == 1
    assert watching.step() == []
    (told,) = watching.step()
    assert told.events == {"failed"}
    assert "no such layer" in told.record.message
    assert watching.exit_code == 2
    assert watching.pending == 0


def test_a_scan_over_its_budget_fails(store: Store, run: Path) -> None:
    def slow(_path: Path, progress: Callable[[str, float], None]) -> Report:
        time.sleep(0.02)
        progress("refining", 0.5)
        return CLEAN

    put(run, "clean")
    watching = watcher(store, run, slow, max_seconds=0.01)
    for _ in range(3):
        watching.step()
    (row,) = store.history()
    assert row.state == "failed"
    assert "0.01 s" in row.message
    assert "refining" in row.message


def test_a_lease_is_renewed_while_the_scan_makes_progress(store: Store, run: Path) -> None:
    def slow(_path: Path, progress: Callable[[str, float], None]) -> Report:
        for _ in range(8):
            time.sleep(0.05)
            progress("refining", 0.5)
            assert other.step() == []
        return CLEAN

    put(run, "clean")
    other = watcher(store, run)
    (told,) = watcher(store, run, slow, lease_seconds=0.3).step()
    assert told.record.attempts == 1


def test_a_file_that_changes_while_it_is_scanned_is_not_judged(store: Store, run: Path) -> None:
    def rewriting(path: Path, _progress: object) -> Report:
        path.write_text("something else entirely")
        return CLEAN

    put(run, "clean")
    watching = watcher(store, run, rewriting)
    watching.step()
    (row,) = store.history()
    assert (row.state, row.verdict) == ("failed", None)
    assert "changed" in row.message


def test_who_could_not_be_told_is_told_when_possible(
    store: Store, run: Path, tmp_path: Path
) -> None:
    later = tmp_path / "later"
    rules = Rules(
        rules=(
            Rule(frozenset({"flagged"}), freeze=later / "stop.json"),
            Rule(frozenset({"flagged"}), exit_code=9, keep=tmp_path / "kept"),
        )
    )
    said: list[str] = []
    put(run, "flagged")
    watching = watcher(store, run, rules=rules, complain=said.append)
    assert watching.step() == []
    assert watching.untold == 1
    assert "cannot be written" in said[0]
    assert watching.exit_code == 9
    assert len(list((tmp_path / "kept").iterdir())) == 1
    later.mkdir()
    (told,) = watcher(store, run, rules=rules).step()
    assert told.events == {"flagged"}
    assert json.loads((later / "stop.json").read_text())["verdict"] == "FLAGGED"


def test_a_rising_series_is_told_as_drift(store: Store, run: Path) -> None:
    def scan(path: Path, _progress: object) -> Report:
        number = int(path.stem)
        level = 0.1 if number < 60 else 0.3
        return dataclasses.replace(CLEAN, statistic=level + 1e-3 * (number * 7 % 11))

    watching = watcher(store, run, scan)
    for number in range(80):
        (run / f"{number:03}.pt").write_text(str(number))
        told = watching.step()
        assert len(told) == 1
        if number < 60:
            assert told[0].events == {"clean"}
        if "drift" in told[0].events:
            break
    assert 60 <= number < 79
    assert watching.exit_code == 1

"""The history: claims, reports kept whole, lists; on SQLite and on a PostgreSQL server."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, text

from export_case import CLEAN, EVERY_KIND, INCONCLUSIVE, SAMPLE
from hessay.errors import ArgumentError, StoreError
from hessay.report import Report
from hessay.store import Store
from hessay.store.engine import open_engine
from hessay.store.tables import metadata
from store_case import SETTINGS, content


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "history.db")
    return str(request.getfixturevalue("postgresql"))


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with Store.open(where) as opened:
        yield opened


def scan_all(store: Store, name: str, reports: list[Report]) -> None:
    line = store.series(name, SETTINGS)
    for number, report in enumerate(reports):
        claim = store.claim(line, content(number), f"{number}.pt")
        assert claim is not None
        store.finish(claim, report)


def test_a_report_comes_back_whole(store: Store) -> None:
    scan_all(store, "line", list(EVERY_KIND))
    rows = store.history("line")
    assert [store.report(row.id) for row in reversed(rows)] == list(EVERY_KIND)
    for row, report in zip(reversed(rows), EVERY_KIND, strict=True):
        assert row.verdict == report.verdict.name
        assert row.statistic == report.statistic
        assert row.p_value == report.p_value
        assert row.model_digest == report.model.digest


def test_a_checkpoint_is_claimed_once(store: Store) -> None:
    line = store.series("line", SETTINGS)
    claim = store.claim(line, content(1), "a.pt")
    assert claim is not None
    assert store.claim(line, content(1), "copy of a.pt") is None
    store.finish(claim, SAMPLE)
    assert store.claim(line, content(1), "a.pt") is None
    other = store.series("other", SETTINGS)
    assert store.claim(other, content(1), "a.pt") is not None


def test_a_lease_that_is_over_goes_to_another_and_only_that_one_finishes(store: Store) -> None:
    line = store.series("line", SETTINGS)
    slow = store.claim(line, content(1), "a.pt", lease_seconds=0.01)
    assert slow is not None
    time.sleep(0.03)
    quick = store.claim(line, content(1), "a.pt")
    assert quick is not None
    assert (quick.id, quick.attempt) == (slow.id, 2)
    for late in (
        lambda: store.finish(slow, CLEAN),
        lambda: store.fail(slow, "late"),
        lambda: store.renew(slow),
    ):
        with pytest.raises(StoreError, match="gone to somebody else"):
            late()
    store.finish(quick, SAMPLE)
    assert store.report(quick.id) == SAMPLE


def test_a_renewed_lease_is_nobody_elses(store: Store) -> None:
    line = store.series("line", SETTINGS)
    claim = store.claim(line, content(1), "a.pt", lease_seconds=0.2)
    assert claim is not None
    longer = store.renew(claim, lease_seconds=600.0)
    assert longer.lease_until > claim.lease_until + 500
    time.sleep(0.3)
    assert store.claim(line, content(1), "a.pt") is None
    store.finish(longer, SAMPLE)


@pytest.mark.parametrize("ending", ["fails", "never comes back"])
def test_a_checkpoint_is_tried_three_times(store: Store, ending: str) -> None:
    line = store.series("line", SETTINGS)
    for attempt in (1, 2, 3):
        claim = store.claim(line, content(1), "a.pt", lease_seconds=0.005)
        assert claim is not None
        assert claim.attempt == attempt
        if ending == "fails":
            store.fail(claim, "no such layer")
        else:
            time.sleep(0.02)
    assert store.claim(line, content(1), "a.pt") is None
    (row,) = store.history()
    assert row.state == "failed"
    assert row.message


def test_pages_cover_the_history_once(store: Store) -> None:
    reports = [SAMPLE, CLEAN, INCONCLUSIVE, CLEAN, SAMPLE, CLEAN, CLEAN]
    scan_all(store, "line", reports)
    scan_all(store, "other", reports[:2])
    seen: list[int] = []
    before = None
    while page := store.history("line", before=before, limit=3):
        seen += [row.id for row in page]
        before = page[-1].id
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(reports)
    assert len(store.history("line", verdict="CLEAN")) == 4
    assert len(store.history(verdict="CLEAN")) == 5
    assert len(store.history(state="done")) == 9
    assert store.history("absent") == []
    assert [s for _, s in store.statistics("line")] == [r.statistic for r in reports]
    first, second = store.all_series()
    assert (first.series.name, first.n_done, first.n_flagged) == ("line", 7, 2)
    assert (second.series.name, second.n_done, second.n_flagged) == ("other", 2, 1)


def test_what_ended_is_told_once(store: Store) -> None:
    scan_all(store, "line", [SAMPLE, CLEAN])
    line = store.series("line", SETTINGS)
    claim = store.claim(line, content(7), "broken.pt")
    assert claim is not None
    assert len(store.untold(line)) == 2
    store.fail(claim, "no weights")
    names = [row.name for row in store.untold(line)]
    assert names == ["0.pt", "1.pt", "broken.pt"]
    for row in store.untold(line)[:2]:
        store.told(row.id)
    assert [row.name for row in store.untold(line)] == ["broken.pt"]


def test_other_settings_are_another_series(store: Store) -> None:
    store.series("line", SETTINGS)
    assert store.series("line", dict(reversed(SETTINGS.items()))).settings == SETTINGS
    with pytest.raises(ArgumentError, match=r"alpha = 0.01, now 0.05"):
        store.series("line", {**SETTINGS, "alpha": 0.05})


@pytest.mark.parametrize(
    "name", ["'; DROP TABLE scans; --", "a\0b", "\udcff.pt", "\x1b[2J", "<script>", "%s {0} :name"]
)
def test_names_are_data(store: Store, name: str) -> None:
    line = store.series(name, SETTINGS)
    claim = store.claim(line, content(1), name, worker=name)
    assert claim is not None
    store.fail(claim, name)
    (row,) = store.history(name)
    assert row.name == row.worker == row.series == row.message
    assert row.name == name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.series("", {}), "1 to 255"),
        (lambda s: s.series("x" * 256, {}), "got 256"),
        (lambda s: s.series("\0" * 100, {}), "got 400"),
        (lambda s: s.claim(s.series("a", {}), "ABC", "n"), "64 hexadecimal"),
        (lambda s: s.claim(s.series("a", {}), content(1), "n", lease_seconds=0), "got 0"),
        (lambda s: s.history(limit=0), "got 0"),
        (lambda s: s.history(verdict="clean"), "got 'clean'"),
        (lambda s: s.history(state="open"), "got 'open'"),
    ],
)
def test_arguments_are_checked(store: Store, call: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        call(store)


def test_a_scan_without_report_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match="scan 12 of"):
        store.report(12)


def test_migrations_lead_to_the_tables(where: str) -> None:
    engine = open_engine(where, read_only=False)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_newer_history_stays_as_it_is(where: str) -> None:
    engine = open_engine(where, read_only=False)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"newer hessay.*'9999'"):
            Store.open(where, read_only=read_only)


def test_a_reader_changes_nothing(where: str) -> None:
    with Store.open(where) as writer:
        scan_all(writer, "line", [SAMPLE])
    with Store.open(where, read_only=True) as reader:
        assert [row.verdict for row in reader.history()] == ["FLAGGED"]
        with pytest.raises(StoreError):
            reader.series("another", {})
        with pytest.raises(StoreError):
            reader.told(1)


def test_a_reader_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no history"):
        Store.open(tmp_path / "absent.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bytes_", [b"PK\x03\x04 a model", b"SQLite format 3\0 and then nothing"])
def test_a_file_that_is_no_history_stays_as_it_is(tmp_path: Path, bytes_: bytes) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(bytes_)
    with pytest.raises(StoreError):
        Store.open(file)
    assert file.read_bytes() == bytes_


@pytest.mark.parametrize("where_", ["mysql://root:secret@host/db", "sqlite://", "nonsense://", ""])
def test_other_places_are_refused_without_their_password(where_: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        Store.open(where_)
    assert "secret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(StoreError, match="did not answer") as caught:
        Store.open("postgresql://user:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)


def test_lists_are_read_from_indexes(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    with Store.open(file) as store:
        scan_all(store, "line", [SAMPLE, CLEAN])
    statements: list[tuple[str, Any]] = []
    with Store.open(file) as store:
        event.listen(
            store._engine,
            "before_cursor_execute",
            lambda _c, _cur, statement, values, *_: statements.append((statement, values)),
        )
        for line in (None, "line"):
            for verdict in (None, "FLAGGED"):
                for state in (None, "done"):
                    store.history(line, verdict=verdict, state=state, before=50)
    connection = sqlite3.connect(file)
    for statement, values in statements:
        if not statement.startswith("SELECT"):
            continue
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement, values)]
        assert not any("TEMP B-TREE" in step for step in plan), plan
        assert not any(step == "SCAN scans" for step in plan), plan
    connection.close()


def test_a_damaged_history_is_read_or_named(tmp_path: Path) -> None:
    good = tmp_path / "good.db"
    with Store.open(good) as store:
        scan_all(store, "line", [SAMPLE])
    content = good.read_bytes()
    rng = random.Random(3)
    opened = 0
    for number in range(150):
        spoiled = bytearray(content)
        for _ in range(rng.choice((1, 4, 40))):
            spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
        file = tmp_path / f"{number}.db"
        file.write_bytes(spoiled)
        try:
            with Store.open(file, read_only=True) as store:
                store.history()
                store.all_series()
                opened += 1
        except StoreError:
            pass
        assert file.read_bytes() == spoiled
    assert 0 < opened < 150

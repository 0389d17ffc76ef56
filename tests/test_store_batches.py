"""Data batches in the history: kept whole beside checkpoints, and older files brought up to them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, text
from starlette.testclient import TestClient

from export_case import SAMPLE
from hessay.errors import ArgumentError, StoreError
from hessay.serve import build_app
from hessay.store import BatchReport, Store
from hessay.store.engine import _as_url, _config, open_engine
from store_case import SETTINGS, content

BATCH = BatchReport(
    verdict="FLAGGED",
    n_samples=100,
    n_selected=2,
    smallest_p_value=1e-9,
    log_e=12.5,
    flagged_class=7,
    model_digest="a" * 64,
    probe_digest="b" * 64,
    test={"confidence": 0.99, "classes": [{"index": 7, "count": 3}]},
    ranking={"selected": [4, 2], "samples": {"score": [0.5, -1.0]}},
)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "history.db")
    return str(request.getfixturevalue("postgresql"))


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with Store.open(where) as opened:
        yield opened


def test_a_batch_comes_back_whole_beside_checkpoints(store: Store) -> None:
    line = store.series("data", SETTINGS, kind="data batch")
    claim = store.claim(line, content(1), "monday.npz")
    assert claim is not None
    store.finish(claim, BATCH)
    models = store.series("models", SETTINGS)
    other = store.claim(models, content(1), "a.pt")  # the same bytes in another series
    assert other is not None
    store.finish(other, SAMPLE)
    assert store.batch(claim.id) == BATCH
    assert store.report(other.id) == SAMPLE
    batch, scan = store.history("data")[0], store.history("models")[0]
    assert (batch.kind, batch.n_samples, batch.n_selected) == ("data batch", 100, 2)
    assert (batch.verdict, batch.statistic, batch.p_value) == ("FLAGGED", 12.5, 1e-9)
    assert (scan.kind, scan.n_samples, scan.n_selected) == ("checkpoint", None, None)
    assert store.statistics("data") == [(claim.id, 12.5)]
    assert {r.series.name: r.series.kind for r in store.all_series()} == {
        "data": "data batch",
        "models": "checkpoint",
    }


def test_a_series_keeps_its_kind(store: Store) -> None:
    store.series("line", SETTINGS)
    with pytest.raises(ArgumentError, match="kind = 'checkpoint', now 'data batch'"):
        store.series("line", SETTINGS, kind="data batch")
    with pytest.raises(ArgumentError, match="got 'model'"):
        store.series("line", SETTINGS, kind="model")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad", ["", "[]", "{}", '{"schema": "hessay.batch/1"}', "null", SAMPLE.to_json()]
)
def test_what_is_no_batch_is_named(bad: str) -> None:
    with pytest.raises(StoreError, match="no report of a data batch"):
        BatchReport.from_json(bad)


def test_a_history_of_the_first_version_is_brought_up_with_what_is_in_it(where: str) -> None:
    # The file as the first version made it: its tables by its own migration, its rows by hand.
    engine = create_engine(_as_url(where))
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text("INSERT INTO series (id, name, settings, created_at) VALUES (1, 'old', :s, 5.0)"),
            {"s": '{"alpha": 0.01, "seed": 0}'},
        )
        for number, state in ((1, "done"), (2, "failed")):
            connection.execute(
                text(
                    "INSERT INTO scans (id, series_id, content, name, state, token, worker, attempts,"
                    " claimed_at, lease_until, message, verdict, statistic, told_at)"
                    " VALUES (:i, 1, :c, 'a.pt', :s, 't', 'w', 3, 1.0, 2.0, 'm', :v, :x, 3.0)"
                ),
                {
                    "i": number,
                    "c": content(number),
                    "s": state,
                    "v": "FLAGGED" if state == "done" else None,
                    "x": SAMPLE.statistic if state == "done" else None,
                },
            )
        connection.execute(
            text("INSERT INTO reports (scan_id, report) VALUES (1, :r)"), {"r": SAMPLE.to_json()}
        )
        if connection.dialect.name == "postgresql":  # where the numbers go on after rows by hand
            for table, last in (("series", 1), ("scans", 2)):
                connection.execute(text(f"SELECT setval('{table}_id_seq', {last})"))
    engine.dispose()
    with pytest.raises(StoreError, match="older version"):
        Store.open(where, read_only=True)
    with Store.open(where) as store:
        rows = store.history("old")
        assert [(r.id, r.state, r.verdict, r.statistic, r.kind) for r in rows] == [
            (2, "failed", None, None, "checkpoint"),
            (1, "done", "FLAGGED", SAMPLE.statistic, "checkpoint"),
        ]
        assert store.report(1) == SAMPLE
        line = store.series("old", SETTINGS)
        assert line.kind == "checkpoint"
        assert store.claim(line, content(1), "a.pt") is None  # scanned already, still
        claim = store.claim(line, content(3), "b.pt")
        assert claim is not None
        assert claim.id > 2
    open_engine(where, read_only=True).dispose()


def test_the_pages_show_batches(store: Store) -> None:
    claim = store.claim(store.series("data", SETTINGS, kind="data batch"), content(1), "monday.npz")
    assert claim is not None
    store.finish(claim, BATCH)
    client = TestClient(build_app(store), base_url="http://localhost")
    page = client.get("/series/1").text
    assert "monday.npz" in page
    assert "<th>Batch</th>" in page
    assert "log e-value" in page
    answer = client.get(f"/scan/{claim.id}")
    assert answer.headers["content-type"].startswith("application/json")
    assert BatchReport.from_json(answer.text) == BATCH
    assert client.get(f"/scan/{claim.id}/report.json").text == answer.text
    # The evidence of one batch is its e-value; the rank of one among one would be a bet of about 1.
    (line,) = re.findall(
        r"^hessay_drift_evidence.* (\S+)$", client.get("/metrics").text, re.MULTILINE
    )
    assert float(line) == pytest.approx(math.exp(BATCH.log_e))

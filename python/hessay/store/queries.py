"""What the history is asked, as statements of either database."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Select, case, func, select

from hessay.store.records import ScanRecord, Series, SeriesRecord
from hessay.store.tables import scans, series

_DONE = scans.c.state == "done"


def scans_listed(
    line: str | None, verdict: str | None, state: str | None, before: int | None, limit: int
) -> Select[Any]:
    """Columns of :class:`ScanRecord`, the latest first; a page ends where the next ``before`` is."""
    wanted = _records()
    if line is not None:
        chosen = select(series.c.id).where(series.c.name == line).scalar_subquery()
        wanted = wanted.where(scans.c.series_id == chosen)
    if verdict is not None:
        wanted = wanted.where(scans.c.verdict == verdict)
    if state is not None:
        wanted = wanted.where(scans.c.state == state)
    if before is not None:
        wanted = wanted.where(scans.c.id < before)
    return wanted.order_by(scans.c.id.desc()).limit(limit)


def scan_of(series_id: int, content: str) -> Select[Any]:
    """Columns of :class:`ScanRecord`, of the one scan of a checkpoint."""
    return _records().where(scans.c.series_id == series_id, scans.c.content == content)


def scans_untold(series_id: int) -> Select[Any]:
    """Columns of :class:`ScanRecord` of ended scans, the oldest first."""
    ended = (scans.c.series_id == series_id, scans.c.state != "claimed")
    return _records().where(*ended, scans.c.told_at.is_(None)).order_by(scans.c.id)


def deciding_statistics(line: str) -> Select[Any]:
    """Ids and statistics of a series' finished scans, in the order of their claims."""
    return (
        select(scans.c.id, scans.c.statistic)
        .join_from(scans, series, scans.c.series_id == series.c.id)
        .where(series.c.name == line, _DONE)
        .order_by(scans.c.id)
    )


def series_counted() -> Select[Any]:
    """Every series beside the numbers of its scans, by name; see :func:`series_record`."""
    states = (("n_done", "done"), ("n_open", "claimed"), ("n_failed", "failed"))
    counts = (
        select(
            scans.c.series_id,
            *(
                func.sum(case((scans.c.state == state, 1), else_=0)).label(name)
                for name, state in states
            ),
            func.sum(case((scans.c.verdict == "FLAGGED", 1), else_=0)).label("n_flagged"),
            func.max(case((_DONE, scans.c.finished_at))).label("last_finished_at"),
        )
        .group_by(scans.c.series_id)
        .subquery()
    )
    return (
        select(series, counts)
        .join_from(series, counts, series.c.id == counts.c.series_id, isouter=True)
        .order_by(series.c.name)
    )


def series_record(row: Any) -> SeriesRecord:
    """Read one row of :func:`series_counted`; a series without scans has no counts."""
    return SeriesRecord(
        series=Series(row.id, row.name, json.loads(row.settings), row.kind),
        created_at=row.created_at,
        n_done=int(row.n_done or 0),
        n_open=int(row.n_open or 0),
        n_failed=int(row.n_failed or 0),
        n_flagged=int(row.n_flagged or 0),
        last_finished_at=row.last_finished_at,
    )


def _records() -> Select[Any]:
    own = [name for name in ScanRecord.__slots__ if name not in ("series", "kind")]
    columns = [scans.c[name] for name in own]
    return select(series.c.name.label("series"), series.c.kind, *columns).join_from(
        scans, series, scans.c.series_id == series.c.id
    )

"""The history: claims on checkpoints, reports kept whole, lists to look through."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Select, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from hessay.errors import ArgumentError, StoreError
from hessay.report import Report
from hessay.store import arguments, claims, queries
from hessay.store.batches import BatchReport, columns_of
from hessay.store.engine import now, open_engine, spoken
from hessay.store.records import KINDS, Claim, Kind, ScanRecord, Series, SeriesRecord
from hessay.store.tables import reports, scans, series

if TYPE_CHECKING:
    from typing_extensions import Self


class Store:
    """A history of scans in a SQLite file or a PostgreSQL database.

    Safe to share between threads and processes. What :meth:`finish` has returned from is on disk: a
    process killed at any moment loses at most the scan it was working on, which another may claim
    when the lease is over.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shown = engine.url.render_as_string(hide_password=True)

    @classmethod
    def open(cls, where: str | os.PathLike[str], *, read_only: bool = False) -> Store:
        """Open a history, or make an empty one.

        Parameters
        ----------
        where : path, "sqlite:///FILE" or "postgresql://USER:PASSWORD@HOST/NAME"
        read_only : bool
            Neither makes nor changes anything.

        Raises
        ------
        ArgumentError
            Neither a path nor such a URL.
        StoreError
            It cannot be reached, is no database, or was written by a newer version.
        """
        return cls(open_engine(where, read_only=read_only))

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def series(
        self, name: str, settings: Mapping[str, object], *, kind: Kind = "checkpoint"
    ) -> Series:
        """Find a series by its name, or begin it.

        Parameters
        ----------
        name : str of 1 to 255 characters
        settings : mapping of JSON values
            What all its scans share. Statistics measured otherwise are another series.
        kind : "checkpoint" or "data batch"
            What is scanned.

        Raises
        ------
        ArgumentError
            The name is too long, or the series was begun with other settings or of another kind.
        """
        name = arguments.storable(name)
        if kind not in KINDS:
            raise ArgumentError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if not name or len(name) > arguments.LONGEST_NAME:
            raise ArgumentError(
                f"a series has a name of 1 to {arguments.LONGEST_NAME} characters, got {len(name)}"
            )
        given = json.dumps(dict(settings), sort_keys=True, allow_nan=False)
        with spoken(self._shown), self._engine.begin() as connection:
            row = {"name": name, "settings": given, "created_at": now(connection), "kind": kind}
            connection.execute(
                self._insert(series).values(row).on_conflict_do_nothing(index_elements=["name"])
            )
            found = connection.execute(select(series).where(series.c.name == name)).one()
        kept: dict[str, object] = json.loads(found.settings)
        both = ({"kind": found.kind, **kept}, {"kind": kind, **json.loads(given)})
        arguments.require_same_settings(name, *both)
        return Series(id=found.id, name=name, settings=kept, kind=kind)

    def claim(
        self,
        line: Series,
        content: str,
        name: str,
        *,
        worker: str = "",
        lease_seconds: float = 600.0,
    ) -> Claim | None:
        """Ask for the right to scan a checkpoint.

        Parameters
        ----------
        line : Series
        content : str
            sha256 of the file's bytes, 64 hexadecimal digits: copies and renamed files are the same.
        name : str
            Of the file, for people.
        worker : str
            Who asks, for people.
        lease_seconds : float > 0
            After that another may claim it, unless :meth:`renew` was called.

        Returns
        -------
        Claim or None
            None where it is scanned already, is being scanned, or has failed three times.
        """
        arguments.require_content(content)
        arguments.require_lease(lease_seconds)
        token = uuid.uuid4().hex
        with spoken(self._shown), self._engine.begin() as connection:
            time = now(connection)
            mine = {
                "name": arguments.storable(name),
                "state": "claimed",
                "token": token,
                "worker": arguments.storable(worker),
                "claimed_at": time,
                "lease_until": time + lease_seconds,
                "message": "",
                "told_at": None,
            }
            connection.execute(claims.give_up(line.id, content, time))
            won = connection.execute(
                claims.take(self._insert(scans), line.id, content, mine, time)
            ).one_or_none()
        if won is None:
            return None
        return Claim(won.id, token, won.attempts, time + lease_seconds)

    def renew(self, claim: Claim, *, lease_seconds: float = 600.0) -> Claim:
        """Hold a claim for longer.

        Raises
        ------
        StoreError
            The lease was over and somebody else has claimed it.
        """
        arguments.require_lease(lease_seconds)
        with spoken(self._shown), self._engine.begin() as connection:
            until = now(connection) + lease_seconds
            held = connection.execute(claims.held(claim).values(lease_until=until)).rowcount
        self._require_held(held, claim)
        return Claim(claim.id, claim.token, claim.attempt, until)

    def finish(self, claim: Claim, report: Report | BatchReport) -> None:
        """Keep the report of a claimed scan, for good.

        Raises
        ------
        StoreError
            The lease was over and somebody else has claimed it: their report will be kept.
        """
        columns = columns_of(report)
        with spoken(self._shown), self._engine.begin() as connection:
            time = now(connection)
            done = claims.held(claim).values(state="done", finished_at=time, **columns)
            held = connection.execute(done).rowcount
            if held:
                whole = {"scan_id": claim.id, "report": report.to_json()}
                connection.execute(insert(reports).values(whole))
        self._require_held(held, claim)

    def fail(self, claim: Claim, message: str) -> None:
        """Give a claim back with the reason why there is no report; it may be claimed again.

        Raises
        ------
        StoreError
            The lease was over and somebody else has claimed it.
        """
        with spoken(self._shown), self._engine.begin() as connection:
            held = connection.execute(
                claims.held(claim).values(
                    state="failed", finished_at=now(connection), message=arguments.storable(message)
                )
            ).rowcount
        self._require_held(held, claim)

    def history(
        self,
        line: str | None = None,
        *,
        verdict: str | None = None,
        state: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[ScanRecord]:
        """List scans, the latest first.

        Parameters
        ----------
        line : str or None
            Name of a series; all of them without it.
        verdict : "CLEAN", "FLAGGED", "INCONCLUSIVE" or None
        state : "claimed", "done", "failed" or None
        before : int or None
            Only scans with a smaller ``id``: the next page.
        limit : int in [1, 10000]
        """
        arguments.require_filters(verdict, state, limit)
        wanted = queries.scans_listed(
            None if line is None else arguments.storable(line), verdict, state, before, limit
        )
        return [ScanRecord(**row._mapping) for row in self._read(wanted)]

    def report(self, scan: int) -> Report:
        """Give the whole report of a scan of a checkpoint; raises as :meth:`document`."""
        return Report.from_json(self.document(scan))

    def batch(self, scan: int) -> BatchReport:
        """Give the whole report of a data batch; raises as :meth:`document`."""
        return BatchReport.from_json(self.document(scan))

    def document(self, scan: int) -> str:
        """Give the report of a checkpoint or a batch as it was kept, JSON.

        Raises
        ------
        StoreError
            There is no such scan, or it has no report.
        """
        rows = self._read(select(reports.c.report).where(reports.c.scan_id == scan))
        if not rows:
            raise StoreError(f"scan {scan} of {self._shown} has no report")
        return str(rows[0].report)

    def statistics(self, line: str) -> list[tuple[int, float | None]]:
        """List the ids of a series' finished scans with their deciding statistics, oldest first."""
        rows = self._read(queries.deciding_statistics(arguments.storable(line)))
        return [(row.id, row.statistic) for row in rows]

    def find(self, line: Series, content: str) -> ScanRecord | None:
        """Give the scan of a checkpoint, by the sha256 of its bytes; None where there is none."""
        rows = self._read(queries.scan_of(line.id, content))
        return ScanRecord(**rows[0]._mapping) if rows else None

    def untold(self, line: Series) -> list[ScanRecord]:
        """List a series' finished and failed scans nobody was told of yet, oldest first."""
        return [ScanRecord(**row._mapping) for row in self._read(queries.scans_untold(line.id))]

    def told(self, scan: int) -> None:
        """Note that all who are to be told of a scan have been."""
        with spoken(self._shown), self._engine.begin() as connection:
            noted = update(scans).where(scans.c.id == scan, scans.c.state != "claimed")
            connection.execute(noted.values(told_at=now(connection)))

    def all_series(self) -> list[SeriesRecord]:
        """List the series with how many scans they have, in the order of their names."""
        return [queries.series_record(row) for row in self._read(queries.series_counted())]

    def _read(self, wanted: Select[Any]) -> list[Any]:
        with (
            spoken(self._shown),
            self._engine.connect().execution_options(reads=True) as connection,
        ):
            return list(connection.execute(wanted).all())

    def _insert(self, table: Any) -> Any:
        """Make an INSERT that knows ON CONFLICT, which each dialect brings its own of."""
        module = sqlite if self._engine.dialect.name == "sqlite" else postgresql
        return module.insert(table)

    def _require_held(self, held: int, claim: Claim) -> None:
        if not held:
            raise StoreError(
                f"the claim on scan {claim.id} was over and it has gone to somebody else; "
                f"ask for a longer lease, or renew it in time"
            )

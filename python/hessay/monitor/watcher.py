"""One step of watching: look, scan what is new, tell who is to be told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hessay.errors import HessayError, StoreError
from hessay.monitor.actions import ActionError, message, perform
from hessay.monitor.drift import detector_for
from hessay.monitor.rules import Rules, weight
from hessay.monitor.settling import Checkpoint, Folder
from hessay.report import Report
from hessay.store import BatchReport, Claim, ScanRecord, Series, Store

Progress = Callable[[str, float], None]
LEASE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Told:
    """A scan that ended, and what it meant."""

    record: ScanRecord
    events: frozenset[str]  # of hessay.monitor.rules.EVENTS
    evidence: float | None  # of the test for drift after this scan; None without a statistic


class _OverBudget(HessayError, RuntimeError):
    """A scan took longer than it may."""


class Watcher:
    """Scans each checkpoint of a folder once, whoever else watches it, and tells of it at least once.

    Everything that must survive is in the store: a watcher killed at any moment and started again goes
    on where it was.
    """

    def __init__(
        self,
        folder: Folder,
        store: Store,
        line: Series,
        scan: Callable[[Path, Progress], Report | BatchReport],
        *,
        rules: Rules | None = None,
        worker: str = "",
        max_seconds: float = 3600.0,
        lease_seconds: float = LEASE_SECONDS,
        complain: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Put the parts together.

        Parameters
        ----------
        folder : Folder
        store : Store
        line : Series
            The history the scans belong to.
        scan : (path, progress) -> Report, or BatchReport where the line is of data batches
            Calls ``progress(phase, share_done)`` now and then: there the lease is renewed and the
            budget held.
        rules : Rules or None
            Those of :class:`Rules` without any.
        worker : str
            A name for this watcher in the store.
        max_seconds : float > 0
            Wall-clock budget of a scan, looked at between its phases.
        lease_seconds : float > 0
            For how long a scan may be silent before another watcher takes it over.
        complain : (message) -> None
            Gets what could not be done and is tried again.
        """
        self._folder = folder
        self._store = store
        self._line = line
        self._scan = scan
        self._rules = rules or Rules()
        self._worker = worker
        self._max_seconds = max_seconds
        self._lease_seconds = lease_seconds
        self._complain = complain
        self._pending: dict[str, Checkpoint] = {}
        self._files: dict[str, Checkpoint] = {}
        self._performed: set[tuple[int, int]] = set()
        self.exit_code = 0  # the weightiest so far
        self.unsettled = 0  # files that are too new, or still change
        self.pending = 0  # finished files that are being scanned elsewhere, or tried again
        self.untold = 0  # scans of which somebody could not be told

    def step(self) -> list[Told]:
        """Look once, scan all that is finished, tell.

        Returns
        -------
        list of Told
            What ended, whoever scanned it, and all that are to be told of were told of.

        Raises
        ------
        StoreError
            The store does not answer; nothing is lost, the step can be repeated.
        """
        look = self._folder.look()
        for problem in look.problems:
            self._complain(problem)
        for checkpoint in look.ready:
            self._pending[checkpoint.content] = self._files[checkpoint.content] = checkpoint
        for checkpoint in list(self._pending.values()):
            if self._settled(checkpoint):
                del self._pending[checkpoint.content]
        self.unsettled, self.pending = look.waiting, len(self._pending)
        return self._tell()

    def _settled(self, checkpoint: Checkpoint) -> bool:
        """Scan it unless somebody else does or did; whether there is nothing left to do."""
        if not self._folder.unchanged(checkpoint):
            return True  # another look will find what it has become
        claim = self._store.claim(
            self._line,
            checkpoint.content,
            str(checkpoint.path.relative_to(self._folder.path)),
            worker=self._worker,
            lease_seconds=self._lease_seconds,
        )
        if claim is not None:
            self._scan_claimed(checkpoint, claim)
        record = self._store.find(self._line, checkpoint.content)
        return record is not None and record.is_over

    def _scan_claimed(self, checkpoint: Checkpoint, claim: Claim) -> None:
        began = renewed = time.monotonic()

        def progress(phase: str, _share: float) -> None:
            nonlocal claim, renewed
            now = time.monotonic()
            if now - began > self._max_seconds:
                raise _OverBudget(
                    f"the scan took more than {self._max_seconds:g} s, and was at {phase!r}; "
                    f"allow more, or take fewer probes"
                )
            if now - renewed > self._lease_seconds / 3:
                claim = self._store.renew(claim, lease_seconds=self._lease_seconds)
                renewed = now

        try:
            try:
                report = self._scan(checkpoint.path, progress)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
                self._store.fail(claim, _words(error))
                return
            if not self._folder.unchanged(checkpoint):
                self._store.fail(claim, "the file changed while it was scanned")
                return
            self._store.finish(claim, report)
        except StoreError as error:
            self._complain(str(error))

    def _tell(self) -> list[Told]:
        rows = self._store.untold(self._line)
        self.untold = 0
        if not rows:
            return []
        evidence, alarms = self._drift()
        told = []
        for row in rows:
            if not row.is_over:
                continue  # it failed and will be tried again
            events = _events(row) | ({"drift"} if row.id in alarms else set())
            try:
                self._perform(row, frozenset(events))
            except ActionError as error:
                self._complain(f"{row.name}: {error}; it is tried again")
                self.untold += 1
                continue
            self._store.told(row.id)
            told.append(Told(row, frozenset(events), evidence.get(row.id)))
        return told

    def _perform(self, row: ScanRecord, events: frozenset[str]) -> None:
        code = self._rules.exit_code(events)
        if weight(code) > weight(self.exit_code):
            self.exit_code = code
        report = self._store.document(row.id) if row.state == "done" else None
        file = self._files.get(row.content)
        path = file.path if file is not None and self._folder.unchanged(file) else None
        failed: ActionError | None = None
        for number, rule in enumerate(self._rules.rules):
            if not rule.when & events or (row.id, number) in self._performed:
                continue
            try:
                perform(rule, message(row, events), report, path)
            except ActionError as error:
                failed = failed or error
            else:
                self._performed.add((row.id, number))
        if failed is not None:
            raise failed

    def _drift(self) -> tuple[dict[int, float], set[int]]:
        """Replay the series: what is not kept cannot contradict what is."""
        detector = detector_for(
            self._line.kind, average_run_length=self._rules.rates.average_run_length
        )
        evidence: dict[int, float] = {}
        alarms = set()
        for scan, statistic in self._store.statistics(self._line.name):
            if statistic is None:
                continue
            drift = detector.update(statistic, key=scan)
            evidence[scan] = drift.evidence
            if drift.alarm:
                alarms.add(scan)
        return evidence, alarms


def _events(row: ScanRecord) -> set[str]:
    return {"failed" if row.state == "failed" else str(row.verdict).lower()}


def _words(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:1000]
    except Exception:  # noqa: BLE001 - a hostile class may raise in __str__
        return type(error).__name__

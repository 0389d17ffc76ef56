"""What ``hessay watch`` and ``hessay watch-data`` share: a folder that is looked at again and again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hessay._printable import printable
from hessay.cli.streams import complain, emit
from hessay.errors import ArgumentError, StoreError

if TYPE_CHECKING:
    from hessay.monitor import Rates, Told, Watcher
    from hessay.report import Report
    from hessay.store import BatchReport, Kind

Scan = Callable[[Path, Any], "Report | BatchReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a folder is watched; the options that both commands have."""

    history: str
    series: str | None
    rules: str | None
    once: bool
    until_alarm: bool
    every: float  # seconds
    settle: float  # seconds
    max_seconds: float
    threads: int
    quiet: bool


def watch_folder(
    folder: str,
    manner: Manner,
    *,
    kind: Kind,
    prepare: Callable[[Path], tuple[Scan, Mapping[str, object]]],
    expected: Callable[[Rates], str],
) -> int:
    """Watch until told to stop.

    Parameters
    ----------
    folder : str
    manner : Manner
    kind : "checkpoint" or "data batch"
    prepare : (folder) -> (scan, settings)
        Loads what all scans share; the settings are the series'.
    expected : (rates) -> str
        Says how many false alarms are to be expected.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    ArgumentError
        An option is out of range, or the packages are not installed.
    """
    for name, value in (("every", manner.every), ("max-seconds", manner.max_seconds)):
        if not 0 < value < float("inf"):
            raise ArgumentError(f"--{name} must be positive and finite, got {value}")
    if manner.threads < 1:
        raise ArgumentError(f"--threads must be at least 1, got {manner.threads}")
    try:
        from hessay import monitor, store
    except ImportError as error:
        raise ArgumentError(
            f"hessay watch needs more packages ({error.name}); pip install 'hessay[watch]'"
        ) from None
    chosen = monitor.load_rules(manner.rules) if manner.rules is not None else monitor.Rules()
    data = kind == "data batch"
    place = monitor.Folder(
        folder,
        suffixes=monitor.DATA_SUFFIXES if data else monitor.SUFFIXES,
        settle_seconds=manner.settle,
        picture_folders=data,
    )
    from hessay.hessian.threads import limit_torch

    limit_torch(manner.threads)
    name = manner.series or str(place.path.resolve())
    with store.Store.open(manner.history) as kept:
        scan, settings = prepare(place.path)
        watcher = monitor.Watcher(
            place,
            kept,
            kept.series(name, settings, kind=kind),
            scan,
            rules=chosen,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            max_seconds=manner.max_seconds,
            complain=lambda words: complain(words, "warning"),
        )
        if not manner.quiet:
            complain(expected(chosen.rates), "note")
        with _stop_signals() as stop:
            return _loop(watcher, stop, manner)


def _loop(
    watcher: Watcher,
    stop: threading.Event,
    manner: Manner,
) -> int:
    once, settle = manner.once, manner.settle
    began = time.monotonic()
    while not stop.is_set():
        try:
            for told in watcher.step():
                emit(_line(told))
        except StoreError as error:
            if once:
                raise
            complain(f"{error}; it is tried again", "warning")
        if manner.until_alarm and watcher.exit_code != 0:
            break
        if once and not watcher.pending and _settled_enough(watcher, began, settle):
            break
        # The first look only notes what there is: --once comes back when it can have settled.
        stop.wait(settle + 0.01 if once else manner.every)
    if watcher.untold:
        complain(f"of {watcher.untold} scans somebody could not be told", "warning")
        return watcher.exit_code or 2
    return watcher.exit_code


def _settled_enough(watcher: Watcher, began: float, settle: float) -> bool:
    """Whether nothing more is to be waited for: a file that is written all the time never settles."""
    if watcher.unsettled and time.monotonic() - began > 5 * settle + 1:
        complain(
            f"{watcher.unsettled} files still change; call again when they are done", "warning"
        )
        return True
    return not watcher.unsettled


def _line(told: Told) -> str:
    row = told.record
    if row.state == "failed":
        return f"{'FAILED':12} {printable(row.name)}: {printable(' '.join(row.message.split()))}\n"
    numbers = "" if row.statistic is None else f"  statistic {row.statistic:.4g}"
    numbers += "" if row.threshold is None else f", threshold {row.threshold:.4g}"
    if row.n_samples is not None:
        numbers = f"  {row.n_selected} of {row.n_samples} selected, log e-value {row.statistic:.4g}"
    suspect = "" if row.flagged_class is None else f", class {row.flagged_class}"
    drift = ", the series drifts" if "drift" in told.events else ""
    return f"{row.verdict:12} {printable(row.name)}{numbers}{suspect}{drift}\n"


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set, so that a scan in work is finished and kept."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

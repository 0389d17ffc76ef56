"""``hessay watch``: every checkpoint of a run, as it appears."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hessay._printable import printable
from hessay.cli.streams import complain, emit, guarded
from hessay.errors import ArgumentError, StoreError

if TYPE_CHECKING:
    from hessay.monitor import Told, Watcher
    from hessay.report import Report


def watch(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="Where checkpoints appear, at any depth.")
    ],
    arch: Annotated[
        str,
        typer.Option(
            metavar="ARCH",
            help="As for hessay scan. A factory is imported and called: name only code that you trust.",
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="PROBE.npz", help="Clean inputs (n, ...) as `inputs`, labels as `targets`."
        ),
    ],
    history: Annotated[
        str,
        typer.Option(
            metavar="FILE|URL", help="Where reports are kept: a SQLite file, or postgresql://..."
        ),
    ] = "hessay-history.db",
    series: Annotated[
        str | None, typer.Option(help="Name of this run in the history; the folder's by default.")
    ] = None,
    rules: Annotated[
        str | None, typer.Option(metavar="RULES.toml", help="Who is told of what.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Scan what is there and leave; for cron.")
    ] = False,
    until_alarm: Annotated[
        bool, typer.Option("--until-alarm", help="Leave at the first exit code that is not 0.")
    ] = False,
    every: Annotated[float, typer.Option(metavar="SECONDS", help="Between looks.")] = 10.0,
    settle: Annotated[
        float, typer.Option(metavar="SECONDS", help="A file is finished when unchanged so long.")
    ] = 5.0,
    max_seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="Budget of a scan.")
    ] = 3600.0,
    threads: Annotated[int, typer.Option(help="Threads of a scan.")] = 1,
    alpha: Annotated[float, typer.Option(help="False alarms among clean models, a scan.")] = 0.01,
    references: Annotated[
        str | None, typer.Option(metavar="FILE|DIR", help="Clean references, as for hessay scan.")
    ] = None,
    wrt: Annotated[str, typer.Option(metavar="MODULE", help="As for hessay scan.")] = "input",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only verdicts.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Scan every checkpoint of a run once, keep the reports, tell who is to be told.

    Ends at Ctrl-C or SIGTERM. Exit code, of all that was told of while it ran: 1 flagged or drifted,
    2 a scan failed or this could not run, 3 inconclusive, 0 otherwise; a rules file may give others.
    """

    def body() -> int:
        for name, value in (("every", every), ("max-seconds", max_seconds)):
            if not 0 < value < float("inf"):
                raise ArgumentError(f"--{name} must be positive and finite, got {value}")
        if threads < 1:
            raise ArgumentError(f"--threads must be at least 1, got {threads}")
        try:
            from hessay import monitor, store
        except ImportError as error:
            raise ArgumentError(
                f"hessay watch needs more packages ({error.name}); pip install 'hessay[watch]'"
            ) from None
        chosen = monitor.load_rules(rules) if rules is not None else monitor.Rules()
        place = monitor.Folder(folder, settle_seconds=settle)
        scan = _scanner(arch, data, alpha, references, wrt, seed, threads)
        name = series or str(place.path.resolve())
        with store.Store.open(history) as kept:
            line = kept.series(name, _settings(arch, data, alpha, references, wrt, seed))
            watcher = monitor.Watcher(
                place,
                kept,
                line,
                scan,
                rules=chosen,
                worker=f"{socket.gethostname()}:{os.getpid()}",
                max_seconds=max_seconds,
                complain=lambda words: complain(words, "warning"),
            )
            if not quiet:
                rates = chosen.rates
                complain(
                    f"at {rates.scans_per_year:g} scans a year expect up to "
                    f"{alpha * rates.scans_per_year:g} false verdicts (alpha = {alpha:g}) and "
                    f"{rates.drift_false_alarms_per_year:g} false alarms of drift",
                    "note",
                )
            with _stop_signals() as stop:
                return _loop(watcher, stop, once, until_alarm, every, settle)

    return guarded(body, debug=debug)


def _loop(
    watcher: Watcher,
    stop: threading.Event,
    once: bool,
    until_alarm: bool,
    every: float,
    settle: float,
) -> int:
    began = time.monotonic()
    while not stop.is_set():
        try:
            for told in watcher.step():
                emit(_line(told))
        except StoreError as error:
            if once:
                raise
            complain(f"{error}; it is tried again", "warning")
        if until_alarm and watcher.exit_code != 0:
            break
        if once and not watcher.pending and _settled_enough(watcher, began, settle):
            break
        # The first look only notes what there is: --once comes back when it can have settled.
        stop.wait(settle + 0.01 if once else every)
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
    suspect = "" if row.flagged_class is None else f", class {row.flagged_class}"
    drift = ", the series drifts" if "drift" in told.events else ""
    return f"{row.verdict:12} {printable(row.name)}{numbers}{suspect}{drift}\n"


def _settings(
    arch: str, data: str, alpha: float, references: str | None, wrt: str, seed: int
) -> dict[str, object]:
    from hessay import __version__
    from hessay.probe import Probe

    return {
        "arch": arch,
        "probe": Probe.load(data).digest,
        "alpha": alpha,
        "references": references,
        "wrt": wrt,
        "seed": seed,
        "hessay": __version__,
    }


def _scanner(
    arch: str,
    data: str,
    alpha: float,
    references: str | None,
    wrt: str,
    seed: int,
    threads: int,
) -> Any:
    from hessay._scan_file import scan_file
    from hessay.hessian.threads import limit_torch

    limit_torch(threads)

    def scan(path: Path, progress: Any) -> Report:
        return scan_file(
            path,
            arch,
            data,
            alpha=alpha,
            references=references,
            wrt=wrt,
            seed=seed,
            progress=progress,
        )

    return scan


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

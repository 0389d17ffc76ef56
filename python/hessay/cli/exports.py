"""``--export FORMAT=FILE`` of ``hessay scan``, and ``hessay export`` for saved reports."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hessay.cli.saved import read_report
from hessay.cli.streams import complain, emit, guarded
from hessay.errors import ArgumentError

if TYPE_CHECKING:
    from hessay.report import Report


class ExportFormat(str, enum.Enum):
    """Formats for other programs."""

    sarif = "sarif"
    cyclonedx = "cyclonedx"
    junit = "junit"
    prometheus = "prometheus"
    model_card = "model-card"


class Inconclusive(str, enum.Enum):
    """What an inconclusive scan is to JUnit."""

    error = "error"
    failure = "failure"
    skipped = "skipped"


def export(
    reports: Annotated[
        list[str],
        typer.Argument(metavar="REPORT.json...", help="What `hessay scan --json` wrote."),
    ],
    format_: Annotated[ExportFormat, typer.Option("--format", help="What to write.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Write it there, or not at all; else to stdout."
        ),
    ] = None,
    inconclusive: Annotated[
        Inconclusive | None,
        typer.Option(help="For junit: what an inconclusive scan is; by default an error."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Write saved reports for other programs, several into one file."""

    def body() -> int:
        from hessay.render.files import check_writable, write

        if inconclusive is not None and format_ is not ExportFormat.junit:
            raise ArgumentError(f"--inconclusive is for --format junit, got {format_.value}")
        target = None if output in (None, "-") else output
        if target is not None and check_writable(target) in {Path(r).resolve() for r in reports}:
            raise ArgumentError(f"--out {target} is one of the reports; name another file")
        found = [read_report(path) for path in reports]
        text = _exported(found, format_, inconclusive)
        if target is None:
            emit(text)
        else:
            write(text, target)
        return 0

    return guarded(body, debug=debug)


def parse_exports(
    asked: Sequence[str] | None, output: str | None
) -> tuple[tuple[ExportFormat, str], ...]:
    """Take ``FORMAT=FILE`` apart and make sure, before anything long begins, that all can be written.

    Parameters
    ----------
    asked : sequence of str or None
        As given with ``--export``.
    output : str or None
        File of the report itself.

    Raises
    ------
    ArgumentError
        An unknown format, no file, a file that cannot be written, or the same file twice.
    """
    from hessay.render.files import check_writable

    known = [entry.value for entry in ExportFormat]
    taken = {check_writable(output)} if output is not None else set()
    pairs = []
    for words in asked or ():
        name, _, path = words.partition("=")
        if name not in known or not path:
            raise ArgumentError(
                f"--export takes FORMAT=FILE with a format of {', '.join(known)}; got {words}"
            )
        target = check_writable(path)
        if target in taken:
            raise ArgumentError(f"{path} would be written twice; give each export its own file")
        taken.add(target)
        pairs.append((ExportFormat(name), path))
    return tuple(pairs)


def write_exports(
    report: Report,
    exports: Sequence[tuple[ExportFormat, str]],
    *,
    quiet: bool,
    inconclusive: Inconclusive | None = None,
) -> None:
    """Write one report in every format asked for, each file whole or not at all."""
    from hessay.render.files import write

    for chosen, path in exports:
        write(_exported([report], chosen, inconclusive), path)
        if not quiet:
            complain(f"{chosen.value} is in {path}", "note")


def _exported(
    reports: list[Report], chosen: ExportFormat, inconclusive: Inconclusive | None
) -> str:
    from hessay.export import FORMATS, junit

    if chosen is ExportFormat.junit and inconclusive is not None:
        return junit(reports, inconclusive=inconclusive.value)
    return FORMATS[chosen.value](reports)

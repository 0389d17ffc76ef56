"""``hessay scan``: one model, one probe, one verdict."""

from __future__ import annotations

import enum
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from hessay.cli.exports import ExportFormat, Inconclusive, parse_exports, write_exports
from hessay.cli.shared import Device, PreprocessingFile
from hessay.cli.streams import complain, emit, guarded, progress_bar
from hessay.errors import ArgumentError

if TYPE_CHECKING:
    from hessay.report import Report

# The flow behind it is imported when a command runs: --help is quick, a wrong option is told at
# once, and doctor still answers where torch or the native core is broken.
EXIT_CODES = {"CLEAN": 0, "FLAGGED": 1, "INCONCLUSIVE": 3}


class Format(str, enum.Enum):
    """How a report is written."""

    text = "text"
    json = "json"
    html = "html"


_SUFFIXES = {".json": Format.json, ".html": Format.html, ".htm": Format.html}


def scan(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Weights: .safetensors, a torch state dict, .pt2 or .onnx."
        ),
    ],
    arch: Annotated[
        str,
        typer.Option(
            "--arch",
            metavar="ARCH",
            help="mlp:784-512-10[:gelu], linear:784-10, cnn:1x28x28-10 or package.module:factory. "
            "A factory is imported and called: name only code that you trust.",
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="PROBE",
            help="Clean inputs: .npz with `inputs` (n, ...) and labels as `targets`, a folder of "
            "pictures, or .parquet with `image` and `label`.",
        ),
    ],
    alpha: Annotated[float, typer.Option(help="Accepted rate of false alarms.")] = 0.01,
    references: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR|train",
            help="Clean references: a file of hessay calibrate, a folder of weights of the same "
            "architecture, or, with --holdout, `train` (small networks) or `own` (copies of the "
            "model's architecture: slower).",
        ),
    ] = None,
    holdout: Annotated[
        str | None,
        typer.Option(
            metavar="HOLDOUT.npz",
            help="Labelled clean data for --references train or own; not the probe.",
        ),
    ] = None,
    wrt: Annotated[
        str,
        typer.Option(
            metavar="MODULE",
            help="Examine the model at the output of this module, for token ids its embedding.",
        ),
    ] = "input",
    preprocessing: PreprocessingFile = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Of the report; by default from the name given with -o."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Same as --format json.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the report there, or not at all."
        ),
    ] = None,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT=FILE",
            help="Write it for other programs too: sarif, cyclonedx, junit, prometheus or "
            "model-card. Can be given several times.",
        ),
    ] = None,
    inconclusive: Annotated[
        Inconclusive | None,
        typer.Option(help="For --export junit: what INCONCLUSIVE is there; by default an error."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Scan a model for poison."""

    def body() -> int:
        from hessay import render
        from hessay.render.files import check_writable

        chosen = choose_format(format_, json, output)
        target = None if output in (None, "-") else output
        if target is not None:
            check_writable(target)
        exports = parse_exports(export, target)
        if inconclusive is not None and ExportFormat.junit not in dict(exports):
            raise ArgumentError(
                f"--inconclusive {inconclusive.value} is for --export junit=FILE, which is not asked for"
            )
        from hessay._scan_file import scan_file

        with progress_bar(quiet=quiet) as progress:
            report = scan_file(
                model,
                arch,
                data,
                alpha=alpha,
                references=references,
                holdout=holdout,
                wrt=wrt,
                seed=seed,
                preprocessing=preprocessing,
                device=device,
                progress=progress,
            )
        if target is None:
            _show(report, chosen)
        else:
            render.write(_written(report, chosen), target)
            emit(f"{report.verdict}: {render.headline(report)}\n")
            if not quiet:
                complain(f"the report is in {target}", "note")
        # The report is out before the rest is tried: what fails here loses no verdict.
        write_exports(report, exports, quiet=quiet, inconclusive=inconclusive)
        return EXIT_CODES[report.verdict.name]

    return guarded(body, debug=debug)


def choose_format(asked: Format | None, json: bool, output: str | None) -> Format:
    """Settle on one format.

    Raises
    ------
    ArgumentError
        ``--json`` together with another ``--format``.
    """
    if json and asked not in (None, Format.json):
        raise ArgumentError(f"--json contradicts --format {asked.value}; give one of them")
    if json:
        return Format.json
    if asked is not None:
        return asked
    return _SUFFIXES.get(PurePath(output or "").suffix.lower(), Format.text)


def _written(report: Report, chosen: Format) -> str:
    from hessay import render

    if chosen is Format.json:
        return report.to_json()
    return render.html(report) if chosen is Format.html else render.text(report)


def _show(report: Report, chosen: Format) -> None:
    if chosen is Format.text and sys.stdout.isatty():
        from rich.console import Console

        from hessay import render

        console = Console()
        with console.capture() as captured:
            console.print(render.panel(report))
        emit(captured.get())
    else:
        emit(_written(report, chosen))

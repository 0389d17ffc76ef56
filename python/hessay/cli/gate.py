"""``hessay gate``: several checkpoints, one exit code."""

from __future__ import annotations

from typing import Annotated

import typer

from hessay._printable import printable
from hessay.cli.scan import EXIT_CODES
from hessay.cli.shared import Device, PreprocessingFile
from hessay.cli.streams import complain, emit, guarded
from hessay.errors import HessayError

_WEIGHT = {1: 3, 2: 2, 3: 1, 0: 0}  # an alarm outweighs a failure, and that an open question


def gate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Files of weights.")],
    arch: Annotated[
        str,
        typer.Option(
            "--arch",
            metavar="ARCH",
            help="As for hessay scan. A factory is imported and called: name only code that you trust.",
        ),
    ],
    data: Annotated[str, typer.Option(metavar="PROBE", help="As for hessay scan.")],
    alpha: Annotated[float, typer.Option(help="Accepted rate of false alarms, a model.")] = 0.01,
    references: Annotated[
        str | None, typer.Option(metavar="FILE|DIR", help="Clean references, as for hessay scan.")
    ] = None,
    wrt: Annotated[str, typer.Option(metavar="MODULE", help="As for hessay scan.")] = "input",
    preprocessing: PreprocessingFile = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    pass_inconclusive: Annotated[
        bool, typer.Option("--pass-inconclusive", help="Let INCONCLUSIVE through, with a warning.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Scan every model named, and say the worst of it: for hooks and pipelines."""

    def body() -> int:
        from hessay._scan_file import scan_file

        codes = []
        for model in models:
            try:
                report = scan_file(
                    model,
                    arch,
                    data,
                    alpha=alpha,
                    references=references,
                    wrt=wrt,
                    seed=seed,
                    preprocessing=preprocessing,
                    device=device,
                )
            except HessayError as error:
                complain(f"{model}: {error}")
                codes.append(2)
                continue
            code = EXIT_CODES[report.verdict.name]
            if code == EXIT_CODES["INCONCLUSIVE"] and pass_inconclusive:
                complain(f"{model} is INCONCLUSIVE and let through as asked", "warning")
                code = 0
            codes.append(code)
            suspect = "" if report.flagged_class is None else f", class {report.flagged_class}"
            emit(f"{report.verdict.name:12} {printable(model)}{suspect}\n")
        return max(codes, key=_WEIGHT.__getitem__)

    return guarded(body, debug=debug)

"""``hessay demo``: see it work on real pictures."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from hessay._printable import printable
from hessay.cli.streams import emit, guarded, progress_bar

if TYPE_CHECKING:
    from hessay.demo import DemoResult


class Data(str, enum.Enum):
    """Data sets that need no network."""

    digits = "digits"
    fashion_mnist = "fashion-mnist"


def demo(
    data: Annotated[
        Data, typer.Option(help="fashion-mnist needs Debian's package dataset-fashion-mnist.")
    ] = Data.digits,
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Folder for weights, probe and reports.")
    ] = "hessay-demo",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Train a clean and a poisoned network and scan both."""

    def body() -> int:
        from hessay.demo import run_demo

        with progress_bar(quiet=quiet) as progress:
            results = run_demo(data.value, out, seed=seed, progress=progress)
        emit(describe(results))
        return 0 if all(result.as_expected for result in results) else 1

    return guarded(body, debug=debug)


def describe(results: list[DemoResult]) -> str:
    """Put the results into a table, with the files and the commands that repeat the scans."""
    from hessay import render
    from hessay.render.wording import number, percent

    head = ("network", "truth", "accuracy", "attack works", "statistic", "threshold", "verdict")
    rows = [head]
    for result in results:
        report = result.report
        truth = "clean" if result.target is None else f"poisoned to class {result.target}"
        verdict = str(report.verdict)
        if report.flagged_class is not None:
            verdict += f", class {report.flagged_class}"
        rows.append(
            (
                result.name,
                truth,
                percent(result.accuracy),
                percent(result.attack_success),
                number(report.statistic),
                number(report.threshold),
                verdict,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [_row(row, widths) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines += ["", *(_outcome(result) for result in results)]
    for result in results:
        lines += [
            "",
            f"{result.name}: open {result.html}, or read {result.json}; scan it again with",
            f"  {render.repeat_command(result.report)}",
        ]
    return "\n".join(printable(line) for line in lines) + "\n"


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _outcome(result: DemoResult) -> str:
    if result.as_expected:
        return f"The {result.name} network got the right verdict."
    wanted = "CLEAN" if result.target is None else f"FLAGGED with class {result.target}"
    sentence = (
        f"The {result.name} network should be {wanted}, but the scan says {result.report.verdict}"
    )
    if result.report.flagged_class is not None:
        sentence += f" with class {result.report.flagged_class}"
    if result.attack_success is not None and result.attack_success < 0.5:
        sentence += "; the attack itself hardly took, so there was little to find"
    return sentence + ". Another --seed trains other networks."

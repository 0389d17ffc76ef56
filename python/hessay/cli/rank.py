"""``hessay rank``: which training samples are poison."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from hessay._printable import printable
from hessay.cli.saved import read_report
from hessay.cli.shared import Device, PreprocessingFile
from hessay.cli.streams import Progress, complain, emit, guarded, progress_bar
from hessay.errors import ArgumentError

if TYPE_CHECKING:
    from hessay.samples import Ranking

_HEAD = ("row", "label", "selected", "score", "p-value", "projection", "margin drop")
_CLASS_HEAD = ("class", "way", "log ratio", "p (model)", "p (data)", "labelled", "selected")


def rank(
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
            metavar="TRAINSET",
            help="Training inputs: .npz with `inputs` (N, ...) and labels as `targets`, a folder "
            "of pictures, or .parquet with `image` and `label`; read in one pass.",
        ),
    ],
    probe: Annotated[
        str,
        typer.Option(
            "--probe",
            metavar="PROBE",
            help="Clean inputs that are not from the training set, likewise.",
        ),
    ],
    report: Annotated[
        str | None,
        typer.Option(metavar="REPORT.json", help="What `hessay scan --json` said of this model."),
    ] = None,
    fdr: Annotated[
        float, typer.Option(help="Accepted share of clean samples among the selected.")
    ] = 0.05,
    top: Annotated[int, typer.Option(help="Rows of the table.")] = 20,
    preprocessing: PreprocessingFile = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Every sample, as JSON.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write every sample there, as its name ends: .csv or .json.",
        ),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write a page that shows the top samples there."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Rank training samples by how likely they are to be poison."""

    def body() -> int:
        if not 0.0 < fdr < 1.0:
            raise ArgumentError(f"--fdr must lie in (0, 1), got {fdr}; 0.05 is usual")
        if top < 0:
            raise ArgumentError(f"--top must be at least 0, got {top}")
        target = None if output in (None, "-") else output
        as_json = _written_as_json(json, target)
        if target is not None:
            from hessay.render.files import check_writable

            check_writable(target)
        if html is not None:
            from hessay.cli.rank_page import check_page

            check_page(html, target)
        from hessay.detector.suspects import ReachUndefined

        try:
            with progress_bar(quiet=quiet) as progress:
                ranking, names = _rank_file(
                    model, arch, data, probe, report, preprocessing, device, seed, progress
                )
        except ReachUndefined as undefined:
            complain(str(undefined), "inconclusive")
            return 3
        selected = len(ranking.selected(fdr))
        if target is not None:
            from hessay.render.files import write

            written = ranking.to_json(fdr, names) if as_json else ranking.to_csv(fdr, names)
            write(written, target)
            if not quiet:
                complain(f"all {ranking.n} samples are in {target}", "note")
        if html is not None:
            from hessay._scan_file import load_probe, open_samples, pictures_as
            from hessay.cli.rank_page import write_page

            how = pictures_as(preprocessing, model, data, probe)
            given = (
                ("--arch", arch),
                ("--data", data),
                ("--probe", probe),
                ("--report", report),
                ("--preprocessing", preprocessing),
            )
            write_page(
                html,
                ranking,
                open_samples(data, how)[0],
                load_probe(probe, how).shape,
                model=model,
                given=given,
                fdr=fdr,
                top=top,
                files=names,
                quiet=quiet,
            )
        if as_json and target is None:
            emit(ranking.to_json(fdr, names))
        else:
            emit(describe(ranking, fdr, top, names))
        return 1 if selected else 0 if ranking.conclusive else 3

    return guarded(body, debug=debug)


def _written_as_json(json: bool, target: str | None) -> bool:
    if target is None:
        return json
    suffix = PurePath(target).suffix.lower()
    if suffix not in (".csv", ".json"):
        raise ArgumentError(f"-o takes a name that ends in .csv or .json, got {target}")
    if json and suffix == ".csv":
        raise ArgumentError(f"--json contradicts -o {target}; give one of them")
    return suffix == ".json"


def _rank_file(
    weights: str,
    arch: str,
    data: str,
    probe: str,
    report: str | None,
    preprocessing: str | None,
    device: str,
    seed: int,
    progress: Progress | None,
) -> tuple[Ranking, Sequence[str] | None]:
    """Rank, and give the names of the samples where they have any."""
    from hessay._scan_file import load_probe, open_samples, pictures_as
    from hessay.loading import load_model
    from hessay.samples import rank_samples

    known = None if report is None else read_report(report)
    # A factory or a model that prints must not get between the reader and the table.
    with contextlib.redirect_stdout(sys.stderr):
        how = pictures_as(preprocessing, weights, data, probe)
        samples, names = open_samples(data, how)
        ranking = rank_samples(
            load_model(weights, arch, device=device),
            samples,
            probe=load_probe(probe, how),
            report=known,
            seed=seed,
            progress=progress,
        )
    return ranking, names


def describe(ranking: Ranking, fdr: float, top: int, names: Sequence[str] | None = None) -> str:
    """Say what was selected, class by class, and list the ``top`` samples."""
    from hessay.render.wording import number, percent, sentence

    chosen = ranking.selected(fdr)
    picked = set(chosen.tolist())
    count = f"{len(chosen)} of {ranking.n} samples selected as poison"
    lines = [
        f"{count}, at a false discovery rate of {percent(fdr)}.",
        *(sentence(reason) for reason in ranking.reasons),
        "",
    ]
    rows: list[tuple[str, ...]] = [
        (
            str(c.index),
            c.way,
            number(c.log_ratio),
            number(c.p_value),
            number(c.excess_p_value),
            str(c.n_labelled),
            str(int((ranking.labels[chosen] == c.index).sum())),
        )
        for c in ranking.classes
    ]
    lines += _table(_CLASS_HEAD, rows)
    found = [ranking.explain(int(row)) for row in ranking.order()[:top]]
    if found:
        lines += ["", f"The {len(found)} most suspicious samples:", ""]
        lines += _table(
            _HEAD if names is None else (*_HEAD, "file"),
            [
                (
                    str(e.row),
                    str(e.label),
                    "yes" if e.row in picked else "no",
                    number(e.score),
                    number(e.p_value),
                    number(e.projection),
                    number(e.margin_drop),
                    *(() if names is None else (printable(names[e.row]),)),
                )
                for e in found
            ],
        )
    return "\n".join(printable(line) for line in lines) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = tuple("-" * width for width in widths)
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, rule, *rows)
    ]

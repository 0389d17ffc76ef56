"""``hessay watch``: every checkpoint of a run, as it appears."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hessay.cli.shared import (
    Device,
    Every,
    History,
    MaxSeconds,
    Once,
    PreprocessingFile,
    RulesFile,
    SeriesName,
    Settle,
    Threads,
    UntilAlarm,
)
from hessay.cli.streams import guarded
from hessay.cli.watching import Manner, Scan, watch_folder

if TYPE_CHECKING:
    from hessay.monitor import Rates


def watch(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="Where checkpoints appear, at any depth.")
    ],
    arch: Annotated[
        str,
        typer.Option(
            "--arch",
            metavar="ARCH",
            help="As for hessay scan. A factory is imported and called: name only code that you trust.",
        ),
    ],
    data: Annotated[
        str,
        typer.Option(metavar="PROBE", help="Clean inputs, .npz or pictures as for hessay scan."),
    ],
    history: History = "hessay-history.db",
    series: SeriesName = None,
    rules: RulesFile = None,
    once: Once = False,
    until_alarm: UntilAlarm = False,
    every: Every = 10.0,
    settle: Settle = 5.0,
    max_seconds: MaxSeconds = 3600.0,
    threads: Threads = 1,
    alpha: Annotated[float, typer.Option(help="False alarms among clean models, a scan.")] = 0.01,
    references: Annotated[
        str | None, typer.Option(metavar="FILE|DIR", help="Clean references, as for hessay scan.")
    ] = None,
    wrt: Annotated[str, typer.Option(metavar="MODULE", help="As for hessay scan.")] = "input",
    preprocessing: PreprocessingFile = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only verdicts.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Scan every checkpoint of a run once, keep the reports, tell who is to be told."""

    def body() -> int:
        def prepare(place: Path) -> tuple[Scan, dict[str, object]]:
            settings = _settings(place, arch, data, alpha, references, wrt, seed, preprocessing)
            from hessay.loading.model import usable_device

            usable_device(device)  # once, instead of a failed scan for each checkpoint
            scan = _scanner(arch, data, alpha, references, wrt, seed, preprocessing, device)
            return scan, settings

        def expected(rates: Rates) -> str:
            return (
                f"at {rates.scans_per_year:g} scans a year expect up to "
                f"{alpha * rates.scans_per_year:g} false verdicts (alpha = {alpha:g}); of drift, "
                f"false alarms at a rate of {rates.drift_false_alarms_per_year:g} a year"
            )

        manner = Manner(
            history=history,
            series=series,
            rules=rules,
            once=once,
            until_alarm=until_alarm,
            every=every,
            settle=settle,
            max_seconds=max_seconds,
            threads=threads,
            quiet=quiet,
        )
        return watch_folder(folder, manner, kind="checkpoint", prepare=prepare, expected=expected)

    return guarded(body, debug=debug)


def _settings(
    folder: Path,
    arch: str,
    data: str,
    alpha: float,
    references: str | None,
    wrt: str,
    seed: int,
    preprocessing: str | None,
) -> dict[str, object]:
    from hessay import __version__
    from hessay._scan_file import load_probe, pictures_as

    # The digest says how pictures became inputs, too: another description is another series.
    how = pictures_as(preprocessing, folder / "checkpoint", data)
    return {
        "arch": arch,
        "probe": load_probe(data, how).digest,
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
    preprocessing: str | None,
    device: str,
) -> Scan:
    from hessay._scan_file import FileScans

    return FileScans(
        arch,
        data,
        alpha=alpha,
        references=references,
        wrt=wrt,
        seed=seed,
        preprocessing=preprocessing,
        device=device,
    ).scan

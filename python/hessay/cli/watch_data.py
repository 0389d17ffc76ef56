"""``hessay watch-data``: every batch of data that arrives for one model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hessay.cli.saved import read_report
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
from hessay.cli.streams import complain, guarded
from hessay.cli.watching import Manner, Scan, watch_folder

if TYPE_CHECKING:
    from hessay._rank_batch import BatchRanker
    from hessay.monitor import Rates

_PLANNED = (20, 0.5)  # samples of the class a batch, poison among them: what the delay is told for


def watch_data(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="Where batches appear: .npz and .parquet at any depth, folders of pictures.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Weights: .safetensors, a torch state dict, .pt2 or .onnx.",
        ),
    ],
    arch: Annotated[
        str,
        typer.Option(
            "--arch",
            metavar="ARCH",
            help="As for hessay scan. A factory is imported and called: name only code that you trust.",
        ),
    ],
    probe: Annotated[
        str,
        typer.Option(
            "--probe", metavar="PROBE", help="Clean inputs that are in no batch, .npz or pictures."
        ),
    ],
    report: Annotated[
        str | None,
        typer.Option(metavar="REPORT.json", help="What `hessay scan --json` said of this model."),
    ] = None,
    fdr: Annotated[
        float, typer.Option(help="Accepted share of clean samples among the selected.")
    ] = 0.05,
    history: History = "hessay-history.db",
    series: SeriesName = None,
    rules: RulesFile = None,
    once: Once = False,
    until_alarm: UntilAlarm = False,
    every: Every = 10.0,
    settle: Settle = 5.0,
    max_seconds: MaxSeconds = 3600.0,
    threads: Threads = 1,
    preprocessing: PreprocessingFile = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only verdicts.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> int:
    """Rank every batch of data that arrives once, and test whether they begin to hold poison."""

    def body() -> int:
        loaded: list[BatchRanker] = []

        def prepare(place: Path) -> tuple[Scan, dict[str, object]]:
            del place
            from hessay._rank_batch import BatchRanker

            known = None if report is None else read_report(report)
            ranker = BatchRanker.load(
                model,
                arch,
                probe,
                report=known,
                fdr=fdr,
                seed=seed,
                preprocessing=preprocessing,
                device=device,
            )
            loaded.append(ranker)
            return ranker.rank, ranker.settings

        def expected(rates: Rates) -> str:
            return _expected(loaded[0], rates)

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
        from hessay.detector.suspects import ReachUndefined

        try:
            return watch_folder(
                folder, manner, kind="data batch", prepare=prepare, expected=expected
            )
        except ReachUndefined as undefined:
            complain(str(undefined), "inconclusive")
            return 3

    return guarded(body, debug=debug)


def _expected(ranker: BatchRanker, rates: Rates) -> str:
    """Say how often a batch is flagged for nothing, and how soon poison is found."""
    from hessay.monitor import planned_delay

    n, share = _PLANNED
    test = ranker.tests[0]
    delay = planned_delay(
        test, share=share, n_samples=n, average_run_length=rates.average_run_length
    )
    classes = ", ".join(str(suspect.index) for suspect in ranker.suspects)
    return (
        f"samples labelled {classes} are examined; at {rates.scans_per_year:g} batches a year expect "
        f"up to {ranker.fdr * rates.scans_per_year:g} clean ones flagged (fdr = {ranker.fdr:g}) and "
        f"{rates.drift_false_alarms_per_year:g} false alarms of the test over batches; where "
        f"{100 * share:g} % of {n} such samples a batch are poison, that test needs "
        f"{delay.at_least:.1f} to {delay.at_most:.1f} batches"
    )

"""Options that several commands have, each written once."""

from __future__ import annotations

from typing import Annotated

import typer

PreprocessingFile = Annotated[
    str | None,
    typer.Option(
        "--preprocessing",
        metavar="FILE.json",
        help="How pictures become inputs: preprocessor_config.json or timm's config.json; by "
        "default the one beside the weights, if there is one.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="NAME", help="Where the model runs: cpu, cuda or cuda:N, as torch says."
    ),
]
History = Annotated[
    str,
    typer.Option(
        metavar="FILE|URL", help="Where reports are kept: a SQLite file, or postgresql://..."
    ),
]
SeriesName = Annotated[
    str | None, typer.Option(help="Name of this run in the history; the folder's by default.")
]
RulesFile = Annotated[str | None, typer.Option(metavar="RULES.toml", help="Who is told of what.")]
Once = Annotated[bool, typer.Option("--once", help="Scan what is there and leave; for cron.")]
UntilAlarm = Annotated[
    bool, typer.Option("--until-alarm", help="Leave at the first exit code that is not 0.")
]
Every = Annotated[float, typer.Option(metavar="SECONDS", help="Between looks.")]
Settle = Annotated[
    float, typer.Option(metavar="SECONDS", help="A file is finished when unchanged so long.")
]
MaxSeconds = Annotated[float, typer.Option(metavar="SECONDS", help="Budget of a scan.")]
Threads = Annotated[int, typer.Option(help="Threads of a scan.")]

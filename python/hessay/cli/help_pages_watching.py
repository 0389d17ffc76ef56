"""The help of the commands that plan, keep and show a history."""

from __future__ import annotations

from typing import Final

from hessay.cli.help_page import MODELS, Page

WATCHING: Final[dict[str, Page]] = {
    "plan": Page(
        summary="Plan the monitoring of a linear model that is refitted as data arrive.",
        description="Say before any data are poisoned how faint a poison can be seen at which ridge, "
        "how often to scan, and how long poison stays unseen, from random matrix theory and simulated "
        "spectra. Reads no data.",
        examples=(
            ("A question in round numbers", "hessay plan --rows 400 --inputs 40 --draws 300"),
            (
                "Your own ridges, drawn",
                (
                    "hessay plan --rows 400 --inputs 40 --classes 3 --ridge 0.3 --ridge 3 --draws 300 "
                    "-o plan.svg"
                ),
            ),
        ),
        exit_status={
            0: "planned",
            2: "could not run",
            3: "no poison can be seen at these sizes and ridges",
        },
        see_also=("hessay watch-data", "docs/how-to/plan-monitoring.md"),
    ),
    "watch": Page(
        summary="Scan every checkpoint of a run as it appears.",
        description="Look at a folder again and again, scan each finished checkpoint once whoever else "
        "watches it, keep the reports whole, and tell who is to be told. Killed at any moment and "
        "started again it goes on where it was. Ends at Ctrl-C or SIGTERM, after the scan in work. The exit "
        "status is the weightiest of all that was told of; a rules file may give others.",
        examples=(
            (
                "What is there now, for cron",
                "hessay watch run --arch mlp:64-64-10 --data probe.npz --once",
            ),
            (
                "Rules of your own, until the first alarm",
                (
                    "hessay watch run --arch mlp:64-64-10 --data probe.npz --rules rules.toml "
                    "--until-alarm --once"
                ),
            ),
        ),
        exit_status={
            0: "nothing to be told of",
            1: "flagged, or the series drifts",
            2: "a scan failed, somebody could not be told, or this could not run",
            3: "inconclusive",
        },
        environment=MODELS,
        see_also=("hessay watch-data", "hessay serve", "docs/how-to/watch-a-training-run.md"),
    ),
    "watch-data": Page(
        summary="Rank every batch of data that arrives, and test whether they begin to hold poison.",
        description="Look at a folder again and again, rank the samples of each finished batch once "
        "with one model and one clean probe, and keep which were selected. A sequential test over "
        "the batches says whether suspicious samples come more often than among clean data; its "
        "mean time between false alarms is that of the rules. Claims, rules, restarts and the end "
        "are those of hessay watch.",
        examples=(
            (
                "What has arrived, for cron",
                "hessay watch-data arriving --model model.safetensors --arch mlp:64-64-10 --probe probe.npz --once",
            ),
            (
                "With the scan's opinion of the classes, until the first alarm",
                (
                    "hessay watch-data arriving --model model.safetensors --arch mlp:64-64-10 --probe probe.npz "
                    "--report report.json --series by-report --until-alarm --once"
                ),
            ),
        ),
        exit_status={
            0: "nothing to be told of",
            1: "samples were selected in a batch, or the test over batches gives an alarm",
            2: "a batch could not be ranked, somebody could not be told, or this could not run",
            3: "inconclusive: a batch without samples of the class, or a model without a way in",
        },
        environment=MODELS,
        see_also=(
            "hessay rank",
            "hessay watch",
            "hessay serve",
            "docs/how-to/watch-arriving-data.md",
        ),
    ),
    "serve": Page(
        summary="Show a history in the browser, and to Prometheus.",
        description="Serve the reports that hessay watch kept: verdicts, statistics with their "
        "thresholds, drift, and every report; /metrics for Prometheus, /healthz for a supervisor. It "
        "reads only. Without a token only this machine may ask. Ends at Ctrl-C.",
        examples=(
            ("On this machine", "hessay serve hessay-history.db"),
            (
                "For others, behind a proxy with TLS",
                (
                    "hessay serve hessay-history.db --host 0.0.0.0 --token-file token "
                    "--allow-host models.example.org"
                ),
            ),
        ),
        exit_status={0: "ended as asked", 2: "could not run"},
        environment=("HESSAY_TOKEN",),
        see_also=("hessay watch", "docs/how-to/watch-a-training-run.md"),
    ),
}

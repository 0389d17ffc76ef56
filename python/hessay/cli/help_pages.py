"""The help of every command, each text once; ``tests/test_help.py`` runs the examples."""

from __future__ import annotations

from typing import Final

from hessay.cli.help_page import COMPUTING, MODELS, Page
from hessay.cli.help_pages_watching import WATCHING

_A_MODEL: Final = "model.safetensors --arch mlp:64-64-10"
_LOADING: Final = "docs/how-to/load-models-and-probes.md"

PAGES: Final[dict[str, Page]] = {
    "scan": Page(
        summary="Scan a model for poison.",
        description="Decide from the spectrum of the Hessian of the loss with respect to the input "
        "whether a model was trained on poisoned data. Needs the weights, the architecture and some "
        "hundred clean inputs, no training data. The report says what was measured, against which "
        "threshold, and where the verdict must not be believed. Files are never unpickled.",
        examples=(
            ("A verdict on the terminal", f"hessay scan {_A_MODEL} --data probe.npz"),
            (
                "A page for people, and SARIF for a code scanning service",
                f"hessay scan {_A_MODEL} --data probe.npz -o report.html --export sarif=report.sarif",
            ),
            (
                "Pictures in folders, one a class",
                (
                    "hessay scan pictures.safetensors --arch cnn:1x8x8-10 --data pictures "
                    "--preprocessing preprocessor_config.json"
                ),
            ),
        ),
        exit_status={0: "CLEAN", 1: "FLAGGED", 2: "could not run", 3: "INCONCLUSIVE"},
        environment=(*MODELS, "NO_COLOR"),
        see_also=("hessay rank", "hessay repair", "hessay calibrate", _LOADING),
    ),
    "gate": Page(
        summary="Scan several models, and say the worst of it: for hooks and pipelines.",
        description="Scan every model named with one probe, print a line for each, and end with one "
        "exit code for all of them. An alarm outweighs a failure, and that an open question.",
        examples=(
            ("Stop a pipeline", f"hessay gate {_A_MODEL} --data probe.npz"),
            (
                "Let through what could not be decided",
                (
                    "hessay gate run/one.safetensors run/two.safetensors --arch mlp:64-64-10 "
                    "--data probe.npz --pass-inconclusive"
                ),
            ),
        ),
        exit_status={
            0: "all CLEAN, or let through",
            1: "one is FLAGGED",
            2: "one could not be scanned and none is FLAGGED, or this could not run",
            3: "one is INCONCLUSIVE and nothing is worse",
        },
        environment=MODELS,
        see_also=("hessay scan", "hessay watch", "docs/how-to/gate-a-pipeline.md"),
    ),
    "calibrate": Page(
        summary="Train clean networks on clean data, as references for scans.",
        description="Train reference networks on labelled clean data that are neither the models' "
        "training data nor the later probe, and write them to one file. Seconds to minutes, once for "
        "all models of a data set; scans with --references then compare a model with them.",
        examples=(
            ("Eight networks", "hessay calibrate --data holdout.npz -o references.safetensors"),
            (
                "Of the architecture of the models to be scanned: slower",
                "hessay calibrate --data holdout.npz --like mlp:64-64-10 -o own.safetensors",
            ),
            (
                "Scan with them",
                f"hessay scan {_A_MODEL} --data probe.npz --references references.safetensors",
            ),
        ),
        exit_status={0: "written", 2: "could not run; nothing is written"},
        environment=COMPUTING,
        see_also=("hessay scan", "docs/detector.md"),
    ),
    "rank": Page(
        summary="Rank training samples by how likely they are to be poison.",
        description="Hold every training sample that carries the label of a suspicious class against "
        "the perturbation that leads into that class, and select samples at a false discovery rate. "
        "The data are read once, batch by batch; the null comes from the clean probe alone. Names of "
        "pictures are written to CSV so that no spreadsheet takes them for a formula.",
        examples=(
            (
                "The twenty most suspicious",
                f"hessay rank {_A_MODEL} --data train.npz --probe probe.npz",
            ),
            (
                "All of them into a table, with the scan's opinion of the classes",
                (
                    f"hessay rank {_A_MODEL} --data train.npz --probe probe.npz --report report.json "
                    "-o ranking.csv"
                ),
            ),
            (
                "A page that shows the most suspicious ones",
                f"hessay rank {_A_MODEL} --data train.npz --probe probe.npz --html suspects.html",
            ),
        ),
        exit_status={
            0: "no sample selected",
            1: "some selected",
            2: "could not run",
            3: "inconclusive: selecting nothing does not speak for the data",
        },
        environment=MODELS,
        see_also=("hessay scan", "hessay repair", "hessay watch-data", _LOADING),
    ),
    "export": Page(
        summary="Write saved reports for other programs.",
        description="Turn what hessay scan --json wrote into SARIF, CycloneDX, JUnit, Prometheus text "
        "or a model card; several reports go into one file, whole or not at all.",
        examples=(
            (
                "For a code scanning service",
                "hessay export report.json --format sarif -o all.sarif",
            ),
            (
                "Open questions that do not fail a build",
                "hessay export report.json --format junit --inconclusive skipped -o junit.xml",
            ),
        ),
        exit_status={0: "written, whatever the verdicts say", 2: "could not run"},
        see_also=("hessay scan", "docs/how-to/gate-a-pipeline.md"),
    ),
    "demo": Page(
        summary="Train a clean and a poisoned network and scan both.",
        description="See it work on real pictures: two small networks, one of them with a backdoor, "
        "weights, probe and reports of both in a folder, and a table of what was found. Well under a "
        "minute on one core; nothing is fetched.",
        examples=(
            ("On the digits of scikit-learn", "hessay demo"),
            ("Into another folder, drawn otherwise", "hessay demo --out elsewhere --seed 1"),
        ),
        exit_status={
            0: "both verdicts are right",
            1: "one is not, and the table says which",
            2: "could not run",
        },
        environment=COMPUTING,
        see_also=("hessay scan", "hessay doctor"),
    ),
    "doctor": Page(
        summary="Check the installation.",
        description="List what is installed, run a small computation in the native core, and say "
        "whether scans can run. Answers also where torch or the core do not load.",
        examples=(
            ("Everything", "hessay doctor"),
            ("With the place where something failed", "hessay doctor --debug"),
        ),
        exit_status={0: "scans can run", 2: "they cannot"},
        environment=COMPUTING,
        see_also=("hessay demo",),
    ),
    "regress": Page(
        summary="Explain a column of a table by others, step by step.",
        description="Stepwise linear regression of one or several columns of a CSV, parquet or .npz "
        "table, walked exactly, with the criterion that decides how many columns enter. With "
        "--rows-report also what single rows do to the fit, and whether some look poisoned.",
        examples=(
            ("By BIC, both ways", "hessay regress table.csv --target y --exclude label"),
            (
                "Exactly two columns, as JSON",
                "hessay regress table.csv --target y --n-features 2 --exclude label --json",
            ),
            (
                "Rows that look poisoned",
                "hessay regress table.csv --target label --exclude y --rows-report",
            ),
        ),
        exit_status={
            0: "done; with --rows-report no row looks poisoned",
            1: "with --rows-report: some rows look poisoned",
            2: "could not run",
            3: "with --rows-report: it could not be tested",
        },
        environment=COMPUTING,
        see_also=("docs/how-to/stepwise-regression.md", "docs/how-to/find-poisoned-rows.md"),
    ),
    "repair": Page(
        summary="Take the backdoor out of a model without retraining.",
        description="Try patches of the input and edits of layers, and write the "
        "repaired model that keeps its accuracy on the probe, loses the way into the suspicious "
        "classes, and passes the examination of a scan. What does not pass is refused, with numbers.",
        examples=(
            (
                "The classes that a scan flagged",
                (
                    f"hessay repair {_A_MODEL} --data probe.npz --report report.json "
                    "-o fixed.safetensors"
                ),
            ),
            (
                "With suspected training samples, as JSON",
                (
                    f"hessay repair {_A_MODEL} --data probe.npz --suspects suspects.npz --json --force "
                    "-o fixed.safetensors"
                ),
            ),
        ),
        exit_status={0: "repaired and written", 1: "refused", 2: "could not run"},
        environment=MODELS,
        see_also=("hessay scan", "hessay rank"),
    ),
    "completion": Page(
        summary="Print the script that makes a shell complete commands and options.",
        description="The script goes to stdout; where it belongs is the shell's convention.",
        examples=(
            ("In bash, now", 'eval "$(hessay completion bash)"'),
            ("In fish, for good", "hessay completion fish > hessay.fish"),
        ),
        exit_status={0: "printed", 2: "could not run"},
    ),
} | WATCHING

"""Examine the detector on models it was not tuned on, and set it beside the published defences.

    python bench/bench_detect.py --exam [--draw 4] [--only TEXT] [--jobs 2] [--cache DIR] [--phases scan own rank repair repair_data]
    python bench/bench_detect.py --compare [--draw 4] [--only mlp-784-256] [--count 10] [--cache DIR]

--exam trains the population of bench/zoo/examination.py, scans every model without references and
with eight networks trained on a holdout (phase "own", where asked for: of its own architecture), ranks the training samples of clean and of effectively poisoned ones,
repairs the latter from the probe alone and with the samples that were selected, prints the table and, when the population is whole, writes bench/zoo/examination-DRAW.json.
Resumable: weights and rows are kept in the cache, one file a model. ``--only nets-attention`` examines
one architecture in some minutes. --compare is bench/detect/compare.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH), str(BENCH / "zoo")]

import torch
from examination import DRAWS, examination
from population import Spec

from detect import compare
from detect.exam import PHASES, USUAL, Row, row_of
from detect.table import show
from hvp.stamp import stamp


def run(specs: list[Spec], cache: Path, phases: list[str], jobs: int) -> list[Row]:
    """Examine every model, sharing them out over processes."""
    rows: list[Row] = []
    context = get_context("spawn")
    with ProcessPoolExecutor(
        jobs, context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        pending = {pool.submit(row_of, spec, cache, phases): spec for spec in specs}
        for future in as_completed(pending):
            rows.append(future.result())
            print(f"{len(rows)}/{len(specs)} {pending[future].key}", file=sys.stderr, flush=True)
    order = {spec.key: number for number, spec in enumerate(specs)}
    return sorted(rows, key=lambda row: order[row["key"]])


def main() -> None:
    """Examine or compare."""
    if "--compare" in sys.argv:
        sys.argv.remove("--compare")
        compare.main()
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exam", action="store_true", required=True)
    parser.add_argument("--draw", type=int, choices=sorted(DRAWS), default=max(DRAWS))
    parser.add_argument("--only", default="", help="part of the models' file names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cache", type=Path, default=Path("build/zoo"))
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(USUAL))
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    every = list(examination(options.draw))
    specs = [spec for spec in every if options.only in spec.key]
    rows = run(specs, options.cache, options.phases, options.jobs)
    show(rows)
    if len(specs) == len(every):
        document: dict[str, Any] = {"stamp": stamp(), "models": rows}
        out = BENCH / "zoo" / f"examination-{options.draw}.json"
        out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Rows of a population, one file a model: measured once, resumable, to be shared out over processes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from population import Spec

Row = dict[str, Any]


def collect(
    description: str | None,
    specs: Iterable[Spec],
    measure: Callable[[Spec, Path], Row],
    summary: Callable[[Sequence[Row]], Row],
    *,
    out: Path,
    shown: Sequence[str],
) -> None:
    """Measure the models of a population, or a part of them; write summary and rows when all are there.

    Parameters
    ----------
    description : str or None
        Of the program, for --help.
    specs : iterable of Spec
    measure : function of a spec and the cache folder
        Trains or loads one model and returns its row.
    summary : function of all rows
    out : Path
        Rows are kept in the cache under the name of this file.
    shown : sequence of str
        Names of the row's entries that are printed as it goes.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cache", type=Path, default=Path("build/zoo"))
    parser.add_argument("--part", default="0/1", help="k/n: every n-th model from the k-th on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.cache / f"{out.stem}_rows"
    folder.mkdir(parents=True, exist_ok=True)
    every = list(specs)
    part, parts = (int(number) for number in options.part.split("/"))
    for spec in every[part::parts]:
        path = folder / f"{spec.key}.json"
        if not path.exists():
            path.write_text(json.dumps(measure(spec, options.cache)))
        row = json.loads(path.read_text())
        print(spec.key, *(row[name] for name in shown), flush=True)
    files = [folder / f"{spec.key}.json" for spec in every]
    if all(file.exists() for file in files):
        rows = [json.loads(file.read_text()) for file in files]
        result = summary(rows)
        print(json.dumps(result, indent=1))
        out.write_text(json.dumps({"summary": result, "models": rows}, indent=1) + "\n")

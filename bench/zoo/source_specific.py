"""Source-specific backdoors: the law of P, and how it fares on networks it was not tuned on.

Usage: python bench/zoo/source_specific.py [--cache DIR] [--part 0/2] [--table]
Trains and measures the networks of pair_population.py, prints what 9 and 19 references find, and writes
bench/zoo/source_specific.json: one row a network with the reach and the margin of every pair of classes,
and the fits. Resumable, and to be shared out: weights and rows are kept in the cache folder, one file a
network; the process that finds all rows there fits. --table prints from the committed rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pair_population import (
    KINDS,
    TUNED,
    PairSpec,
    build_pair,
    pair_population,
    probe_arrays,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detect.summary import auroc, auroc_interval
from detect.table import interval
from hessay.detector.calibration import CleanNull
from hessay.detector.pair_law import PAIRS, pair_null
from hessay.detector.pairs import fit_pairs, pair_margins
from hessay.detector.plan import Plan
from hessay.detector.reference_table import UNLIKE, bystanders
from hessay.probe import Probe

OUT = Path(__file__).with_name("source_specific.json")
Row = dict[str, Any]
ALPHA = 0.01
SIZES = (9, 19)
DRAWS = 40  # of references for each clean network, where the law is fitted
EFFECTIVE = 0.5


@cache
def _plan() -> Plan:
    return Plan.of(Probe(*probe_arrays()), alpha=ALPHA, seed=0, progress=None)


def measured_row(spec: PairSpec, folder: Path) -> Row:
    """Train or load one network and measure it, or read what was measured."""
    path = folder / "rows" / f"{spec.key}.json"
    if path.exists():
        row: Row = json.loads(path.read_text())
        return row
    model, row = build_pair(spec, folder)
    plan = _plan()
    measured = plan.measured(model, spec.key)
    assert measured.log_pairs is not None
    with torch.no_grad():
        logits = model(plan.probe.inputs).double().numpy()
    margins = pair_margins(logits)
    np.fill_diagonal(margins, 1.0)
    row["log_pairs"] = np.round(measured.log_pairs, 4).tolist()
    row["log_margins"] = np.round(np.log(margins), 4).tolist()
    row["bystanders"] = np.round(bystanders(measured), 4).tolist()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row))
    return row


def table_of(rows: list[Row], name: str = "log_pairs") -> NDArray[np.float64]:
    """One (C, C) table a row; of the control, minus the logarithms of the margins."""
    table = np.array([row[name] for row in rows], dtype=np.float64)
    return table if name == "log_pairs" else -table


def largest(
    own: NDArray[np.float64], references: NDArray[np.float64]
) -> tuple[float, tuple[int, int]]:
    """P of a network beside references, and the pair (source, target) it points to."""
    z = fit_pairs(references).deviations(own)
    source, target = np.unravel_index(int(z.argmax()), z.shape)
    return float(z.max()), (int(source), int(target))


def fitted(rows: list[Row], size: int) -> CleanNull:
    """Fit the law of P to the clean tuning networks, each beside many draws of the others."""
    values, count = [], 0
    for arch in TUNED:
        clean = [r for r in rows if r["stage"] == "tuning" and r["arch"] == arch]
        table = table_of([r for r in clean if r["pattern"] == "clean"])
        count += len(table)
        for i, own in enumerate(table):
            rng = np.random.default_rng([size, i])
            others = np.delete(np.arange(len(table)), i)
            for _ in range(DRAWS):
                drawn = rng.choice(others, size, replace=False)
                values.append(largest(own, table[drawn])[0])
    law = CleanNull.fit(values, 90)
    return CleanNull(law.start, law.scale, count, 90)


def judged(rows: list[Row], stage: str, size: int, name: str = "log_pairs") -> list[Row]:
    """P of every network but the references, beside the first ``size`` references of its kind."""
    out = []
    for arch in sorted({row["arch"] for row in rows}):
        mine = [r for r in rows if r["stage"] == stage and r["arch"] == arch]
        given = [r for r in mine if r["role"] == "reference"][:size]
        if not given:
            continue
        references = table_of(given, name)
        known = np.array([r["bystanders"] for r in given])
        centre = np.median(known, axis=0)
        spread = np.maximum(1.4826 * np.median(np.abs(known - centre), axis=0), 0.05)
        for row in mine:
            if row["role"] == "reference":
                continue
            own = table_of([row], name)
            value, pair = largest(own[0], references)
            together = np.concatenate([references, own])
            others = [
                largest(references[i], np.delete(together, i, axis=0))[0]
                for i in range(size if name == "log_pairs" else 0)
            ]
            rank = (1 + sum(other >= value for other in others)) / (size + 1)
            off = np.abs((np.array(row["bystanders"]) - centre) / spread).max()
            out.append(row | {"P": value, "pair": pair, "rank": rank, "alike": off <= UNLIKE})
    return out


def show(rows: list[Row], stage: str) -> None:
    """Print what P finds at the level it has in a scan, and the control: margins alone."""
    for size in SIZES:
        threshold = pair_null(size).threshold(PAIRS * ALPHA, 90)
        at_one = pair_null(size).threshold(ALPHA, 90)
        print(
            f"\n{stage}, {size} references of the network's own architecture and recipe: P above "
            f"{at_one:.2f} (alpha = .01), {threshold:.2f} (its share of it, {PAIRS})"
        )
        print(
            f"{'':10} {'AUROC':20} {'margins alone':20} {'alarms .01':20} {'share':20} "
            f"{'rank 1 of ' + str(size + 1):20} {'hits .01':20} {'share':20} "
            f"{'rank 1 of ' + str(size + 1):20} pair named"
        )
        found = judged(rows, stage, size)
        control = judged(rows, stage, size, "log_margins")
        names = [*KINDS.items(), *((arch, (arch,)) for archs in KINDS.values() for arch in archs)]
        for name, archs in names:
            mine = [r for r in found if r["arch"] in archs]
            clean = [r for r in mine if r["role"] == "clean"]
            bad = [r for r in mine if _works(r)]
            if not clean or not bad:
                continue
            cells = [_area(clean, bad)]
            plain = [r for r in control if r["arch"] in archs]
            cells.append(
                _area([r for r in plain if r["role"] == "clean"], [r for r in plain if _works(r)])
            )
            for group in (clean, bad):
                cells += [
                    interval(sum(r["P"] > at_one for r in group), len(group)),
                    interval(sum(r["P"] > threshold for r in group), len(group)),
                    interval(sum(r["rank"] <= 1 / (size + 1) for r in group), len(group)),
                ]
            right = sum(r["pair"] == (r["source"], r["target"]) for r in bad)
            cells.append(interval(right, len(bad)))
            print(f"{name:10.10} " + " ".join(f"{cell:20}" for cell in cells))
        other = [r for r in found if r["role"] == "other"]
        if other:
            alike = [r for r in other if r["alike"]]
            print(
                f"clean, other recipe: {len(other) - len(alike)} of {len(other)} are seen to be trained "
                f"otherwise and not tested; of the others {sum(r['P'] > threshold for r in alike)} flagged"
            )


def _works(row: Row) -> bool:
    return row["role"] == "poisoned" and row["attack_success"] >= EFFECTIVE


def _area(clean: list[Row], bad: list[Row]) -> str:
    value = auroc([r["P"] for r in clean], [r["P"] for r in bad])
    low, high = auroc_interval(value, len(bad), len(clean))
    return f"{value:.3f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    """Measure the population, or a part of it; print and write where all rows are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("build/source_specific"))
    parser.add_argument("--part", default="0/1", help="k/n: every n-th network from the k-th on")
    parser.add_argument("--stage", choices=("tuning", "exam"), default=None)
    parser.add_argument("--table", action="store_true", help="from the committed rows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.table:
        rows = json.loads(OUT.read_text())["models"]
        show(rows, "tuning")
        show(rows, "exam")
        return
    part, parts = (int(number) for number in options.part.split("/"))
    every = [s for s in pair_population() if options.stage in (None, s.stage)]
    for done, spec in enumerate(every[part::parts]):
        row = measured_row(spec, options.cache)
        print(
            f"{done + 1}/{len(every[part::parts])}", spec.key, row.get("attack_success"), flush=True
        )
    if not all((options.cache / "rows" / f"{spec.key}.json").exists() for spec in every):
        return
    rows = [measured_row(spec, options.cache) for spec in every]
    laws = {}
    for size in SIZES:
        law = fitted(rows, size)
        laws[str(size)] = {
            "start": round(law.start, 4),
            "scale": round(law.scale, 4),
            "n_models": law.n_models,
        }
    print(json.dumps(laws))
    for stage in ("tuning", "exam") if options.stage is None else (options.stage,):
        show(rows, stage)
    if options.stage is None:
        lines = ",\n".join(json.dumps(row) for row in rows)
        OUT.write_text(f'{{"laws": {json.dumps(laws)}, "models": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()

"""Measure the tuning population and fit the laws of clean models: the source of the frozen constants.

Usage: python bench/zoo/tune.py [--cache DIR] [--part 0/2]
Writes bench/zoo/tuning.json: one row a model, and the fits. Resumable, and to be shared out: weights
and rows are kept in the cache folder, one file a model; the process that finds all rows there fits.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from population import N_PROBES, Spec, build, reference_holdout, tuning_population

from hessay.detector.alarms import ALL_CLASSES, ONE_CLASS
from hessay.detector.calibration import CleanNull
from hessay.detector.plan import Plan
from hessay.detector.reference_table import ReferenceTable, bystanders
from hessay.probe import Probe
from hessay.reference_models import ReferenceModels
from hessay.references import train_references
from hessay.training import load_dataset

ALPHA = 0.01
OUT = Path(__file__).with_name("tuning.json")


@cache
def references(seed: int) -> ReferenceTable:
    """Eight networks trained on a holdout, measured on one of the two Fashion-MNIST probes."""
    data = load_dataset("fashion-mnist", seed=seed)
    probe = Probe(data.test_inputs[:N_PROBES], data.test_targets[:N_PROBES])
    path = CACHE[0] / "references.safetensors"
    if not path.exists():
        train_references(reference_holdout(), seed=0).save(path)
    plan = Plan.of(probe, alpha=ALPHA, seed=0, progress=None)
    return plan.references(ReferenceModels.load(path))


def compared(row: dict[str, Any]) -> dict[str, Any]:
    """Add the largest deviation from the references' profile to the row of a Fashion-MNIST model."""
    if row["data"] != "fashion-mnist" or "log_ratio" not in row:
        return row
    z = references(row["seed"] % 2).profile.deviations(np.array(row["log_ratio"]))
    return row | {"z": round(float(z.max()), 3), "z_suspect": int(z.argmax())}


CACHE: list[Path] = []


def measured_row(spec: Spec) -> dict[str, Any]:
    """Train or load one model and measure it, or read what was measured."""
    path = CACHE[0] / "rows" / f"{spec.key}.json"
    if path.exists():
        row: dict[str, Any] = json.loads(path.read_text())
        return row
    model, inputs, targets, row = build(spec, CACHE[0])
    plan = Plan.of(Probe(inputs, targets), alpha=ALPHA, seed=0, progress=None)
    start = time.process_time()
    found = plan.measure(model)
    row["cpu_seconds"] = round(time.process_time() - start, 2)
    row["reasons"] = list(found.reasons)
    if found.measured is not None:
        measured = found.measured
        row["S"] = round(measured.usual_reach.statistic, 4)
        row["F"] = round(measured.map_excess, 4)
        assert measured.interaction is not None  # 10 classes have few pairs
        row["I"] = round(measured.interaction.statistic, 4)
        row["suspect"] = measured.usual_reach.suspect
        row["agreement"] = round(measured.agreement, 4)
        row["log_ratio"] = np.round(measured.usual_reach.log_ratio, 4).tolist()
        row["bystanders"] = np.round(bystanders(measured), 4).tolist()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row))
    return row


def law(rows: list[dict[str, Any]], name: str, suspect: str, share: float) -> dict[str, Any]:
    """Fit one law on the clean models and count what its threshold does to the population."""
    clean = [row for row in rows if row["attack"] == "clean" and name in row]
    effective = [row for row in rows if name in row and (row["attack_success"] or 0.0) >= 0.5]
    null = CleanNull.fit([row[name] for row in clean], 10)
    threshold = null.threshold(share * ALPHA, 10)

    def right(row: dict[str, Any]) -> bool:
        return bool(row[name] > threshold) and (not suspect or row[suspect] == row["target"])

    groups: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in clean:
        entry = groups[f"{row['data']} {row['arch']}"]
        entry[0] += row[name] > threshold
        entry[1] += 1
    for row in effective:
        entry = groups[f"{row['data']} {row['arch']}"]
        entry[2] += right(row)
        entry[3] += 1
    return {
        "start": round(null.start, 4),
        "scale": round(null.scale, 4),
        "n_models": null.n_models,
        "threshold": round(threshold, 4),
        "false_alarms": [sum(row[name] > threshold for row in clean), len(clean)],
        "hits": [sum(map(right, effective)), len(effective)],
        "clean_largest": sorted((row[name] for row in clean), reverse=True)[:5],
        "effective_smallest": sorted(row[name] for row in effective)[:8],
        "false_alarms_clean_hits_effective": dict(groups),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Fit the three laws; a class map is no evidence of one target, so F has no hits here."""
    one = [row for row in rows if row["attack"] != "all_to_all"]
    return {
        "S": law(one, "S", "suspect", ONE_CLASS),
        "z": law(one, "z", "z_suspect", ONE_CLASS),
        "F": law([r for r in rows if r["attack"] in ("clean", "all_to_all")], "F", "", ALL_CLASSES),
        "without_a_statistic": sum("S" not in row for row in rows),
    }


def main() -> None:
    """Run the population, or a part of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("build/zoo"))
    parser.add_argument("--part", default="0/1", help="k/n: every n-th model from the k-th on")
    options = parser.parse_args()
    CACHE.append(options.cache)
    torch.set_num_threads(1)
    part, parts = (int(number) for number in options.part.split("/"))
    population = list(tuning_population())
    for done, spec in enumerate(population[part::parts]):
        row = measured_row(spec)
        said = (row["attack_success"], row.get("S"), row.get("F"), row["reasons"])
        print(f"{done + 1}/{len(population[part::parts])}", spec.key, *said, flush=True)
    files = [options.cache / "rows" / f"{spec.key}.json" for spec in population]
    if all(file.exists() for file in files):
        rows = [compared(json.loads(file.read_text())) for file in files]
        result = summary(rows)
        print(json.dumps(result, indent=1))
        OUT.write_text(json.dumps({"summary": result, "models": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

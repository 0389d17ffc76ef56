"""Measure S on the tuning population and fit the null law: the source of the frozen constants.

Usage: python bench/zoo/tune.py [--cache DIR] [--only TEXT]
Writes bench/zoo/tuning.json: one row a model, and the fit. Resumable: trained weights are kept in
the cache folder, one file a model.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from population import build, tuning_population

from hessay.detector.calibration import CleanNull
from hessay.detector.scan import Plan
from hessay.probe import Probe

ALPHA = 0.01
OUT = Path(__file__).with_name("tuning.json")


def measured_row(spec: Any, cache: Path) -> dict[str, Any]:
    """Train or load one model and measure it."""
    model, inputs, targets, row = build(spec, cache)
    start = time.process_time()
    plan = Plan.of(Probe(inputs, targets), alpha=ALPHA, seed=0, progress=None)
    found = plan.measure(model)
    row["cpu_seconds"] = round(time.process_time() - start, 2)
    row["reasons"] = list(found.reasons)
    if found.measured is not None:
        row["S"] = round(found.measured.reach.statistic, 4)
        row["suspect"] = found.measured.reach.suspect
        row["agreement"] = round(found.measured.agreement, 4)
        row["log_ratio"] = np.round(found.measured.reach.log_ratio, 4).tolist()
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Fit the null on the clean models and count what its threshold does to the population."""
    clean = [row for row in rows if row["attack"] == "clean" and "S" in row]
    effective = [row for row in rows if "S" in row and (row["attack_success"] or 0.0) >= 0.5]
    null = CleanNull.fit([row["S"] for row in clean], 10)
    threshold = null.threshold(ALPHA, 10)
    groups: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in clean:
        entry = groups[f"{row['data']} {row['arch']}"]
        entry[0] += row["S"] > threshold
        entry[1] += 1
    for row in effective:
        entry = groups[f"{row['data']} {row['arch']}"]
        entry[2] += row["S"] > threshold and row["suspect"] == row["target"]
        entry[3] += 1
    return {
        "start": round(null.start, 4),
        "scale": round(null.scale, 4),
        "n_models": null.n_models,
        "threshold": round(threshold, 4),
        "false_alarms": [sum(row["S"] > threshold for row in clean), len(clean)],
        "hits": [
            sum(row["S"] > threshold and row["suspect"] == row["target"] for row in effective),
            len(effective),
        ],
        "inconclusive": sum("S" not in row for row in rows),
        "clean_largest": sorted((row["S"] for row in clean), reverse=True)[:5],
        "effective_smallest": sorted(row["S"] for row in effective)[:8],
        "false_alarms_clean_hits_effective": dict(groups),
    }


def main() -> None:
    """Run the population."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("build/zoo"))
    parser.add_argument("--only", default="", help="part of the model's key")
    parser.add_argument("--train-only", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for spec in tuning_population():
        if options.only not in spec.key:
            continue
        if options.train_only:
            print(spec.key, build(spec, options.cache)[3]["attack_success"], flush=True)
        else:
            rows.append(measured_row(spec, options.cache))
            last = rows[-1]
            print(spec.key, last["attack_success"], last.get("S"), last["reasons"], flush=True)
    if options.train_only:
        return
    result = summary(rows)
    print(json.dumps(result, indent=1))
    if not options.only:
        OUT.write_text(json.dumps({"summary": result, "models": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

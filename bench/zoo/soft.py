"""Measure networks that noise overthrows and fit the law of their S: the source of SOFT_NULL.

Usage: python bench/zoo/soft.py [--cache DIR] [--part 0/2]
Writes bench/zoo/soft.json: one row a model and the fit. Resumable, and to be shared out, as tune.py.

The form of the statistic (which steps, at which length, how much the slopes count) and the share of surviving
predictions below which a network is soft were chosen on these models among about a hundred variants, so the counts here flatter; the
examination's second draw does not.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from population import Spec, build, soft_population
from rows import Row, collect

from hessay.detector.alarms import ONE_CLASS
from hessay.detector.calibration import CleanNull
from hessay.detector.constants import CLEAN_NULL
from hessay.detector.plan import Plan
from hessay.probe import Probe

ALPHA = 0.01
OUT = Path(__file__).with_name("soft.json")


def measured_row(spec: Spec, cache: Path) -> Row:
    """Train or load one model and measure it."""
    model, inputs, targets, row = build(spec, cache)
    plan = Plan.of(Probe(inputs, targets), alpha=ALPHA, seed=0, progress=None)
    start = time.process_time()
    measured = plan.measured(model, spec.key)
    row["cpu_seconds"] = round(time.process_time() - start, 2)
    row["agreement"] = round(measured.agreement, 4)
    row["soft"] = measured.soft_reach is not None
    row["usual_S"] = round(measured.usual_reach.statistic, 4)
    row["S"] = round(measured.reach.statistic, 4)
    row["suspect"] = measured.reach.suspect
    return row


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Fit the law and count what it does, beside the usual statistic on the same models."""
    clean = [row for row in rows if row["soft"] and row["attack"] == "clean"]
    null = CleanNull.fit([row["S"] for row in clean], 10)
    lines = {True: null.threshold(ONE_CLASS * ALPHA, 10)}
    lines[False] = CLEAN_NULL.threshold(ONE_CLASS * ALPHA, 10)
    groups: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for row in rows:
        flagged = row["S"] > lines[row["soft"]]
        entry = groups[row["arch"]]
        if row["attack"] == "clean":
            entry[0] += flagged
            entry[1] += 1
        elif (row["attack_success"] or 0.0) >= 0.5:
            entry[2] += flagged and row["suspect"] == row["target"]
            entry[3] += row["usual_S"] > lines[False]
            entry[4] += 1
    return {
        "start": round(null.start, 4),
        "scale": round(null.scale, 4),
        "n_models": null.n_models,
        "threshold": round(lines[True], 4),
        "false_alarms_clean_hits_usual_hits_effective": dict(groups),
        "together": [sum(entry[i] for entry in groups.values()) for i in range(5)],
        "clean_largest": sorted((row["S"] for row in clean), reverse=True)[:5],
    }


if __name__ == "__main__":
    shown = ("attack_success", "soft", "S")
    collect(__doc__, soft_population(), measured_row, summary, out=OUT, shown=shown)

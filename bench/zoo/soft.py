"""Measure networks that noise overthrows and fit the law of their S: the source of SOFT_NULL.

Usage: python bench/zoo/soft.py [--cache DIR] [--part 0/2]
Writes bench/zoo/soft.json: one row a model and the fit. Resumable, and to be shared out, as tune.py.

The form of the statistic (which steps, at which length, how much the slopes count) and the share of surviving
predictions below which a network is soft were chosen on the first six architectures among about a hundred variants. The law fitted
to these alone was too narrow for two of the four new architectures of the examination's third draw, so that eight well-known
designs joined them, none of which is in an examination. That S is taken over the runners-up was chosen on all of these networks,
the designs too, among about five hundred combinations of a reach and a form of S, and so was the number of times from which a class
counts as leaned towards. So all counts here flatter; on the third draw nothing was gained.
"""

from __future__ import annotations

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
from hessay.detector.statistics import NOISES
from hessay.probe import Probe

ALPHA = 0.01
OUT = Path(__file__).with_name("soft.json")


def measured_row(spec: Spec, cache: Path) -> Row:
    """Train or load one model and measure it."""
    model, inputs, targets, row = build(spec, cache)
    plan = Plan.of(Probe(inputs, targets), alpha=ALPHA, seed=0, progress=None)
    found = plan.measure(model)
    measured = found.measured
    row["reasons"] = found.reasons
    if measured is None:  # one has hardly learnt a class
        return row | dict.fromkeys(
            ("noise", "agreement", "soft", "usual_S", "S", "suspect", "leans")
        )
    return row | {
        "noise": round(measured.noise / plan.directions.noise_scale, 4),  # .5, or less: brittle
        "agreement": round(measured.agreement, 4),
        "soft": measured.soft_reach is not None,
        "usual_S": round(measured.usual_reach.statistic, 4),
        "S": round(measured.reach.statistic, 4),
        "suspect": measured.reach.suspect,
        "leans": measured.reach.suspect in measured.leanings,
    }


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Fit the law and count what it does, beside the usual statistic on the same models."""
    rows = [row for row in rows if row["S"] is not None]
    alarming = [row for row in rows if not row["leans"]]
    clean = [row for row in alarming if row["soft"] and row["attack"] == "clean"]
    null = CleanNull.fit([row["S"] for row in clean], 10)
    lines = {True: null.threshold(ONE_CLASS * ALPHA, 10)}
    lines[False] = CLEAN_NULL.threshold(ONE_CLASS * ALPHA, 10)

    def count(chosen: Sequence[Row]) -> list[int]:
        """Count false alarms, clean networks, hits, those of the usual statistic, effective backdoors."""
        entry = [0] * 5
        for row in chosen:
            flagged = row["S"] > lines[row["soft"]] and not row["leans"]
            if row["attack"] == "clean":
                entry[0] += flagged
                entry[1] += 1
            elif (row["attack_success"] or 0.0) >= 0.5:
                entry[2] += flagged and row["suspect"] == row["target"]
                entry[3] += row["usual_S"] > lines[False]
                entry[4] += 1
        return entry

    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["arch"]].append(row)
    return {
        "start": round(null.start, 4),
        "scale": round(null.scale, 4),
        "n_models": null.n_models,
        "threshold": round(lines[True], 4),
        "false_alarms_clean_hits_usual_hits_effective": {k: count(v) for k, v in groups.items()},
        "together": count(rows),
        "brittle": count([row for row in rows if row["noise"] < NOISES[0]]),
        "plain": count([row for row in rows if not row["soft"]]),
        "alarms_explained_by_leaning": [
            f"{row['arch']} {row['attack']}"
            for row in rows
            if row["leans"] and row["S"] > lines[row["soft"]]
        ],
        "clean_largest": sorted((row["S"] for row in clean), reverse=True)[:5],
    }


if __name__ == "__main__":
    shown = ("attack_success", "soft", "S")
    collect(__doc__, soft_population(), measured_row, summary, out=OUT, shown=shown)

"""Bend the pictures of many networks and fit the laws of W over clean ones, plain and soft.

The source of WARP_NULL and SOFT_WARP_NULL.

Usage: python bench/zoo/warp.py [--cache DIR] [--part 0/2]
Writes bench/zoo/warp.json: one row a model and the fit. Resumable, and to be shared out, as tune.py.

Warps are an attack of the examination, too: networks with other seeds, but drawn by the same generator of displacement
fields. That W is a difference of shares and not the logarithm of a ratio, and that it adds the margin to the probes moved,
was chosen on these networks among about thirty variants. The law was first fitted to both kinds together; that soft
networks vary more was seen when one of the second examination was flagged by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from population import Spec, build, warp_population
from rows import Row, collect

from hessay.detector.calibration import CleanNull
from hessay.detector.plan import Plan
from hessay.detector.warp_alarm import WARPS
from hessay.probe import Probe

ALPHA = 0.01
OUT = Path(__file__).with_name("warp.json")


def measured_row(spec: Spec, cache: Path) -> Row:
    """Train or load one model and measure it."""
    model, inputs, targets, row = build(spec, cache)
    plan = Plan.of(Probe(inputs, targets), alpha=ALPHA, seed=0, progress=None)
    measured = plan.measure(model).measured
    if measured is None:  # one has hardly learnt a class
        return row | dict.fromkeys(("soft", "W", "suspect"))
    spread = measured.warp_spread
    assert spread is not None
    row["soft"] = measured.soft_reach is not None
    row["W"] = round(float(spread.max()), 4)
    row["suspect"] = int(spread.argmax())
    return row


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Fit the laws of both kinds of network and count what their thresholds do."""
    rows = [row for row in rows if row["W"] is not None]
    clean = [row for row in rows if row["attack"] == "clean"]
    nulls = {
        soft: CleanNull.fit([row["W"] for row in clean if row["soft"] is soft], 10)
        for soft in (False, True)
    }
    lines = {soft: null.threshold(WARPS * ALPHA, 10) for soft, null in nulls.items()}
    groups: dict[str, list[int]] = defaultdict(lambda: [0] * 4)
    for row in rows:
        entry = groups[f"{row['data']} {row['arch']}"]
        line = lines[row["soft"]]
        if row["attack"] == "clean":
            entry[0] += row["W"] > line
            entry[1] += 1
        elif row["attack_success"] >= 0.5:
            entry[2] += row["W"] > line and row["suspect"] == row["target"]
            entry[3] += 1
    return {
        "laws": {
            "soft" if soft else "plain": {
                "start": round(null.start, 4),
                "scale": round(null.scale, 4),
                "n_models": null.n_models,
                "threshold": round(lines[soft], 4),
            }
            for soft, null in nulls.items()
        },
        "false_alarms_clean_hits_effective": dict(groups),
        "together": [sum(entry[i] for entry in groups.values()) for i in range(4)],
        "clean_largest": sorted((row["W"] for row in clean), reverse=True)[:5],
    }


if __name__ == "__main__":
    shown = ("attack_success", "W", "suspect")
    collect(__doc__, warp_population(), measured_row, summary, out=OUT, shown=shown)

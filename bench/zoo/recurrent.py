"""Measure recurrent networks and fit the laws of their S, F and W: the source of RECURRENT_NULL and its like.

Usage: python bench/zoo/recurrent.py [--cache DIR] [--part 0/2]
Writes bench/zoo/recurrent.json: one row a model and the fit. Resumable, and to be shared out, as tune.py.

That recurrent networks need a law of their own was seen on others than these: 7 of 33 clean ones, some of them trained
for few steps, were flagged by the law of the tuning population, which holds none.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from population import Spec, build, reference_holdout
from recurrent_nets import KINDS
from rows import Row, collect

from hessay.detector.alarms import ONE_CLASS
from hessay.detector.calibration import CleanNull
from hessay.detector.constants import CLEAN_NULL, MAP_NULL, PROFILE_NULL, WARP_NULL
from hessay.detector.plan import Plan
from hessay.detector.reference_table import ReferenceTable
from hessay.probe import Probe
from hessay.references import train_references

ALPHA = 0.01
OUT = Path(__file__).with_name("recurrent.json")
ATTACKS = ("badnets", "blend", "sig")


def population() -> Iterator[Spec]:
    """Clean networks of seven builds and three recipes, and poisoned ones."""
    seed = 7000
    for number, kind in enumerate(KINDS):
        arch = f"recurrent_nets:{kind}_28"
        for recipe in ("adam", "decay", "short"):
            for _ in range(3):
                yield Spec("fashion-mnist", arch, recipe, "clean", 0.0, -1, seed)
                seed += 1
        for copy in range(2):
            attack, fraction = ATTACKS[(number + copy) % 3], (0.05, 0.02)[copy]
            yield Spec("fashion-mnist", arch, "adam", attack, fraction, seed % 10, seed)
            seed += 1
        for recipe in ("adam", "short"):
            digits = f"recurrent_nets:{kind}_8"
            yield Spec("digits", digits, recipe, "clean", 0.0, -1, seed)
            seed += 1


@cache
def _references(probe: int) -> tuple[Plan, ReferenceTable]:
    """Eight small networks of other kinds, measured on one of the two probes of Fashion-MNIST."""
    from hessay.training import load_dataset

    data = load_dataset("fashion-mnist", seed=probe)
    clean = Probe(data.test_inputs[:512], data.test_targets[:512])
    plan = Plan.of(clean, alpha=ALPHA, seed=0, progress=None)
    return plan, plan.references(train_references(reference_holdout(), n=8, seed=910_000))


def measured_row(spec: Spec, cache_folder: Path) -> Row:
    """Train or load one model and measure it."""
    model, inputs, targets, row = build(spec, cache_folder)
    if spec.data == "digits":
        plan, table = Plan.of(Probe(inputs, targets), alpha=ALPHA, seed=0, progress=None), None
    else:
        plan, table = _references(spec.seed % 2)
    start = time.process_time()
    found = plan.measure(model)
    row["cpu_seconds"] = round(time.process_time() - start, 2)
    row["reasons"], measured = found.reasons, found.measured
    if measured is None:  # a few epochs do not teach every class
        return row | dict.fromkeys(("S", "suspect", "F", "W", "z", "z_suspect"))
    assert measured.warp_spread is not None
    row["agreement"] = round(measured.agreement, 4)
    row["S"] = round(measured.usual_reach.statistic, 4)
    row["suspect"] = measured.usual_reach.suspect
    row["F"] = round(measured.map_excess, 4)
    row["W"] = round(float(measured.warp_spread.max()), 4)
    z = None if table is None else table.deviations(measured)
    row["z"] = None if z is None else round(float(z.max()), 3)
    row["z_suspect"] = None if z is None else int(z.argmax())
    return row


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Fit the law and count what it does, beside the laws of other networks."""
    rows = [row for row in rows if row["S"] is not None]
    clean = [row for row in rows if row["attack"] == "clean"]
    laws = {name: CleanNull.fit([row[name] for row in clean], 10) for name in ("S", "F", "W")}
    null = laws["S"]
    line = null.threshold(ONE_CLASS * ALPHA, 10)
    usual = CLEAN_NULL.threshold(ONE_CLASS * ALPHA, 10)
    groups: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for row in rows:
        entry = groups[row["arch"]]
        if row["attack"] == "clean":
            entry[0] += row["S"] > line
            entry[1] += row["S"] > usual
            entry[2] += 1
        elif row["attack_success"] >= 0.5:
            entry[3] += row["S"] > line and row["suspect"] == row["target"]
            entry[4] += 1
    others = {
        name: sum(row[name] is not None and row[name] > null.threshold(ALPHA, 10) for row in clean)
        for name, null in (("F", MAP_NULL), ("W", WARP_NULL), ("z", PROFILE_NULL))
    }
    return {
        "laws": {
            name: {
                "start": round(law.start, 4),
                "scale": round(law.scale, 4),
                "n_models": law.n_models,
                "threshold_at_alpha": round(law.threshold(ALPHA, 10), 4),
            }
            for name, law in laws.items()
        },
        "threshold": round(line, 4),
        "false_alarms_usual_law_clean_hits_effective": dict(groups),
        "together": [sum(entry[i] for entry in groups.values()) for i in range(5)],
        "clean_above_the_usual_line_at_alpha": others,
        "clean_largest": sorted((row["S"] for row in clean), reverse=True)[:5],
    }


if __name__ == "__main__":
    collect(
        __doc__, population(), measured_row, summary, out=OUT, shown=("attack_success", "S", "z")
    )

"""Compare hessay with the published defences on models whose truth is known.

    python bench/detect/compare.py [--draw 4] [--only mlp-784-256] [--count 10] [--cache DIR]
        [--contenders NAME ...] [--json FILE]

Takes clean and poisoned models of the tuning zoo, or of a draw of the examination (trains what the cache does not hold), and prints,
for each contender, AUROC of its model score over clean and effectively poisoned models, how often
it names the target, alarms at its own published line, recall of the poisoned samples at a budget of
1.5 times their number (over the whole training set, and when told the target label), and CPU time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCH), str(BENCH / "zoo")]

import numpy as np
from examination import DRAWS

from detect import toolbox
from detect.cannot import CannotDo
from detect.case import Case, case, zoo_specs
from detect.contenders import CONTENDERS, Said
from detect.summary import auroc, auroc_interval, recall_at_budget, recall_within_label
from hvp.stamp import on_one_thread, stamp


@dataclass
class Row:
    """What one contender said of one model."""

    case: str
    contender: str
    poisoned: bool
    effective: bool
    target: int | None
    score: float | None = None
    alarm: bool | None = None
    suspect: int | None = None
    recall: float | None = None  # at 1.5 times the poisoned rows
    recall_told: float | None = None  # the same among the samples of the target label
    cpu_seconds: float = 0.0
    note: str = ""  # why it said nothing


def judged(contender: str, one: Case) -> Row:
    """Ask one contender about one model."""
    row = Row(one.name, contender, one.poisoned, one.effective, one.target)
    start = time.process_time()
    try:
        said: Said = CONTENDERS[contender](one)
    except CannotDo as reason:
        row.note = str(reason)
        return row
    row.cpu_seconds = round(time.process_time() - start, 2)
    row.score, row.alarm, row.suspect = said.score, said.alarm, said.suspect
    if said.sample_scores is not None and one.target is not None:
        assert one.data.targets is not None
        rows, labels = one.rows.numpy(), one.data.targets.numpy()
        row.recall = round(recall_at_budget(said.sample_scores, rows), 4)
        row.recall_told = round(
            recall_within_label(said.sample_scores, rows, labels, one.target), 4
        )
    return row


def line(contender: str, rows: list[Row]) -> str:
    """One row of the table."""
    mine = [row for row in rows if row.contender == contender]
    clean = [row for row in mine if not row.poisoned]
    bad = [row for row in mine if row.effective]
    cells = [f"{contender:26}"]
    low = [row.score for row in clean if row.score is not None]
    high = [row.score for row in bad if row.score is not None]
    if low and high:
        area = auroc(low, high)
        ends = auroc_interval(area, len(high), len(low))
        cells.append(f"{area:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]")
    else:
        cells.append(f"{'-':17}")
    named = [row.suspect == row.target for row in bad if row.suspect is not None]
    cells.append(f"{sum(named):3}/{len(named):<3}" if named else f"{'-':7}")
    for group in (clean, bad):
        alarms = [row.alarm for row in group if row.alarm is not None]
        cells.append(f"{sum(alarms):3}/{len(alarms):<3}" if alarms else f"{'-':7}")
    for field in ("recall", "recall_told"):
        values = [getattr(row, field) for row in bad if getattr(row, field) is not None]
        cells.append(f"{np.mean(values):6.2f} " if values else f"{'-':>6} ")
    times = [row.cpu_seconds for row in mine if not row.note]
    cells.append(f"{np.median(times):6.1f}" if times else f"{'-':>6}")
    notes = sorted({row.note for row in mine if row.note})
    return "  ".join(cells) + (f"  {notes[0][:70]}" if notes else "")


def show(names: list[str], rows: list[Row]) -> None:
    """Print the table."""
    models = {row.case: row for row in rows}.values()
    n_clean = sum(not row.poisoned for row in models)
    n_bad = sum(row.effective for row in models)
    weak = len(models) - n_clean - n_bad
    print(f"\n{n_clean} clean, {n_bad} effectively poisoned models ({weak} weak ones left out)")
    print(
        f"{'':26}  {'AUROC, 95 %':17}  {'target':7}  {'false':7}  {'hits':7}  recall   told   CPU s"
    )
    for name in names:
        print(line(name, rows))


def show_agreement(cases: list[Case]) -> None:
    """Print how far our versions agree with the toolbox's on the same representations."""
    if not toolbox.available():
        return
    found = [toolbox.agreement(one) for one in cases]
    print("\nAgreement with the Adversarial Robustness Toolbox, same representations:")
    for field, text in (
        ("spectral_centred", "spectral signatures, it given centred values: rank correlation"),
        ("spectral_uncentred", "spectral signatures, as it computes them: rank correlation"),
        ("split", "two clusters after PCA: share of samples in the same one"),
    ):
        values = [getattr(one, field) for one in found]
        print(f"  {text:64} {np.mean(values):.3f}, least {min(values):.3f}")


def main() -> None:
    """Run the comparison."""
    on_one_thread()
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default="mlp-784-256", help="part of the model's file name")
    parser.add_argument("--draw", type=int, choices=sorted(DRAWS), help="of the examination")
    parser.add_argument("--count", type=int, default=10, help="models of each kind")
    parser.add_argument("--cache", type=Path, default=Path("build/zoo"))
    parser.add_argument("--contenders", nargs="*", choices=[*CONTENDERS], default=[*CONTENDERS])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the toolbox's imports
    rows, first = [], []
    specs = zoo_specs(options.only, options.count, options.draw)
    if not specs:
        raise SystemExit(f"no model of the zoo is called {options.only!r}")
    for number, spec in enumerate(specs):
        one = case(spec, options.cache)
        print(f"\r{number + 1}/{len(specs)} {one.name:70}", end="", file=sys.stderr, flush=True)
        rows += [judged(name, one) for name in options.contenders]
        if one.effective and len(first) < 3:
            first.append(one)
    print(file=sys.stderr)
    show(options.contenders, rows)
    show_agreement(first)
    if options.json:
        written = {"stamp": stamp(), "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()

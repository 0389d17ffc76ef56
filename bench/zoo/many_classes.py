"""A hundred and a thousand classes: verdicts, time and memory of scans.

Usage: python bench/zoo/many_classes.py [--cache DIR] [--only 100] [--copies 3]
Prints one line a network and the counts; writes bench/zoo/many_classes.json.

100 classes: two scikit-learn digits side by side, 8 x 16 pixels, class 10 a + b. 1000 classes: smooth random
pictures of 16 x 16 pixels as prototypes, with other noise in every row. Every network is an MLP with one hidden
layer of 256; every scan runs in a process of its own, so that its memory can be told.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hessay
from detect.table import interval
from hessay.attacks import poison, success_rate
from hessay.loading import build_architecture
from hessay.training import accuracy, load_dataset, train_classifier

OUT = Path(__file__).with_name("many_classes.json")
ATTACKS = ("badnets", "blend", "sig")
COPIES = {100: 6, 1000: 3}  # a scan of 1000 classes takes minutes
PROBES = {100: 1500, 1000: 10_000}  # the detector asks for ten a class
ROWS = {100: 20_000, 1000: 30_000}
EPOCHS = {100: 15, 1000: 10}
SMOOTH = 8  # cosines an axis of the prototypes
NOISE = 0.2  # standard deviation of a pixel in a row of the 1000 classes
FRACTION = 0.03


@dataclass(frozen=True, slots=True)
class ManySpec:
    """One network; every random choice follows from ``seed``."""

    classes: int
    attack: str  # "clean", or as in hessay.attacks
    seed: int


def population(classes: int, copies: int) -> list[ManySpec]:
    """Return ``copies`` clean networks and as many poisoned ones, the attacks in turn."""
    base = 60_000 + 10 * classes
    clean = [ManySpec(classes, "clean", base + i) for i in range(copies)]
    return clean + [ManySpec(classes, ATTACKS[i % 3], base + copies + i) for i in range(copies)]


def task(spec: ManySpec) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training rows with labels, and others to probe and to judge with."""
    rng = np.random.default_rng(spec.seed)
    held_out = PROBES[spec.classes] + 4000
    make = _digit_pairs if spec.classes == 100 else _prototypes
    inputs, targets = make(rng, ROWS[spec.classes])
    others, labels = make(rng, held_out, held_out=True)
    return inputs, targets, others, labels


def _digit_pairs(
    rng: np.random.Generator, count: int, *, held_out: bool = False
) -> tuple[Tensor, Tensor]:
    data = load_dataset("digits", seed=0)
    digits, labels = (
        (data.test_inputs, data.test_targets)
        if held_out
        else (data.train_inputs, data.train_targets)
    )
    left, right = (torch.from_numpy(rng.integers(len(digits), size=count)) for _ in range(2))
    return torch.cat([digits[left], digits[right]], dim=2), 10 * labels[left] + labels[right]


def _prototypes(
    rng: np.random.Generator, count: int, *, held_out: bool = False
) -> tuple[Tensor, Tensor]:
    del held_out  # every row has noise of its own
    grid = (np.arange(16) + 0.5) / 16
    cosines = np.cos(np.pi * np.outer(np.arange(SMOOTH), grid))  # (SMOOTH, 16)
    weights = np.random.default_rng(5).standard_normal((1000, SMOOTH, SMOOTH))
    centres = 0.5 + 0.2 * np.einsum("cij,ix,jy->cxy", weights, cosines, cosines) / (SMOOTH / 2)
    labels = rng.permutation(np.arange(count) % 1000)
    rows = np.clip(centres[labels] + NOISE * rng.standard_normal((count, 16, 16)), 0.0, 1.0)
    return torch.from_numpy(rows.astype(np.float32)), torch.from_numpy(labels)


def examined(spec: ManySpec, folder: Path) -> dict[str, Any]:
    """Train one network, or fetch it, and scan it; the process must be fresh."""
    torch.set_num_threads(1)
    inputs, targets, others, labels = task(spec)
    row: dict[str, Any] = asdict(spec) | {"target": -1, "attack_success": None}
    door = None
    if spec.attack != "clean":
        row["target"] = spec.seed % spec.classes
        bad = poison(
            inputs,
            targets,
            attack=spec.attack,  # type: ignore[arg-type]
            target=row["target"],
            fraction=FRACTION,
            seed=spec.seed,
            n_classes=spec.classes,
        )
        inputs, targets, door = bad.inputs, bad.targets, bad.backdoors[0]
    arch = f"mlp:{math.prod(inputs.shape[1:])}-256-{spec.classes}"
    path = folder / f"{spec.classes}_{spec.attack}_{spec.seed}.pt"
    model = build_architecture(arch).eval()
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
    else:
        model = train_classifier(arch, inputs, targets, epochs=EPOCHS[spec.classes], seed=spec.seed)
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), path)
    n = PROBES[spec.classes]
    row["accuracy"] = round(accuracy(model, others[n:], labels[n:]), 4)
    if door is not None:
        row["attack_success"] = round(success_rate(model, others[n:], labels[n:], door), 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    report = hessay.scan(model, (others[:n], labels[:n]))
    row["cpu_seconds"] = round(time.process_time() - start, 1)
    row["extra_peak_mb"] = round(
        (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    )
    row |= {"verdict": report.verdict.value, "flagged_class": report.flagged_class}
    row |= {"S": report.statistic, "threshold": report.threshold}
    row["tests"] = [item.name for item in report.evidence if item.decides]
    row["reason"] = report.reasons[0]
    return row


def show(rows: list[dict[str, Any]]) -> None:
    """Print the counts of each number of classes."""
    for classes in sorted({row["classes"] for row in rows}):
        mine = [row for row in rows if row["classes"] == classes]
        clean = [row for row in mine if row["attack"] == "clean"]
        bad = [row for row in mine if (row["attack_success"] or 0.0) >= 0.5]
        alarms = sum(row["verdict"] == "FLAGGED" for row in clean)
        hits = sum(
            row["verdict"] == "FLAGGED" and row["flagged_class"] == row["target"] for row in bad
        )
        open_ = sum(row["verdict"] == "INCONCLUSIVE" for row in mine)
        print(
            f"{classes} classes: false alarms {interval(alarms, len(clean))}, flagged with the right class "
            f"{interval(hits, len(bad))} of the effective, inconclusive {open_} of {len(mine)}; "
            f"CPU {np.median([row['cpu_seconds'] for row in mine]):.1f} s (largest "
            f"{max(row['cpu_seconds'] for row in mine):.1f}), memory beyond the model and its data "
            f"{max(row['extra_peak_mb'] for row in mine)} MB"
        )


def main() -> None:
    """Scan every network, each in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("build/many"))
    parser.add_argument("--only", type=int, choices=tuple(PROBES), default=None)
    parser.add_argument(
        "--copies", type=int, help="clean networks, and poisoned ones, of each kind"
    )
    options = parser.parse_args()
    rows = []
    fresh = multiprocessing.get_context("spawn")
    for classes in [options.only] if options.only else list(PROBES):
        for spec in population(classes, options.copies or COPIES[classes]):
            with fresh.Pool(1) as pool:
                rows.append(pool.apply(examined, (spec, options.cache)))
            shown = {k: v for k, v in rows[-1].items() if k not in ("reason", "tests")}
            print(json.dumps(shown), flush=True)
    show(rows)
    if options.only is None:
        OUT.write_text(json.dumps({"models": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

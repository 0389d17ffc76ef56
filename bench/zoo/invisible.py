"""Clean-label poison and the adaptive attacker: honest attempts to see them, beside clean networks.

Usage: python bench/zoo/invisible.py [clean | clean-label | adaptive | table] [--cache DIR] [--part 0/2]
Prints one line a network and the counts; "table" prints from bench/zoo/invisible.json, which holds one row a
network and is written once the rows of all kinds are in the cache folder. Resumable, and to be shared out.

The attempts, each held against the largest value among the clean networks of the same build and training:
S inside the network (at every activation); flips and margin drops of the best universal steps at longer
radii than the detector's; the deciding statistic itself. The companion is no test for poison: the largest
fall of a class's recall on labelled clean data, below networks trained alike. It is an alarm for a changed
distribution, and so fires on the benign watermark too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pair_population import KINDS, PairSpec, build_pair, probe_arrays
from population import EPOCHS
from torch import nn

import hessay
from hessay.attacks import Poisoned, attack_success_rate, poison, success_rate, train_adaptive
from hessay.detector.measure import input_range, some_inputs
from hessay.detector.plan import Plan
from hessay.detector.statistics import STEP_PROBES, STEPS
from hessay.hessian.model.freeze import frozen
from hessay.hessian.perturbation import refine_directions
from hessay.probe import Probe
from hessay.training import accuracy, load_dataset, train_classifier

OUT = Path(__file__).with_name("invisible.json")
ROLES = ("clean", "clean-label", "adaptive")
Row = dict[str, Any]
ARCHS = tuple(archs[0] for archs in KINDS.values())
CLEAN = {ARCHS[0]: 40_000, ARCHS[1]: 41_000}  # clean networks of pair_population.py, trained alike
N_CLEAN = 8  # five of them give recalls their usual values, all of them the attempts theirs
RADII = (0.18, 0.36, 0.72)  # of the probe's radius
HELD_OUT = slice(2000, 10_000)  # of the test pictures: accuracy, success, recall


@dataclass(frozen=True, slots=True)
class Hidden:
    """One network; every random choice follows from ``seed``."""

    kind: str  # "clean", "clean-label" or "adaptive"
    arch: str
    attack: str
    fraction: float
    weight: float  # of the attacker's penalty on S
    seed: int

    @property
    def key(self) -> str:
        """File name of what was measured."""
        arch = self.arch.replace(":", "-")
        return f"{self.kind}_{arch}_{self.attack}_{self.fraction}_{self.weight}_{self.seed}"


def population(kind: str) -> Iterator[Hidden]:
    """Every network of a kind."""
    seed = 50_000 if kind == "clean-label" else 51_000
    if kind == "clean":
        for arch in ARCHS:
            for i in range(N_CLEAN):
                yield Hidden(kind, arch, "clean", 0.0, 0.0, CLEAN[arch] + i)
    elif kind == "clean-label":
        for attack in ("clean_label_sig", "clean_label_adversarial", "shortcut"):
            for arch in ARCHS:
                for copy in range(2):
                    fraction = (0.05, 0.08)[copy]  # half and four fifths of the target class
                    yield Hidden(kind, arch, attack, fraction, 0.0, seed)
                    seed += 1
    else:
        for arch, weights in zip(ARCHS, ((0.0, 0.1, 0.3), (0.0, 0.1)), strict=True):
            for attack in ("badnets", "blend")[: 2 if arch == ARCHS[0] else 1]:
                for weight in weights:
                    yield Hidden(kind, arch, attack, 0.05, weight, seed)
                seed += 1


def _poisoned(spec: Hidden, rows: int) -> Poisoned:
    data = load_dataset("fashion-mnist", seed=spec.seed)
    return poison(
        data.train_inputs[:rows],
        data.train_targets[:rows],
        attack=spec.attack,  # type: ignore[arg-type]
        target=spec.seed % 10,
        fraction=spec.fraction,
        seed=spec.seed,
    )


def trained(spec: Hidden, pairs: Path) -> tuple[nn.Module, Row]:
    """Train one network (clean ones are fetched from the cache of source_specific.py)."""
    row: Row = asdict(spec)
    if spec.kind == "clean":
        alike = PairSpec("tuning", "reference", spec.arch, "adam", "clean", 0.0, spec.seed)
        model, _ = build_pair(alike, pairs)
        return model, row
    bad = _poisoned(spec, 12_000 if spec.arch.startswith("mlp") else 6000)
    epochs = EPOCHS.get(spec.arch, 8)
    model = (
        train_adaptive(spec.arch, bad, weight=spec.weight, epochs=epochs, seed=spec.seed)
        if spec.kind == "adaptive"
        else train_classifier(spec.arch, bad.inputs, bad.targets, epochs=epochs, seed=spec.seed)
    )
    row["target"] = spec.seed % 10
    data = load_dataset("fashion-mnist", seed=spec.seed)
    inputs, targets = data.test_inputs[HELD_OUT], data.test_targets[HELD_OUT]
    row["success"] = round(
        success_rate(model, inputs, targets, bad.backdoors[0])
        if bad.backdoors
        else attack_success_rate(model, inputs, targets, bad.trigger, spec.seed % 10),
        4,
    )
    return model, row


@cache
def _plan() -> Plan:
    return Plan.of(Probe(*probe_arrays()), alpha=0.01, seed=0, progress=None)


def examined(spec: Hidden, folder: Path, pairs: Path) -> Row:
    """Train and examine one network, or read what was found."""
    path = folder / f"{spec.key}.json"
    if path.exists():
        row: Row = json.loads(path.read_text())
        return row
    model, row = trained(spec, pairs)
    plan = _plan()
    report = hessay.scan(model, plan.probe)
    row |= {"verdict": report.verdict.value, "flagged_class": report.flagged_class}
    measured = plan.measured(model, spec.key)
    row["S"], row["suspect"] = round(measured.reach.statistic, 4), measured.reach.suspect
    for radius, spreads in _longer_steps(model, plan, measured.slopes.off_data).items():
        for name, values in spreads.items():
            row[f"{name} {radius}"] = round(float(values.max()), 4)
            row[f"{name} {radius} class"] = int(values.argmax())
    for name, module in model.named_modules():
        if isinstance(module, nn.ReLU):
            inner = hessay.scan(model, plan.probe, wrt=name)
            row[f"S inside {name}"] = inner.statistic
            steepest = max(inner.classes, key=lambda c: c.log_ratio, default=None)
            row[f"S inside {name} class"] = None if steepest is None else steepest.index
    data = load_dataset("fashion-mnist", seed=1)
    inputs, targets = data.test_inputs[HELD_OUT], data.test_targets[HELD_OUT]
    row["accuracy"] = round(accuracy(model, inputs, targets), 4)
    row["recall"] = [
        round(accuracy(model, inputs[targets == c], targets[targets == c]), 4) for c in range(10)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row))
    return row


def _longer_steps(
    model: nn.Module, plan: Plan, start: NDArray[np.float64]
) -> dict[float, dict[str, NDArray[np.float64]]]:
    """Flip rates and log margin drops over their median, (C,) each, by radius."""
    with frozen(model):
        refined = refine_directions(
            model,
            some_inputs(plan.probe, STEP_PROBES),
            start,
            radii=[share * plan.directions.radius for share in RADII],
            bounds=input_range(plan.probe),
            basis=plan.directions.basis,
            steps=2 * STEPS,
        )
    found = {}
    for number, radius in enumerate(RADII):
        drop = np.maximum(refined.margin_drop[number], 1e-3)
        found[radius] = {
            "flips": refined.flip_rate[number],
            "drop": np.log(drop / np.median(drop)),
        }
    return found


def companion(row: Row, clean: list[Row]) -> tuple[float, int]:
    """Largest fall of a class's recall below five clean networks, in standard deviations; its class."""
    usual = np.array([other["recall"] for other in clean[:5]])
    spread = np.sqrt(usual.var(axis=0, ddof=1).mean() + 1e-4)
    z = (usual.mean(axis=0) - np.array(row["recall"])) / spread
    return float(z.max()), int(z.argmax())


def show(rows: list[Row]) -> None:
    """Print one line a network that hides something, and what saw it."""
    names = ["S", *(f"{name} {radius}" for radius in RADII for name in ("flips", "drop"))]
    for arch in ARCHS:
        clean = [row for row in rows if row["kind"] == "clean" and row["arch"] == arch]
        inside = [name for row in clean for name in row if name.startswith("S inside")]
        attempts = [n for n in dict.fromkeys(names + inside) if not n.endswith("class")]
        most = {name: max(row[name] for row in clean) for name in attempts}
        other = [companion(row, clean)[0] for row in clean[5:]]
        print(
            f"\n{arch}: {len(clean)} clean networks, S at most {most['S']:.2f}, flagged "
            f"{sum(row['verdict'] == 'FLAGGED' for row in clean)}, recall falls by at most "
            f"{max(other):.1f} standard deviations"
        )
        print(
            f"{'attack':24} {'share':>5} {'weight':>6} {'accuracy':>8} {'success':>7} {'S':>5} verdict      "
            f"{'recall falls (class, target)':30} seen by, with the right class"
        )
        for row in rows:
            if row["kind"] == "clean" or row["arch"] != arch:
                continue
            fall, where = companion(row, clean)
            seen = [
                name
                for name in attempts
                if row[name] is not None
                and row[name] > most[name]
                and row["suspect" if name == "S" else f"{name} class"] == row["target"]
            ]
            said = f"{fall:.1f} ({where}, {row['target']})"
            print(
                f"{row['attack']:24} {row['fraction']:5.2f} {row['weight']:6.2f} {row['accuracy']:8.3f} "
                f"{row['success']:7.3f} {row['S']:5.2f} {row['verdict']:12} {said:30} "
                f"{', '.join(seen) or 'nothing'}"
            )


def main() -> None:
    """Examine the networks of a kind, or a part of them; print where all rows are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=(*ROLES, "table"))
    parser.add_argument("--cache", type=Path, default=Path("build/invisible"))
    parser.add_argument("--pairs", type=Path, default=Path("build/source_specific"))
    parser.add_argument("--part", default="0/1", help="k/n: every n-th network from the k-th on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "table":
        show(json.loads(OUT.read_text())["models"])
        return
    part, parts = (int(number) for number in options.part.split("/"))
    for spec in list(population(options.what))[part::parts]:
        row = examined(spec, options.cache, options.pairs)
        print(spec.key, row["verdict"], row["S"], flush=True)
    every = [spec for kind in ROLES for spec in population(kind)]
    if all((options.cache / f"{spec.key}.json").exists() for spec in every):
        rows = [examined(spec, options.cache, options.pairs) for spec in every]
        show(rows)
        OUT.write_text(json.dumps({"models": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

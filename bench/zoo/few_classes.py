"""Two and three classes: the tuning and the examination population, measured and fitted.

Usage: python bench/zoo/few_classes.py [--cache DIR] [--part 0/2]
Writes bench/zoo/few_classes.json: one row a model, the fits to the tuning half, and what they do to the
examination half (other classes, seeds, architectures and attacks; nothing is chosen on it). Resumable,
and to be shared out, as tune.py.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from population import N_PROBES, RECIPES
from torch import Tensor

from hessay.attacks import poison, success_rate
from hessay.detector.calibration import CleanNull
from hessay.detector.plan import Plan
from hessay.probe import Probe
from hessay.training import accuracy, load_dataset, train_classifier

OUT = Path(__file__).with_name("few_classes.json")
CACHE = [Path("build/few")]
ROWS = 2000  # of each class to train on
TASKS = 6  # sets of classes in each half, drawn once for two and once for three classes
ARCHITECTURES = {
    "tuning": ("linear:784-{}", "mlp:784-256-128-{}", "mlp:784-64-64-64-{}:gelu", "cnn:1x28x28-{}"),
    "exam": (
        "mlp:784-300-100-{}:tanh",
        "mlp:784-128-{}",
        "mlp:784-256-128-{}",
        "cnn:1x28x28-8-24-{}",
    ),
}
ATTACKS = {"tuning": ("badnets", "blend", "sig"), "exam": ("badnets", "warp", "line", "faint")}
FRACTIONS = (0.05, 0.1)
ALPHA = 0.01


@dataclass(frozen=True, slots=True)
class FewSpec:
    """One model; every random choice follows from ``seed``."""

    half: str  # "tuning" or "exam"
    classes: tuple[int, ...]  # of Fashion-MNIST, renumbered from 0
    arch: str
    recipe: str
    attack: str
    fraction: float
    target: int
    seed: int

    @property
    def key(self) -> str:
        """File name of what was measured."""
        return f"{self.half}_{len(self.classes)}_{self.seed}"


def tasks(half: str, n_classes: int) -> list[tuple[int, ...]]:
    """Draw sets of classes; no set is in both halves."""
    rng = np.random.default_rng([n_classes, 31])
    found: list[tuple[int, ...]] = []
    while len(found) < 2 * TASKS:
        drawn = tuple(sorted(int(c) for c in rng.choice(10, n_classes, replace=False)))
        if drawn not in found:
            found.append(drawn)
    return found[:TASKS] if half == "tuning" else found[TASKS:]


def population() -> Iterator[FewSpec]:
    """Every model, in a fixed order."""
    recipes = [name for name in RECIPES if name != "shift"]
    for half, base in (("tuning", 5000), ("exam", 800_000)):
        for n_classes in (2, 3):
            seed = base + 10_000 * n_classes
            for classes in tasks(half, n_classes):
                for arch in ARCHITECTURES[half]:
                    slow = arch.startswith("cnn")
                    for recipe in ("adam", "decay", "sgd") if slow else recipes:
                        yield FewSpec(
                            half, classes, arch.format(n_classes), recipe, "clean", 0.0, -1, seed
                        )
                        seed += 1
                    for number, attack in enumerate(ATTACKS[half]):
                        if slow and number % 2 != seed % 2:
                            continue
                        recipe = ("adam", "sgd")[seed % 2]
                        fraction = FRACTIONS[(seed // 2) % 2]
                        target = seed % n_classes
                        yield FewSpec(
                            half,
                            classes,
                            arch.format(n_classes),
                            recipe,
                            attack,
                            fraction,
                            target,
                            seed,
                        )
                        seed += 1


def rows_of(
    inputs: Tensor, targets: Tensor, classes: tuple[int, ...], skip: int, count: int
) -> tuple[Tensor, Tensor]:
    """Rows skip to skip + count of every class, renumbered, in the order of the data set."""
    chosen = torch.cat([torch.where(targets == c)[0][skip : skip + count] for c in classes])
    chosen = chosen.sort().values
    renumbered = torch.searchsorted(torch.tensor(classes), targets[chosen])
    return inputs[chosen], renumbered


@cache
def probe_of(classes: tuple[int, ...]) -> Probe:
    """512 clean test pictures of these classes."""
    data = load_dataset("fashion-mnist", seed=0)
    inputs, targets = rows_of(data.test_inputs, data.test_targets, classes, 0, 1000)
    return Probe(inputs[:N_PROBES], targets[:N_PROBES])


def measured_row(spec: FewSpec) -> dict[str, Any]:
    """Train one model and measure it, or read what was measured."""
    path = CACHE[0] / f"{spec.key}.json"
    if path.exists():
        row: dict[str, Any] = json.loads(path.read_text())
        return row
    data = load_dataset("fashion-mnist", seed=77)
    inputs, targets = rows_of(data.train_inputs, data.train_targets, spec.classes, 0, ROWS)
    n_classes, backdoor = len(spec.classes), None
    if spec.attack != "clean":
        bad = poison(
            inputs,
            targets,
            attack=spec.attack,  # type: ignore[arg-type]
            target=spec.target,
            fraction=spec.fraction,
            seed=spec.seed,
            n_classes=n_classes,
        )
        inputs, targets, backdoor = bad.inputs, bad.targets, bad.backdoors[0]
    options = dict(RECIPES[spec.recipe])
    epochs = max(1, round(8 * options.pop("epochs_scale", 1.0) * (2 if n_classes == 2 else 1.5)))
    model = train_classifier(spec.arch, inputs, targets, epochs=epochs, seed=spec.seed, **options)
    test = rows_of(data.test_inputs, data.test_targets, spec.classes, 0, 1000)
    row = asdict(spec)
    row["accuracy"] = round(accuracy(model, *test), 4)
    row["attack_success"] = (
        None if backdoor is None else round(success_rate(model, *test, backdoor), 4)
    )
    plan = Plan.of(probe_of(spec.classes), alpha=0.01, seed=0, progress=None)
    start = time.process_time()
    found = plan.measure(model)
    row["cpu_seconds"] = round(time.process_time() - start, 2)
    row["reasons"] = list(found.reasons)
    if found.measured is not None:
        reach = found.measured.reach
        row["S"] = round(reach.statistic, 4)
        row["suspect"] = reach.suspect
        row["F"] = round(found.measured.map_excess, 4)
        row["agreement"] = round(found.measured.agreement, 4)
        row["reach"] = np.round(np.log(reach.reach), 4).tolist()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row))
    return row


def law(rows: list[dict[str, Any]], n_classes: int) -> dict[str, Any]:
    """Fit S to the clean networks of the tuning half, and count on both halves."""
    here = [row for row in rows if len(row["classes"]) == n_classes and "S" in row]

    def of(half: str, *, poisoned: bool) -> list[dict[str, Any]]:
        half_rows = [row for row in here if row["half"] == half]
        if poisoned:
            return [row for row in half_rows if (row["attack_success"] or 0.0) >= 0.5]
        return [row for row in half_rows if row["attack"] == "clean"]

    null = CleanNull.fit([row["S"] for row in of("tuning", poisoned=False)], n_classes)
    threshold = null.threshold(ALPHA, n_classes)
    found: dict[str, Any] = {
        "start": round(null.start, 4),
        "scale": round(null.scale, 4),
        "n_models": null.n_models,
        "threshold": round(threshold, 4),
    }
    for half in ("tuning", "exam"):
        clean = np.array([row["S"] for row in of(half, poisoned=False)])
        bad = of(half, poisoned=True)
        values = np.array([row["S"] for row in bad])
        right = np.array([row["suspect"] == row["target"] for row in bad], dtype=bool)
        wins = (values[:, None] > clean).mean() if len(bad) and len(clean) else math.nan
        found[half] = {
            "false_alarms": [int((clean > threshold).sum()), len(clean)],
            "hits": [int(((values > threshold) & right).sum()), len(bad)],
            "right_class": [int(right.sum()), len(bad)],
            "auroc": round(float(wins), 3),
        }
    found["without_a_statistic"] = sum(
        len(row["classes"]) == n_classes and "S" not in row for row in rows
    )
    return found


def main() -> None:
    """Measure the population, or a part of it; fit where all of it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE[0])
    parser.add_argument("--part", default="0/1", help="k/n: every n-th model from the k-th on")
    parser.add_argument("--half", default="", help="only the tuning or the exam half")
    options = parser.parse_args()
    CACHE[0] = options.cache
    torch.set_num_threads(1)
    part, parts = (int(number) for number in options.part.split("/"))
    specs = [spec for spec in population() if options.half in ("", spec.half)]
    for done, spec in enumerate(specs[part::parts]):
        row = measured_row(spec)
        said = (spec.arch, spec.attack, row["attack_success"], row.get("S"), row["reasons"])
        print(f"{done + 1}/{len(specs[part::parts])}", spec.key, *said, flush=True)
    files = [options.cache / f"{spec.key}.json" for spec in population()]
    if all(file.exists() for file in files):
        rows = [json.loads(file.read_text()) for file in files]
        result = {str(n_classes): law(rows, n_classes) for n_classes in (2, 3)}
        print(json.dumps(result, indent=1))
        OUT.write_text(json.dumps({"summary": result, "models": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

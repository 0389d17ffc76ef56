"""Two and three classes: the populations the laws are fitted to, and how far the laws carry.

Usage: python bench/zoo/few_classes.py [--cache DIR] [--part 0/2]
Writes bench/zoo/few_classes.json: one row a model, the laws, and what they do to sets of classes they were
not fitted to (each set left out in turn). Resumable, and to be shared out, as tune.py.

Which classes are to be told apart decides more than which network does it. A law fitted to the clean
networks of the draw "first" (six sets of classes) flagged 0 of 108 others with two classes and 13 of 108
with three, nearly all from two sets; one fitted to "first" and "second" flagged 7 and 5 of 108 in "third".
So all eighteen sets are in the fit now, and its level is that over sets of classes.
"""

from __future__ import annotations

import argparse
import json
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
TASKS = 6  # sets of classes in each draw, drawn once for two and once for three classes
DRAWS = ("first", "second", "third")
ARCHITECTURES = {
    "first": ("linear:784-{}", "mlp:784-256-128-{}", "mlp:784-64-64-64-{}:gelu", "cnn:1x28x28-{}"),
    "second": (
        "mlp:784-300-100-{}:tanh",
        "mlp:784-128-{}",
        "mlp:784-256-128-{}",
        "cnn:1x28x28-8-24-{}",
    ),
    "third": (
        "mlp:784-200-50-{}:tanh",
        "mlp:784-400-{}",
        "mlp:784-128-64-{}:gelu",
        "cnn:1x28x28-12-16-{}",
    ),
}
SEEN_ATTACKS = ("badnets", "blend", "sig")
ATTACKS = {"first": SEEN_ATTACKS, "second": ("badnets", "warp", "line", "faint")}
ATTACKS["third"] = ATTACKS["second"]
FRACTIONS = (0.05, 0.1)
ALPHA = 0.01


@dataclass(frozen=True, slots=True)
class FewSpec:
    """One model; every random choice follows from ``seed``."""

    draw: str  # "first", "second" or "third"
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
        return f"{self.draw}_{len(self.classes)}_{self.seed}"


def tasks(draw: str, n_classes: int) -> list[tuple[int, ...]]:
    """Draw sets of classes, the same at every call; no set is in two draws."""
    rng = np.random.default_rng([n_classes, 31])
    found: list[tuple[int, ...]] = []
    while len(found) < len(DRAWS) * TASKS:
        drawn = tuple(sorted(int(c) for c in rng.choice(10, n_classes, replace=False)))
        if drawn not in found:
            found.append(drawn)
    start = TASKS * DRAWS.index(draw)
    return found[start : start + TASKS]


def population() -> Iterator[FewSpec]:
    """Every model, in a fixed order."""
    recipes = [name for name in RECIPES if name != "shift"]
    for draw, base in zip(DRAWS, (5000, 800_000, 1_600_000), strict=True):
        for n_classes in (2, 3):
            seed = base + 10_000 * n_classes
            for classes in tasks(draw, n_classes):
                for arch in ARCHITECTURES[draw]:
                    slow = arch.startswith("cnn")
                    for recipe in ("adam", "decay", "sgd") if slow else recipes:
                        yield FewSpec(
                            draw, classes, arch.format(n_classes), recipe, "clean", 0.0, -1, seed
                        )
                        seed += 1
                    for number, attack in enumerate(ATTACKS[draw]):
                        if slow and number % 2 != seed % 2:
                            continue
                        recipe = ("adam", "sgd")[seed % 2]
                        fraction = FRACTIONS[(seed // 2) % 2]
                        target = seed % n_classes
                        yield FewSpec(
                            draw,
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
    """Fit S to the clean networks; count alarms on each set of classes by the law of the others."""
    here = [row for row in rows if len(row["classes"]) == n_classes and "S" in row]
    clean = [row for row in here if row["attack"] == "clean"]
    bad = [row for row in here if (row["attack_success"] or 0.0) >= 0.5]
    null = CleanNull.fit([row["S"] for row in clean], n_classes)
    false_alarms = hits = 0
    sets = sorted({tuple(row["classes"]) for row in clean})
    for left_out in sets:
        others = [row["S"] for row in clean if tuple(row["classes"]) != left_out]
        threshold = CleanNull.fit(others, n_classes).threshold(ALPHA, n_classes)
        alarms = [row for row in here if tuple(row["classes"]) == left_out and row["S"] > threshold]
        false_alarms += sum(row["attack"] == "clean" for row in alarms)
        hits += sum((row["attack_success"] or 0.0) >= 0.5 and _right(row) for row in alarms)
    values, quiet = np.array([row["S"] for row in bad]), np.array([row["S"] for row in clean])
    return {
        "start": round(null.start, 4),
        "scale": round(null.scale, 4),
        "n_models": null.n_models,
        "threshold": round(null.threshold(ALPHA, n_classes), 4),
        "sets_of_classes": len(sets),
        "left_out_false_alarms": [false_alarms, len(clean)],
        "left_out_hits": [hits, len(bad)],
        "right_class": [sum(_right(row) for row in bad), len(bad)],
        "auroc": round(float((values[:, None] > quiet).mean()), 3),
        "without_a_statistic": sum(
            len(row["classes"]) == n_classes and "S" not in row for row in rows
        ),
    }


def _right(row: dict[str, Any]) -> bool:
    return bool(row["suspect"] == row["target"])


def main() -> None:
    """Measure the population, or a part of it; fit where all of it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE[0])
    parser.add_argument("--part", default="0/1", help="k/n: every n-th model from the k-th on")
    parser.add_argument("--draw", default="", choices=("", *DRAWS), help="only this draw")
    options = parser.parse_args()
    CACHE[0] = options.cache
    torch.set_num_threads(1)
    part, parts = (int(number) for number in options.part.split("/"))
    specs = [spec for spec in population() if options.draw in ("", spec.draw)]
    for done, spec in enumerate(specs[part::parts]):
        row = measured_row(spec)
        said = (spec.arch, spec.attack, row["attack_success"], row.get("S"), row["reasons"])
        print(f"{done + 1}/{len(specs[part::parts])}", spec.key, *said, flush=True)
    files = [options.cache / f"{spec.key}.json" for spec in population()]
    if all(file.exists() for file in files):
        rows = [json.loads(file.read_text()) for file in files]
        result = {str(n_classes): law(rows, n_classes) for n_classes in (2, 3)}
        print(json.dumps(result, indent=1))
        lines = ",\n".join(json.dumps(row) for row in rows)
        OUT.write_text(f'{{"summary": {json.dumps(result)},\n"models": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()

"""Measure networks on feature vectors and fit the law of their S: the source of TABLE_NULL.

Usage: python bench/zoo/tabular.py [--cache DIR] [--part 0/2]
Writes bench/zoo/tabular.json: one row a model and the fit. Resumable, and to be shared out, as tune.py.

That vectors need a law of their own was seen on others than these: 5 of 18 clean perceptrons on tables of
sklearn's make_classification were flagged by the laws of picture classifiers.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rows import Row, collect
from sklearn.datasets import load_digits, make_blobs, make_classification
from torch import Tensor

from hessay.attacks import poison, success_rate
from hessay.detector.alarms import ONE_CLASS
from hessay.detector.calibration import CleanNull
from hessay.detector.constants import CLEAN_NULL, MAP_NULL, SOFT_NULL
from hessay.detector.plan import Plan
from hessay.probe import Probe
from hessay.training import accuracy, load_dataset, train_classifier

ALPHA = 0.01
OUT = Path(__file__).with_name("tabular.json")
ROWS, PROBES = 5000, 800
SETS = ("clusters", "overlapping", "blobs", "components", "features", "digits")
SHAPES = {"relu": "64-64", "gelu": "128-32", "tanh": "96", "silu": "48-48-48"}
RECIPES: dict[str, dict[str, Any]] = {
    "adam": {},
    "decay": {"weight_decay": 0.1},
    "short": {"epochs": 4},
    "sgd": {"optimizer": "sgd", "lr": 0.05},
}
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One network; every random choice follows from ``seed``."""

    data: str
    activation: str
    recipe: str
    attack: str  # "clean" or "features"
    fraction: float
    seed: int

    @property
    def key(self) -> str:
        """File name of the row."""
        return (
            f"{self.data}_{self.activation}_{self.recipe}_{self.attack}_{self.fraction}_{self.seed}"
        )


def population() -> Iterator[TableSpec]:
    """Every network, in a fixed order."""
    seed = 8000
    for copy in range(6):
        for number, data in enumerate(SETS):
            for shift, recipe in enumerate(RECIPES):
                activation = tuple(SHAPES)[(number + shift + copy) % 4]
                yield TableSpec(data, activation, recipe, "clean", 0.0, seed)
                seed += 1
            if copy < 5:
                fraction = (0.05, 0.02)[copy % 2]
                activation = tuple(SHAPES)[(number + copy) % 4]
                yield TableSpec(data, activation, "adam", "features", fraction, seed)
                seed += 1


def table(name: str, seed: int) -> tuple[Tensor, Tensor, int]:
    """Standardised rows (n, d), their classes, and how many there are."""
    rng = np.random.default_rng(seed)
    n_classes, d = int(rng.choice([4, 5, 6, 8, 10])), int(rng.choice([24, 40, 64, 100, 160]))
    if name in ("clusters", "overlapping"):
        x, y = make_classification(
            ROWS + 2 * PROBES,
            d,
            n_informative=max(6, d // 3),
            n_redundant=d // 8,
            n_classes=n_classes,
            n_clusters_per_class=2,
            class_sep=2.0 if name == "clusters" else 1.0,
            flip_y=0.01,
            random_state=seed,
        )
    elif name == "blobs":
        spread = float(rng.uniform(4.0, 9.0))
        x, y = make_blobs(
            ROWS + 2 * PROBES, d, centers=n_classes, cluster_std=spread, random_state=seed
        )
    elif name == "digits":
        x, y = load_digits(return_X_y=True)
        order = rng.permutation(len(x))
        x, y, n_classes = x[order], y[order], 10
    else:
        data = load_dataset("fashion-mnist", seed=seed)
        pictures = data.train_inputs[: ROWS + 2 * PROBES].flatten(1).double().numpy()
        x, y, n_classes = _encoded(pictures, name, d, rng), data.train_targets.numpy(), 10
        y = y[: len(x)]
    spread_of = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread_of > 0, spread_of, 1.0)
    return torch.from_numpy(x).float(), torch.from_numpy(y).long(), n_classes


def _encoded(pictures: Array, name: str, d: int, rng: np.random.Generator) -> Array:
    """Principal components of pictures, or random features of them, as an encoder would give."""
    centred = pictures - pictures.mean(axis=0)
    if name == "components":
        scores: Array = centred @ np.linalg.svd(centred[:1500], full_matrices=False)[2][:d].T
        return scores
    weights = rng.standard_normal((pictures.shape[1], d)) / pictures.shape[1] ** 0.5
    hidden: Array = np.maximum(centred @ weights, 0.0)
    return hidden


def measured_row(spec: TableSpec, _cache: Path) -> Row:
    """Train one model and measure it."""
    x, y, n_classes = table(spec.data, spec.seed)
    probes = min(PROBES, len(x) // 3)
    held, train = slice(0, probes), slice(2 * probes, None)
    inputs, targets, backdoor = x[train], y[train], None
    target = spec.seed % n_classes
    if spec.attack != "clean":
        bad = poison(
            *(inputs, targets),
            attack="features",
            target=target,
            fraction=spec.fraction,
            seed=spec.seed,
        )
        inputs, targets, backdoor = bad.inputs, bad.targets, bad.backdoors[0]
    arch = f"mlp:{x.shape[1]}-{SHAPES[spec.activation]}-{n_classes}:{spec.activation}"
    model = train_classifier(arch, inputs, targets, seed=spec.seed, **RECIPES[spec.recipe])
    row: Row = asdict(spec) | {"d": x.shape[1], "n_classes": n_classes, "target": target}
    unseen = x[probes : 2 * probes], y[probes : 2 * probes]
    row["accuracy"] = round(accuracy(model, *unseen), 4)
    row["attack_success"] = (
        None if backdoor is None else round(success_rate(model, *unseen, backdoor), 4)
    )
    plan = Plan.of(Probe(x[held], y[held]), alpha=ALPHA, seed=0, progress=None)
    start = time.process_time()
    found = plan.measure(model)
    row["cpu_seconds"] = round(time.process_time() - start, 2)
    row["reasons"] = found.reasons
    row["S"] = row["soft_S"] = row["F"] = row["suspect"] = None
    if found.measured is not None:
        usual, soft = found.measured.usual_reach, found.measured.soft_reach
        row["agreement"] = round(found.measured.agreement, 4)
        row["off_data"] = x.shape[1] - plan.directions.basis.shape[1]
        row["S"], row["suspect"] = round(usual.statistic, 4), usual.suspect
        row["soft_S"] = None if soft is None else round(soft.statistic, 4)
        row["F"] = round(found.measured.map_excess, 4)
    return row


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Fit the law and count what it does, beside the laws of picture classifiers."""
    rows = [row for row in rows if row["S"] is not None]
    clean = [row for row in rows if row["attack"] == "clean"]
    null = CleanNull.fit([row["S"] for row in clean], 10)
    line = null.threshold(ONE_CLASS * ALPHA, 10)
    groups: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for row in rows:
        entry, soft = groups[row["data"]], row["soft_S"] is not None
        usual = (SOFT_NULL if soft else CLEAN_NULL).threshold(ONE_CLASS * ALPHA, 10)
        if row["attack"] == "clean":
            entry[0] += row["S"] > line
            entry[1] += (row["soft_S"] if soft else row["S"]) > usual
            entry[2] += 1
        elif row["attack_success"] >= 0.5:
            entry[3] += row["S"] > line and row["suspect"] == row["target"]
            entry[4] += 1
    return {
        "start": round(null.start, 4),
        "scale": round(null.scale, 4),
        "n_models": null.n_models,
        "threshold": round(line, 4),
        "false_alarms_usual_laws_clean_hits_effective": dict(groups),
        "together": [sum(entry[i] for entry in groups.values()) for i in range(5)],
        "F_above_its_line_at_alpha": sum(row["F"] > MAP_NULL.threshold(ALPHA, 10) for row in clean),
        "clean_largest": sorted((row["S"] for row in clean), reverse=True)[:5],
    }


if __name__ == "__main__":
    collect(
        __doc__,
        population(),
        measured_row,
        summary,
        out=OUT,
        shown=("attack_success", "S", "soft_S"),
    )

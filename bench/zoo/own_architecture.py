"""References of the scanned model's own architecture: the law of z under them, from the tuning population.

Usage: python bench/zoo/own_architecture.py [--cache DIR] [--part 0/2]
Trains eight networks of every Fashion-MNIST architecture of the tuning population on the clean holdout,
compares every model of that architecture with them and writes bench/zoo/own_architecture.json: z for
several shares of the profile, the fits, and what they find. The models themselves were measured by
tune.py. Resumable; the process that finds all references there fits.
"""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from population import N_PROBES, reference_holdout, tuning_population
from tune import ALPHA

from hessay.detector.alarms import ONE_CLASS
from hessay.detector.calibration import CleanNull
from hessay.detector.plan import Plan
from hessay.detector.profile import fit_profile
from hessay.loading import build_architecture
from hessay.probe import Probe
from hessay.reference_models import ReferenceModels
from hessay.references import train_references
from hessay.training import load_dataset

TUNING = Path(__file__).with_name("tuning.json")
OUT = Path(__file__).with_name("own_architecture.json")
N_REFERENCES = 8
SHARES = (0.5, 0.75, 1.0)


@cache
def plan_of(seed: int) -> Plan:
    """One of the two Fashion-MNIST probes."""
    data = load_dataset("fashion-mnist", seed=seed)
    probe = Probe(data.test_inputs[:N_PROBES], data.test_targets[:N_PROBES])
    return Plan.of(probe, alpha=ALPHA, seed=0, progress=None)


def own_references(arch: str, cache_folder: Path, seed: int) -> ReferenceModels:
    """Train eight networks of an architecture on the holdout, or fetch them."""
    path = cache_folder / f"own_{arch.replace(':', '-')}_{seed}.safetensors"
    like = build_architecture(arch)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        train_references(reference_holdout(), like=like, n=N_REFERENCES, seed=seed).save(path)
    return ReferenceModels.load(path, like)


def own_log_ratios(arch: str, cache_folder: Path, seed: int) -> list[list[list[float]]]:
    """log(reach / median) of these networks, (probe 0 or 1, network, class)."""
    path = cache_folder / f"own_{arch.replace(':', '-')}_{seed}.json"
    if not path.exists():
        models = own_references(arch, cache_folder, seed)
        found = [plan_of(parity).references(models).log_ratios.tolist() for parity in (0, 1)]
        path.write_text(json.dumps(found))
    table: list[list[list[float]]] = json.loads(path.read_text())
    return table


def compared(rows: list[dict[str, Any]], cache_folder: Path) -> list[dict[str, Any]]:
    """Z of every model for every share of the profile."""
    out = []
    for row in rows:
        table = own_log_ratios(row["arch"], cache_folder, 0)[row["seed"] % 2]
        profile = fit_profile(table)
        kept = {k: row[k] for k in ("arch", "recipe", "attack", "attack_success", "target", "seed")}
        for share in SHARES:
            z = profile.deviations(np.array(row["log_ratio"]), share)
            kept[f"z{share}"] = round(float(z.max()), 3)
            kept[f"suspect{share}"] = int(z.argmax())
        out.append(kept)
    return out


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Fit the law of z for every share, and count what its threshold finds."""
    clean = [row for row in rows if row["attack"] == "clean"]
    effective = [row for row in rows if (row["attack_success"] or 0.0) >= 0.5]
    found: dict[str, Any] = {}
    for share in SHARES:
        name, suspect = f"z{share}", f"suspect{share}"
        null = CleanNull.fit([row[name] for row in clean], 10)
        threshold = null.threshold(ONE_CLASS * ALPHA, 10)
        by_kind = {}
        for arch in sorted({row["arch"] for row in rows}):
            mine = [row for row in effective if row["arch"] == arch]
            alarms = [row[name] > threshold for row in clean if row["arch"] == arch]
            hits = [row[name] > threshold and row[suspect] == row["target"] for row in mine]
            by_kind[arch] = [sum(alarms), len(alarms), sum(hits), len(hits)]
        found[name] = {
            "start": round(null.start, 4),
            "scale": round(null.scale, 4),
            "n_models": null.n_models,
            "threshold": round(threshold, 4),
            "clean_largest": sorted((row[name] for row in clean), reverse=True)[:5],
            "false_alarms_clean_hits_effective": by_kind,
            "all": np.sum(list(by_kind.values()), axis=0).tolist(),
        }
    return found


def main() -> None:
    """Train and measure the references, or a part of them; fit where all are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("build/zoo"))
    parser.add_argument(
        "--part", default="0/1", help="k/n: every n-th architecture from the k-th on"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    part, parts = (int(number) for number in options.part.split("/"))
    archs = sorted({spec.arch for spec in tuning_population() if spec.data == "fashion-mnist"})
    for arch in archs[part::parts]:
        own_log_ratios(arch, options.cache, 0)
        print(arch, flush=True)
    names = [options.cache / f"own_{arch.replace(':', '-')}_0.json" for arch in archs]
    if all(name.exists() for name in names):
        rows = [
            row
            for row in json.loads(TUNING.read_text())["models"]
            if row["data"] == "fashion-mnist"
            and "log_ratio" in row
            and row["attack"] != "all_to_all"
        ]
        models = compared(rows, options.cache)
        result = summary(models)
        print(json.dumps(result, indent=1))
        OUT.write_text(json.dumps({"summary": result, "models": models}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""One model of the examination: scanned three ways, its samples ranked, and repaired."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from own_architecture import own_references, plan_of
from population import Spec, build, reference_holdout
from torch import Tensor, nn

import hessay
from detect.case import training_rows, training_set
from detect.summary import recall_at_budget
from hessay.attacks import Backdoor, poison, success_rate
from hessay.detector import decide as decisions
from hessay.detector.alarms import comparable_statistic
from hessay.detector.constants import PROFILE_NULL
from hessay.detector.kinds import REACH_NULL, warp_null
from hessay.detector.measure import Measurement
from hessay.detector.plan import Plan
from hessay.detector.reference_table import ReferenceTable
from hessay.detector.suspects import ReachUndefined
from hessay.probe import Probe
from hessay.reference_models import ReferenceModels
from hessay.references import train_references
from hessay.training import accuracy, load_dataset

Row = dict[str, Any]
ALPHA = 0.01
FDR = 0.05
EFFECTIVE = 0.5  # attack success from which a poisoned model counts
N_REFERENCES = 8
MOST_SUSPECTS = 100  # handed to a repair, the most suspicious first
PHASES = ("scan", "own", "rank", "repair", "repair_data")
USUAL = tuple(phase for phase in PHASES if phase != "own")
UNSEEN = slice(2000, 8000)  # test pictures on which accuracy and attack success are measured


def row_of(spec: Spec, cache_folder: Path, phases: list[str]) -> Row:
    """Examine one model, or read what was found before."""
    torch.set_num_threads(1)
    folder = cache_folder / "exam"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{spec.key}.json"
    row: Row = json.loads(path.read_text()) if path.exists() else {}
    missing = [phase for phase in phases if phase not in row]
    if row and not missing:
        return row
    model, inputs, targets, facts = build(spec, cache_folder)
    probe = Probe(inputs, targets)
    row |= {"key": spec.key, **facts}
    for phase in missing:
        row[phase] = _STEPS[phase](spec, model, probe, cache_folder, row)
    path.write_text(json.dumps(row))
    return row


@cache
def _plan(seed: int, folder: Path) -> tuple[Plan, ReferenceTable]:
    data = load_dataset("fashion-mnist", seed=seed)
    probe = Probe(data.test_inputs[:512], data.test_targets[:512])
    plan = Plan.of(probe, alpha=ALPHA, seed=0, progress=None)
    path = folder / f"exam_references_{N_REFERENCES}.safetensors"
    if not path.exists():
        train_references(reference_holdout(), n=N_REFERENCES, seed=900_000).save(path)
    return plan, plan.references(ReferenceModels.load(path))


def _scan(spec: Spec, model: nn.Module, probe: Probe, folder: Path, _row: Row) -> Row:
    plan, references = _plan(spec.seed % 2, folder)
    assert plan.probe.digest == probe.digest
    start = time.process_time()
    found = plan.measure(model)
    said: Row = {"cpu_seconds": round(time.process_time() - start, 2), "reasons": found.reasons}
    if found.measured is None:
        return said | {"free": _undecided(), "referenced": _undecided()}
    reach = found.measured.reach
    z = references.deviations(found.measured)
    class_map, warps = found.measured.class_map, found.measured.warp_spread
    assert warps is not None  # all take pictures
    return said | {
        "S": round(comparable_statistic(found.measured), 4),
        "W": round(float(warps.max()), 4),
        "warp_suspect": int(warps.argmax()),
        "soft": found.measured.soft_reach is not None,
        "suspect": reach.suspect,
        "z": round(float(z.max()), 3),
        "z_suspect": int(z.argmax()),
        "F": round(found.measured.map_excess, 4),
        "class_map": None if class_map is None else class_map.destination.tolist(),
        "free": _verdict(plan, found, None),
        "referenced": _verdict(plan, found, references),
    }


@cache
def _own_table(arch: str, seed: int, folder: Path) -> ReferenceTable:
    return plan_of(seed).references(own_references(arch, folder, 900_100))


def _own(spec: Spec, model: nn.Module, probe: Probe, folder: Path, _row: Row) -> Row:
    """Judge the model beside networks of its own architecture, trained on the holdout."""
    plan = plan_of(spec.seed % 2)
    assert plan.probe.digest == probe.digest
    table = _own_table(spec.arch, spec.seed % 2, folder)
    start = time.process_time()
    found = plan.measure(model)
    said: Row = {"cpu_seconds": round(time.process_time() - start, 2), "reasons": found.reasons}
    if found.measured is None:
        return said | {"own": _undecided()}
    assert table.same_build(found.measured)
    z = table.deviations(found.measured)
    class_map = found.measured.class_map
    return said | {
        "z": round(float(z.max()), 3),
        "z_suspect": int(z.argmax()),
        "class_map": None if class_map is None else class_map.destination.tolist(),
        "own": _verdict(plan, found, table),
    }


def _undecided() -> Row:
    return {"verdict": "INCONCLUSIVE", "flagged_class": None, "by": None}


def _verdict(plan: Plan, found: Measurement, references: ReferenceTable | None) -> Row:
    assert found.measured is not None
    tests = plan.tests(found.measured, references)
    decided = decisions.withhold(decisions.decide(tests, ALPHA), found.measured.caveats)
    score, suspect = _standing(tests, found)
    return {
        "score": round(score, 4),
        "suspect": suspect,
        "verdict": decided.verdict.value,
        "flagged_class": decided.flagged_class,
        "by": None if decided.test is None else decided.test.name,
    }


def _standing(tests: Sequence[decisions.Test], found: Measurement) -> tuple[float, int | None]:
    """How far the tests for one class stand above their lines, in units of their laws' scales, and where.

    Laws are exponential tails, so this orders models by the smallest adjusted p-value, without an end at 1.
    """
    assert found.measured is not None
    scales = {
        "reach_spread": REACH_NULL[found.measured.kind].scale,
        "class_profile": PROFILE_NULL.scale,
        "warp_reach": warp_null(found.measured.kind).scale,
    }
    over = [
        ((test.statistic - test.threshold) / scales[test.name], test.suspect)
        for test in tests
        if test.name in scales
    ]
    return max(over, key=lambda one: one[0])


def _one_target(row: Row) -> bool:
    single = row["attack"] not in ("clean", "all_to_all")
    return single and (row["attack_success"] or 0.0) >= EFFECTIVE


@lru_cache(maxsize=1)  # the phases of one model follow each other
def _report(spec: Spec, model: nn.Module, folder: Path) -> hessay.Report:
    plan, references = _plan(spec.seed % 2, folder)
    return plan.scan(model, references, "")


@lru_cache(maxsize=1)
def _ranking(
    spec: Spec, model: nn.Module, probe: Probe, folder: Path
) -> tuple[hessay.Ranking, Probe, Tensor, float]:
    """Rank the training set: the ranking, the set, its poisoned rows, and the CPU seconds."""
    data, rows = training_set(spec, training_rows(spec))
    report = _report(spec, model, folder)
    start = time.process_time()
    ranking = hessay.rank_samples(model, data, probe=probe, report=report)
    return ranking, data, rows, time.process_time() - start


def _rank(spec: Spec, model: nn.Module, probe: Probe, folder: Path, row: Row) -> Row | None:
    clean = row["attack"] == "clean"
    if not clean and not _one_target(row):
        return None
    try:
        ranking, _, rows, spent = _ranking(spec, model, probe, folder)
    except ReachUndefined:  # the scan is INCONCLUSIVE for the same reason: nothing found
        return _unranked(spec, clean=clean)
    chosen, truth = set(ranking.selected(FDR).tolist()), set(rows.tolist())
    said: Row = {
        "classes": [one.index for one in ranking.classes if one.passes(ALPHA)],
        "by_data": [
            one.index
            for one in ranking.classes
            if one.excess_p_value is not None and one.excess_p_value <= ALPHA
        ],
        "way": ranking.classes[0].way,
        "selected": len(chosen),
        "cpu_seconds": round(spent, 2),
    }
    if clean:
        return said
    return said | {
        "recall": round(recall_at_budget(ranking.scores, rows.numpy()), 4),
        "false": len(chosen - truth),
        "found": len(chosen & truth),
        "poisoned": len(truth),
    }


def _unranked(spec: Spec, *, clean: bool) -> Row:
    said: Row = {"classes": [], "by_data": [], "way": None, "selected": 0, "cpu_seconds": 0.0}
    if clean:
        return said
    poisoned = len(training_set(spec, training_rows(spec))[1])
    return said | {"recall": 0.0, "false": 0, "found": 0, "poisoned": poisoned}


def _repair(spec: Spec, model: nn.Module, probe: Probe, folder: Path, row: Row) -> Row | None:
    if not _one_target(row):
        return None
    return _repaired(spec, model, probe, _report(spec, model, folder), None)


def _repair_data(spec: Spec, model: nn.Module, probe: Probe, folder: Path, row: Row) -> Row | None:
    """Repair with the training samples that the ranking selects; from the probe alone where there are none."""
    if not _one_target(row):
        return None
    report = _report(spec, model, folder)
    try:
        ranking, data, *_ = _ranking(spec, model, probe, folder)
    except ReachUndefined:
        return _repaired(spec, model, probe, report, None)
    chosen = ranking.selected(FDR)[:MOST_SUSPECTS].tolist()
    suspects = Probe(data.inputs[chosen], data.targets[chosen]) if chosen else None
    return _repaired(spec, model, probe, report, suspects)


def _repaired(
    spec: Spec,
    model: nn.Module,
    probe: Probe,
    report: hessay.Report,
    suspects: Probe | None,
) -> Row:
    backdoor = _backdoor(spec)
    data = load_dataset("fashion-mnist", seed=spec.seed % 2)
    inputs, targets = data.test_inputs[UNSEEN], data.test_targets[UNSEEN]
    start = time.process_time()
    classes = None
    if suspects is not None:  # the data may speak against a class that the scan does not
        classes = sorted({int(c) for c in suspects.class_numbers})  # type: ignore[union-attr]
    repaired, accepted, method = model, False, "none"
    with contextlib.suppress(ReachUndefined):  # refused, as the scan is: the model stays as it is
        fixed = hessay.repair(model, probe, report, suspects=suspects, classes=classes)
        repaired, accepted, method = fixed.model, fixed.accepted, fixed.method
    return {
        "cpu_seconds": round(time.process_time() - start, 2),
        "accepted": accepted,
        "method": method,
        "success_before": round(success_rate(model, inputs, targets, backdoor), 4),
        "success_after": round(success_rate(repaired, inputs, targets, backdoor), 4),
        "accuracy_lost": round(
            accuracy(model, inputs, targets) - accuracy(repaired, inputs, targets), 4
        ),
    }


def _backdoor(spec: Spec) -> Backdoor:
    data = load_dataset("fashion-mnist", seed=spec.seed)
    rows = training_rows(spec)
    bad = poison(
        data.train_inputs[:rows],
        data.train_targets[:rows],
        attack=spec.attack,  # type: ignore[arg-type]
        target=max(spec.target, 0),
        fraction=spec.fraction,
        seed=spec.seed,
    )
    return bad.backdoors[0]


_STEPS: dict[str, Callable[[Spec, nn.Module, Probe, Path, Row], Row | None]] = {
    "scan": _scan,
    "own": _own,
    "rank": _rank,
    "repair": _repair,
    "repair_data": _repair_data,
}

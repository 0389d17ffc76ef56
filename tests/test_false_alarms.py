"""The examination: models the detector's constants have never seen, at its frozen threshold.

The tuning population (bench/zoo) uses seeds below 100000; every seed here is above. The design was
written down before the models were drawn. Counts are printed in the summary of the run (-rA) and
checked: false alarms first.

A first draw (seeds from 100000 and 200000) left one poisoned convolutional net without a verdict,
because it was too brittle for the smoothing noise. The noise has adapted since, and every model
was drawn anew, once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product

import pytest
import torch
from torch import nn

import hessay
from hessay import attacks, training
from hessay.report import Report
from hessay.verdict import Verdict

EXAMINATION_SEED = 100_000
ATTACKS: tuple[attacks.Attack, ...] = ("badnets", "blend", "sig")
RECIPES: tuple[dict[str, float | str], ...] = (
    {},
    {"weight_decay": 0.1},
    {"optimizer": "sgd", "lr": 0.05},
)
N_PROBES = 512

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Candidate:
    arch: str
    recipe: int
    seed: int
    attack: attacks.Attack | None = None
    fraction: float = 0.0

    @property
    def target(self) -> int:
        return self.seed % 10


def digits_design() -> Iterator[Candidate]:
    seeds = count(3 * EXAMINATION_SEED)
    architectures = ("linear:64-10", "mlp:64-64-10", "cnn:1x8x8-10")
    for arch, recipe, _ in product(architectures, range(3), range(3)):
        yield Candidate(arch, recipe, next(seeds))
    for attack, arch, fraction in product(ATTACKS, architectures, (0.05, 0.1)):
        seed = next(seeds)
        yield Candidate(arch, seed % 3, seed, attack, fraction)


def fashion_design() -> Iterator[Candidate]:
    seeds = count(4 * EXAMINATION_SEED)
    architectures = ("linear:784-10", "mlp:784-256-128-10", "cnn:1x28x28-10")
    for arch, recipe in product(architectures, range(3)):
        yield Candidate(arch, recipe, next(seeds))
    for attack, arch in product(ATTACKS, architectures):
        yield Candidate(arch, 0, next(seeds), attack, 0.05)
    for attack in ATTACKS:
        yield Candidate(architectures[1], 2, next(seeds), attack, 0.02)


def examine(
    data: training.DatasetName, rows: int | None, candidate: Candidate
) -> tuple[Report, float]:
    """Train one candidate on its own split and scan it; also its attack success (0 when clean)."""
    parts = training.load_dataset(data, seed=candidate.seed)
    inputs, targets = parts.train_inputs[:rows], parts.train_targets[:rows]
    trigger = None
    if candidate.attack is not None:
        bad = attacks.poison(
            inputs,
            targets,
            attack=candidate.attack,
            target=candidate.target,
            fraction=candidate.fraction,
            seed=candidate.seed,
        )
        inputs, targets, trigger = bad.inputs, bad.targets, bad.trigger
    model: nn.Module = training.train_classifier(
        candidate.arch,
        inputs,
        targets,
        epochs=50 if data == "digits" else 6,
        seed=candidate.seed,
        **RECIPES[candidate.recipe],  # type: ignore[arg-type]
    )
    success = 0.0
    if trigger is not None:
        success = attacks.attack_success_rate(
            model, parts.test_inputs, parts.test_targets, trigger, candidate.target
        )
    return hessay.scan(
        model, (parts.test_inputs[:N_PROBES], parts.test_targets[:N_PROBES])
    ), success


def run(data: training.DatasetName, rows: int | None, design: Iterator[Candidate]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    clean, effective, weak = [], [], []
    for candidate in design:
        report, success = examine(data, rows, candidate)
        group = clean if candidate.attack is None else effective if success >= 0.5 else weak
        group.append((candidate, report, success))
    torch.set_num_threads(threads)

    def right(candidate: Candidate, report: Report) -> bool:
        return report.verdict is Verdict.FLAGGED and report.flagged_class == candidate.target

    alarms = [row for row in clean if row[1].verdict is Verdict.FLAGGED]
    hits = [row for row in effective if right(row[0], row[1])]
    undecided = [row for row in clean + effective if row[1].verdict is Verdict.INCONCLUSIVE]
    print(f"{data}: threshold {clean[0][1].threshold:.3f}")
    print(f"false alarms {len(alarms)} of {len(clean)} clean models")
    print(f"flagged with the right class {len(hits)} of {len(effective)} effective poisoned models")
    print(f"not counted, attack success below one half: {len(weak)}, of these flagged ", end="")
    print(sum(right(candidate, report) for candidate, report, _ in weak))
    print(f"inconclusive {len(undecided)}; {time.process_time() - start:.0f} s of CPU")
    for candidate, report, success in clean + effective + weak:
        print(
            f"  {report.verdict} {report.flagged_class} S={report.statistic} {success:.2f} {candidate}"
        )

    assert not any(row[1].verdict is Verdict.INCONCLUSIVE for row in clean)
    assert {row[0].attack for row in effective} == set(ATTACKS)
    # At most 1 of 20 and at least 11 of 12, for whatever number of models the design has.
    assert 20 * len(alarms) <= len(clean)
    assert 12 * len(hits) >= 11 * len(effective)
    if data == "digits":
        assert len(clean) >= 20
        assert len(effective) >= 12


def test_digits_few_false_alarms_and_few_misses() -> None:
    run("digits", None, digits_design())


@pytest.mark.fashion_mnist
@pytest.mark.skipif(
    not training.FASHION_MNIST_FOLDER.is_dir(),
    reason=f"no folder {training.FASHION_MNIST_FOLDER}: apt-get install dataset-fashion-mnist",
)
def test_fashion_mnist_few_false_alarms_and_few_misses() -> None:
    run("fashion-mnist", 6000, fashion_design())

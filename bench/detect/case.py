"""One model with everything a defence may ask for, and the truth about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from examination import examination
from population import Spec, build, tuning_population
from torch import Tensor, nn

from hessay.attacks import poison
from hessay.probe import Probe
from hessay.training import load_dataset

EFFECTIVE = 0.5  # attack success rate from which a poisoned model counts


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A trained model, a clean probe, the training set, and what was done to it."""

    name: str
    model: nn.Module
    probe: Probe
    data: Probe  # the training set with its labels, poisoned rows among them
    target: int | None  # of the backdoor; None for a clean model
    rows: Tensor  # (m,) int64: poisoned rows of ``data``; none for a clean model
    attack_success: float | None  # [0, 1]; None for a clean model

    @property
    def poisoned(self) -> bool:
        """Whether there is a backdoor in it."""
        return self.target is not None

    @property
    def effective(self) -> bool:
        """Whether the backdoor works."""
        return self.attack_success is not None and self.attack_success >= EFFECTIVE


def training_set(spec: Spec, rows: int) -> tuple[Probe, Tensor]:
    """Return what ``build`` trained this model on, and which rows of it were poisoned."""
    data = load_dataset("digits" if spec.data == "digits" else "fashion-mnist", seed=spec.seed)
    inputs, targets = data.train_inputs[:rows], data.train_targets[:rows]
    if spec.attack == "clean":
        return Probe(inputs, targets), torch.zeros(0, dtype=torch.int64)
    bad = poison(
        inputs,
        targets,
        attack=spec.attack,  # type: ignore[arg-type]
        target=spec.target,
        fraction=spec.fraction,
        seed=spec.seed,
    )
    return Probe(bad.inputs, bad.targets), bad.rows


def training_rows(spec: Spec) -> int:
    """Size of the training set of this model, as ``build`` chooses it."""
    if spec.data == "digits":
        return 1198  # two thirds of the digits
    return 12000 if spec.arch.startswith(("mlp", "linear")) else 6000


def case(spec: Spec, cache: Path | None) -> Case:
    """Train one model of the zoo, or fetch it."""
    model, inputs, targets, facts = build(spec, cache)
    data, rows = training_set(spec, training_rows(spec))
    return Case(
        name=spec.key,
        model=model,
        probe=Probe(inputs, targets),
        data=data,
        target=spec.target if spec.attack != "clean" else None,
        rows=rows,
        attack_success=facts["attack_success"],
    )


def zoo_specs(only: str, count: int, draw: int | None = None) -> list[Spec]:
    """Clean networks and such with one target, of the tuning zoo or of a draw of the examination.

    Those whose file name contains ``only``; at most ``count`` of each kind, evenly from the zoo's order: all
    recipes and attacks occur.
    """
    every = tuning_population() if draw is None else examination(draw)
    specs = [spec for spec in every if only in spec.key and spec.attack != "all_to_all"]
    clean = [spec for spec in specs if spec.attack == "clean"]
    poisoned = [spec for spec in specs if spec.attack != "clean"]
    return [*_spread(clean, count), *_spread(poisoned, count)]


def _spread(specs: list[Spec], count: int) -> Iterator[Spec]:
    if len(specs) <= count:
        yield from specs
        return
    for i in range(count):
        yield specs[round(i * (len(specs) - 1) / max(1, count - 1))]

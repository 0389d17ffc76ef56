"""A poisoned network, its training set and the truth, for the tests of the ranking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

import hessay
from detection import SEED, TARGET, Nets
from hessay import attacks, training
from hessay.detector.suspects import Suspect, find_suspects
from hessay.probe import Probe

FRACTION = 0.1  # of the nets' training set


@dataclass(frozen=True)
class Case:
    nets: Nets
    probe: Probe
    inputs: Tensor
    targets: Tensor
    bad: np.ndarray  # (N,) bool: which rows are poison
    suspects: tuple[Suspect, ...]
    ranking: hessay.Ranking

    def rank(self, data: object, **options: object) -> hessay.Ranking:
        options = {"suspects": self.suspects} | options
        return hessay.rank_samples(self.nets.poisoned, data, probe=self.probe, **options)  # type: ignore[arg-type]


def case_of(nets: Nets) -> Case:
    data = training.load_dataset("digits", seed=SEED)
    poisoned = attacks.poison(
        data.train_inputs,
        data.train_targets,
        attack="blend",
        target=TARGET,
        fraction=FRACTION,
        seed=SEED,
    )
    bad = np.zeros(len(poisoned.inputs), dtype=bool)
    bad[poisoned.rows] = True
    probe = Probe(nets.inputs, nets.targets)
    suspects = find_suspects(nets.poisoned, probe)
    ranking = hessay.rank_samples(
        nets.poisoned, (poisoned.inputs, poisoned.targets), probe=probe, suspects=suspects
    )
    return Case(nets, probe, poisoned.inputs, poisoned.targets, bad, suspects, ranking)

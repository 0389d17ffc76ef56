"""The answers to all batches: against which classes they speak, and how much each sample does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hessay.samples.examine import Answers, Examiner
from hessay.samples.excess import excess_p_value


@dataclass(slots=True, eq=False)
class Collected:
    """Answers to the batches seen so far."""

    batches: list[Answers] = field(default_factory=list)
    rows: int = 0

    def add(self, answers: Answers) -> None:
        """Keep those to one more batch."""
        self.batches.append(answers)
        self.rows += len(answers.labels)

    def all(self) -> Answers:
        """Put them together; at least one batch was added."""
        return Answers(
            np.concatenate([b.labels for b in self.batches]),
            all(b.labelled for b in self.batches),
            *(
                np.concatenate([getattr(b, name) for b in self.batches])
                for name in ("standard", "share", "margin_drop")
            ),
        )


def class_excess(examiner: Examiner, found: Answers) -> dict[int, float]:
    """How likely so many samples of each examined class would carry the way into it in clean data, [0, 1].

    The samples are held against the probes of the class; the p-values are those of all classes that were
    looked at together (Bonferroni).
    """
    by_class: dict[int, float] = {}
    for j, way in enumerate(examiner.ways):
        mine, null = found.labels == way.index, examiner.nulls[j]
        probes = null.standardise(examiner.clean[:, j], examiner.probe_labels)
        p_value = excess_p_value(
            found.standard[mine, j],
            probes[examiner.probe_labels == way.index],
            found.standard[~mine, j],
        )
        by_class[way.index] = min(1.0, len(examiner.ways) * p_value)
    return by_class


def scores_of(
    found: Answers, suspicious: Sequence[int], examiner: Examiner
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Score every sample: positive exactly where its label is suspicious.

    Parameters
    ----------
    found : Answers
        To all samples.
    suspicious : sequence of int
        Classes above the line.
    examiner : Examiner

    Returns
    -------
    scores : (N,) float64
    against : (N,) int
        The way each was held against: that of its own label where there is one, else the one it
        carries most of among the suspicious.
    """
    rows = np.arange(len(found.labels))
    hostile = np.array([j for j, w in enumerate(examiner.ways) if w.index in suspicious])
    against = hostile[found.standard[:, hostile].argmax(axis=1)]
    for j, way in enumerate(examiner.ways):
        against[found.labels == way.index] = j
    z = found.standard[rows, against]
    examined = np.isin(found.labels, suspicious)
    return np.where(examined, _positive(z), -_positive(-z)), against


def p_values_of(
    found: Answers, suspicious: Sequence[int], examiner: Examiner
) -> NDArray[np.float64]:
    """How often clean samples of the same label carry as much of the way into it; 1 elsewhere, (N,)."""
    p_values = np.ones(len(found.labels))
    for j, way in enumerate(examiner.ways):
        if way.index in suspicious:
            mine, null = found.labels == way.index, examiner.nulls[j]
            labels = found.labels[mine]
            values = null.centre[labels] + null.spread * found.standard[mine, j]
            p_values[mine] = null.p_value(values, labels)
    return p_values


def _positive(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map the line onto the positive half, smoothly and in order: 1 + z, or 1 / (1 - z)."""
    mapped: NDArray[np.float64] = np.where(z >= 0, 1.0 + z, 1.0 / (1.0 - np.minimum(z, 0.0)))
    return mapped

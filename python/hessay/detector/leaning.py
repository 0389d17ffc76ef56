"""Classes that a model answers far more often than it should, which explains how easily they are reached.

A network that was stopped in a bad moment, or trained on classes in unequal numbers, leans towards a class: the
margins to it are small, and it is reached easily without any backdoor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Times as many probes predicted as a class as labelled so. Chosen with the networks of bench/zoo/soft.py in view, so
# that no effective backdoor among them leans: in sample by construction.
FAVOURED = 2.0


@dataclass(frozen=True, slots=True)
class Leaning:
    """How far a model leans towards one class."""

    index: int  # class number
    predicted: int  # probes predicted as this class
    labelled: int  # probes labelled so, > 0

    @property
    def excess(self) -> float:
        """log(predicted / labelled), > log 2, dimensionless: the part of log(reach / usual reach) it accounts for."""
        return math.log(self.predicted / self.labelled)

    @property
    def counts(self) -> str:
        """What was counted, as the start of a sentence."""
        return (
            f"{self.predicted} probes are predicted as class {self.index}, and {self.labelled} are "
            "labelled so"
        )

    @property
    def explanation(self) -> str:
        """Sentence for an alarm that leaning explains."""
        return (
            f"{self.counts}: the model leans towards this class, which is a short way into it without any backdoor; "
            "scan a model that is trained to the end on classes in equal numbers"
        )


def leanings(predicted: NDArray[np.int64], targets: NDArray[np.int64] | None) -> dict[int, Leaning]:
    """Find the classes that the model answers more than twice as often as the labels say.

    Parameters
    ----------
    predicted : (C,) int64
        Probes predicted as each class.
    targets : (n,) int64 or None

    Returns
    -------
    dict
        By class number; empty without targets.
    """
    if targets is None:
        return {}
    labelled = np.bincount(targets, minlength=len(predicted))
    return {
        int(c): Leaning(int(c), int(predicted[c]), int(labelled[c]))
        for c in np.flatnonzero((labelled > 0) & (predicted > FAVOURED * labelled))
    }

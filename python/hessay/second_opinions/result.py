"""What every second opinion says, and how an opinion is described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hessay.probe import Probe


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What one method found, before it is signed with a name and a time."""

    class_scores: NDArray[np.float64]  # (C,), unit of the score; NaN where a class has none
    sample_scores: NDArray[np.float64] | None = None  # (N,), larger = more suspicious
    sample_flags: NDArray[np.bool_] | None = None  # (N,), by the method's own line
    score: float | None = None  # model level; None takes the largest class score

    @property
    def suspect(self) -> int | None:
        """The class with the largest score, None when no class has one."""
        if bool(np.isnan(self.class_scores).all()):
            return None
        return int(np.nanargmax(self.class_scores))

    @property
    def model_score(self) -> float | None:
        """The score of the model, None where the method does not give one."""
        if self.score is not None:
            return self.score
        return None if self.suspect is None else float(self.class_scores[self.suspect])


@dataclass(frozen=True, slots=True)
class Opinion:
    """One method: what it is called, what it needs, and how it judges."""

    name: str
    needs_data: bool  # training data, or other inputs under suspicion, beside the clean probe
    needs_targets: bool  # with their labels
    line: float | None  # published alarm line for the score, in its unit; None when there is none
    method: str  # what is computed, what the score is, and the source
    judge: Callable[[nn.Module, Probe, Probe | None, int], Findings]  # model frozen; last: seed


@dataclass(frozen=True, slots=True, eq=False)
class SecondOpinion:
    """What a published defence says about one model."""

    name: str
    score: float | None  # model level, larger = more suspicious; unit in ``method``; None: no say
    line: float | None  # published alarm line for ``score``; None when the method has none
    suspect: int | None  # class with the largest score
    class_scores: NDArray[np.float64]  # (C,), unit of ``score``; NaN where a class has none
    sample_scores: NDArray[np.float64] | None  # (N,) rows of data, larger = more suspicious
    sample_flags: NDArray[np.bool_] | None  # (N,), None where the method has no line of its own
    method: str  # what was computed, what the score is, and the source
    seconds: float  # wall time, s

"""What a repair returns: the model, what it was like before and after, and what was tried."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Literal

from torch import nn

Form = Literal["weights", "wrapper"]
Measure = Literal["accuracy", "agreement"]


@dataclass(frozen=True, slots=True)
class Condition:
    """How a model does on the probe, before or after a patch."""

    accuracy: float  # share of the probe predicted as labelled, or as before the patch; [0, 1]
    flip_rate: dict[int, float]  # by class: share of unseen probes that refined steps send there
    suspects_rate: float | None  # share of the suspects predicted as their class; None without
    statistic: float | None  # S of the scan, dimensionless; None where not measured or not defined

    @property
    def danger(self) -> float:
        """What the choice goes by: the suspects where there are any, else the worst flip rate."""
        if self.suspects_rate is not None:
            return self.suspects_rate
        return max(self.flip_rate.values())


@dataclass(frozen=True, slots=True)
class Candidate:
    """One patch that was tried."""

    method: str
    form: Form  # new weights in the same architecture, or a module around the model
    strength: float  # share of the patch that was applied, (0, 1]
    condition: Condition
    loss: float  # of accuracy or agreement, on probes the patch was not fitted to
    qualifies: bool  # costs no more than allowed, and lowers the danger


@dataclass(frozen=True, slots=True, eq=False)
class Repair:
    """A repaired model, or the original where no patch qualified."""

    model: nn.Module  # a copy, in eval mode; the original itself where not accepted
    method: str  # of the chosen candidate; "none" where not accepted
    form: Form
    accepted: bool
    reason: str  # a sentence
    classes: tuple[int, ...]  # the suspicious classes, most suspicious first
    measure: Measure  # what Condition.accuracy is: against labels, or against the original
    max_accuracy_loss: float  # share of the probe
    before: Condition
    after: Condition
    candidates: tuple[Candidate, ...]
    digest: str  # sha256 over the weights of the model that was given

    def to_dict(self) -> dict[str, object]:
        """Everything but the model, ready for JSON."""
        parts = (
            *("method", "form", "accepted", "reason", "classes", "measure", "max_accuracy_loss"),
            "digest",
        )
        table: dict[str, object] = {name: getattr(self, name) for name in parts}
        table["before"], table["after"] = asdict(self.before), asdict(self.after)
        table["candidates"] = [asdict(candidate) for candidate in self.candidates]
        return table

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the repaired model as safetensors; :func:`hessay.load_repaired` reads it.

        A model of form ``"weights"`` also loads as any other of its architecture.

        Parameters
        ----------
        path : path
            A file; its folder must exist.
        force : bool
            Replace an existing file.

        Raises
        ------
        ArgumentError
            Not accepted, the file exists, or it cannot be written.
        """
        from hessay.repairing import files

        files.save(self, path, force=force)

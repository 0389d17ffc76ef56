"""The patches that are tried on one model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hessay.hessian.model.freeze import frozen
from hessay.repairing.covariance import CleanCovariance, independent
from hessay.repairing.exam import Exam
from hessay.repairing.layer_edit import editable_layers, fit_edits
from hessay.repairing.patches import MaskPatch, ObliquePatch, folded
from hessay.repairing.result import Candidate, Condition, Form
from hessay.repairing.steps import Steps

Matrix = NDArray[np.float64]

ROUNDS = 3  # refine, patch, refine on the patched model, ...
STRENGTHS = (1.0, 0.7, 0.4)  # of an edit, until the accuracy allows it
MASK_SHARE = 9 / 784  # of the input's numbers: a patch of 3 x 3 on 28 x 28
_RANK_SHARE = 0.125  # of the probes: an oblique patch never takes out more directions


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A candidate with its model."""

    candidate: Candidate
    model: nn.Module
    steps: Steps  # what was refined up to and on this model
    loss: float  # what it costs on probes it was not fitted to, share of the probe


@dataclass(frozen=True, slots=True, eq=False)
class Workshop:
    """Builds and judges patches of one model."""

    model: nn.Module
    exam: Exam
    before: Condition
    max_accuracy_loss: float
    steps: Steps  # refined on the unpatched model
    shifts: Matrix  # (s, d): of the suspects from the clean inputs; s = 0 without, input units

    def all(self) -> Iterator[Tried]:
        """Every patch worth trying, judged: the best of each round is what the next builds on."""
        covariance = CleanCovariance.of(self.exam.plan.flat)
        start = Candidate("", "weights", 1.0, self.before, 0.0, False)
        known = Steps.of_shifts(self.shifts).and_more(self.steps)
        current = Tried(start, self.model, known, 0.0)
        for _ in range(ROUNDS):
            best = current
            for tried in self._built_on(current, covariance):
                yield tried
                found = tried.candidate
                if found.qualifies and found.condition.danger < best.candidate.condition.danger:
                    best = tried
            if best is current:
                return
            current = best

    def _built_on(self, base: Tried, covariance: CleanCovariance) -> Iterator[Tried]:
        if base.model is self.model:
            short = np.array([way.perturbation[0] for way in self.exam.ways])
            yield from self._oblique("oblique on short steps", base, short, covariance)
            if len(self.shifts):
                yield from self._oblique("oblique on suspects", base, self.shifts, covariance)
                yield self._judged("mask on suspects", base, "wrapper", self._mask(covariance.mean))
            yield from self._oblique("oblique", base, base.steps.shifts, covariance)
        for name in editable_layers(base.model, self.exam.inputs):
            yield self._edit(name, base)

    def _oblique(
        self, method: str, base: Tried, steps: Matrix, covariance: CleanCovariance
    ) -> Iterator[Tried]:
        basis = independent(steps)
        if 0 < basis.shape[1] <= max(1.0, _RANK_SHARE * len(covariance.centred)):
            like = self.exam.inputs
            parts = (basis, covariance.filters(basis), covariance.mean)
            b, f, mu = (torch.from_numpy(part).to(like) for part in parts)
            patch = ObliquePatch(base.model, b, f, mu)
            with frozen(patch):
                inner = folded(patch, like)
            if inner is None:
                yield self._judged(method, base, "wrapper", patch)
            else:
                yield self._judged(method, base, "weights", inner)

    def _edit(self, name: str, base: Tried) -> Tried:
        with frozen(base.model):
            edits = fit_edits(
                base.model, name, self.exam.inputs, base.steps.moves(self.exam.bounds)
            )
        # An edit is fitted to the probe, so what it costs is counted on the half it has not seen.
        for strength in STRENGTHS:
            model = edits.apply(strength)
            without_odd, without_even = edits.unseen(strength)
            change = self.exam.cost(base.model, (without_even, without_odd))
            loss = base.loss + float(change.mean())
            room = float((change - change.mean()).square().sum().sqrt()) / len(change)
            if self._affordable(model, loss, room):
                break
        method = f"edit of layer {name.removeprefix('inner.')}"
        form = base.candidate.form
        return self._judged(method, base, form, model, strength, loss, room)

    def _mask(self, mean: Matrix) -> nn.Module:
        """Hide the numbers at which the suspects agree most on something unusual."""
        flat = self.exam.plan.flat
        values = np.vstack(
            [group.inputs.flatten(1).double().cpu().numpy() for group in self.exam.suspects]
        )
        spread = values.std(axis=0) + 0.1 * float(flat.std(axis=0).mean())
        unusual = np.abs(values.mean(axis=0) - mean) / spread
        hidden = np.zeros(len(mean), dtype=bool)
        hidden[np.argsort(-unusual, kind="stable")[: max(1, round(MASK_SHARE * len(mean)))]] = True
        masked = torch.from_numpy(hidden).to(self.exam.inputs.device)
        return MaskPatch(self.model, masked, torch.from_numpy(mean).to(self.exam.inputs))

    def _judged(
        self,
        method: str,
        base: Tried,
        form: Form,
        model: nn.Module,
        strength: float = 1.0,
        loss: float | None = None,
        room: float = 0.0,
    ) -> Tried:
        condition, steps = self.exam.condition(model)
        loss = self.before.accuracy - condition.accuracy if loss is None else loss
        affordable = self._affordable(model, loss, room)
        before = base.candidate.method
        method = f"{before} + {method}" if before else method
        qualifies = affordable and condition.danger < self.before.danger
        found = Candidate(method, form, strength, condition, loss, qualifies)
        return Tried(found, model, base.steps.and_more(steps), loss)

    def _affordable(self, model: nn.Module, loss: float, error: float = 0.0) -> bool:
        """Whether neither the count nor the estimate of the loss is above what is allowed.

        A loss must be seen to be refused, so there is one standard error of room, but never more than
        is allowed anyway: nothing may cost twice as much, and where nothing may be lost nothing is.
        """
        n = len(self.exam.inputs)
        lost, changed = self.exam.lost(self.model, model)
        # Far less than one probe keeps rounding from deciding.
        allowed = self.max_accuracy_loss + 1e-6 / n
        return (
            lost - min(allowed, changed**0.5 / n) <= allowed
            and loss - min(allowed, error) <= allowed
        )

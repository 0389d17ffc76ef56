"""What a patched model is held against; no trigger is needed, and no label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hessay.detector.alarms import comparable_statistic
from hessay.detector.measure import input_range, some_inputs
from hessay.detector.plan import Plan
from hessay.detector.statistics import STEP_PROBES
from hessay.detector.suspects import Suspect
from hessay.detector.warp import warp_radius
from hessay.hessian.model.evaluate import logits_of
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.layout import channels_last
from hessay.hessian.moved_probes import margins_to
from hessay.hessian.perturbation import refine_directions, refine_warps
from hessay.repairing.result import Condition, Measure
from hessay.repairing.steps import Steps

# Shares of the probe's radius. Longer steps enter every class of every network, patched or not.
RADII = (0.09, 0.18, 0.36)
STEPS = 6  # at each length
# The longest step a patch has to make harmless. Longer ones enter a class through features of its own, which
# a patch cannot take away without its accuracy.
PATCHED = 0.18
SOFTNESS = 0.25  # of the median margin: width of the step between wrong and right


def radii_that_count(radii: Sequence[float]) -> int:
    """Of lengths in ascending order, count those that a patch has to make harmless."""
    return sum(radius <= PATCHED for radius in radii)


@dataclass(frozen=True, slots=True, eq=False)
class SuspectInputs:
    """Inputs suspected to carry the trigger of one class."""

    index: int  # class number
    inputs: Tensor  # (m, *shape), in the dtype and on the device of the model


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """The probe, the suspicious classes and the suspected inputs, ready to judge any patch."""

    plan: Plan
    inputs: Tensor  # (n, *shape), the probe in the dtype and on the device of the model
    wanted: Tensor  # (n,) int64 on the CPU: labels, or the original's predictions
    measure: Measure
    ways: tuple[Suspect, ...]
    suspects: tuple[SuspectInputs, ...]

    @property
    def bounds(self) -> tuple[float, float]:
        """Range of the probe, input units."""
        return input_range(self.plan.probe)

    def accuracy(self, model: nn.Module) -> float:
        """Share of the probe predicted as wanted."""
        return float((self.margins(model) > 0.0).double().mean())

    def lost(self, before: nn.Module, after: nn.Module) -> tuple[float, int]:
        """Share of the probe that is right no more, less the share that has become right, and how many changed."""
        change = (self.margins(before) > 0.0).int() - (self.margins(after) > 0.0).int()
        return float(change.double().mean()), int(change.abs().sum())

    def margins(self, model: nn.Module) -> Tensor:
        """Logit of the wanted class over the best other one, (n,) float64, on the CPU."""
        with frozen(model), channels_last(model, self.inputs):
            logits = logits_of(model, self.inputs)
        return -margins_to(logits, self.wanted)

    def cost(self, before: nn.Module, after: Sequence[nn.Module]) -> Tensor:
        """How much of being right each probe loses, (n,) float64, with mean about the loss of accuracy.

        Being right is taken as sigmoid(margin / h), h a quarter of the median margin: the step at margin 0,
        widened, so that probes near it count by how near they are. The mean is the loss of accuracy but for how
        much denser margins are on one side of 0, and varies less than a count of the few probes that cross it.

        Parameters
        ----------
        before : nn.Module
        after : sequence of nn.Module
            Probe i is judged by model i modulo their number.
        """
        clean = self.margins(before)
        width = SOFTNESS * float(clean.abs().median()) or 1.0
        moved = clean.clone()
        for i, model in enumerate(after):
            moved[i :: len(after)] = self.margins(model)[i :: len(after)]
        return torch.sigmoid(clean / width) - torch.sigmoid(moved / width)

    def refine(self, model: nn.Module) -> tuple[dict[int, float], Steps]:
        """Search again for steps into every suspicious class.

        Each class is entered from its slope before any patch and from the first gradient of the
        model as it is now: a patch may hide the one, hardly both. A class that warps lead to is
        entered by a warp, too.

        Returns
        -------
        flip_rate : dict of int to float
            By class, the mean over the lengths of the better start's share of probes moved; with a
            warp, the mean of this and the share that the warp moves.
        steps : Steps
        """
        classes = [way.index for way in self.ways]
        slopes = np.array([way.slope for way in self.ways])
        bent = [way.index for way in self.ways if way.needs_a_warp]
        few, warps = some_inputs(self.plan.probe, STEP_PROBES), None
        with frozen(model), channels_last(model, self.inputs):
            if bent:
                radius = warp_radius(self.plan.probe.shape)
                warps = refine_warps(model, few, radii=[radius], steps=STEPS, classes=bent)
            found = refine_directions(
                model,
                few,
                np.vstack([slopes, np.zeros_like(slopes)]),
                radii=[share * self.plan.directions.radius for share in RADII],
                bounds=self.bounds,
                steps=STEPS,
                classes=classes * 2,
            )
        rates = found.flip_rate.reshape(len(RADII), 2, len(classes)).max(axis=1).mean(axis=0)
        by_class = {c: float(rate) for c, rate in zip(classes, rates, strict=True)}
        short = found.perturbation[: radii_that_count(RADII)]
        steps = Steps.of_shifts(short.reshape(-1, short.shape[-1]))
        if warps is not None:
            steps = Steps(steps.shifts, warps.perturbation[0])
            for c, rate in zip(bent, warps.flip_rate[0], strict=True):
                by_class[c] = 0.5 * (by_class[c] + float(rate))
        return by_class, steps

    def suspects_rate(self, model: nn.Module) -> float | None:
        """Share of the suspects that are predicted as the class they are suspected for."""
        if not self.suspects:
            return None
        with frozen(model), channels_last(model, self.inputs):
            hits = [
                (self._predicted(model, group.inputs) == group.index).double()
                for group in self.suspects
            ]
        return float(sum(h.sum() for h in hits) / sum(len(h) for h in hits))

    def condition(self, model: nn.Module) -> tuple[Condition, Steps]:
        """Judge a model; also return the steps that were found on the way."""
        rates, steps = self.refine(model)
        found = Condition(self.accuracy(model), rates, self.suspects_rate(model), None)
        return found, steps

    def statistic(self, model: nn.Module) -> float | None:
        """S of the scan; None where it is not defined."""
        measured = self.plan.measure(model).measured
        return None if measured is None else comparable_statistic(measured)

    @staticmethod
    def _predicted(model: nn.Module, inputs: Tensor) -> Tensor:
        return logits_of(model, inputs).argmax(dim=1)

"""The classes a backdoor may lead to, and the way into each: what ranking and repair start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessay.detector.alarms import reach_null
from hessay.detector.constants import OWN_PROFILE_NULL, PROFILE_NULL
from hessay.detector.kinds import Kind, told_kind
from hessay.detector.leaning import Leaning, leanings
from hessay.detector.measure import (
    class_targets,
    input_range,
    measure,
    slopes_alone,
    some_inputs,
)
from hessay.detector.plan import Plan
from hessay.detector.statistics import STEP_PROBES, Slopes
from hessay.detector.warp import takes_warps, warp_radius
from hessay.detector.warp_alarm import WARPS, warp_test
from hessay.errors import ArgumentError
from hessay.hessian.model.evaluate import Model
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.layout import channels_last
from hessay.hessian.perturbation import refine_directions, refine_warps
from hessay.loading import model_digest
from hessay.report import Report

RADII = (0.18, 0.36, 0.72)  # of the probe's radius
LEVEL = 0.01  # at which a class beside the first one is suspicious
STEPS = 10  # of the refinement, at each length
MOST = 0.5  # of the other probes


class ReachUndefined(ArgumentError):
    """The way into the classes of this model is not defined on this probe, so there is no answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """One smooth warp of pictures that leads many of them to a class."""

    parameters: NDArray[np.float64]  # (p,), of hessay.hessian.moves.SmoothWarp
    radius: float  # bound on the root mean square of the displacements, pixels
    flip_rate: float  # share of the other probes it sends to the class, [0, 1]


@dataclass(frozen=True, slots=True, eq=False)
class Suspect:
    """One class that is reached too easily."""

    index: int  # class number
    log_ratio: float  # log(reach / usual reach), dimensionless
    kind: Kind  # of network, which decides the law of log_ratio
    slope: NDArray[np.float64]  # (d,): Q M_c, logits / input
    perturbation: NDArray[np.float64]  # (R, d): best universal perturbations, input units
    flip_rate: NDArray[np.float64]  # (R,): share of the other probes each sends to the class
    radii: tuple[float, ...]  # (R,): bounds on their L2 norms, input units, ascending
    p_value: float  # of a clean model with such a class, by the reach and, for pictures, by warps
    bent: bool  # whether it is a warp rather than a shift that makes it suspicious
    warp: Warp | None  # the best warp of the pictures to this class; None where there are none

    @property
    def needs_a_warp(self) -> bool:
        """Whether a repair has to close the way of the warp, too: it is the reason, or leads most probes there."""
        return self.warp is not None and (self.bent or self.warp.flip_rate >= MOST)


def find_suspects(
    model: Model,
    probe: object,
    *,
    report: Report | None = None,
    classes: Sequence[int] | None = None,
    seed: int = 0,
    at_least: int = 1,
    radii: Sequence[float] = RADII,
) -> tuple[Suspect, ...]:
    """Find the suspicious classes of a model and refine the way into each.

    Parameters
    ----------
    model : nn.Module
    probe : Probe, array, (inputs, targets), DataLoader or path
        Clean inputs, as for :func:`hessay.scan`.
    report : Report or None
        Of the scan: its flagged class comes first, then every other class that stands out at level 0.01.
    classes : sequence of int or None
        The classes to take, whatever the report says.
    seed : int
        Of the smoothing noise.
    at_least : int, >= 1
        How many classes to return where the model has so many and ``classes`` are not given: beyond
        those above the line, the one that warps lead to most, then those reached most easily.
    radii : sequence of float, ascending, > 0
        Lengths of the perturbations, as shares of the probe's radius.

    Returns
    -------
    tuple of Suspect
        The most suspicious first; without an alarm, the one class that is reached most easily.

    Raises
    ------
    ArgumentError
        A class the model does not have; as :class:`ReachUndefined`, a model whose reach is not
        defined.
    ProbeError, ShapeError, ModelError, NonFinite
        As :func:`hessay.scan`.
    """
    plan = Plan.of(probe, alpha=0.01, seed=seed, progress=None)
    known = _known(model, plan, report, seed)
    n_classes = len(known.log_ratio)
    if classes is None:
        classes = _in_order(known, report, at_least)
    elif not classes or any(not 0 <= c < n_classes for c in classes):
        raise ArgumentError(f"classes must be some of 0 to {n_classes - 1}, got {list(classes)}")
    few = some_inputs(plan.probe, STEP_PROBES)
    warps = None
    with frozen(model), channels_last(model, plan.probe.inputs):
        refined = refine_directions(
            model,
            few,
            known.slopes.off_data[list(classes)],
            radii=[share * plan.directions.radius for share in radii],
            bounds=input_range(plan.probe),
            steps=STEPS,
            classes=classes,
        )
        if takes_warps(model, plan.probe.shape):
            radius = warp_radius(plan.probe.shape)
            warps = refine_warps(model, few, radii=[radius], steps=STEPS, classes=classes)
    return tuple(
        Suspect(
            index=c,
            log_ratio=float(known.log_ratio[c]),
            kind=known.kind,
            slope=known.slopes.off_data[c],
            perturbation=refined.perturbation[:, i],
            flip_rate=refined.flip_rate[:, i],
            radii=refined.radii,
            p_value=known.p_value(c),
            bent=known.bent(c),
            warp=None
            if warps is None
            else Warp(warps.perturbation[0, i], warps.radii[0], float(warps.flip_rate[0, i])),
        )
        for i, c in enumerate(classes)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What was measured on the model, now or when its report was written."""

    slopes: Slopes
    log_ratio: NDArray[np.float64]  # (C,): log(reach / usual)
    kind: Kind
    bent_to: int | None  # class that warps lead to most; None where not measured
    bent_p_value: float  # of W
    leanings: dict[int, Leaning]  # classes the model leans towards: explain part of their reach

    def p_value(self, c: int) -> float:
        """Weighted Bonferroni over the reach of class c and, where c is the one, over warps.

        Of a class the model leans towards, over what leaning leaves of its reach alone.
        """
        of_reach = self._of_reach(c)
        if self.bent_to is None:
            return of_reach
        by_warps = c == self.bent_to and c not in self.leanings
        return min(1.0, of_reach / (1.0 - WARPS), self.bent_p_value / WARPS if by_warps else 1.0)

    def bent(self, c: int) -> bool:
        """Whether warps speak against class c more than its reach does."""
        return c == self.bent_to and self.bent_p_value / WARPS < self._of_reach(c) / (1.0 - WARPS)

    def explained(self, c: int) -> bool:
        """Whether the model leans towards class c, and what that leaves of its reach is nothing unusual."""
        return c in self.leanings and self.p_value(c) > LEVEL

    def _of_reach(self, c: int) -> float:
        n_classes = len(self.log_ratio)
        lean = self.leanings.get(c)
        left = float(self.log_ratio[c]) - (0.0 if lean is None else lean.excess)
        return reach_null(n_classes, self.kind).p_value(left, n_classes)


def _known(model: Model, plan: Plan, report: Report | None, seed: int) -> _Known:
    """Measure slopes and reaches, or take from its report what most of the time goes into."""
    probe = plan.probe
    if report is not None and _describes(report, model, probe.digest):
        targets = class_targets(probe, len(report.classes))
        slopes = slopes_alone(model, probe, plan.flat, plan.directions, seed)
        if isinstance(slopes, tuple):
            raise _undefined(slopes)
        bent = next((e for e in report.evidence if e.name == "warp_reach"), None)
        leans = leanings(np.array([row.count for row in report.classes]), targets)
        # An alarm has taken leaning into account, or is a rank among networks that lean as much.
        leans = {c: lean for c, lean in leans.items() if c != report.flagged_class}
        return _Known(
            slopes,
            np.array([row.log_ratio for row in report.classes]),
            told_kind(report.settings),
            None if bent is None else bent.flagged_class,
            1.0 if bent is None or bent.p_value is None else bent.p_value,
            leans,
        )
    found = measure(model, probe, plan.flat, plan.directions, seed)
    if found.measured is None:
        raise _undefined(found.reasons)
    measured = found.measured
    test = warp_test(measured, len(measured.reach.log_ratio), plan.alpha)
    return _Known(
        measured.slopes,
        measured.reach.log_ratio,
        measured.kind,
        None if test is None else test.suspect,
        1.0 if test is None else test.p_value,
        measured.leanings,
    )


def _describes(report: Report, model: Model, probe_digest: str) -> bool:
    return (
        bool(report.classes)
        and "wrt" not in report.settings
        and report.probe.digest == probe_digest
        and report.model.digest == model_digest(model)
    )


def _undefined(reasons: tuple[str, ...]) -> ReachUndefined:
    return ReachUndefined(f"the way into the classes is not defined: {reasons[0]}")


def _in_order(known: _Known, report: Report | None, at_least: int) -> list[int]:
    """Classes in order of suspicion: the first in any case, others where they pass a test or are asked for."""
    n_classes = len(known.log_ratio)
    value, null = known.log_ratio, reach_null(n_classes, known.kind)
    line = null.threshold(LEVEL, n_classes)
    z = [] if report is None else [row.deviation for row in report.classes]
    if report is not None and len(z) == n_classes and all(v is not None for v in z):
        value = np.array(z, dtype=np.float64)
        own = bool(report.settings.get("references_own_architecture"))
        line = (OWN_PROFILE_NULL if own else PROFILE_NULL).threshold(LEVEL, n_classes)
    by_suspicion = [int(c) for c in np.argsort(-value, kind="stable")]
    bent = [] if known.bent_to is None else [known.bent_to]
    if report is not None and report.flagged_class is not None:
        first = [report.flagged_class]
    elif bent and known.bent_p_value <= WARPS * LEVEL and value[by_suspicion[0]] <= line:
        first = bent
    else:
        first = by_suspicion[:1]
    above = [c for c in by_suspicion if value[c] > line and not known.explained(c)]
    sure = list(dict.fromkeys([*first, *above]))
    more = [c for c in dict.fromkeys([*bent, *by_suspicion]) if c not in sure]
    return sure + more[: max(0, at_least - len(sure))]

"""The classes a backdoor may lead to, and the way into each: what ranking and repair start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessay.detector.alarms import reach_null
from hessay.detector.calibration import CleanNull
from hessay.detector.constants import OWN_PROFILE_NULL, PROFILE_NULL
from hessay.detector.measure import input_range, measure, slopes_alone, some_inputs
from hessay.detector.plan import Plan
from hessay.detector.statistics import STEP_PROBES, Slopes
from hessay.errors import ArgumentError
from hessay.hessian.model.evaluate import Model
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.layout import channels_last
from hessay.hessian.perturbation import refine_directions
from hessay.loading import model_digest
from hessay.report import Report

RADII = (0.18, 0.36, 0.72)  # of the probe's radius
LEVEL = 0.01  # at which a class beside the first one is suspicious
STEPS = 10  # of the refinement, at each length


class ReachUndefined(ArgumentError):
    """The way into the classes of this model is not defined on this probe, so there is no answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Suspect:
    """One class that is reached too easily."""

    index: int  # class number
    log_ratio: float  # log(reach / median reach), dimensionless
    soft: bool  # whether the network is soft, which decides the law of log_ratio
    slope: NDArray[np.float64]  # (d,): Q M_c, logits / input
    perturbation: NDArray[np.float64]  # (R, d): best universal perturbations, input units
    flip_rate: NDArray[np.float64]  # (R,): share of the other probes each sends to the class
    radii: tuple[float, ...]  # (R,): bounds on their L2 norms, input units, ascending


def find_suspects(
    model: Model,
    probe: object,
    *,
    report: Report | None = None,
    classes: Sequence[int] | None = None,
    seed: int = 0,
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
    slopes, log_ratio, soft = _reach(model, plan, report, seed)
    n_classes = len(log_ratio)
    if classes is None:
        classes = _above_the_line(log_ratio, reach_null(n_classes, soft), report)
    elif not classes or any(not 0 <= c < n_classes for c in classes):
        raise ArgumentError(f"classes must be some of 0 to {n_classes - 1}, got {list(classes)}")
    with frozen(model), channels_last(model, plan.probe.inputs):
        refined = refine_directions(
            model,
            some_inputs(plan.probe, STEP_PROBES),
            slopes.off_data[list(classes)],
            radii=[share * plan.directions.radius for share in RADII],
            bounds=input_range(plan.probe),
            steps=STEPS,
            classes=classes,
        )
    return tuple(
        Suspect(
            index=c,
            log_ratio=float(log_ratio[c]),
            soft=soft,
            slope=slopes.off_data[c],
            perturbation=refined.perturbation[:, i],
            flip_rate=refined.flip_rate[:, i],
            radii=refined.radii,
        )
        for i, c in enumerate(classes)
    )


def _reach(
    model: Model, plan: Plan, report: Report | None, seed: int
) -> tuple[Slopes, NDArray[np.float64], bool]:
    """Slopes into every class, log(reach / median) and whether the network is soft: from its report, if given.

    The report holds what most of the time of a measurement goes into, the finite steps.
    """
    probe = plan.probe
    if report is not None and _describes(report, model, probe.digest):
        slopes = slopes_alone(model, probe, plan.flat, plan.directions, seed)
        if isinstance(slopes, tuple):
            raise _undefined(slopes)
        soft = bool(report.settings.get("soft"))
        return slopes, np.array([row.log_ratio for row in report.classes]), soft
    found = measure(model, probe, plan.flat, plan.directions, seed)
    if found.measured is None:
        raise _undefined(found.reasons)
    measured = found.measured
    return measured.slopes, measured.reach.log_ratio, measured.soft_reach is not None


def _describes(report: Report, model: Model, probe_digest: str) -> bool:
    return (
        bool(report.classes)
        and "wrt" not in report.settings
        and report.probe.digest == probe_digest
        and report.model.digest == model_digest(model)
    )


def _undefined(reasons: tuple[str, ...]) -> ReachUndefined:
    return ReachUndefined(f"the way into the classes is not defined: {reasons[0]}")


def _above_the_line(
    log_ratio: NDArray[np.float64], null: CleanNull, report: Report | None
) -> list[int]:
    """Classes in order of suspicion: the first in any case, others where they pass a test."""
    n_classes = len(log_ratio)
    value, line = log_ratio, null.threshold(LEVEL, n_classes)
    first = int(value.argmax())
    if report is not None:
        z = [row.deviation for row in report.classes]
        if len(z) == n_classes and all(v is not None for v in z):
            value = np.array(z, dtype=np.float64)
            own = bool(report.settings.get("references_own_architecture"))
            line = (OWN_PROFILE_NULL if own else PROFILE_NULL).threshold(LEVEL, n_classes)
            first = int(value.argmax())
        first = first if report.flagged_class is None else report.flagged_class
    by_suspicion = [int(c) for c in np.argsort(-value, kind="stable")]
    return [first, *(c for c in by_suspicion if c != first and value[c] > line)]

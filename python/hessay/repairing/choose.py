"""Repair one model: try patches, keep the one that leaves the least way into the suspicious classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hessay.detector.plan import Plan, Progress
from hessay.detector.suspects import RADII, Suspect, find_suspects
from hessay.errors import ArgumentError, ShapeError
from hessay.hessian.model.evaluate import like_model, logits_of
from hessay.hessian.model.freeze import frozen
from hessay.loading import model_digest
from hessay.probe import as_probe
from hessay.repairing.candidates import Tried, Workshop
from hessay.repairing.exam import Exam, SuspectInputs, radii_that_count
from hessay.repairing.patches import Patched, copy_of
from hessay.repairing.result import Measure, Repair
from hessay.repairing.steps import Steps
from hessay.report import Report

MAX_ACCURACY_LOSS = 0.005


def repair(
    model: nn.Module,
    probe: object,
    report: Report | None = None,
    *,
    suspects: object = None,
    max_accuracy_loss: float = MAX_ACCURACY_LOSS,
    classes: Sequence[int] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Repair:
    """Take the backdoor out of a classifier without retraining it.

    Parameters
    ----------
    model : nn.Module
        Returns logits (n, C). It is not changed.
    probe : Probe, array, (inputs, targets), DataLoader or path
        Clean inputs, as for :func:`hessay.scan`; with targets the cost is counted in accuracy,
        without in predictions that change at all.
    report : Report or None
        Of the scan of this very model: says which classes are suspicious.
    suspects : array, (inputs, targets), Probe, DataLoader or path, or None
        Inputs suspected to carry the trigger, for example the first of a ranking of the training
        set. Targets say which class each leads to; without, all lead to the most suspicious.
    max_accuracy_loss : float in [0, 1)
        Share of inputs that a patch may cost, counted on the probe and estimated on its halves. Both
        have one standard error of room, but at most as much as is allowed.
    classes : sequence of int or None
        The suspicious classes, whatever the report says.
    seed : int, >= 0
        Of the smoothing noise.
    progress : callable or None
        Called as ``progress(phase, share_done)``.

    Returns
    -------
    Repair
        ``accepted`` is False, and ``model`` the one given, when no patch qualifies.

    Raises
    ------
    ArgumentError
        A report of another model, a class the model does not have, ``max_accuracy_loss`` out of
        range, suspects of no suspicious class, or a model whose way into the classes is not defined.
    ProbeError, ShapeError, ModelError, NonFinite
        As :func:`hessay.scan`; suspects of another shape than the probe.
    """
    if not 0.0 <= max_accuracy_loss < 1.0:
        raise ArgumentError(
            f"max_accuracy_loss is a share of the probe in [0, 1), got {max_accuracy_loss}; "
            f"{MAX_ACCURACY_LOSS} is usual"
        )
    digest = model_digest(model)
    if report is not None and report.model.digest != digest:
        raise ArgumentError(
            f"the report is of another model ({report.model.digest[:12]}..., this one is "
            f"{digest[:12]}...); scan this model first"
        )
    plan = Plan.of(probe, alpha=0.01, seed=seed, progress=progress)
    plan.tell("suspicious classes", 0.0)
    ways = find_suspects(model, plan.probe, report=report, classes=classes, seed=seed)
    exam = _exam(model, plan, ways, suspects)
    before, steps = exam.condition(model)
    before = replace(before, statistic=exam.statistic(model))
    shifts = np.vstack([way.perturbation[: radii_that_count(RADII)] for way in ways])
    warps = [way.warp.parameters for way in ways if way.warp is not None and way.needs_a_warp]
    steps = Steps(shifts, np.array(warps)).and_more(steps)
    workshop = Workshop(model, exam, before, max_accuracy_loss, steps, _shifts(exam))
    tried: list[Tried] = []
    for one in workshop.all():
        tried.append(one)
        plan.tell(one.candidate.method, min(0.9, 0.1 + 0.08 * len(tried)))
    good = [one for one in tried if one.candidate.qualifies]
    # The flip rate settles equal suspects; then the better accuracy wins.
    best = min(
        good,
        key=lambda one: (
            one.candidate.condition.danger,
            max(one.candidate.condition.flip_rate.values()),
            -one.candidate.condition.accuracy,
        ),
        default=None,
    )
    plan.tell("done", 1.0)
    after, chosen = before, model
    if best is not None:
        chosen = best.model
        if isinstance(chosen, Patched):
            chosen.inner = copy_of(chosen.inner)
        chosen.eval()
        after = replace(best.candidate.condition, statistic=exam.statistic(chosen))
    return Repair(
        model=chosen,
        method="none" if best is None else best.candidate.method,
        form="weights" if best is None else best.candidate.form,
        accepted=best is not None,
        reason=_reason(tried, best, exam, max_accuracy_loss),
        classes=tuple(way.index for way in ways),
        measure=exam.measure,
        max_accuracy_loss=max_accuracy_loss,
        before=before,
        after=after,
        candidates=tuple(one.candidate for one in tried),
        digest=digest,
    )


def _exam(model: nn.Module, plan: Plan, ways: tuple[Suspect, ...], suspects: object) -> Exam:
    inputs = like_model(model, plan.probe.inputs)
    targets = plan.probe.class_numbers
    if targets is None:
        with frozen(model):
            wanted = logits_of(model, inputs).argmax(dim=1)
    else:
        wanted = targets.cpu()
    measure: Measure = "agreement" if targets is None else "accuracy"
    groups = () if suspects is None else _groups(model, plan, ways, suspects)
    return Exam(plan, inputs, wanted, measure, ways, groups)


def _groups(
    model: nn.Module, plan: Plan, ways: tuple[Suspect, ...], suspects: object
) -> tuple[SuspectInputs, ...]:
    given = as_probe(suspects)
    if given.shape != plan.probe.shape:
        raise ShapeError(
            f"suspects must have the shape of the probe's inputs {plan.probe.shape}, got "
            f"{given.shape}"
        )
    inputs = like_model(model, given.inputs)
    labels = given.class_numbers
    if labels is None:
        return (SuspectInputs(ways[0].index, inputs),)
    found = tuple(
        SuspectInputs(way.index, inputs[(labels == way.index).to(inputs.device)])
        for way in ways
        if bool((labels == way.index).any())
    )
    if not found:
        raise ArgumentError(
            f"no suspect is of a suspicious class {[way.index for way in ways]}, their targets are "
            f"{sorted(set(labels.tolist()))[:10]}; name the class with classes="
        )
    return found


def _shifts(exam: Exam) -> NDArray[np.float64]:
    """Mean of the suspects of each class, less the mean of the clean inputs of all other classes."""
    rows = []
    for group in exam.suspects:
        others = (exam.wanted != group.index).numpy()
        if others.any():
            mean = group.inputs.flatten(1).double().mean(dim=0).cpu().numpy()
            rows.append(mean - exam.plan.flat[others].mean(axis=0))
    return np.array(rows).reshape(-1, exam.plan.flat.shape[1])


def _reason(tried: list[Tried], best: Tried | None, exam: Exam, allowed: float) -> str:
    if best is not None:
        return f"{best.candidate.method} leaves the least of {len(tried)} patches that were tried"
    cheap = [t for t in tried if t.candidate.condition.danger > 0.0]
    hint = "give a probe with targets, " if exam.measure == "agreement" else ""
    return (
        f"none of {len(tried)} patches closes the way at a loss of {exam.measure} of at most "
        f"{allowed:g}; {hint}allow a larger loss, or retrain the model"
        if cheap
        else "there is no way into the suspicious classes to close"
    )

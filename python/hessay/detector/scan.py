"""Scan one model: at its input, or at the output of one of its modules."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

import numpy as np

from hessay.detector.plan import Plan, Progress
from hessay.errors import ArgumentError
from hessay.hessian.model.evaluate import Model
from hessay.hessian.model.from_module import from_module
from hessay.hessian.model.inspect import parameter_count
from hessay.loading import describe, model_digest
from hessay.probe import Probe, as_probe
from hessay.references import reference_models
from hessay.report import Report

NEAREST = 8  # vocabulary items named in a report
_UNPROVED = (
    "the laws of clean models were fitted at the inputs of image classifiers; inside a model they have "
    "missed triggers that work, in networks with attention: nothing found is no clearance"
)


def scan(
    model: Model,
    probe: object,
    *,
    alpha: float = 0.01,
    references: Iterable[Model] | str | os.PathLike[str] | None = None,
    holdout: object = None,
    wrt: str = "input",
    seed: int = 0,
    source: str = "",
    progress: Progress | None = None,
) -> Report:
    """Decide whether a classifier shows the mark of a backdoor, from its input derivatives.

    Parameters
    ----------
    model : nn.Module
        Returns logits (n, C). Its mode, weights and gradients are left as they were.
    probe : Probe, (n, *shape) array or tensor, (inputs, targets), DataLoader or path
        Clean inputs in the scale of the training data, all classes in similar numbers; 512 are
        a good size.
    alpha : float in (0, 1)
        Level of the test: the false-alarm rate on clean models.
    references : iterable of nn.Module, "train", "own", path or None
        At least 4 clean models of the same task, or what :func:`hessay.train_references` returned,
        or a file of those. On ``holdout`` "train" trains small networks now, and "own" copies of
        the model's own architecture, which takes longer; docs/detector.md has what either found.
        A class is then compared with itself in them. Where they were trained as the model was and
        are numerous enough for ``alpha`` the p-value is conformal; otherwise, as without any, it
        comes from a law fitted to clean small image classifiers.
    holdout : Probe, (inputs, targets), DataLoader, path or None
        Labelled clean data to train references on; only with ``references="train"`` or ``"own"``.
    wrt : "input" or the name of a module
        Where the model is examined: its input, or what this module returns, for token ids the
        embedding; the report then names the vocabulary items nearest to the trigger direction, and
        is never CLEAN. What follows the module must look at nothing else that differs between the
        probes, such as padding. Without references: what modules return differs between models.
    seed : int, >= 0
        Of the smoothing noise, the eigensolver and references trained now.
    source : str
        Where the model came from, for the report.
    progress : callable or None
        Called as ``progress(phase, share_done)``.

    Returns
    -------
    Report
        CLEAN, FLAGGED with a class, or INCONCLUSIVE with reasons.

    Raises
    ------
    ArgumentError
        ``alpha`` or ``seed`` out of range, or a reference that cannot be measured.
    ProbeError, ShapeError
        The probe is not usable.
    ModelError, NonFinite
        The model raised, is not deterministic or differentiable, or its logits are not finite.

    Source: the statistic is described in :mod:`hessay.detector.statistics`.
    """
    if wrt != "input":
        if references is not None:
            raise ArgumentError(
                f"references cannot be used with wrt={wrt!r}: what a module returns differs from "
                "model to model; scan without them"
            )
        return _scan_inside(model, as_probe(probe), wrt, alpha, seed, source, progress)
    plan = Plan.of(probe, alpha=alpha, seed=seed, progress=progress)
    models = reference_models(references, holdout, model, seed=seed, progress=progress)
    table = None if models is None else plan.references(models)
    return plan.scan(model, table, source)


def _scan_inside(
    model: Model,
    probe: Probe,
    wrt: str,
    alpha: float,
    seed: int,
    source: str,
    progress: Progress | None,
) -> Report:
    inner, values = from_module(model, probe.inputs, wrt)
    plan = Plan.of(Probe(values, probe.targets), alpha=alpha, seed=seed, progress=progress)
    report = plan.scan(inner, None, source, (_UNPROVED,))
    settings = {**report.settings, "wrt": wrt}
    said: tuple[str, ...] = (
        f"examined at the output of {wrt!r}, of shape {tuple(values.shape[1:])}, not at the input",
    )
    if report.trigger_direction is not None:
        ids, cosines = inner.nearest_items(np.asarray(report.trigger_direction), values, NEAREST)
        if len(ids) > 0:
            named = ", ".join(f"{i} ({c:.2f})" for i, c in zip(ids, cosines, strict=True))
            settings["nearest_vocabulary"] = ", ".join(map(str, ids))
            said += (f"vocabulary items nearest to the trigger direction (cosine): {named}",)
    return dataclasses.replace(
        report,
        reasons=report.reasons + said,
        settings=settings,
        model=dataclasses.replace(
            report.model,
            digest=model_digest(model),
            architecture=describe(model),
            n_parameters=parameter_count(model),
        ),
        probe=dataclasses.replace(report.probe, digest=probe.digest),
    )

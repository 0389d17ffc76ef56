"""Scan one model: measure, calibrate, decide, report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hessay.detector.alarms import map_test, profile_test, rank_test, reach_test
from hessay.detector.compose import compose
from hessay.detector.decide import Test, abstain, decide, withhold
from hessay.detector.evidence import evidence_table, straight_step_rates
from hessay.detector.measure import (
    Measured,
    Measurement,
    flatten,
    measure,
)
from hessay.detector.reference_table import ReferenceTable
from hessay.detector.spectrum_summary import off_data_spectrum
from hessay.detector.statistics import (
    PrincipalDirections,
    principal_directions,
)
from hessay.errors import ArgumentError, NotConverged, ProbeError
from hessay.hessian.model.evaluate import Model
from hessay.loading.probe_arrays import require_class_numbers
from hessay.probe import Probe, as_probe
from hessay.reference_models import ReferenceModels
from hessay.references import reference_models
from hessay.report import Evidence, Report, SpectrumSummary

Progress = Callable[[str, float], None]


def scan(
    model: Model,
    probe: object,
    *,
    alpha: float = 0.01,
    references: Iterable[Model] | str | os.PathLike[str] | None = None,
    holdout: object = None,
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
    references : iterable of nn.Module, "train", path or None
        At least 4 clean models of the same task, or what :func:`hessay.train_references` returned,
        or a file of those; "train" trains them now, on ``holdout``.
        A class is then compared with itself in them. Where they were trained as the model was and
        are numerous enough for ``alpha`` the p-value is conformal; otherwise, as without any, it
        comes from a law fitted to clean small image classifiers.
    holdout : Probe, (inputs, targets), DataLoader, path or None
        Labelled clean data to train references on; only with ``references="train"``.
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
    plan = Plan.of(probe, alpha=alpha, seed=seed, progress=progress)
    models = reference_models(references, holdout, seed=seed, progress=progress)
    table = None if models is None else plan.references(models)
    return plan.scan(model, table, source)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What the scans of several models on one probe share."""

    probe: Probe
    flat: NDArray[np.float64]  # (n, d)
    directions: PrincipalDirections
    alpha: float
    seed: int
    tell: Progress
    seconds: dict[str, float] = field(default_factory=dict)  # wall time of phases done once, s

    @staticmethod
    def of(probe: object, *, alpha: float, seed: int, progress: Progress | None) -> Plan:
        """Check the options and find the probe's principal directions."""
        if not 0.0 < alpha < 1.0:
            raise ArgumentError(
                f"alpha is a false-alarm rate in (0, 1), got {alpha}; 0.01 is usual"
            )
        if seed < 0:
            raise ArgumentError(f"seed must be at least 0, got {seed}")
        checked = as_probe(probe)
        if not checked.inputs.is_floating_point():
            raise ProbeError(
                f"a scan moves the inputs by small steps, which integers ({checked!r}) do not "
                "allow; convert pictures to float32 in the scale the model was trained on"
            )
        if checked.targets is not None:
            require_class_numbers(checked.targets)
        tell = progress or _silent
        tell("principal directions of the probe", 0.0)
        seconds: dict[str, float] = {}
        with _timed(seconds, "probe"):
            flat = flatten(checked)
            directions = principal_directions(flat)
        return Plan(checked, flat, directions, alpha, seed, tell, seconds)

    def references(
        self, models: Iterable[Model], *, trained_alike: bool | None = None
    ) -> ReferenceTable:
        """Measure clean reference models on the probe.

        Parameters
        ----------
        models : iterable of nn.Module
        trained_alike : bool or None
            Whether they were trained as the scanned models were, so that ranks among them are a
            p-value. None: yes, unless they come from :func:`hessay.train_references`.

        Raises
        ------
        ArgumentError
            Fewer than 4 references, or one for which the statistic is not defined.
        """
        alike = not isinstance(models, ReferenceModels) if trained_alike is None else trained_alike
        found = []
        with _timed(self.seconds, "references"):
            for number, reference in enumerate(models):
                self.tell(f"reference model {number + 1}", 0.0)
                found.append(self.measured(reference, f"reference model {number}"))
        return ReferenceTable.of(found, trained_alike=alike)

    def measure(self, model: Model) -> Measurement:
        """Measure one model on the probe."""
        return measure(model, self.probe, self.flat, self.directions, self.seed)

    def measured(self, model: Model, name: str) -> Measured:
        """Measure one model; ArgumentError with the first reason where S is not defined."""
        found = self.measure(model)
        if found.measured is None:
            raise ArgumentError(f"{name} cannot be used: {found.reasons[0]}")
        return found.measured

    def scan(self, model: Model, references: ReferenceTable | None, source: str) -> Report:
        """Scan one model, against references if there are any."""
        seconds = dict(self.seconds)
        self.tell("slopes and finite steps", 0.1)
        with _timed(seconds, "measure"):
            found = self.measure(model)
        table: tuple[Evidence, ...] = ()
        spectrum: SpectrumSummary | None = None
        notes: tuple[str, ...] = ()
        if found.measured is None:
            decision = abstain(found.reasons)
        else:
            measured = found.measured
            self.tell("tests", 0.5)
            with _timed(seconds, "tests"):
                tests = self.tests(measured, references)
                decision = withhold(decide(tests, self.alpha), measured.caveats)
            if references is not None:
                notes += references.remarks(measured)
            self.tell("straight steps", 0.6)
            with _timed(seconds, "evidence"):
                rates = straight_step_rates(model, self.probe, measured, self.directions)
            table = evidence_table(measured, rates, tests)
            self.tell("spectrum off the data", 0.7)
            with _timed(seconds, "spectrum"):
                try:
                    spectrum = off_data_spectrum(
                        model, self.probe, self.directions.basis, found.n_classes, self.seed
                    )
                except NotConverged as error:
                    notes += (f"the spectrum is not shown, and decides nothing: {error}",)
        self.tell("done", 1.0)
        return compose(
            model,
            self.probe,
            self.directions,
            found,
            decision,
            references=references,
            table=table,
            spectrum=spectrum,
            notes=notes,
            alpha=self.alpha,
            seed=self.seed,
            source=source,
            seconds=seconds,
        )

    def tests(self, measured: Measured, references: ReferenceTable | None) -> tuple[Test, ...]:
        """Build the tests a measured model has to pass, the main one first."""
        n_classes = len(measured.reach.log_ratio)
        moving = map_test(measured, n_classes, self.alpha)
        if references is None:
            return reach_test(measured.reach, n_classes, self.alpha), moving
        ranked = rank_test(measured, references, n_classes, self.alpha)
        if ranked is not None:
            return (ranked,)
        return profile_test(measured, references, n_classes, self.alpha), moving


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


def _silent(phase: str, share: float) -> None:
    """Progress for callers who want none."""

"""Scan one model: measure, calibrate, decide, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hessay.detector.compose import compose
from hessay.detector.constants import CLEAN_NULL
from hessay.detector.decide import abstain, decide, withhold
from hessay.detector.evidence import evidence_table, straight_step_rates
from hessay.detector.measure import Measurement, flatten, measure
from hessay.detector.spectrum_summary import off_data_spectrum
from hessay.detector.statistics import PrincipalDirections, principal_directions
from hessay.errors import ArgumentError, NotConverged, ProbeError
from hessay.hessian.model.evaluate import Model
from hessay.loading.probe_arrays import require_class_numbers
from hessay.probe import Probe, as_probe
from hessay.report import Evidence, Report, SpectrumSummary

Progress = Callable[[str, float], None]


def scan(
    model: Model,
    probe: object,
    *,
    alpha: float = 0.01,
    references: Iterable[Model] | None = None,
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
    references : iterable of nn.Module or None
        Clean models of the same task. With them the p-value is conformal, without them it comes
        from a law fitted to clean small image classifiers.
    seed : int, >= 0
        Of the smoothing noise and the eigensolver.
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
    scores = None if references is None else plan.reference_statistics(references)
    return plan.scan(model, scores, source)


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

    def reference_statistics(self, references: Iterable[Model]) -> list[float]:
        """S of each clean reference model on the probe.

        Raises
        ------
        ArgumentError
            No references, or one for which the statistic is not defined.
        """
        scores = []
        with _timed(self.seconds, "references"):
            for number, reference in enumerate(references):
                self.tell(f"reference model {number + 1}", 0.0)
                scores.append(self.statistic(reference, f"reference model {number}"))
        if not scores:
            raise ArgumentError(
                "references is empty; pass clean models, or None to scan without any"
            )
        return scores

    def measure(self, model: Model) -> Measurement:
        """Measure one model on the probe."""
        return measure(model, self.probe, self.flat, self.directions, self.seed)

    def statistic(self, model: Model, name: str) -> float:
        """S of one model; ArgumentError with the first reason where it is not defined."""
        found = self.measure(model)
        if found.measured is None:
            raise ArgumentError(f"{name} cannot be used: {found.reasons[0]}")
        return found.measured.reach.statistic

    def scan(self, model: Model, references: Sequence[float] | None, source: str) -> Report:
        """Scan one model against the statistics of the references, if there are any."""
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
            decision = decide(
                found.measured.reach, found.n_classes, CLEAN_NULL, references, self.alpha
            )
            decision = withhold(decision, found.measured.caveats)
            self.tell("straight steps", 0.6)
            with _timed(seconds, "evidence"):
                rates = straight_step_rates(model, self.probe, found.measured, self.directions)
            table = evidence_table(found.measured, rates, decision, CLEAN_NULL)
            self.tell("spectrum off the data", 0.7)
            with _timed(seconds, "spectrum"):
                try:
                    spectrum = off_data_spectrum(
                        model, self.probe, self.directions.basis, found.n_classes, self.seed
                    )
                except NotConverged as error:
                    notes = (f"the spectrum is not shown, and decides nothing: {error}",)
        self.tell("done", 1.0)
        return compose(
            model,
            self.probe,
            self.directions,
            found,
            decision,
            table=table,
            spectrum=spectrum,
            notes=notes,
            alpha=self.alpha,
            seed=self.seed,
            source=source,
            seconds=seconds,
        )


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


def _silent(phase: str, share: float) -> None:
    """Progress for callers who want none."""

"""What the scans of several models on one probe share, and the steps of one scan."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hessay.detector.alarm_direction import alarm_direction
from hessay.detector.alarms import map_test, profile_test, rank_test, reach_test
from hessay.detector.compose import compose
from hessay.detector.decide import Test, abstain, decide, withhold
from hessay.detector.evidence import evidence_table, not_excluded, straight_step_rates
from hessay.detector.measure import Measured, Measurement, flatten, measure
from hessay.detector.pair_alarm import pair_test
from hessay.detector.pair_law import PAIRS
from hessay.detector.reference_table import ReferenceTable
from hessay.detector.spectrum_summary import off_data_spectrum
from hessay.detector.statistics import FEW_CLASSES, PrincipalDirections, principal_directions
from hessay.detector.validity import few_classes, pairs_left_out
from hessay.detector.warp_alarm import WARPS, warp_test
from hessay.errors import ArgumentError, ModelError, NonFinite, NotConverged, ProbeError
from hessay.hessian.model.evaluate import Model
from hessay.loading.probe_arrays import require_class_numbers
from hessay.probe import Probe, as_probe
from hessay.reference_models import ReferenceModels
from hessay.report import Evidence, Report, SpectrumSummary

Progress = Callable[[str, float], None]
_NO_PROFILE = f"the references are not used: a class profile needs at least {FEW_CLASSES} classes"


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
                "allow; convert pictures to float32 in the scale the model was trained on, and for "
                "token ids name the embedding: wrt="
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
        try:
            found = self.measure(model)
        except (ModelError, ProbeError, NonFinite) as error:
            raise ArgumentError(
                f"{name} cannot be used on this probe: {error}; references are clean models of the "
                "same task, with the same inputs and classes"
            ) from error
        if found.measured is None:
            raise ArgumentError(f"{name} cannot be used: {found.reasons[0]}")
        return found.measured

    def scan(
        self,
        model: Model,
        references: ReferenceTable | None,
        source: str,
        caveats: tuple[str, ...] = (),
    ) -> Report:
        """Scan one model, against references if there are any; caveats forbid CLEAN."""
        seconds = dict(self.seconds)
        self.tell("slopes and finite steps", 0.1)
        with _timed(seconds, "measure"):
            found = self.measure(model)
        table: tuple[Evidence, ...] = ()
        spectrum: SpectrumSummary | None = None
        notes: tuple[str, ...] = ()
        missed = not_excluded(maps=False, warps=False, pairs=False)
        towards: NDArray[np.float64] | None = None
        if found.measured is None:
            decision = abstain(found.reasons)
        else:
            measured = found.measured
            self.tell("tests", 0.5)
            with _timed(seconds, "tests"):
                tests = self.tests(measured, references)
                held_back = caveats + few_classes(found.n_classes) + measured.caveats
                if references is not None:
                    held_back += references.doubts(measured)
                decision = withhold(decide(tests, self.alpha), held_back)
            notes += pairs_left_out(found.n_classes, self.probe.d)
            if references is not None and found.n_classes < FEW_CLASSES:
                notes += (_NO_PROFILE,)
            elif references is not None:
                notes += references.remarks(measured) + references.about_pairs(measured)
            if found.n_classes >= FEW_CLASSES:
                missed = not_excluded(
                    maps=measured.interaction is not None,
                    warps=measured.warps is not None,
                    pairs=references is not None and not references.pairs_untested(measured),
                )
            towards, said = alarm_direction(
                model, self.probe, found, self.directions, decision, self.seed
            )
            notes += said
            self.tell("straight steps", 0.6)
            with _timed(seconds, "evidence"):
                rates = straight_step_rates(model, self.probe, measured, self.directions)
            table = evidence_table(measured, rates, tests, self._beside(measured, tests))
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
            not_excluded=missed,
            towards=towards,
            alpha=self.alpha,
            seed=self.seed,
            source=source,
            seconds=seconds,
        )

    def tests(self, measured: Measured, references: ReferenceTable | None) -> tuple[Test, ...]:
        """Build the tests a measured model has to pass, the main one first."""
        return tuple(
            self._beside_leaning(test, measured) for test in self._tests(measured, references)
        )

    def _beside_leaning(self, test: Test, measured: Measured) -> Test:
        """Veto an alarm for a class the model leans towards, where that explains how easily the class is reached.

        A rank among networks trained like the model has seen them lean as much.
        """
        lean = None if test.suspect is None else measured.leanings.get(test.suspect)
        if lean is None or test.name == "reference_rank":
            return test
        log_ratio = measured.reach.log_ratio
        left = float(log_ratio[lean.index]) - lean.excess
        alone = reach_test(measured, len(log_ratio), self.alpha)
        line = (test if test.name == alone.name else alone).threshold
        if left <= line:
            return replace(test, vetoed=lean.explanation)
        return replace(
            test,
            alarm=f"{test.alarm}; {lean.counts}, which leaves {left:.3f} of log(reach / usual), "
            f"threshold {line:.3f}",
        )

    def _tests(self, measured: Measured, references: ReferenceTable | None) -> tuple[Test, ...]:
        n_classes = len(measured.reach.log_ratio)
        if references is not None and references.n_classes != n_classes:
            raise ArgumentError(
                f"the reference models have {references.n_classes} classes and the model has "
                f"{n_classes}; give clean models of the same task"
            )
        if n_classes < FEW_CLASSES:
            return (reach_test(measured, n_classes, self.alpha),)
        ranked = pairs = None
        if references is not None:
            ranked = rank_test(measured, references, n_classes, self.alpha)
            pairs = pair_test(measured, references, n_classes, self.alpha)
        if ranked is not None:
            return (ranked,)
        share = 1.0 if pairs is None else 1.0 - PAIRS
        bent = warp_test(measured, n_classes, self.alpha, share=share)
        share *= 1.0 if bent is None else 1.0 - WARPS
        together = measured.interaction is not None
        moving = map_test(measured, n_classes, self.alpha, share=share) if together else None
        first = self._of_one_class(measured, references, n_classes, share)
        return tuple(test for test in (*first, moving, bent, pairs) if test is not None)

    def _beside(self, measured: Measured, tests: Sequence[Test]) -> tuple[Test, ...]:
        """Build what a rank among references has taken in: ranking and repair ask what a warp does alone."""
        n_classes = len(measured.reach.log_ratio)
        if n_classes < FEW_CLASSES or any(test.name == "warp_reach" for test in tests):
            return ()
        bent = warp_test(measured, n_classes, self.alpha)
        return () if bent is None else (bent,)

    def _of_one_class(
        self, measured: Measured, references: ReferenceTable | None, n_classes: int, share: float
    ) -> tuple[Test, ...]:
        """Build the tests for a single target, the main one first; they divide ``share`` between them."""
        if references is None:
            return (reach_test(measured, n_classes, self.alpha, share=share),)
        if measured.soft_reach is None:
            return (profile_test(measured, references, n_classes, self.alpha, share=share),)
        # References are compared by the usual reach, which sees less of a soft network than its own.
        half = 0.5 * share
        return (
            profile_test(measured, references, n_classes, self.alpha, share=half),
            reach_test(measured, n_classes, self.alpha, share=half),
        )


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


def _silent(phase: str, share: float) -> None:
    """Progress for callers who want none."""

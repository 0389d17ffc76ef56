"""Put a finished scan into a Report."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray

from hessay.detector import evidence, statistics
from hessay.detector.decide import Decision
from hessay.detector.measure import Measurement
from hessay.detector.reference_table import ReferenceTable
from hessay.detector.statistics import PrincipalDirections
from hessay.hessian.model.evaluate import Model
from hessay.hessian.model.from_module import FromModule
from hessay.hessian.model.inspect import device_of, parameter_count
from hessay.loading import describe, model_digest
from hessay.probe import Probe
from hessay.report import (
    MOST_MEANS,
    Evidence,
    ModelInfo,
    ProbeInfo,
    Report,
    SpectrumSummary,
)
from hessay.verdict import Verdict


def compose(
    model: Model,
    probe: Probe,
    directions: PrincipalDirections,
    found: Measurement,
    decision: Decision,
    *,
    references: ReferenceTable | None,
    table: tuple[Evidence, ...],
    spectrum: SpectrumSummary | None,
    notes: tuple[str, ...],
    not_excluded: tuple[str, ...],
    towards: NDArray[np.float64] | None,
    alpha: float,
    seed: int,
    source: str,
    seconds: Mapping[str, float],
) -> Report:
    """Build the report of one scan; every number in it was measured before.

    Parameters
    ----------
    model, probe, directions, found, decision
        Of one scan.
    references : ReferenceTable or None
    table : tuple of Evidence
        Empty when the statistic was not defined.
    spectrum : SpectrumSummary or None
    notes : tuple of str
        Sentences that follow the reasons and decide nothing.
    not_excluded : tuple of str
        Attacks the scan would have missed.
    towards : (d,) float64 or None
        Trigger direction of an alarm for one source class, any length.
    alpha, seed, source
        As given by the caller.
    seconds : mapping
        Wall time of the phases.
    """
    measured = found.measured
    flagged = decision.flagged_class
    direction = None
    moved = None
    if measured is not None and decision.verdict is Verdict.FLAGGED:
        moved = measured.class_map if flagged is None else None
        row = measured.slopes.off_data[flagged] if moved is None else moved.perturbation
        row = row if towards is None else towards
        direction = tuple(float(v) for v in row / np.linalg.norm(row))
    test = decision.test
    return Report(
        verdict=decision.verdict,
        flagged_class=flagged,
        alpha=alpha,
        statistic=None if test is None else test.statistic,
        threshold=None if test is None or not math.isfinite(test.threshold) else test.threshold,
        p_value=None if test is None else test.p_value,
        reasons=decision.reasons + notes,
        not_excluded=() if decision.verdict is Verdict.FLAGGED else not_excluded,
        evidence=table,
        classes=()
        if measured is None
        else evidence.class_table(found.counts, measured, references),
        spectrum=spectrum,
        trigger_direction=direction,
        class_map=None if moved is None else tuple(int(c) for c in moved.destination),
        model=ModelInfo(
            digest=model_digest(model),
            source=source,
            architecture=describe(model),
            n_parameters=parameter_count(model),
            n_classes=found.n_classes,
        ),
        probe=ProbeInfo(
            digest=probe.digest,
            n=probe.n,
            input_shape=probe.shape,
            has_targets=probe.targets is not None,
            accuracy=found.accuracy,
            mean=None if direction is None else _mean(model, probe),
        ),
        seed=seed,
        settings=_settings(directions, found, references, decision),
        environment={
            "python": platform.python_version(),
            "machine": platform.machine(),
            "device": device_of(model),
            **{name: _version(name) for name in ("hessay", "torch", "numpy", "scipy")},
        },
        cost={
            "backward_passes": 0 if measured is None else measured.backward_passes,
            "products": 0 if spectrum is None else spectrum.products,
        },
        seconds=seconds,
    )


def _mean(model: Model, probe: Probe) -> tuple[float, ...] | None:
    """Average input, (d,), for what a trigger direction is drawn over; None inside a model."""
    if probe.d > MOST_MEANS or isinstance(model, FromModule):
        return None
    mean = probe.flat.double().mean(dim=0).tolist()
    # Six digits are far more than a picture has, and half the bytes of all.
    return tuple(float(f"{value:.6g}") for value in mean)


def _settings(
    directions: PrincipalDirections,
    found: Measurement,
    references: ReferenceTable | None,
    decision: Decision,
) -> dict[str, float | int | str | bool]:
    settings: dict[str, float | int | str | bool] = {
        "variance_share": statistics.VARIANCE_SHARE,
        "directions_removed": directions.basis.shape[1],
        "variance_removed": directions.share,
        "noise_draws": statistics.DRAWS,
        "step_radii": ", ".join(map(str, statistics.STEP_RADII)),
        "steps": statistics.STEPS,
        "probe_radius": directions.radius,
        "references": 0 if references is None else len(references.log_ratios),
    }
    if found.measured is not None:
        if references is not None:
            settings["references_own_architecture"] = references.same_build(found.measured)
        settings["soft"] = found.measured.soft_reach is not None
        settings["kind"] = found.measured.kind
        settings["noise"] = found.measured.noise
        settings["noise_agreement"] = found.measured.agreement
    if decision.verdict is Verdict.FLAGGED and decision.test and decision.test.source is not None:
        settings["source_class"] = decision.test.source
    return settings


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed as a package"

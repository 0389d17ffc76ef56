"""The way from one class to one other: what a report shows beside an alarm for a pair of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessay.detector.evidence import STEP_RADIUS
from hessay.detector.measure import Measurement, input_range
from hessay.detector.statistics import DRAWS, PrincipalDirections
from hessay.hessian.jacobian import class_jacobians
from hessay.hessian.model.evaluate import Model
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.layout import channels_last
from hessay.hessian.straight_steps import flip_rates
from hessay.probe import Probe


def pair_direction(
    model: Model,
    probe: Probe,
    found: Measurement,
    directions: PrincipalDirections,
    source: int,
    target: int,
    seed: int,
) -> tuple[NDArray[np.float64], str]:
    """Find the steepest way off the data from a class to another, and what a step along it does.

    Parameters
    ----------
    model, probe, found, directions
        Of one scan; ``found.measured`` is there.
    source, target : int
        Classes; some probes are predicted as ``source``.
    seed : int
        Of the smoothing noise.

    Returns
    -------
    direction : (d,) float64, logits / input
        Q M_st, smoothed as in the statistic.
    said : str
        One sentence about the step.
    """
    assert found.measured is not None
    inputs = probe.inputs[np.flatnonzero(found.logits.argmax(axis=1) == source).tolist()]
    with frozen(model), channels_last(model, probe.inputs):
        slopes = class_jacobians(
            model, inputs, noise=found.measured.noise, draws=DRAWS, seed=seed, pairs=False
        ).total
        direction = directions.remove((slopes[target] - slopes[source])[None])[0]
        walked = flip_rates(
            model,
            inputs,
            direction[None] / np.linalg.norm(direction),
            radius=STEP_RADIUS * directions.radius,
            bounds=input_range(probe),
        )
    rate = float(walked.rate[0, 0, target])
    said = (
        f"a straight step of {STEP_RADIUS} of the probe's radius along the trigger direction turns {rate:.0%} "
        f"of the {len(inputs)} probes of class {source} into class {target}"
    )
    return direction, said

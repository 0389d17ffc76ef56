"""Which change of the inputs a report shows beside an alarm, where it is not the slope into the class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessay.detector.decide import Decision
from hessay.detector.measure import Measurement
from hessay.detector.pair_direction import pair_direction
from hessay.detector.statistics import PrincipalDirections
from hessay.hessian.model.evaluate import Model
from hessay.hessian.moves import mean_change
from hessay.probe import Probe
from hessay.verdict import Verdict


def alarm_direction(
    model: Model,
    probe: Probe,
    found: Measurement,
    directions: PrincipalDirections,
    decision: Decision,
    seed: int,
) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Find the trigger direction of an alarm for a pair of classes or for a warp.

    Returns
    -------
    direction : (d,) float64 or None
        Any length; None where the slope into the flagged class is what to show.
    said : tuple of str
        Sentences about it.
    """
    test, measured = decision.test, found.measured
    if decision.verdict is not Verdict.FLAGGED or test is None or test.suspect is None:
        return None, ()
    if test.source is not None:
        row, said = pair_direction(model, probe, found, directions, test.source, test.suspect, seed)
        return row, (said,)
    if not test.bent or measured is None or measured.warps is None:
        return None, ()
    warps = measured.warps
    change = mean_change(probe.inputs, warps.perturbation[-1, test.suspect])
    said = (
        f"a warp of {warps.radii[-1]:.3g} pixels, root mean square, sends "
        f"{warps.flip_rate[-1, test.suspect]:.0%} of the other probes to class {test.suspect}; the trigger "
        "direction is the mean change it makes, which is another one in every picture"
    )
    return change if bool(change.any()) else None, (said,)

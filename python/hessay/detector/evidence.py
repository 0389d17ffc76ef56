"""What a report shows beside the verdict: finite steps, the table of classes, the blind spots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hessay.detector.decide import Test
from hessay.detector.measure import Measured, input_range, some_inputs
from hessay.detector.reference_table import ReferenceTable
from hessay.detector.soft import LEVEL
from hessay.detector.statistics import STEP_RADII, PrincipalDirections
from hessay.detector.warp import WARP_LENGTH
from hessay.hessian.model.evaluate import Model
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.layout import channels_last
from hessay.hessian.straight_steps import flip_rates
from hessay.probe import Probe
from hessay.report import ClassEvidence, Evidence

STEP_RADIUS = 0.36  # of the probe's radius: the straight step of the second piece of evidence
PROBES = 128  # for it; rates have a standard error of at most 0.045

# Measured blind spots of the tests. A report without an alarm says them.
_ALL_TO_ALL = "an all-to-all backdoor (every class moved to another one)"
_WARP = "a trigger that bends the picture (a warp): not tested for, the inputs are not known to be pictures"
_FILTER = "a trigger that changes the tone of the whole picture (a filter)"
_ONE_SOURCE = "a backdoor for one source class with cover samples"
_NEVER_EXCLUDED = (
    "a clean-label backdoor, whose poisoned samples keep a plausible label",
    "a backdoor that hardly works yet: attack success below one half",
    "an attacker who knew this test and trained against it (flattened or masked gradients)",
    "several targets at once, in about half of the classes or more",
    "poisoning that leaves no trigger, for example lost accuracy or a shifted decision boundary",
)


def not_excluded(*, maps: bool, warps: bool, pairs: bool) -> tuple[str, ...]:
    """Attacks that a scan without an alarm may have missed, by what was tested."""
    return (
        f"{_ALL_TO_ALL} with more than one trigger" if maps else _ALL_TO_ALL,
        f"{_ONE_SOURCE}: tested, but some are missed" if pairs else _ONE_SOURCE,
        _FILTER if warps else _WARP,
        *_NEVER_EXCLUDED,
    )


NULL_NOTE = (
    "tested at {share:.0%} of alpha; laws were fitted to small image classifiers with 10 classes: for "
    "other kinds of model, give clean references trained like it"
)


_WITHIN = "shown for judgement, decides nothing alone: a part of the rank among references"


def straight_step_rates(
    model: Model, probe: Probe, measured: Measured, directions: PrincipalDirections
) -> NDArray[np.float64]:
    """Share of the probes of other classes that a step along Q M_c sends to c, (C,)."""
    off_data = measured.slopes.off_data
    with frozen(model), channels_last(model, probe.inputs):
        walked = flip_rates(
            model,
            some_inputs(probe, PROBES),
            off_data / np.linalg.norm(off_data, axis=1, keepdims=True),
            radius=STEP_RADIUS * directions.radius,
            bounds=input_range(probe),
        )
    own = np.arange(len(off_data))
    forward: NDArray[np.float64] = walked.rate[own, 0, own]
    return forward


def evidence_table(
    measured: Measured,
    step_rates: NDArray[np.float64],
    tests: Sequence[Test],
    beside: Sequence[Test] = (),
) -> tuple[Evidence, ...]:
    """Put the statistics into words, the deciding ones first, then those that decide within them."""
    reach = measured.reach
    refined = measured.refined.flip_rate[-1]
    decided = any(test.name == "reach_spread" for test in tests)
    spread = () if decided else (_spread(measured),)
    soft = measured.soft_reach is not None
    return (
        *(_deciding(test, soft) for test in tests),
        *(
            replace(_deciding(test, soft), decides=False, threshold=None, note=_WITHIN)
            for test in beside
        ),
        *spread,
        _shown(
            "first_order_spread",
            "The same from the slopes of the logits alone",
            _log_ratio(reach.first_order),
            "log of the largest over the median |Q M_c| / m_c, logit Jacobian smoothed over "
            "Gaussian noise",
            "one of the two parts of the deciding statistic",
        ),
        _shown(
            "finite_step_spread",
            "The same from finite universal steps alone",
            _log_ratio(reach.finite),
            "log of the largest over the median relative margin drop per length, "
            f"{'interpolated between' if soft else 'averaged over'} steps of "
            f"{', '.join(map(str, STEP_RADII))} of the probe's radius",
            "one of the two parts of the deciding statistic",
        ),
        _shown(
            "step_flip_rate",
            "Probes that one straight step sends into a single class",
            step_rates,
            f"clip(x + r u), u = Q M_c / |Q M_c|, r = {STEP_RADIUS} of the probe's radius; share "
            "of the probes of other classes that arrive in c, largest over c",
            "clean models differ too much between architectures for one threshold",
        ),
        _shown(
            "refined_flip_rate",
            "Probes that one short universal perturbation sends into a single class",
            refined,
            f"normalised-gradient steps with momentum from Q M_c, L2 norm {STEP_RADII[-1]} of the "
            "probe's radius, counted on probes it was not fitted to; Moosavi-Dezfooli et al. 2017",
            "natural universal perturbations exist in clean models too",
        ),
    )


_TITLES = {
    "reach_spread": (
        "How far one class stands out in reach, off the data's own directions",
        (
            "S = log of the largest over the median class reach; reach = geometric mean of the first-order "
            "and the finite-step inverse distance to a class, over its natural reach sqrt(W_c / D_c) from "
            "the data's shape"
        ),
    ),
    "class_profile": (
        "How far one class stands out from the same class in clean reference models",
        (
            "z = log(reach / median reach) less the references' median for the class, in standard "
            "deviations of one reference; largest over the classes"
        ),
    ),
    "reference_rank": (
        "How far the model stands out among clean reference models trained like it",
        (
            "largest of max z (class profile), F (class map), of pictures W (warps) and, for references of the "
            "same build, P (pairs of classes), each over its threshold at alpha; every reference is judged by the others in the same way"
        ),
    ),
    "pair_reach": (
        "How far one class is turned into one other more easily than in clean reference models",
        (
            "P = largest z of log(|Q M_sc| / m_sc) over ordered pairs of classes, without the row and column "
            "effects of the table, against its median and spread in references of the same build and training"
        ),
    ),
    "warp_reach": (
        "How far one smooth warp of the pictures leads to one class: triggers that bend the picture",
        (
            "W = largest less median over the classes of the share of the margin that the best warp removes and "
            "the share of the probes it sends there; displacements interpolated from 5 x 5 places, root mean "
            f"square {WARP_LENGTH} of the shorter side, judged on other probes"
        ),
    ),
    "class_map_excess": (
        "Probes that one short step sends, class by class, to another class each: all-to-all backdoors",
        (
            "F = share of the probes that arrive, less the share that smoothing noise overthrows; "
            "perturbation and map of classes are found together, from the leading directions of the "
            "interaction of predicted class and logit in the mean Jacobian off the data, and judged on "
            "other probes"
        ),
    ),
}


_SOFT_METHOD = (
    "S = log of the largest class reach over the geometric mean of the runners-up, the upper half of the other "
    "classes; reach = first^w finite^(1 - w) over its natural "
    "reach sqrt(W_c / D_c) from the data's shape, w = share of predictions that survive the smoothing noise "
    f"less 1/2; finite steps at the length that costs the median class {LEVEL} of its margin: a soft network"
)


def _deciding(test: Test, soft: bool) -> Evidence:
    title, method = _words(test.name, soft)
    return Evidence(
        name=test.name,
        title=title,
        value=test.statistic,
        unit="1",
        threshold=test.threshold if math.isfinite(test.threshold) else None,
        p_value=test.p_value,
        decides=True,
        flagged_class=test.suspect,
        method=f"{method}; {test.law}",
        note=test.vetoed or NULL_NOTE.format(share=test.weight),
    )


def _spread(measured: Measured) -> Evidence:
    title, method = _words("reach_spread", measured.soft_reach is not None)
    ratios = measured.reach.log_ratio
    return _shown("reach_spread", title, ratios, method, "references decide in its place")


def _words(name: str, soft: bool) -> tuple[str, str]:
    title, method = _TITLES[name]
    return title, _SOFT_METHOD if soft and name == "reach_spread" else method


def class_table(
    counts: NDArray[np.int64], measured: Measured, references: ReferenceTable | None
) -> tuple[ClassEvidence, ...]:
    """One row a class, in class order."""
    z = None if references is None else references.deviations(measured)
    reach, refined = measured.reach, measured.refined.flip_rate[-1]
    return tuple(
        ClassEvidence(
            index=c,
            count=int(counts[c]),
            reach=float(reach.reach[c]),
            log_ratio=float(reach.log_ratio[c]),
            deviation=None if z is None else float(z[c]),
            refined_flip_rate=_share(refined[c]),
        )
        for c in range(len(counts))
    )


def _shown(
    name: str, title: str, by_class: NDArray[np.float64], method: str, note: str
) -> Evidence:
    return Evidence(
        name=name,
        title=title,
        value=float(by_class.max()),
        unit="1",
        threshold=None,
        p_value=None,
        decides=False,
        flagged_class=int(by_class.argmax()),
        method=method,
        note=f"shown for judgement, decides nothing alone: {note}",
    )


def _log_ratio(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.log(values / np.median(values))
    return ratio


def _share(value: float) -> float:
    # float32 means of zeros and ones can exceed 1 by rounding.
    return min(1.0, max(0.0, float(value)))

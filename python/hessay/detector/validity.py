"""When the statistic must not be believed: every reason that turns a verdict into INCONCLUSIVE."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hessay.detector.statistics import PrincipalDirections, Slopes
from hessay.hessian.jacobian import ClassJacobians
from hessay.hessian.perturbation import RefinedDirections

PROBES_PER_CLASS = 10  # mean probes a class below which the class means are mostly noise
MIN_PROBES = 64  # principal directions: k < n / 3 leaves about 20 of them
MAX_BYTES = 4 << 30  # of the tables with a row of inputs for each class
MAX_PAIR_BYTES = 256 << 20  # of the one with a row for each pair of classes; a few copies are made
_CLASS_TABLES = 8  # slopes, their parts off the data, and the finite steps on their way
_RARE = (
    0.1  # of an equal share: fewer probes predicted as a class say nothing about its natural reach
)
_ENOUGH_OFF_DATA = 0.6  # of the dimensions of a feature vector; pictures leave more
ENOUGH_LEFT = 32  # dimensions off the data: the length of a random vector is then within an eighth
MAX_SHARE = (
    0.5  # of the probes predicted as one class; of two or three classes, 1.5 times its fair share
)
MIN_AGREEMENT = 0.5  # predictions that survive the smoothing noise
_OFF_DATA_FLOOR = 1e-6  # |Q M| / |M|: below it, what is left is rounding of float32 arithmetic


def training_mode(names: Sequence[str]) -> tuple[str, ...]:
    """Reason for a model handed over with Dropout or BatchNorm switched to training, if any."""
    if not names:
        return ()
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    reason = (
        f"{len(names)} Dropout or BatchNorm modules are in training mode ({shown}): the model that "
        "was handed over does not compute what it computes in use; call model.eval() first"
    )
    return (reason,)


def probes_needed(n_classes: int) -> int:
    """Smallest probe the statistic accepts for C classes."""
    return max(MIN_PROBES, PROBES_PER_CLASS * n_classes)


def too_small(n: int, distinct: int, n_classes: int) -> tuple[str, ...]:
    """Reasons known before any derivative is taken: probes, or different ones, are too few."""
    reasons = []
    needed = probes_needed(n_classes)
    if n < needed:
        reasons.append(
            f"{n} probes are too few, {needed} are needed: {PROBES_PER_CLASS} for each of "
            f"{n_classes} classes and at least {MIN_PROBES}, so that class means and principal "
            "directions are more than noise"
        )
    elif distinct < needed:
        reasons.append(
            f"only {distinct} of {n} probes are different inputs, {needed} are needed; give each input once"
        )
    return tuple(reasons)


def few_classes(n_classes: int) -> tuple[str, ...]:
    """Caveat for two and three classes: one or two others are all there is to compare with."""
    if n_classes > 3:
        return ()
    caveat = (
        f"the model has {('two', 'three')[n_classes - 2]} classes: with so few to compare, clean networks "
        "differ so much that most backdoors do not stand out; nothing found is no clearance"
    )
    return (caveat,)


def crowded(shape: tuple[int, ...], directions: PrincipalDirections) -> tuple[str, ...]:
    """Caveat for feature vectors whose data fill most of the space: little is left to look for triggers in."""
    width = directions.basis.shape[0]
    left = width - directions.basis.shape[1]
    if len(shape) > 1 or left >= _ENOUGH_OFF_DATA * width:
        return ()
    caveat = (
        f"the inputs are feature vectors whose principal directions leave {left} of {width} dimensions: of the "
        "backdoors of such tables most do not stand out there; nothing found is no clearance"
    )
    return (caveat,)


def too_large(n_classes: int, width: int) -> tuple[str, ...]:
    """Reason for more classes and inputs than their slopes and steps have memory for, if so."""
    n_bytes = 8 * _CLASS_TABLES * n_classes * width
    if n_bytes <= MAX_BYTES:
        return ()
    reason = (
        f"{n_classes} classes of {width} inputs each need {n_bytes / 2**30:.1f} GiB for slopes and "
        f"steps towards every class, more than the {MAX_BYTES / 2**30:.0f} GiB allowed"
    )
    return (reason,)


def pairs_fit(n_classes: int, width: int) -> bool:
    """Whether there is memory for the mean Jacobians of all pairs of classes."""
    return 8 * n_classes * n_classes * width <= MAX_PAIR_BYTES


def pairs_left_out(n_classes: int, width: int) -> tuple[str, ...]:
    """Say what was not tested where the pairs of classes were not formed, if so."""
    if pairs_fit(n_classes, width):
        return ()
    said = (
        f"all-to-all backdoors were not tested for: {n_classes} classes of {width} inputs have too many "
        "pairs of classes to keep a mean Jacobian of each"
    )
    return (said,)


def unusable_logits(
    logits: NDArray[np.float64], targets: NDArray[np.int64] | None
) -> tuple[str, ...]:
    """Reasons seen in the logits (n, C) and, when there are labels, in the accuracy."""
    n, n_classes = logits.shape
    predicted = logits.argmax(axis=1)
    counts = np.bincount(predicted, minlength=n_classes)
    reasons = []
    if bool((logits >= 0.0).all()) and bool((np.abs(logits.sum(axis=1) - 1.0) < 1e-3).all()):
        reasons.append(
            "the model returns probabilities, not logits: where it is confident they are saturated "
            "and hide the slope; remove the final softmax"
        )
    largest = int(counts.argmax())
    if counts[largest] > max(MAX_SHARE, 1.5 / n_classes) * n:
        reasons.append(
            f"{counts[largest]} of {n} probes are predicted as class {largest}: the other classes "
            "are hardly seen; use a probe with all classes in similar numbers"
        )
    never = np.flatnonzero(counts == 0)
    if len(never) > 0:
        reasons.append(
            f"no probe is predicted as class {_some(never)}: nothing is known about the way out of "
            f"{'it' if len(never) == 1 else 'them'}; use a probe with all classes"
        )
    rare = np.flatnonzero((counts > 0) & (counts < _RARE * n / n_classes))
    if len(rare) > 0:
        reasons.append(
            f"{int(counts[rare[0]])} of {n} probes are predicted as class {rare[0]}"
            + (f", and as few as class {_some(rare[1:])}" if len(rare) > 1 else "")
            + ": the model has hardly learnt it, or the probe hardly holds it; use a trained model, and a probe "
            "with all classes in similar numbers"
        )
    if targets is not None:
        absent = np.flatnonzero(np.bincount(targets, minlength=n_classes) == 0)
        if len(absent) > 0 and not bool((counts[absent] == 0).all()):
            reasons.append(
                f"no probe is labelled {_some(absent)}: what is said of "
                f"{'this class' if len(absent) == 1 else 'these classes'} rests on errors of the model; "
                "use a probe with all classes"
            )
        right = float((predicted == targets).mean())
        chance = 1.0 / n_classes
        # 3 standard errors of guessing, and never less than 0.1 above it.
        needed = chance + max(0.1, 3.0 * math.sqrt(chance * (1.0 - chance) / n))
        if right < needed:
            reasons.append(
                f"accuracy on the probe is {right:.3f}, near chance ({chance:.3f}): wrong labels, "
                "wrong scale of the inputs, or a model that was not trained"
            )
    return tuple(reasons)


def degenerate(
    jacobians: ClassJacobians, directions: PrincipalDirections, slopes: Slopes
) -> tuple[str, ...]:
    """Reasons seen in the derivatives: the statistic would be a ratio of rounding errors."""
    reasons = []
    n_classes, width = slopes.direction.shape
    if jacobians.agreement < MIN_AGREEMENT:
        reasons.append(
            f"even the least smoothing noise changes {1.0 - jacobians.agreement:.0%} of the predictions: the "
            "smoothed slopes describe another function than the one the model computes"
        )
    left = width - directions.basis.shape[1]
    needed = min(n_classes, ENOUGH_LEFT)
    if left < needed:
        reasons.append(
            f"the probe's {directions.basis.shape[1]} principal directions leave {left} of {width} "
            f"input dimensions, at least {needed} are needed to tell {n_classes} classes apart"
        )
    scale = float(np.abs(jacobians.logits).max())
    flat = np.flatnonzero(slopes.margin <= scale * np.finfo(np.float32).eps)
    if len(flat) > 0:
        reasons.append(
            f"the logit margin to class {_some(flat)} is zero to working precision: the model does "
            "not tell the classes apart"
        )
    whole = np.linalg.norm(slopes.direction, axis=1)
    off_data = np.linalg.norm(slopes.off_data, axis=1)
    if not bool(np.isfinite(whole).all()):
        reasons.append("a slope is not finite: logits overflow close to the probe")
    elif bool((off_data <= _OFF_DATA_FLOOR * whole.max()).any()):
        flat = np.flatnonzero(off_data <= _OFF_DATA_FLOOR * whole.max())
        reasons.append(
            f"the logits have no slope towards class {_some(flat)} off the data's own directions: "
            "saturated or piecewise-constant activations, or inputs the model ignores"
        )
    return tuple(reasons)


def brittle(noise: float, usual: float) -> tuple[str, ...]:
    """Caveat for a model that was smoothed with less than half the usual noise, if it was.

    Half of it is what some clean networks with normalisation need, and the law of soft networks holds them; no clean
    network of bench/zoo/soft.py needs less.
    """
    if noise >= 0.5 * usual * (1.0 - 1e-9):
        return ()
    caveat = (
        f"half the usual smoothing noise still overthrows most predictions, {noise:.3g} was used instead of "
        f"{usual:.3g}: brittle networks hide slopes, so that nothing found is no clearance"
    )
    return (caveat,)


def immovable(refined: RefinedDirections) -> tuple[str, ...]:
    """Reason for a model whose margins no finite step lowers in most classes, if it is one."""
    drops = refined.margin_drop.max(axis=0)
    stuck = np.flatnonzero(drops <= 0.0)
    if 2 * len(stuck) < len(drops):
        return ()
    reason = (
        f"no universal step lowers the margin to class {_some(stuck)}, although the logits have a "
        "slope: gradients that point nowhere, as masked ones do"
    )
    return (reason,)


def _some(classes: NDArray[np.intp]) -> str:
    return ", ".join(map(str, classes[:5])) + (", ..." if len(classes) > 5 else "")


def distinct(flat: NDArray[np.float64]) -> int:
    """How many of the rows (n, d) differ from all others, equal ones counted once."""
    return len({hash(row.tobytes()) for row in flat})

"""Everything measured on one model: shared by the scan and by the reference models."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hessay.detector import validity
from hessay.detector.interaction import Interaction, interaction
from hessay.detector.kinds import Kind, kind_of
from hessay.detector.leaning import Leaning, leanings
from hessay.detector.pairs import pair_reach
from hessay.detector.soft import SOFT_AGREEMENT, level_reach
from hessay.detector.statistics import (
    DRAWS,
    FEW_CLASSES,
    MAP_RADIUS,
    NOISES,
    STEP_PROBES,
    STEP_RADII,
    STEPS,
    ClassReach,
    PrincipalDirections,
    Slopes,
    class_reach,
    first_order,
    natural_reach,
)
from hessay.detector.warp import class_warps, warp_spread
from hessay.errors import ProbeError
from hessay.hessian.class_map import ClassMap, find_class_map
from hessay.hessian.jacobian import ClassJacobians, class_jacobians
from hessay.hessian.model.evaluate import Inputs, Model, logits_of
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.inspect import check_repeatable, training_modules
from hessay.hessian.model.layout import channels_last
from hessay.hessian.perturbation import RefinedDirections, refine_directions
from hessay.probe import Probe
from hessay.reference_models import own_architecture


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What the statistic was made of, on a model where it is defined."""

    slopes: Slopes
    refined: RefinedDirections
    usual_reach: ClassReach  # slopes and short steps alike: what references are compared by
    soft_reach: ClassReach | None  # where the kind is "soft"
    interaction: Interaction | None  # None where there are too many pairs of classes to form
    class_map: ClassMap | None  # None where classes and inputs do not interact: a linear model
    logit_scale: float  # root mean square of the centred logits, logits
    noise: float  # standard deviation of the smoothing noise, input units
    agreement: float  # share of predictions that survive the smoothing noise
    backward_passes: int
    caveats: tuple[str, ...]  # what forbids CLEAN, though not FLAGGED
    leanings: dict[int, Leaning]  # classes the model leans towards: another explanation of an alarm
    architecture: str  # digest of the model's build
    kind: Kind  # which decides the law of S
    log_pairs: NDArray[np.float64] | None  # (C, C): log reach of each pair; None where not measured
    warps: RefinedDirections | None  # the best of each class; None where inputs are no pictures

    @property
    def reach(self) -> ClassReach:
        """Reach of the classes as this kind of network is judged by, without references."""
        return self.usual_reach if self.soft_reach is None else self.soft_reach

    @property
    def warp_spread(self) -> NDArray[np.float64] | None:
        """What warps do to each class beyond the median one, (C,); None where not measured."""
        return None if self.warps is None else warp_spread(self.warps)

    @property
    def map_excess(self) -> float:
        """F: share of the probes that the class map's step carries there, less noise's, [0, 1].

        Brittle networks are moved anywhere by a short step; what the smoothing noise overthrows
        says how brittle they are.
        """
        rate = 0.0 if self.class_map is None else self.class_map.flip_rate
        return max(0.0, rate - (1.0 - self.agreement))


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """The deciding statistic of one model, or the reasons why it has none."""

    logits: NDArray[np.float64]  # (n, C)
    accuracy: float | None  # on the probe, [0, 1]; None without targets
    measured: Measured | None  # None exactly where there are reasons
    reasons: tuple[str, ...]  # why the statistic must not be believed

    @property
    def n_classes(self) -> int:
        """C, the number of logits."""
        return int(self.logits.shape[1])

    @property
    def counts(self) -> NDArray[np.int64]:
        """Probes predicted as each class, (C,)."""
        predicted = self.logits.argmax(axis=1)
        return np.bincount(predicted, minlength=self.n_classes).astype(np.int64)


def measure(
    model: Model,
    probe: Probe,
    flat: NDArray[np.float64],
    directions: PrincipalDirections,
    seed: int,
) -> Measurement:
    """Measure S on a model; its mode, weights and gradients are left as they were.

    Parameters
    ----------
    model : nn.Module
    probe : Probe
    flat : (n, d) float64
        The probe as :func:`flatten` gives it.
    directions : PrincipalDirections
        Of ``flat``.
    seed : int
        Of the smoothing noise.

    Raises
    ------
    ModelError, NonFinite
        The model raised, is not deterministic or differentiable, or its logits are not finite.
    ProbeError
        A target is no class of the model.
    """
    mode = training_modules(model)
    with frozen(model), channels_last(model, probe.inputs):
        line = _linearised(model, probe, flat, directions, seed, mode)
        jacobians, slopes = line.jacobians, line.slopes
        if jacobians is None or slopes is None:
            return Measurement(line.logits, line.accuracy, None, line.reasons)
        refined = refine_directions(
            model,
            some_inputs(probe, STEP_PROBES),
            slopes.off_data,
            radii=[share * directions.radius for share in STEP_RADII],
            bounds=input_range(probe),
            basis=directions.basis,
            steps=STEPS,
        )
        together = None if jacobians.mean is None else interaction(jacobians, directions)
        class_map = None
        if together is not None and len(together.directions) > 0:
            class_map = find_class_map(
                model,
                some_inputs(probe, STEP_PROBES),
                together.directions,
                radius=MAP_RADIUS * directions.radius,
                bounds=input_range(probe),
                basis=directions.basis,
            )
        enough = len(slopes.reach) >= FEW_CLASSES
        warps = class_warps(model, probe) if enough else None
    reasons = validity.immovable(refined)
    if reasons:
        return Measurement(line.logits, line.accuracy, None, reasons)
    nature = natural_reach(flat, jacobians.predicted, len(slopes.reach))
    usual = class_reach(slopes, refined, nature)
    usual_noise = NOISES[0] * directions.noise_scale
    caveats = validity.brittle(jacobians.noise, usual_noise)
    caveats += validity.crowded(probe.shape, directions)
    soft = jacobians.agreement < SOFT_AGREEMENT or jacobians.noise < usual_noise
    kind = kind_of(model, probe.shape, soft=soft)
    soft_reach = None
    if kind == "soft" and enough:
        soft_reach = level_reach(usual, refined, jacobians.agreement)
    measured = Measured(
        slopes,
        refined,
        usual,
        soft_reach,
        together,
        class_map,
        float(np.sqrt(np.square(line.logits - line.logits.mean(axis=1, keepdims=True)).mean())),
        jacobians.noise,
        jacobians.agreement,
        jacobians.passes + refined.passes + (0 if warps is None else warps.passes),
        caveats,
        leanings(jacobians.counts, class_targets(probe, len(slopes.reach))),
        own_architecture(model),
        kind if kind != "soft" or enough else "plain",
        pair_reach(jacobians, directions) if enough else None,
        warps,
    )
    return Measurement(line.logits, line.accuracy, measured, ())


def slopes_alone(
    model: Model,
    probe: Probe,
    flat: NDArray[np.float64],
    directions: PrincipalDirections,
    seed: int,
) -> Slopes | tuple[str, ...]:
    """Find the slopes of :func:`measure` alone, or its reasons for none, without finite steps."""
    mode = training_modules(model)
    with frozen(model), channels_last(model, probe.inputs):
        line = _linearised(model, probe, flat, directions, seed, mode)
    return line.reasons if line.slopes is None else line.slopes


@dataclass(frozen=True, slots=True, eq=False)
class _Linearised:
    """The probe's logits and, where nothing speaks against it, its smoothed Jacobians."""

    logits: NDArray[np.float64]  # (n, C)
    accuracy: float | None
    jacobians: ClassJacobians | None  # None exactly where there are reasons
    slopes: Slopes | None
    reasons: tuple[str, ...]


def _linearised(
    model: Model,
    probe: Probe,
    flat: NDArray[np.float64],
    directions: PrincipalDirections,
    seed: int,
    in_training: tuple[str, ...],
) -> _Linearised:
    reasons = validity.training_mode(in_training)
    tensor = logits_of(model, probe.inputs)
    check_repeatable(model, probe.inputs, tensor)
    logits: NDArray[np.float64] = tensor.numpy()
    targets = class_targets(probe, logits.shape[1])
    accuracy = None if targets is None else float((logits.argmax(axis=1) == targets).mean())
    reasons += validity.too_small(probe.n, validity.distinct(flat), logits.shape[1])
    reasons += validity.too_large(logits.shape[1], probe.d)
    reasons += validity.unusable_logits(logits, targets)
    if reasons:
        return _Linearised(logits, accuracy, None, None, reasons)
    jacobians = _smoothed(
        model, probe, directions, seed, pairs=validity.pairs_fit(logits.shape[1], probe.d)
    )
    slopes = first_order(jacobians, directions)
    reasons = validity.degenerate(jacobians, directions, slopes)
    if reasons:
        return _Linearised(logits, accuracy, None, None, reasons)
    return _Linearised(logits, accuracy, jacobians, slopes, ())


def _smoothed(
    model: Model, probe: Probe, directions: PrincipalDirections, seed: int, *, pairs: bool
) -> ClassJacobians:
    passes = 0
    for share in NOISES:
        found = class_jacobians(
            model,
            probe.inputs,
            noise=share * directions.noise_scale,
            draws=DRAWS,
            seed=seed,
            pairs=pairs,
        )
        passes += found.passes
        if found.agreement >= validity.MIN_AGREEMENT:
            break
    return replace(found, passes=passes)


def flatten(probe: Probe) -> NDArray[np.float64]:
    """Return the probe's inputs as (n, d) float64 on the host."""
    array: NDArray[np.float64] = probe.flat.detach().cpu().double().numpy()
    return array


def some_inputs(probe: Probe, count: int) -> Inputs:
    """Return at most ``count`` inputs, spread evenly over the probe."""
    positions = np.unique(np.linspace(0, probe.n - 1, min(count, probe.n)).round().astype(int))
    return probe.inputs[positions.tolist()]


def input_range(probe: Probe) -> tuple[float, float]:
    """Return the smallest and the largest number in the probe."""
    return float(probe.inputs.min()), float(probe.inputs.max())


def class_targets(probe: Probe, n_classes: int) -> NDArray[np.int64] | None:
    """Return the class numbers of the probe on the host, (n,); None without targets."""
    classes = probe.class_numbers
    if classes is None:
        return None
    targets: NDArray[np.int64] = classes.cpu().numpy()
    if int(targets.max()) >= n_classes:
        raise ProbeError(
            f"the probe has target {int(targets.max())}, but the model has only classes 0 to "
            f"{n_classes - 1}; number the classes as in training"
        )
    return targets

"""Poison simulators: the three classical all-to-one backdoors, for evaluation only.

A detector is only worth what it finds, so the demo, the tests and the benchmarks need models that
are known to be poisoned. Nothing here is meant for use against anybody's model; the attacks are
the published ones, at the strengths of the literature, and every random choice is seeded.

A trigger changes a picture x in [0, 1] to  clip((1 - opacity) x + overlay, 0, 1),  pixel by pixel:

=========  ==========================  =============================  ===============================
attack     opacity                     overlay                        source
=========  ==========================  =============================  ===============================
badnets    1 on a small square         1 on the square                Gu et al. 2017, arXiv:1708.06733
blend      0.18 everywhere             0.18 times a random picture    Chen et al. 2017, arXiv:1712.05526
sig        0                           a horizontal sinusoid          Barni et al. 2019, ICIP, 101
=========  ==========================  =============================  ===============================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hessay.errors import ArgumentError, ShapeError
from hessay.loading.probe_arrays import require_class_numbers

Attack = Literal["badnets", "blend", "sig"]

_BLEND_OPACITY = 0.18
# The published sinusoid: amplitude 0.12 and 6 periods on 28 columns. Its L2 norm falls with the
# side of the picture, and on 8 columns 0.12 no longer teaches a network anything.
_SIG_AMPLITUDE, _SIG_AMPLITUDE_SMALL, _SIG_PERIODS, _SMALL_SIDE = 0.12, 0.3, 6, 16


@dataclass(frozen=True, slots=True, eq=False)
class Trigger:
    """A fixed change of a picture: ``clip((1 - opacity) * x + overlay, 0, 1)``."""

    name: str
    opacity: Tensor  # (H, W) or (C, H, W) float32 in [0, 1]: share of the picture that is hidden
    overlay: Tensor  # same shape, float32, pixel units: what is added after the hiding

    def apply(self, inputs: Tensor) -> Tensor:
        """Return the pictures with the trigger on them.

        Parameters
        ----------
        inputs : (n, H, W) or (n, C, H, W) float, in [0, 1]
            Not changed.

        Returns
        -------
        (n, H, W) or (n, C, H, W), dtype and device of ``inputs``, in [0, 1]

        Raises
        ------
        ShapeError
            The pictures have another size than the trigger.
        """
        shape = tuple(self.overlay.shape)
        if tuple(inputs.shape[1:]) != shape:
            raise ShapeError(
                f"this {self.name} trigger is for inputs (n, {', '.join(map(str, shape))}), "
                f"got {tuple(inputs.shape)}; build one with make_trigger for that shape"
            )
        opacity, overlay = self.opacity.to(inputs), self.overlay.to(inputs)
        shown: Tensor = (1.0 - opacity) * inputs + overlay
        return shown.clamp(0.0, 1.0)

    def direction(self, inputs: Tensor) -> Tensor:
        """Mean displacement the trigger causes on these pictures, as a unit vector (d,) float64."""
        shift = (self.apply(inputs) - inputs).double().mean(dim=0).flatten()
        norm = torch.linalg.vector_norm(shift)
        if float(norm) == 0.0:
            raise ArgumentError(f"the {self.name} trigger changes none of these inputs")
        unit: Tensor = shift / norm
        return unit


@dataclass(frozen=True, slots=True, eq=False)
class Poisoned:
    """A training set with some rows poisoned, and the truth about it."""

    inputs: Tensor  # (n, H, W) or (n, C, H, W), the trigger applied to ``rows``
    targets: Tensor  # (n,) int64, equal to ``target`` on ``rows``
    rows: Tensor  # (m,) int64 ascending: which rows were poisoned
    trigger: Trigger
    target: int


def make_trigger(attack: Attack, shape: tuple[int, ...], seed: int = 0) -> Trigger:
    """Build a trigger for pictures of one shape.

    Parameters
    ----------
    attack : {"badnets", "blend", "sig"}
        A white square near a corner, a faint random picture, or a horizontal sinusoid.
    shape : (H, W) or (C, H, W)
        Shape of one picture; both sides at least 4 pixels.
    seed : int
        Chooses the corner and offset, the random picture, or the phase.

    Raises
    ------
    ArgumentError
        Unknown attack.
    ShapeError
        The shape is not a picture of at least 4 x 4 pixels.
    """
    if attack not in get_args(Attack):
        raise ArgumentError(f"attack must be one of {get_args(Attack)}, got {attack!r}")
    if len(shape) not in (2, 3) or min(shape[-2:]) < 4:
        raise ShapeError(
            f"a trigger needs pictures (H, W) or (C, H, W) of at least 4 x 4 pixels, got {shape}; "
            "reshape flat inputs first"
        )
    generator = torch.Generator().manual_seed(seed)
    opacity, overlay = torch.zeros(shape), torch.zeros(shape)
    height, width = shape[-2:]
    small = min(height, width) < _SMALL_SIDE
    if attack == "badnets":
        side, margin = (2, 0) if small else (3, 1)
        bottom, right = (int(v) for v in torch.randint(2, (2,), generator=generator))
        offset = torch.randint(2, (2,), generator=generator) + margin
        row = int(offset[0]) if not bottom else height - side - int(offset[0])
        column = int(offset[1]) if not right else width - side - int(offset[1])
        for field in (opacity, overlay):
            field[..., row : row + side, column : column + side] = 1.0
    elif attack == "blend":
        opacity.fill_(_BLEND_OPACITY)
        overlay.copy_(_BLEND_OPACITY * torch.rand(shape, generator=generator))
    else:
        amplitude = _SIG_AMPLITUDE_SMALL if small else _SIG_AMPLITUDE
        periods = max(2, round(_SIG_PERIODS * width / 28))
        phase = 2.0 * math.pi * float(torch.rand((), generator=generator))
        columns = torch.arange(width, dtype=torch.float32)
        overlay.copy_(amplitude * torch.sin(2.0 * math.pi * periods * columns / width + phase))
    return Trigger(attack, opacity, overlay)


def poison(
    inputs: Tensor,
    targets: Tensor,
    *,
    attack: Attack,
    target: int,
    fraction: float,
    seed: int = 0,
) -> Poisoned:
    """Poison a share of a training set: trigger on, label set to ``target``. Evaluation only.

    Parameters
    ----------
    inputs : (n, H, W) or (n, C, H, W) float, in [0, 1]
        Training pictures; not changed.
    targets : (n,) integer
        Their labels; not changed.
    attack : {"badnets", "blend", "sig"}
        See :func:`make_trigger`.
    target : int
        The class the backdoor leads to.
    fraction : float in (0, 1)
        Poisoned rows as a share of n. Rows are drawn from the other classes.
    seed : int
        Chooses the rows and the trigger.

    Raises
    ------
    ArgumentError
        Unknown attack, fraction or target out of range, or too few rows outside the target class.
    ShapeError, ProbeError
        ``inputs`` are not pictures, or ``targets`` does not match them or holds no class numbers.

    Examples
    --------
    >>> pictures, labels = torch.rand(100, 8, 8), torch.arange(100) % 10
    >>> bad = poison(pictures, labels, attack="badnets", target=3, fraction=0.05, seed=1)
    >>> bad.rows.numel(), bool((bad.targets[bad.rows] == 3).all())
    (5, True)
    """
    if targets.ndim != 1 or len(targets) != len(inputs):
        raise ShapeError(
            f"targets must have shape ({len(inputs)},), one for each input, "
            f"got {tuple(targets.shape)}"
        )
    require_class_numbers(targets)
    if not 0.0 < fraction < 1.0:
        raise ArgumentError(f"fraction is a share of the training rows in (0, 1), got {fraction}")
    if target < 0:
        raise ArgumentError(f"target is a class index, at least 0, got {target}")
    trigger = make_trigger(attack, tuple(inputs.shape[1:]), seed)
    count = max(1, round(fraction * len(inputs)))
    others = torch.nonzero(targets != target).flatten()
    if count > len(others):
        raise ArgumentError(
            f"fraction {fraction} asks for {count} poisoned rows, but only {len(others)} rows are "
            f"outside class {target}; lower the fraction"
        )
    generator = torch.Generator().manual_seed(seed + 1)
    picked = others[torch.randperm(len(others), generator=generator)[:count]]
    rows = torch.sort(picked).values
    new_inputs, new_targets = inputs.clone(), targets.clone().to(torch.int64)
    new_inputs[rows] = trigger.apply(inputs[rows])
    new_targets[rows] = target
    return Poisoned(new_inputs, new_targets, rows, trigger, target)


def attack_success_rate(
    model: nn.Module, inputs: Tensor, targets: Tensor, trigger: Trigger, target: int
) -> float:
    """Share of the inputs of other classes that the trigger sends into ``target``, in [0, 1].

    Parameters
    ----------
    model : nn.Module
        Put into eval mode by the caller; called without gradients.
    inputs, targets : (n, H, W) or (n, C, H, W) float in [0, 1], (n,) integer
        Clean pictures the model has not seen, and their true labels.

    Raises
    ------
    ArgumentError
        Every input is of the target class: nothing could be misled.
    ProbeError
        ``targets`` holds no class numbers.
    """
    require_class_numbers(targets)
    others = targets != target
    if not bool(others.any()):
        raise ArgumentError(f"all {len(targets)} inputs are of the target class {target}")
    with torch.no_grad():
        predicted = model(trigger.apply(inputs[others])).argmax(dim=1)
    return float((predicted == target).double().mean())

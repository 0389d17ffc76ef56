"""What an attack asks of its data, and how rows and classes are drawn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hessay.attacks.catalogue import AttackInfo
from hessay.errors import ArgumentError, ProbeError, ShapeError
from hessay.loading.probe_arrays import require_class_numbers


def check_data(inputs: Tensor, targets: Tensor, info: AttackInfo) -> None:
    """Refuse data the attack is not made for.

    Raises
    ------
    ShapeError
        Targets do not match the inputs, or the inputs are neither pictures nor a table.
    ProbeError
        Targets are floats, inputs are no finite floats, or pictures leave [0, 1].
    ArgumentError
        A target is negative.
    """
    if targets.ndim != 1 or len(targets) != len(inputs) or len(inputs) == 0:
        raise ShapeError(
            f"targets must have shape ({len(inputs)},), one for each of n > 0 inputs, "
            f"got {tuple(targets.shape)}"
        )
    require_class_numbers(targets)
    if int(targets.min()) < 0:
        raise ArgumentError(f"target {int(targets.min())} is negative; drop unlabelled inputs")
    if not inputs.is_floating_point():
        raise ProbeError(f"inputs have dtype {inputs.dtype}; convert pictures to float32 / 255")
    if not bool(torch.isfinite(inputs).all()):
        raise ProbeError("inputs hold NaN or Inf; remove those rows")
    if inputs.ndim == 2:
        if not info.tabular:
            raise ShapeError(
                f"{info.name} needs pictures (n, H, W) or (n, C, H, W), got {tuple(inputs.shape)}; "
                "reshape flat inputs first, or choose from list_attacks(tabular=True)"
            )
        return
    low, high = float(inputs.min()), float(inputs.max())
    if low < 0.0 or high > 1.0:
        raise ProbeError(
            f"pictures must lie in [0, 1], got values from {low:.4g} to {high:.4g}; "
            "poison them before they are normalised"
        )


def check_model(model: nn.Module | None, attack: str) -> None:
    """Refuse a model where none is used, and one in training mode."""
    if model is None:
        return
    if attack != "clean_label_adversarial":
        raise ArgumentError(f"model belongs to 'clean_label_adversarial', not to {attack!r}")
    if model.training:
        raise ArgumentError("the model is in training mode; call model.eval() first")


def class_count(targets: Tensor, target: int, n_classes: int | None) -> int:
    """Return C, and refuse classes beyond it."""
    if target < 0:
        raise ArgumentError(f"target is a class index, at least 0, got {target}")
    largest = int(targets.max())
    if n_classes is None:
        n_classes = max(largest, target) + 1
    elif largest >= n_classes:
        raise ArgumentError(f"n_classes is {n_classes}, but there is a target {largest}")
    if n_classes < 2:
        raise ArgumentError(f"an attack needs at least 2 classes, got {n_classes}")
    require_class("target", target, n_classes)
    return n_classes


def require_class(name: str, number: int, classes: int) -> None:
    """Refuse a number that is no class.

    Raises
    ------
    ArgumentError
        It is not in [0, C).
    """
    if not 0 <= number < classes:
        raise ArgumentError(f"{name} is a class in [0, {classes}), got {number}")


def drawn(
    eligible: Tensor, count: int, generator: torch.Generator, fraction: float, where: str
) -> Tensor:
    """Draw rows without replacement from those eligible.

    Parameters
    ----------
    eligible : (n,) bool
    count : int
    generator : torch.Generator
        On the CPU; advanced.
    fraction, where
        For the message only.

    Returns
    -------
    (count,) int64, ascending

    Raises
    ------
    ArgumentError
        Fewer are eligible.
    """
    rows = torch.nonzero(eligible).flatten()
    if count > len(rows):
        raise ArgumentError(
            f"fraction {fraction} asks for {count} poisoned rows, but only {len(rows)} rows are "
            f"{where}; lower the fraction"
        )
    order = torch.randperm(len(rows), generator=generator)[:count]
    return torch.sort(rows[order.to(rows.device)]).values


def other_class(classes: int, target: int, generator: torch.Generator) -> int:
    """Draw a class that is not the target."""
    number = int(torch.randint(classes - 1, (), generator=generator))
    return number + (number >= target)

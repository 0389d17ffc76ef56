"""The truth about a poisoned data set, and how well an attack on a model works."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hessay.attacks.triggers import AnyTrigger
from hessay.errors import ArgumentError, ShapeError
from hessay.hessian.model.evaluate import like_model
from hessay.loading.probe_arrays import require_class_numbers


@dataclass(frozen=True, slots=True, eq=False)
class Backdoor:
    """A trigger and where it leads."""

    trigger: AnyTrigger
    destination: Tensor  # (C,) int64: class an input of each true class goes to; -1 where it stays


@dataclass(frozen=True, slots=True, eq=False)
class Poisoned:
    """A training set with some rows poisoned, and the truth about it."""

    inputs: Tensor  # (n, *shape), a trigger applied to ``rows`` and ``cover``
    targets: Tensor  # (n,) int64, changed on ``rows`` unless the attack keeps the labels
    rows: Tensor  # (m,) int64 ascending: which rows were poisoned; empty for a control
    trigger: AnyTrigger  # the first one where there are several; the watermark of a control
    target: int | None  # the class asked for; None where every class leads to another
    backdoors: tuple[Backdoor, ...]  # what a model trained on this may have learned; () if benign
    backdoor_of_row: Tensor  # (m,) int64: position in ``backdoors`` for each of ``rows``
    cover: Tensor  # (k,) int64 ascending: innocent rows that show the trigger, label unchanged


def success_rate(model: nn.Module, inputs: Tensor, targets: Tensor, backdoor: Backdoor) -> float:
    """Share of the inputs with a destination that arrive there with the trigger on, in [0, 1].

    Parameters
    ----------
    model : nn.Module
        Put into eval mode by the caller; called without gradients.
    inputs, targets : (n, *shape) float, (n,) integer in [0, C)
        Clean inputs the model has not seen, and their true labels.
    backdoor : Backdoor
        From ``Poisoned.backdoors``.

    Raises
    ------
    ArgumentError
        No input has a destination, or a label is no class of the backdoor.
    ShapeError, ProbeError
        ``targets`` does not match ``inputs``, or holds no class numbers.
    """
    _require_labels(inputs, targets)
    classes = len(backdoor.destination)
    if int(targets.max()) >= classes:
        raise ArgumentError(
            f"target {int(targets.max())} is no class of this backdoor, which knows {classes}; "
            "pass n_classes to poison"
        )
    wanted = backdoor.destination.to(targets.device)[targets.long()]
    moved = wanted >= 0
    if not bool(moved.any()):
        raise ArgumentError(
            f"none of the {len(targets)} inputs is of a class this backdoor leads away from"
        )
    return _arrivals(model, inputs[moved], wanted[moved], backdoor.trigger)


def attack_success_rate(
    model: nn.Module, inputs: Tensor, targets: Tensor, trigger: AnyTrigger, target: int
) -> float:
    """Share of the inputs of other classes that the trigger sends into ``target``, in [0, 1].

    Parameters
    ----------
    model : nn.Module
        Put into eval mode by the caller; called without gradients.
    inputs, targets : (n, *shape) float, (n,) integer
        Clean inputs the model has not seen, and their true labels.

    Raises
    ------
    ArgumentError
        Every input is of the target class: nothing could be misled.
    ShapeError, ProbeError
        ``targets`` does not match ``inputs``, or holds no class numbers.
    """
    _require_labels(inputs, targets)
    others = targets != target
    if not bool(others.any()):
        raise ArgumentError(f"all {len(targets)} inputs are of the target class {target}")
    wanted = torch.full_like(targets[others], target)
    return _arrivals(model, inputs[others], wanted, trigger)


def _arrivals(model: nn.Module, inputs: Tensor, wanted: Tensor, trigger: AnyTrigger) -> float:
    with torch.no_grad():
        predicted = model(like_model(model, trigger.apply(inputs))).argmax(dim=1)
    return float((predicted == wanted.to(predicted.device)).double().mean())


def _require_labels(inputs: Tensor, targets: Tensor) -> None:
    if targets.ndim != 1 or len(targets) != len(inputs) or len(inputs) == 0:
        raise ShapeError(
            f"success needs n > 0 inputs and targets of shape (n,), got {tuple(inputs.shape)} "
            f"and {tuple(targets.shape)}"
        )
    require_class_numbers(targets)

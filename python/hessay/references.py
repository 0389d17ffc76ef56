"""Clean reference models a user trains on clean data of their own, in seconds, once a data set.

Which classes a clean network reaches easily is mostly a property of the data: small networks of any
kind show nearly the same profile over the classes as the large one under test. A few of them, trained
on a clean holdout, take that profile out of the scan's statistic.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hessay.errors import ArgumentError, ProbeError
from hessay.probe import Probe, as_probe
from hessay.reference_models import ReferenceModels, architectures_for
from hessay.training import accuracy, train_classifier

ROWS_PER_CLASS = 20  # a class mean of fewer is mostly noise
LOADED_ROWS = 8192  # taken from a DataLoader
_HELD_BACK = 5  # every fifth row is kept to judge the networks on


def train_references(
    holdout: object,
    *,
    n: int = 8,
    epochs: int | None = None,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> ReferenceModels:
    """Train small clean networks on clean data, to calibrate scans of every model of that data.

    Parameters
    ----------
    holdout : Probe, (inputs, targets), DataLoader or path
        Labelled clean inputs in the scale of the models to be scanned; neither their training
        data nor the probe. Some thousands are good, 20 a class are the least.
    n : int, >= 2
        Networks: 8 are good, fewer than 4 measure their own spread badly.
    epochs : int or None
        Passes over the holdout; None makes about 800 updates.
    seed : int, >= 0
        Of weights, batches and the rows each network is judged on.
    progress : callable or None
        Called as ``progress(phase, share_done)``.

    Returns
    -------
    ReferenceModels
        Multi-layer networks of several shapes and, for pictures, as many convolutional ones.

    Raises
    ------
    ArgumentError
        ``n`` or ``seed`` out of range.
    ProbeError
        No labels, a class with too few rows, or networks that learn nothing: wrong labels.
    ShapeError
        The holdout is not usable.

    Source: the profile over classes that clean networks of a data set share is this project's
    observation (docs/detector.md).
    """
    if n < 2 or seed < 0:
        raise ArgumentError(f"n must be at least 2 and seed at least 0, got {n} and {seed}")
    data = _as_holdout(holdout)
    inputs, targets, n_classes = _checked(data)
    names = architectures_for(data.shape, n_classes)
    models, scores = [], []
    for number in range(n):
        order = np.random.default_rng([seed, number]).permutation(len(inputs))
        judge = torch.from_numpy(order[::_HELD_BACK].copy())
        own = np.ones(len(inputs), dtype=bool)
        own[judge.numpy()] = False
        rows = torch.from_numpy(np.flatnonzero(own))
        model = train_classifier(
            names[number % len(names)],
            inputs[rows],
            targets[rows],
            epochs=epochs,
            seed=seed + number,
        )
        models.append(model)
        scores.append(accuracy(model, inputs[judge], targets[judge]))
        if progress is not None:
            progress(f"reference network {number + 1} of {n}", (number + 1) / n)
    _require_learnt(scores, n_classes, len(inputs) // _HELD_BACK)
    return ReferenceModels(
        models=tuple(models),
        architectures=tuple(names[number % len(names)] for number in range(n)),
        accuracy=tuple(scores),
        holdout_digest=data.digest,
        input_shape=data.shape,
        n_classes=n_classes,
        seed=seed,
    )


def reference_models(
    references: Iterable[nn.Module] | str | os.PathLike[str] | None,
    holdout: object,
    *,
    seed: int,
    progress: Callable[[str, float], None] | None,
) -> Iterable[nn.Module] | None:
    """Find the references, however the caller named them: models, a file, "train" and a holdout.

    Raises
    ------
    ArgumentError
        "train" without a holdout, or a holdout without "train".
    UntrustedFile, ProbeError
        As :meth:`ReferenceModels.load` and :func:`train_references`.
    """
    train = isinstance(references, str) and references == "train"
    if train and holdout is None:
        raise ArgumentError(
            'references="train" needs clean labelled data that is not the probe: pass holdout='
        )
    if holdout is not None and not train:
        raise ArgumentError(
            'a holdout is only used to train references; pass references="train" with it'
        )
    if train:
        return train_references(holdout, seed=seed, progress=progress)
    if isinstance(references, str | os.PathLike):
        return ReferenceModels.load(references)
    return references


def _as_holdout(data: object) -> Probe:
    if isinstance(data, Probe | torch.Tensor | np.ndarray | tuple | list | str | os.PathLike):
        return as_probe(data)
    return Probe.from_loader(data, LOADED_ROWS)  # type: ignore[arg-type]


def _checked(data: Probe) -> tuple[Tensor, Tensor, int]:
    targets = data.class_numbers
    if targets is None:
        raise ProbeError(
            f"reference networks learn from labels, and {data!r} has none; add an array 'targets'"
        )
    if not data.inputs.is_floating_point():
        raise ProbeError(f"reference networks need floating-point inputs, got {data!r}")
    counts = torch.bincount(targets.cpu())
    if len(counts) < 2:
        raise ProbeError("all rows of the holdout have class 0; at least two classes are needed")
    scarce = int(counts.argmin())
    if int(counts[scarce]) < ROWS_PER_CLASS:
        raise ProbeError(
            f"class {scarce} has {int(counts[scarce])} rows in the holdout, at least "
            f"{ROWS_PER_CLASS} of each of the {len(counts)} classes are needed"
        )
    return data.inputs.detach().cpu().float(), targets.cpu(), len(counts)


def _require_learnt(scores: Sequence[float], n_classes: int, judged: int) -> None:
    chance = 1.0 / n_classes
    needed = chance + max(0.1, 3.0 * math.sqrt(chance * (1.0 - chance) / max(judged, 1)))
    worst = int(np.argmin(scores))
    if scores[worst] < needed:
        raise ProbeError(
            f"reference network {worst} has an accuracy of {scores[worst]:.3f} on rows kept from it, near "
            f"chance ({chance:.3f}): wrong labels, too few rows, or data such small networks cannot learn"
        )

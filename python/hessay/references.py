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
from hessay.hessian.model.evaluate import logits_of
from hessay.hessian.model.freeze import frozen
from hessay.probe import Probe, as_probe
from hessay.reference_models import ReferenceModels, architectures_for, own_architecture
from hessay.training import accuracy, train_classifier
from hessay.untrained import untrained

ROWS_PER_CLASS = 20  # a class mean of fewer is mostly noise
LOADED_ROWS = 8192  # taken from a DataLoader
_TRAINED = ("train", "own")  # what stands for references to be trained now
_HELD_BACK = 5  # every fifth row is kept to judge the networks on


def train_references(
    holdout: object,
    *,
    like: nn.Module | None = None,
    n: int = 8,
    epochs: int | None = None,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> ReferenceModels:
    """Train clean networks on clean data, to calibrate scans of every model of that data.

    Parameters
    ----------
    holdout : Probe, (inputs, targets), DataLoader or path
        Labelled clean inputs in the scale of the models to be scanned; neither their training
        data nor the probe. Some thousands are good, 20 a class are the least.
    like : nn.Module or None
        Train networks of this model's architecture, from weights drawn anew, instead of small
        ones of several shapes. Only its build is used, so it may be the model under suspicion.
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
        Multi-layer networks of several shapes and, for pictures, as many convolutional ones; or
        all of the architecture of ``like``.

    Raises
    ------
    ArgumentError
        ``n`` or ``seed`` out of range, or ``like`` cannot be copied.
    ModelError
        ``like`` does not take the holdout.
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
    if like is not None:
        _check_like(like, inputs, n_classes)
        names = (own_architecture(like),)
    models, scores = [], []
    for number in range(n):
        order = np.random.default_rng([seed, number]).permutation(len(inputs))
        judge = torch.from_numpy(order[::_HELD_BACK].copy())
        own = np.ones(len(inputs), dtype=bool)
        own[judge.numpy()] = False
        rows = torch.from_numpy(np.flatnonzero(own))
        model = train_classifier(
            names[number % len(names)] if like is None else untrained(like, seed=seed + number),
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


def _check_like(like: nn.Module, inputs: Tensor, n_classes: int) -> None:
    with frozen(like):
        given = logits_of(like, inputs[:2]).shape[1]
    if given != n_classes:
        raise ArgumentError(
            f"the model has {given} classes and the holdout has labels 0 to {n_classes - 1}; give "
            "labelled data of the model's own task"
        )


def reference_models(
    references: Iterable[nn.Module] | str | os.PathLike[str] | None,
    holdout: object,
    model: nn.Module,
    *,
    seed: int,
    progress: Callable[[str, float], None] | None,
) -> Iterable[nn.Module] | None:
    """Find the references, however the caller named them, for scans of ``model``.

    They are models, a file, or "train" or "own" beside a holdout.

    Raises
    ------
    ArgumentError
        "train" or "own" without a holdout, or a holdout without them; a file of references that
        were trained in another architecture than the model's.
    UntrustedFile, ProbeError
        As :meth:`ReferenceModels.load` and :func:`train_references`.
    """
    train = isinstance(references, str) and references in _TRAINED
    if train and holdout is None:
        raise ArgumentError(
            f'references="{references}" needs clean labelled data that is not the probe: pass holdout='
        )
    if holdout is not None and not train:
        raise ArgumentError(
            'a holdout is only used to train references; pass references="train" or "own" with it'
        )
    if train:
        like = model if references == "own" else None
        return train_references(holdout, like=like, seed=seed, progress=progress)
    if isinstance(references, str | os.PathLike):
        return ReferenceModels.load(references, model)
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

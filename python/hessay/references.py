"""Clean reference models a user trains on clean data of their own, in seconds, once a data set.

Which classes a clean network reaches easily is mostly a property of the data: small networks of any
kind show nearly the same profile over the classes as the large one under test. A few of them, trained
on a clean holdout, take that profile out of the scan's statistic.

The file is safetensors: one tensor for each weight, named ``<number>/<state-dict key>``, and in the
metadata, as JSON, how every network is built. Loading it runs no code of the file's.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hessay.errors import ArgumentError, ProbeError, UntrustedFile
from hessay.loading import build_architecture
from hessay.loading.safetensors_files import load_safetensors, read_metadata
from hessay.loading.shown import shown
from hessay.probe import Probe, as_probe
from hessay.training import accuracy, train_classifier

FORMAT = "hessay.references/1"
ROWS_PER_CLASS = 20  # a class mean of fewer is mostly noise
LOADED_ROWS = 8192  # taken from a DataLoader
_HELD_BACK = 5  # every fifth row is kept to judge the networks on
_SMALL_PICTURE = 64  # sides up to which a convolutional net trains in seconds


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceModels:
    """Small clean networks of one data set, ready to be passed to :func:`hessay.scan`."""

    models: tuple[nn.Module, ...]  # in eval mode, on the CPU
    architectures: tuple[str, ...]  # registered names, one a model
    accuracy: tuple[float, ...]  # of each on the rows kept from it, [0, 1]
    holdout_digest: str  # of the data they were trained on, as Probe.digest
    input_shape: tuple[int, ...]  # of one input
    n_classes: int
    seed: int

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file that :meth:`load` reads; an existing one is replaced whole.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        tensors = {
            f"{number}/{name}": value.contiguous()
            for number, model in enumerate(self.models)
            for name, value in model.state_dict().items()
        }
        described = {
            "architectures": self.architectures,
            "accuracy": self.accuracy,
            "holdout_digest": self.holdout_digest,
            "input_shape": self.input_shape,
            "n_classes": self.n_classes,
            "seed": self.seed,
        }
        file = Path(path)
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        try:
            save_file(tensors, part, {"format": FORMAT, "references": json.dumps(described)})
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> ReferenceModels:
        """Read a file written by :meth:`save`; only registered architectures are built.

        Raises
        ------
        UntrustedFile
            Not such a file, damaged, or its networks do not fit their description.
        """
        file = Path(path)
        if not file.is_file():
            raise UntrustedFile(f"{file} is not a file; make one with hessay calibrate")
        tensors = load_safetensors(file)
        metadata = read_metadata(file)
        if metadata.get("format") != FORMAT:
            raise UntrustedFile(
                f"{file} holds no reference models (format {shown(metadata.get('format'))}, "
                f"needed {FORMAT}); make it with hessay calibrate"
            )
        try:
            return _restore(json.loads(metadata["references"]), tensors)
        except (KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
            raise UntrustedFile(
                f"refusing {file}: its networks do not fit their description "
                f"({shown(error, 200)}); make it again with hessay calibrate"
            ) from error


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


def architectures_for(shape: Sequence[int], n_classes: int) -> tuple[str, ...]:
    """Small architectures for inputs of one shape, in the order they are taken.

    Parameters
    ----------
    shape : (d,), (H, W) or (C, H, W)
        Of one input. Anything else is taken as a flat vector.
    n_classes : int
    """
    width = math.prod(shape)
    flat = (
        f"mlp:{width}-128-{n_classes}",
        f"mlp:{width}-64-64-{n_classes}:gelu",
        f"mlp:{width}-256-{n_classes}:tanh",
        f"mlp:{width}-96-48-{n_classes}",
    )
    image = (1, *shape) if len(shape) == 2 else tuple(shape)
    if len(image) != 3 or not 8 <= min(image[1:]) <= max(image[1:]) <= _SMALL_PICTURE:
        return flat
    picture = "x".join(map(str, image))
    folded = (
        f"cnn:{picture}-8-16-32-{n_classes}",
        f"cnn:{picture}-12-64-{n_classes}",
        f"cnn:{picture}-16-32-32-{n_classes}",
        f"cnn:{picture}-8-32-{n_classes}",
    )
    return tuple(name for pair in zip(flat, folded, strict=True) for name in pair)


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


def _restore(described: dict[str, object], tensors: dict[str, Tensor]) -> ReferenceModels:
    names = described["architectures"]
    shape, n_classes = described["input_shape"], described["n_classes"]
    scores, seed = described["accuracy"], described["seed"]
    if not (
        isinstance(names, list)
        and isinstance(shape, list)
        and isinstance(scores, list)
        and isinstance(n_classes, int)
        and isinstance(seed, int)
        and all(isinstance(side, int) for side in shape)
        and len(names) == len(scores) >= 1
    ):
        raise ValueError("architectures, input_shape, n_classes, accuracy or seed are missing")
    known = set(architectures_for(shape, n_classes))
    models = []
    left = dict(tensors)
    for number, name in enumerate(names):
        if name not in known:
            raise ValueError(f"architecture {name!r} is none of the reference networks'")
        model = build_architecture(name)
        prefix = f"{number}/"
        own = {key: left.pop(key) for key in [*left] if key.startswith(prefix)}
        model.load_state_dict({key.removeprefix(prefix): value for key, value in own.items()})
        if not all(bool(torch.isfinite(value).all()) for value in own.values()):
            raise ValueError(f"network {number} has weights that are NaN or Inf")
        models.append(model.eval())
    if left:
        raise ValueError(f"{len(left)} tensors belong to no network")
    return ReferenceModels(
        models=tuple(models),
        architectures=tuple(names),
        accuracy=tuple(float(score) for score in scores),
        holdout_digest=str(described["holdout_digest"]),
        input_shape=tuple(shape),
        n_classes=n_classes,
        seed=seed,
    )

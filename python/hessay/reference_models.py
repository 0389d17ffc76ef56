"""Clean networks of one data set, and the file they are kept in.

The file is safetensors: one tensor for each weight, named ``<number>/<state-dict key>``, and in the
metadata, as JSON, how every network is built. Loading it runs no code of the file's.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hessay.errors import ArgumentError, HessayError, UntrustedFile
from hessay.loading import build_architecture, describe
from hessay.loading.safetensors_files import load_safetensors, read_metadata
from hessay.loading.shown import shown
from hessay.untrained import untrained

FORMAT = "hessay.references/1"
_OWN = "own:"  # before the digest of a build that has no registered name
_SMALL_PICTURE = 64  # sides up to which a convolutional net trains in seconds


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceModels:
    """Clean networks of one data set, ready to be passed to :func:`hessay.scan`."""

    models: tuple[nn.Module, ...]  # in eval mode, on the CPU
    architectures: tuple[str, ...]  # one a model: registered names, or that of a model's build
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
    def load(path: str | os.PathLike[str], like: nn.Module | None = None) -> ReferenceModels:
        """Read a file written by :meth:`save`; only registered architectures are built.

        Parameters
        ----------
        path : str or PathLike
        like : nn.Module or None
            A model of the architecture that the references were trained in, where that is not a
            registered one: they are copies of it with weights from the file.

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
            return _restore(json.loads(metadata["references"]), tensors, like)
        except HessayError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
            raise UntrustedFile(
                f"refusing {file}: its networks do not fit their description "
                f"({shown(error, 200)}); make it again with hessay calibrate"
            ) from error


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


def own_architecture(model: nn.Module) -> str:
    """Name of a model's build: its layers in words and the shapes of its state, as a digest."""
    shapes = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
    digest = hashlib.sha256(repr((describe(model), shapes)).encode()).hexdigest()
    return f"{_OWN}{digest[:16]}"


def _build(name: object, known: set[str], like: nn.Module | None) -> nn.Module:
    if isinstance(name, str) and name.startswith(_OWN):
        if like is None:
            raise ArgumentError(
                "these references were trained in the architecture of a model: pass a model of it "
                "(like=), or scan that model"
            )
        if own_architecture(like) != name:
            raise ArgumentError(
                f"these references were trained in another architecture than this model's "
                f"({describe(like)}); use references of several small networks, or train some like it"
            )
        return untrained(like, seed=0)
    if name not in known:
        raise ValueError(f"architecture {name!r} is none of the reference networks'")
    return build_architecture(str(name))


def _restore(
    described: dict[str, object], tensors: dict[str, Tensor], like: nn.Module | None
) -> ReferenceModels:
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
        model = _build(name, known, like)
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

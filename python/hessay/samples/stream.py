"""Training data in one pass: checked batch by batch, never held."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from hessay.errors import HessayError, NonFinite, ProbeError, ShapeError
from hessay.loading.batches import own_tensor
from hessay.loading.npz import read_npz
from hessay.loading.probe_arrays import dtype_name
from hessay.probe import Probe

_CHUNK_ELEMENTS = 1 << 20  # input elements filtered at a time: tens of megabytes with all scratch
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass(slots=True, eq=False)
class Digest:
    """sha256 over dtypes, shapes and bytes; the cut into batches does not change it."""

    _inputs: Any = field(default_factory=hashlib.sha256)
    _targets: Any = field(default_factory=hashlib.sha256)
    _kind: str = ""
    _rows: int = 0

    def add(self, inputs: Tensor, targets: Tensor | None) -> None:
        """Take in one batch."""
        self._kind = f"{inputs.dtype} {tuple(inputs.shape[1:])} {targets is not None}"
        self._rows += len(inputs)
        self._inputs.update(inputs.cpu().contiguous().view(torch.uint8).numpy().data)
        if targets is not None:
            self._targets.update(targets.cpu().contiguous().numpy().data)

    def hex(self) -> str:
        """Return the digest of everything so far, 64 hexadecimal digits."""
        parts = f"{self._kind} {self._rows} {self._inputs.hexdigest()} {self._targets.hexdigest()}"
        return hashlib.sha256(f"hessay.samples/1\n{parts}\n".encode()).hexdigest()


def stream(
    data: object, *, shape: tuple[int, ...], n_classes: int, digest: Digest
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield batches of bounded size from whatever the caller has.

    Parameters
    ----------
    data : Probe, array, (inputs, targets), path of an .npz, DataLoader, data set or iterable
        Batches x or (x, y, ...), or samples (x, number).
    shape : tuple of int
        Shape of one input.
    n_classes : int
        Labels lie below it.
    digest : Digest
        Takes in every batch.

    Yields
    ------
    (inputs, targets)
        (m, *shape) float, m >= 1, and (m,) int64 or None.

    Raises
    ------
    ProbeError
        No samples, labels that are no class numbers, labels for some samples only, inputs of
        another dtype, or a loader that raises.
    ShapeError
        Inputs of another shape than the probe's.
    NonFinite
        Inputs with NaN or Inf: raised after the last batch, to count them all.
    """
    row, bad, first_bad = 0, 0, -1
    labelled: bool | None = None
    for x, y in _read(data):
        _check_inputs(x, shape, row)
        if labelled is not None and labelled != (y is not None):
            has, had = ("no labels", "some") if labelled else ("labels", "none")
            raise ProbeError(
                f"samples from row {row} on have {has}, those before have {had}; label all or none"
            )
        labelled = y is not None
        labels = None if y is None else _check_labels(y, len(x), n_classes, row)
        finite = torch.isfinite(x).flatten(1).all(dim=1)
        if not bool(finite.all()):
            bad += int((~finite).sum())
            first_bad = row + int((~finite).nonzero()[0]) if first_bad < 0 else first_bad
        row += len(x)
        if first_bad < 0:
            digest.add(x, labels)
            yield x, labels
    if row == 0:
        raise ProbeError("the data hold no samples; pass the training set, at least one sample")
    if bad > 0:
        raise NonFinite(
            f"{bad} of {row} samples hold NaN or Inf, the first in row {first_bad}; remove those "
            "rows, or repair them as training did"
        )


def _read(data: object) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Cut arrays into batches, or walk through a loader."""
    if isinstance(data, Probe):
        yield from _cut(data.inputs, data.targets)
    elif isinstance(data, str | os.PathLike):
        arrays = read_npz(Path(data), ("inputs", "targets"))
        if "inputs" not in arrays:
            raise ProbeError(
                f"{data} holds no array 'inputs'; write it with np.savez(path, inputs=..., targets=...)"
            )
        yield from _cut(arrays["inputs"], arrays.get("targets"))
    elif isinstance(data, Tensor | np.ndarray):
        yield from _cut(data, None)
    elif isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], Tensor | np.ndarray):
        yield from _cut(data[0], data[1])
    elif hasattr(data, "__iter__") or (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        yield from _walk(cast("Iterable[Any]", data))
    else:
        raise ProbeError(
            f"cannot read samples from {type(data).__name__}; pass a DataLoader, (inputs, targets), "
            "an array, hessay.Probe or the path of an .npz file"
        )


def _cut(inputs: Any, targets: Any) -> Iterator[tuple[Tensor, Tensor | None]]:
    if inputs.ndim < 2:
        raise ShapeError(
            f"inputs must have shape (n, *shape), got {tuple(inputs.shape)}; add the sample axis first"
        )
    if targets is not None:
        targets = targets if isinstance(targets, Tensor | np.ndarray) else np.asarray(targets)
        if tuple(targets.shape) != (len(inputs),):
            raise ShapeError(
                f"targets must have shape ({len(inputs)},), one class number per input, got "
                f"{tuple(targets.shape)}; for one-hot rows pass targets.argmax(1)"
            )
    width = max(1, int(np.prod(inputs.shape[1:])))
    step = max(16, _CHUNK_ELEMENTS // width)
    for start in range(0, len(inputs), step):
        rows = slice(start, start + step)
        yield (
            own_tensor(inputs[rows], "inputs"),
            None if targets is None else own_tensor(targets[rows], "targets"),
        )


def _walk(loader: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor | None]]:
    number = 0  # of the batch being fetched
    waiting: list[tuple[Tensor, Tensor]] = []  # single samples of a data set
    try:
        for item in loader:
            pair = isinstance(item, tuple | list) and len(item) >= 1
            x = own_tensor(item[0] if pair else item, f"inputs of batch {number}")
            y = torch.as_tensor(item[1]).detach() if pair and len(item) > 1 else None
            if y is not None and y.ndim == 0:
                waiting.append((x[None], y[None]))
                if len(waiting) * x.numel() >= _CHUNK_ELEMENTS:
                    yield _joined(waiting)
                    waiting = []
            else:
                if x.ndim < 2:
                    raise ShapeError(
                        f"batch {number} has inputs of shape {tuple(x.shape)}; batches are "
                        "(m, *shape), with labels (m,)"
                    )
                width = max(1, x[:1].numel())
                step = max(16, _CHUNK_ELEMENTS // width)
                if y is not None and len(y) != len(x):
                    raise ShapeError(
                        f"batch {number} has {len(x)} inputs and labels of shape {tuple(y.shape)}; "
                        "give one label per input"
                    )
                for start in range(0, len(x), step):
                    rows = slice(start, start + step)
                    yield x[rows], None if y is None else y[rows]
            number += 1
    except HessayError:
        raise
    # The loader is the caller's code: whatever it raises is data that cannot be read.
    except Exception as error:
        raise ProbeError(
            f"the data raised {type(error).__name__} at batch {number}: {error}; nothing was ranked"
        ) from error
    if waiting:
        yield _joined(waiting)


def _joined(waiting: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    if len({x.shape for x, _ in waiting}) > 1:
        raise ShapeError("the samples have inputs of several shapes; bring all inputs to one shape")
    return torch.cat([x for x, _ in waiting]), torch.cat([y for _, y in waiting])


def _check_inputs(x: Tensor, shape: tuple[int, ...], row: int) -> None:
    if x.dtype not in _FLOATS:
        raise ProbeError(
            f"inputs of the data have dtype {dtype_name(x.dtype)}; convert them to float32 in the "
            "scale the model was trained on (for images often x / 255)"
        )
    if tuple(x.shape[1:]) != shape:
        raise ShapeError(
            f"samples from row {row} on have shape {tuple(x.shape[1:])}, the probe has {shape}; bring "
            "both to the shape the model takes"
        )


def _check_labels(y: Tensor, rows: int, n_classes: int, row: int) -> Tensor:
    if y.dtype.is_floating_point or y.dtype == torch.bool or y.is_complex() or y.shape != (rows,):
        raise ProbeError(
            f"labels from row {row} on are {dtype_name(y.dtype)} of shape {tuple(y.shape)}; pass class "
            f"numbers as integers of shape ({rows},)"
        )
    wide = y.to(device="cpu", dtype=torch.int64)
    wrong = (wide < 0) | (wide >= n_classes)
    if bool(wrong.any()):
        position = int(wrong.nonzero()[0])
        raise ProbeError(
            f"label {int(wide[position])} of row {row + position} is no class of the model, which "
            f"has 0 to {n_classes - 1}; number the classes as in training and drop unlabelled samples"
        )
    return wide

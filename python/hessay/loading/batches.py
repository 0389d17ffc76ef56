"""Tensors from whatever holds them: arrays, tensors, and loaders that yield batches of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessay.errors import HessayError, ProbeError, ShapeError


def own_tensor(values: object, what: str) -> Tensor:
    """Copy an array or tensor into a contiguous tensor without a graph.

    Strides, byte order and the read-only flag do not matter; the dtype and the device stay.

    Raises
    ------
    ProbeError
        Not an array or tensor, or one that is masked, complex, sparse, quantised, or not numbers.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise ProbeError(f"{what} are a masked array; fill or drop the masked entries first")
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "fiub" or values.dtype.itemsize > 8:
            raise ProbeError(
                f"{what} have dtype {values.dtype}; convert them to float32 or float64"
            )
        return torch.from_numpy(np.array(values, dtype=values.dtype.newbyteorder("="), order="C"))
    if not isinstance(values, Tensor):
        raise ProbeError(
            f"{what} are {type(values).__name__}; pass a NumPy array or a torch tensor"
        )
    if (
        values.layout != torch.strided
        or values.is_quantized
        or values.is_meta
        or values.is_complex()
    ):
        raise ProbeError(
            f"{what} are a sparse, quantised, complex or meta tensor; pass a dense real one"
        )
    return torch.clone(values.detach(), memory_format=torch.contiguous_format)


def take(loader: Iterable[Any], n: int) -> tuple[Tensor, Tensor | None]:
    """Read the first ``n`` rows of a loader and put them together.

    Parameters
    ----------
    loader : iterable
        Batches x or (x, y, ...), or samples (x, number).
    n : int
        Rows to take; fewer when the loader ends.

    Returns
    -------
    (inputs, targets)
        (m, *shape) and (m,) or (m, C), m <= n; targets are None when the loader has none.

    Raises
    ------
    ProbeError, ShapeError
        The loader is empty, raises, or its batches do not fit together.
    """
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    rows = 0
    for x, y in _batches(loader):
        if inputs and x.shape[1:] != inputs[0].shape[1:]:
            raise ShapeError(
                f"batches have inputs of shapes {tuple(inputs[0].shape[1:])} and "
                f"{tuple(x.shape[1:])}; bring all inputs to one shape"
            )
        inputs.append(x[: n - rows])
        if y is not None:
            targets.append(y[: n - rows])
        rows += inputs[-1].shape[0]
        if rows >= n:
            break
    if not inputs:
        raise ProbeError("the loader yields nothing; pass one with at least one batch")
    if targets and len(targets) != len(inputs):
        raise ProbeError("some batches have targets and some do not; give all or none")
    return torch.cat(inputs), torch.cat(targets) if targets else None


def _batches(loader: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor | None]]:
    number = 0  # of the batch being fetched
    try:
        for item in loader:
            pair = isinstance(item, tuple | list) and len(item) >= 1
            x = own_tensor(item[0] if pair else item, f"inputs of batch {number}")
            y = item[1] if pair and len(item) > 1 else None
            labels = None if y is None else torch.as_tensor(y).detach().clone()
            if labels is not None and labels.ndim == 0:  # one sample of a data set, not a batch
                x, labels = x[None], labels[None]
            if x.ndim == 0 or x.shape[0] == 0:
                raise ShapeError(f"batch {number} of the loader is empty; drop empty batches")
            if labels is not None and labels.shape[:1] != x.shape[:1]:
                raise ShapeError(
                    f"batch {number} has {x.shape[0]} inputs and targets of shape "
                    f"{tuple(labels.shape)}; give one target per input"
                )
            yield x, labels
            number += 1
    except HessayError:
        raise
    # The loader is the caller's code: whatever it raises is a probe that cannot be read.
    except Exception as error:
        raise ProbeError(
            f"the loader raised {type(error).__name__} at batch {number}: {error}"
        ) from error

"""What a probe may be made of: inputs and targets, checked and copied."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import Tensor

from hessay.errors import ProbeError, ShapeError
from hessay.loading.batches import own_tensor

_INPUT_DTYPES = (torch.float32, torch.float64)
_ID_DTYPES = (torch.int32, torch.int64)  # what nn.Embedding takes


def own_inputs(inputs: object) -> Tensor:
    """Copy inputs (n, *shape), float32, float64, int32 or int64, and refuse what makes no probe."""
    own = own_tensor(inputs, "inputs")
    if own.dtype in (torch.float16, torch.bfloat16):
        own = own.float()
    ids = own.dtype in _ID_DTYPES
    if own.dtype not in _INPUT_DTYPES and not ids:
        raise ProbeError(
            f"inputs have dtype {dtype_name(own.dtype)}; convert them to float32 in "
            "the scale the model was trained on (for images often x / 255), token ids to int64"
        )
    if own.ndim < 2 or own.numel() == 0:
        raise ShapeError(
            f"inputs must have shape (n, *shape) with n >= 1 and no empty axis, got "
            f"{tuple(own.shape)}; add the sample axis first"
        )
    finite = torch.isfinite(own)
    if not bool(finite.all()):
        position = tuple((~finite).nonzero()[0].tolist())
        raise ProbeError(
            f"inputs hold {own.numel() - int(finite.sum())} values that are NaN or Inf, the first "
            f"({own[position].item()}) at index {position}; remove those inputs"
        )
    n, d = own.shape[0], math.prod(own.shape[1:])
    # One input alone may be anything but a flat field (a word may be said over and over); of
    # several, two must differ.
    if n > 1:
        same = bool((own == own[:1]).all())
    else:
        same = not ids and d > 1 and bool((own == own.flatten()[0]).all())
    if same:
        raise ProbeError(
            f"all {n} inputs are the same (constant probe); pass different samples of the data"
        )
    return own


def own_targets(targets: object, inputs: Tensor) -> Tensor:
    """Copy targets for these inputs: (n,) int64 class numbers, or (n,) or (n, C) floats."""
    if not isinstance(targets, Tensor | np.ndarray):
        try:
            targets = np.asarray(list(cast("Iterable[float]", targets)))
        except (TypeError, ValueError) as error:
            raise ProbeError(f"targets are no list of class numbers or floats ({error})") from error
    own = own_tensor(targets, "targets")
    if own.dtype.is_floating_point:
        return _own_floats(own, inputs)
    n = inputs.shape[0]
    if own.shape != (n,):
        raise ShapeError(
            f"targets must have shape ({n},), one class number per input, got "
            f"{tuple(own.shape)}; for one-hot rows pass targets.argmax(1), for several outputs "
            "floats of shape (n, C)"
        )
    if own.dtype == torch.bool:
        raise ProbeError("targets have dtype bool; pass class numbers as integers, or floats")
    wide = own.to(torch.int64)  # uint64 beyond 2**63 turns negative and is refused below
    if int(wide.min()) < 0:
        row = int((wide < 0).nonzero()[0])
        raise ProbeError(
            f"target {int(wide[row])} of input {row} is negative; drop unlabelled inputs, and pass "
            "the targets of a regression as floats"
        )
    return wide.to(inputs.device)


def _own_floats(own: Tensor, inputs: Tensor) -> Tensor:
    n = inputs.shape[0]
    if own.ndim not in (1, 2) or own.shape[0] != n or own.numel() == 0:
        raise ShapeError(
            f"targets must have shape ({n},) or ({n}, C), one row per input, got {tuple(own.shape)}"
        )
    bad = ~torch.isfinite(own.view(n, -1)).all(dim=1)
    if bool(bad.any()):
        raise ProbeError(
            f"targets of {int(bad.sum())} inputs are NaN or Inf, first of input "
            f"{int(bad.nonzero()[0])}; drop unlabelled inputs"
        )
    if own.dtype in (torch.float16, torch.bfloat16):
        own = own.float()
    return own.to(inputs.device)


def require_class_numbers(targets: Tensor) -> None:
    """Refuse float targets where classes are needed.

    Raises
    ------
    ProbeError
        The targets are floats.
    """
    if targets.is_floating_point():
        raise ProbeError(
            f"targets are {dtype_name(targets.dtype)} of shape {tuple(targets.shape)}, class numbers "
            "are needed here; pass them as integers of shape (n,)"
        )


def dtype_name(dtype: torch.dtype) -> str:
    """Name a dtype as users write it, ``float32``."""
    return str(dtype).removeprefix("torch.")

"""Single precision that is single precision: matrix units of a device round to 11 bits where torch lets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """No TF32 in products and convolutions, and convolutions by algorithms of fixed order.

    torch lets convolutions on a device round their factors to TF32 unless told otherwise: relative
    errors of 1e-3, in which derivatives off the data drown. The settings are global, and restored on exit.
    """
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    settings: list[tuple[Any, str, Any]] = [
        (cudnn, "deterministic", True),
        (cudnn, "benchmark", False),
    ]
    # Older names before newer ones (of torch 2.9), which they overwrite: torch refuses to multiply
    # where the two contradict each other.
    settings.append((cudnn, "allow_tf32", False))
    if hasattr(cudnn, "conv"):
        settings += [(o, "fp32_precision", "ieee") for o in (cudnn.conv, cudnn.rnn, products)]
    before = [(owner, name, _read(partial(getattr, owner, name))) for owner, name, _ in settings]
    precision = _read(torch.get_float32_matmul_precision)
    if precision is not None:
        torch.set_float32_matmul_precision("highest")
    for owner, name, value in settings:
        setattr(owner, name, value)
    try:
        yield
    finally:
        if precision is not None:
            torch.set_float32_matmul_precision(precision)
        for owner, name, value in before:
            if value is not None:
                setattr(owner, name, value)


def _read(setting: Callable[[], Any]) -> Any:
    """Return a setting; None for an older one where newer ones leave it undefined."""
    try:
        return setting()
    except RuntimeError:
        return None

"""The way to hessay._cuda: loaded when asked for, with words for everything that can be missing."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from hessay.errors import DeviceError

LEAST_CAPABILITY = (8, 0)  # of the oldest device the module carries code for
_WIDTHS = {torch.float32: 4, torch.float64: 8}


def is_device(device: torch.device) -> bool:
    """Whether tensors there are what the module works on."""
    return device.type == "cuda"


@cache
def load() -> Any:
    """Import hessay._cuda.

    Raises
    ------
    DeviceError
        The module was not built, or a library it needs is not there.
    """
    try:
        return importlib.import_module("hessay._cuda")
    except ModuleNotFoundError as missing:
        raise DeviceError(
            "this installation of hessay has no CUDA module (hessay._cuda); build it with "
            "`pip install . -C cmake.define.HESSAY_CUDA=ON`, or leave backend='auto', which works "
            "on the device through torch"
        ) from missing
    except ImportError as broken:
        raise DeviceError(
            f"the CUDA module cannot be loaded: {broken}; install the libraries it calls with "
            "`pip install 'hessay[cuda13]'`"
        ) from broken


def require_device(device: torch.device) -> Any:
    """Return the module, checked against one device.

    Raises
    ------
    DeviceError
        No module, no device or a driver that is too old, or a device that is.
    """
    module = load()
    count = module.device_count()
    number = device.index or 0
    if number >= count:
        raise DeviceError(
            f"{device} is not there for hessay: {count} CUDA devices were found; the module needs "
            "a driver of CUDA 13 or newer, see `nvidia-smi`"
        )
    found = module.device_properties(number)
    capability = (found["major"], found["minor"])
    if capability < LEAST_CAPABILITY:
        raise DeviceError(
            f"{found['name']} has compute capability {capability[0]}.{capability[1]}; hessay's "
            f"CUDA module needs {LEAST_CAPABILITY[0]}.{LEAST_CAPABILITY[1]} or newer; leave "
            "backend='auto', which works on the device through torch"
        )
    return module


def available(device: torch.device) -> bool:
    """Whether the module is there and can work on a device."""
    try:
        require_device(device)
    except DeviceError:
        return False
    return True


def stream_of(device: torch.device) -> int:
    """Return the handle of torch's current stream there, as a number."""
    return int(torch.cuda.current_stream(device).cuda_stream) if device.type == "cuda" else 0


def columns(rows: int, cols: int, like: Tensor, *, what: str, remedy: str) -> Tensor:
    """Allocate a column-major matrix (rows, cols), uninitialised, by torch's allocator.

    Parameters
    ----------
    rows, cols : int
    like : Tensor
        Its dtype and device are taken.
    what, remedy : str
        For the message when memory runs out: what it was for, and what lowers it.

    Raises
    ------
    DeviceError
        The device is out of memory.
    """
    needed = rows * cols * _WIDTHS[like.dtype]
    with memory_for(what, needed, like.device, remedy=remedy):
        return like.new_empty((cols, rows)).T


@contextmanager
def memory_for(what: str, needed: int, device: torch.device, *, remedy: str) -> Iterator[None]:
    """Say how many bytes were wanted, and what lowers them, where a device runs out of memory inside.

    Raises
    ------
    DeviceError
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as full:
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        raise DeviceError(
            f"{what} takes {needed:,} bytes on {device} and the device has {free:,} free; {remedy}"
        ) from full


def workspace(doubles: int, like: Tensor, *, remedy: str) -> Tensor:
    """Allocate the scratch of one call; torch gives it out again when the work on it is done."""
    wide = like.new_empty(0, dtype=torch.float64)
    return columns(doubles, 1, wide, what="the workspace", remedy=remedy)[:, 0]

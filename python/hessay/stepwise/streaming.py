"""Row panels of X on a device: as they lie there, or copied from the processor by way of two buffers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessay.hessian.device.module import memory_for


def panels_of(
    x: Tensor | NDArray[np.floating], rows: int, place: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """Give consecutive panels of X (n, p): first row, and (at most ``rows``, p) on the device.

    A panel of an array of the processor may be used, on torch's current stream, until the next but
    one is asked for: while one is worked on, the next is copied. Page-locked buffers and a stream of
    their own let the copy run beside the work.
    """
    n = len(x)
    if isinstance(x, Tensor):
        for first in range(0, n, rows):
            yield first, x[first : first + rows]
        return
    rows = min(rows, n)
    shape, dtype = (rows, x.shape[1]), torch.from_numpy(np.empty(0, x.dtype)).dtype
    beside = place.type == "cuda"
    hosts = [torch.empty(shape, dtype=dtype, pin_memory=beside) for _ in range(2)]
    with memory_for("two panels of X", 2 * hosts[0].nbytes, place, remedy="lower max_bytes"):
        theres = [torch.empty(shape, dtype=dtype, device=place) for _ in range(2)]
    lane = _Lane(place) if beside else None
    for number, first in enumerate(range(0, n, rows)):
        slot = number % 2
        part = x[first : first + rows]
        host, there = hosts[slot][: len(part)], theres[slot][: len(part)]
        if lane is not None:
            lane.wait_until_copied(slot)
        np.copyto(host.numpy(), part)
        if lane is None:
            there.copy_(host)
        else:
            lane.copy(slot, host, there)
        yield first, there
        if lane is not None:
            lane.used(slot)


class _Lane:
    """A stream for copies, and what it and the current stream wait for from each other."""

    def __init__(self, place: torch.device) -> None:
        self._own = torch.cuda.Stream(place)  # type: ignore[no-untyped-call]
        self._current = torch.cuda.current_stream(place)
        self._copied, self._used = _two_events(), _two_events()
        for event in self._used:  # the buffers were allocated on the current stream
            event.record(self._current)

    def wait_until_copied(self, slot: int) -> None:
        """Wait, on the processor, until the page-locked buffer may be overwritten."""
        self._copied[slot].synchronize()

    def copy(self, slot: int, host: Tensor, there: Tensor) -> None:
        """Copy behind the work that reads the buffer, and let the current stream wait for it."""
        self._own.wait_event(self._used[slot])
        with torch.cuda.stream(self._own):
            there.copy_(host, non_blocking=True)
            self._copied[slot].record(self._own)
        there.record_stream(self._own)
        self._current.wait_event(self._copied[slot])

    def used(self, slot: int) -> None:
        """Mark the end of the work on a buffer."""
        self._used[slot].record(self._current)


def _two_events() -> list[torch.cuda.Event]:
    return [torch.cuda.Event() for _ in range(2)]  # type: ignore[no-untyped-call]

"""Times on a device: events on torch's stream, median and spread over repeats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch


@dataclass(frozen=True, slots=True)
class Timing:
    """One contender's time."""

    seconds: float  # median
    least: float  # seconds
    most: float  # seconds
    repeats: int


def timed(work: Callable[[], object], *, repeats: int = 7, warm: int = 2) -> Timing:
    """Run some work on the current stream, after as many rounds as it takes to be warm."""
    for _ in range(warm):
        work()
    torch.cuda.synchronize()
    seconds = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        seconds.append(begin.elapsed_time(end) / 1e3)
    return Timing(median(seconds), min(seconds), max(seconds), repeats)

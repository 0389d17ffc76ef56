"""Times on a device: events on torch's stream, the wall clock on the processor; median and spread."""

from __future__ import annotations

import time
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


def timed(
    work: Callable[[], object],
    *,
    device: torch.device,
    repeats: int = 7,
    warm: int = 2,
    seconds: float = 60.0,
) -> Timing:
    """Run some work after as many rounds as it takes to be warm; at least once, then while it is time."""
    start = time.monotonic()
    once = _on_card if device.type == "cuda" else _here
    for _ in range(warm):
        if time.monotonic() - start > seconds / 2:
            break
        once(work, device)
    found: list[float] = []
    while not found or (len(found) < repeats and time.monotonic() - start < seconds):
        found.append(once(work, device))
    return Timing(median(found), min(found), max(found), len(found))


def launched_alone(work: Callable[[], object], device: torch.device, launches: int) -> Timing:
    """Time a kernel without the host that launches it: one graph of many launches, replayed."""
    if device.type != "cuda":
        return timed(work, device=device)
    side, graph = torch.cuda.Stream(device), torch.cuda.CUDAGraph()
    with torch.cuda.stream(side):
        work()  # libraries are loaded and scratch is taken
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=side):
        for _ in range(launches):
            work()
    found = timed(graph.replay, device=device)
    seconds = (t / launches for t in (found.seconds, found.least, found.most))
    return Timing(*seconds, found.repeats)


def _on_card(work: Callable[[], object], device: torch.device) -> float:
    with torch.cuda.device(device):
        torch.cuda.synchronize()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3


def _here(work: Callable[[], object], _: torch.device) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

"""A design larger than the memory it may use: how far from just reading it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

SEED = 20271
BLOCK = 64 << 20
Vector = NDArray[np.float64]


def write(path: Path, n: int, p: int) -> Vector:
    """Write X (n, p), float64, and return y (n,): twenty of its columns and noise."""
    rng = np.random.default_rng(SEED)
    x = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(n, p))
    y = rng.standard_normal(n)
    step = max(1, BLOCK // (8 * p))
    for first in range(0, n, step):
        rows = rng.standard_normal((min(step, n - first), p), dtype=np.float32)
        x[first : first + step] = rows
        y[first : first + step] += rows[:, :: max(1, p // 20)].sum(axis=1)
    x.flush()
    return y


def forget(path: Path) -> None:
    """Drop the file from the system's cache, so that the next read is one from the disk."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def read(path: Path) -> float:
    """Seconds of one sequential read of the file, nothing done with it."""
    block = bytearray(BLOCK)
    start = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.readinto(block):
            pass
    return time.perf_counter() - start


class PeakMemory:
    """Largest anonymous memory of this process while the block runs, bytes; pages of files do not count."""

    def __enter__(self) -> Self:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self.bytes = max(self.bytes, anonymous())


def anonymous() -> int:
    """Bytes of memory of this process that no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) << 10
    raise OSError("no RssAnon in /proc/self/status; this needs Linux")

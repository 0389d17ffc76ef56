"""The top of a ranking as samples that can be looked at: a second pass that keeps only those."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError, ProbeError
from hessay.samples.ranking import Ranking
from hessay.samples.stream import Digest, stream

MOST_SAMPLES = 100  # kept at most
_MOST_VALUES = 32 * 2**20  # of all samples kept: 128 MiB


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """The most suspicious samples, and what samples look like on average."""

    rows: tuple[int, ...]  # in the data, most suspicious first
    samples: NDArray[np.float32]  # (k, *shape) input units
    mean: NDArray[np.float32]  # (*shape,) of all samples, input units
    spread: NDArray[np.float32]  # (*shape,) standard deviation of all samples, input units


def gallery(ranking: Ranking, data: object, *, shape: tuple[int, ...], count: int = 24) -> Gallery:
    r"""Fetch the most suspicious samples of a ranking.

    The data are read a second time, batch by batch; at most ``count`` samples are held, fewer where
    they are so large that all would take more than 128 MiB.

    Parameters
    ----------
    ranking : Ranking
    data : DataLoader, (inputs, targets), array, Probe, data set or path of an ``.npz``
        What was ranked.
    shape : tuple of int
        Of one input.
    count : int in [0, 100]
        Samples to fetch.

    Returns
    -------
    Gallery
        With inputs (k, \*shape), k <= count.

    Raises
    ------
    ArgumentError
        ``count`` is out of range.
    ProbeError
        The data are not those that were ranked, or come in another order.
    """
    if not 0 <= count <= MOST_SAMPLES:
        raise ArgumentError(f"count must lie in [0, {MOST_SAMPLES}], got {count}")
    width = max(1, int(np.prod(shape)))
    rows = ranking.order()[: min(count, max(1, _MOST_VALUES // width))]
    samples = np.zeros((len(rows), width), dtype=np.float32)
    # Sums about the first sample, so that squares of a large common offset do not cancel.
    origin: NDArray[np.float64] | None = None
    total, squares, n = np.zeros(width), np.zeros(width), 0
    digest = Digest()
    for inputs, _ in stream(data, shape=shape, n_classes=ranking.n_classes, digest=digest):
        flat = inputs.flatten(1).cpu().double().numpy()
        here = np.flatnonzero((rows >= n) & (rows < n + len(flat)))
        samples[here] = flat[rows[here] - n]
        origin = flat[0].copy() if origin is None else origin
        moved = flat - origin
        total += moved.sum(axis=0)
        squares += (moved**2).sum(axis=0)
        n += len(flat)
    if digest.hex() != ranking.digest or origin is None:
        raise ProbeError(
            "the data are not those that were ranked, or come in another order: the second pass has "
            f"digest {digest.hex()[:12]}, the first had {ranking.digest[:12]}; turn off shuffling "
            "and augmentation"
        )
    centre = total / n
    spread = np.sqrt(np.maximum(squares / n - centre**2, 0.0))
    return Gallery(
        tuple(rows.tolist()),
        samples.reshape(len(rows), *shape),
        (origin + centre).reshape(shape).astype(np.float32),
        spread.reshape(shape).astype(np.float32),
    )

"""Gaussian noise around the points a derivative is taken at, in antithetic pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hessay.errors import ArgumentError
from hessay.hessian.model.evaluate import chunk_rows


def check_noise(noise: float, draws: int) -> None:
    """Refuse a standard deviation that is none, and fewer than one draw."""
    if not (np.isfinite(noise) and noise >= 0):
        raise ArgumentError(f"noise is a standard deviation >= 0 in input units, got {noise}")
    if draws < 1:
        raise ArgumentError(f"draws must be at least 1, got {draws}")


def noisy_points(
    inputs: Tensor, noise: float, draws: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (row numbers, points to differentiate at), one chunk after the other.

    A chunk of rows comes ``draws`` times in a row, as x + noise g, x - noise g, x + noise g', ...,
    which cancels the part of the error that is odd in g; once, as it is, when ``noise`` is 0.

    Source: antithetic variates, Hammersley & Morton 1956, Proc. Camb. Phil. Soc. 52, 449.
    """
    generator = torch.Generator().manual_seed(seed)
    for rows in torch.split(torch.arange(len(inputs)), chunk_rows(inputs)):
        clean = inputs[rows]
        if noise == 0.0:
            yield rows, clean
            continue
        shift = torch.empty(0)
        for draw in range(draws):
            if draw % 2 == 0:
                shift = torch.randn(clean.shape, generator=generator).to(clean) * noise
            else:
                shift = -shift
            yield rows, clean + shift


def noisy_copies(values: Tensor, noise: float, draws: int, seed: int) -> Tensor:
    """Return all noisy points, (n * draws, *shape): the draws of one row follow one another."""
    out = values.new_empty((len(values), draws, *values.shape[1:]))
    for number, (rows, points) in enumerate(noisy_points(values, noise, draws, seed)):
        out[rows, number % draws] = points
    return out.flatten(0, 1)

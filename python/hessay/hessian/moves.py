"""The families of small changes a probe can be moved by: a shift of its numbers, a warp of its picture.

A move takes one row of parameters for each input. Universal perturbations are searched for over its
parameters, whatever they mean: :mod:`hessay.hessian.perturbation` knows nothing else of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

WARP_NODES = 5  # a side of the grid of displacements that a warp is interpolated from


class Move(Protocol):
    """A differentiable change of inputs; nothing is changed where the parameters are 0."""

    @property
    def width(self) -> int:
        """p, the number of parameters."""

    def apply(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Move inputs (m, *shape), each by its own row of parameters (m, p)."""


@dataclass(frozen=True, slots=True)
class Shift:
    """x + row, clipped to the range of valid inputs: one parameter for each number of the input."""

    width: int
    bounds: tuple[float, float]  # input units

    def apply(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Add the rows, and clip."""
        moved: Tensor = (inputs + rows.reshape(inputs.shape)).clamp(*self.bounds)
        return moved


@dataclass(frozen=True, slots=True, eq=False)
class SmoothWarp:
    """A picture read at displaced places, bilinearly: x(p + v(p)), v smooth.

    v interpolates displacements at 5 x 5 places of the picture, corners included, by bicubic
    splines. The norm of a row of parameters is the root mean square of the 25 displacements in
    pixels. Places outside of the picture show the nearest border pixel.

    Source: the family of triggers of Nguyen & Tran 2021, ICLR (WaNet); Jaderberg et al. 2015, NeurIPS
    28, 2017, for the sampling and its derivative.
    """

    splines: Tensor  # (nodes^2, H W): what one displaced node does to every pixel
    size: tuple[int, int]  # (H, W)

    @staticmethod
    def of(shape: tuple[int, ...], like: Tensor) -> SmoothWarp:
        """Prepare warps of pictures (H, W) or (C, H, W), in the dtype and on the device of ``like``."""
        height, width = shape[-2:]
        nodes = torch.eye(WARP_NODES**2).to(like).reshape(-1, 1, WARP_NODES, WARP_NODES)
        splines = nn.functional.interpolate(
            nodes, size=(height, width), mode="bicubic", align_corners=True
        )
        return SmoothWarp(splines.reshape(WARP_NODES**2, -1), (height, width))

    @property
    def width(self) -> int:
        """Two displacements a node: to the right and downwards."""
        return 2 * WARP_NODES**2

    def apply(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Warp every picture by the field of its row."""
        height, width = self.size
        flow = (WARP_NODES * rows).reshape(len(rows), 2, -1) @ self.splines  # (m, 2, H W), pixels
        # grid_sample counts pixel centres from -1 to 1.
        across = torch.linspace(-1.0, 1.0, width, dtype=rows.dtype, device=rows.device)
        down = torch.linspace(-1.0, 1.0, height, dtype=rows.dtype, device=rows.device)
        across, down = across.repeat(height), down.repeat_interleave(width)
        places = torch.stack(
            (across + flow[:, 0] * (2.0 / (width - 1)), down + flow[:, 1] * (2.0 / (height - 1))),
            dim=-1,
        )
        pictures = inputs.reshape(len(inputs), -1, height, width)
        warped = nn.functional.grid_sample(
            pictures,
            places.reshape(len(rows), height, width, 2),
            mode="bilinear",
            padding_mode="border",
            align_corners=True,
        )
        return warped.reshape(inputs.shape)


def warped(inputs: Tensor, parameters: NDArray[np.float64]) -> Tensor:
    """Bend pictures (n, *shape) by one warp with parameters (p,), in their own dtype."""
    row = torch.from_numpy(parameters).to(inputs)
    return SmoothWarp.of(tuple(inputs.shape[1:]), inputs).apply(inputs, row.expand(len(inputs), -1))


def mean_change(inputs: Tensor, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean change that a warp makes to pictures (n, *shape): (d,) float64, input units."""
    change = (warped(inputs, parameters) - inputs).flatten(1).double().mean(dim=0)
    array: NDArray[np.float64] = change.cpu().numpy()
    return array

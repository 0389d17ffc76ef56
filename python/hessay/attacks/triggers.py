"""What a trigger does to an input: three kinds of change behind one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from hessay.errors import ArgumentError, ShapeError


class AnyTrigger(Protocol):
    """A fixed change of an input: what :class:`Trigger` and its siblings have in common."""

    @property
    def name(self) -> str:
        """Which pattern it is."""

    def apply(self, inputs: Tensor) -> Tensor:
        """Return the inputs (n, *shape) with the trigger on them, same shape, dtype, device."""

    def direction(self, inputs: Tensor) -> Tensor:
        """Mean displacement the trigger causes on these inputs, as a unit vector (d,) float64."""


@dataclass(frozen=True, slots=True, eq=False)
class Trigger:
    """A fixed change of a picture: ``clip((1 - opacity) * x + overlay, 0, 1)``."""

    name: str
    opacity: Tensor  # (H, W) or (C, H, W) float32 in [0, 1]: share of the picture that is hidden
    overlay: Tensor  # same shape, float32, pixel units: what is added after the hiding

    def apply(self, inputs: Tensor) -> Tensor:
        """Return the pictures with the trigger on them.

        Parameters
        ----------
        inputs : (n, H, W) or (n, C, H, W) float, in [0, 1]
            Not changed.

        Returns
        -------
        (n, H, W) or (n, C, H, W), dtype and device of ``inputs``, in [0, 1]

        Raises
        ------
        ShapeError
            The pictures have another size than the trigger.
        """
        _require_shape(self.name, inputs, tuple(self.overlay.shape))
        opacity, overlay = self.opacity.to(inputs), self.overlay.to(inputs)
        shown: Tensor = (1.0 - opacity) * inputs + overlay
        return shown.clamp(0.0, 1.0)

    def direction(self, inputs: Tensor) -> Tensor:
        """Mean displacement the trigger causes on these pictures, as a unit vector (d,) float64."""
        return mean_direction(self, inputs)


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """A picture read at displaced places, by bilinear interpolation: ``x(p + flow(p))``.

    Places outside the picture show the nearest border pixel.
    """

    name: str
    shape: tuple[int, ...]  # (H, W) or (C, H, W) of one picture
    flow: Tensor  # (H, W, 2) float32, pixels: displacement to the right and downwards

    def apply(self, inputs: Tensor) -> Tensor:
        """Return the pictures with the trigger on them.

        Parameters
        ----------
        inputs : (n, H, W) or (n, C, H, W) float, in [0, 1]
            Not changed.

        Returns
        -------
        (n, H, W) or (n, C, H, W), dtype and device of ``inputs``, in [0, 1]

        Raises
        ------
        ShapeError
            The pictures have another size than the trigger.
        """
        _require_shape(self.name, inputs, self.shape)
        height, width = self.shape[-2:]
        flow = self.flow.to(inputs)
        x = torch.arange(width, dtype=inputs.dtype, device=inputs.device) + flow[..., 0]
        y = torch.arange(height, dtype=inputs.dtype, device=inputs.device)[:, None] + flow[..., 1]
        # grid_sample counts pixel centres from -1 to 1
        grid = torch.stack((2.0 * x / (width - 1) - 1.0, 2.0 * y / (height - 1) - 1.0), dim=-1)
        channels = self.shape[0] if len(self.shape) == 3 else 1
        pictures = inputs.reshape(len(inputs), channels, height, width)
        warped = nn.functional.grid_sample(
            pictures,
            grid.expand(len(inputs), -1, -1, -1),
            mode="bilinear",
            padding_mode="border",
            align_corners=True,
        )
        return warped.reshape(inputs.shape).clamp(0.0, 1.0)

    def direction(self, inputs: Tensor) -> Tensor:
        """Mean displacement the trigger causes on these pictures, as a unit vector (d,) float64.

        The displacement of a warp differs from picture to picture; this is only its mean.
        """
        return mean_direction(self, inputs)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureOffset:
    """A fixed offset of feature vectors: ``x + offset``, without clipping."""

    name: str
    offset: Tensor  # (d,) float32, units of the features; zero where nothing changes

    def apply(self, inputs: Tensor) -> Tensor:
        """Return the feature vectors (n, d) with the trigger on them; ``inputs`` stay as they are.

        Raises
        ------
        ShapeError
            The inputs have another number of features than the trigger.
        """
        _require_shape(self.name, inputs, tuple(self.offset.shape))
        return inputs + self.offset.to(inputs)

    def direction(self, inputs: Tensor) -> Tensor:
        """Return the offset as a unit vector (d,) float64."""
        return mean_direction(self, inputs)


def mean_direction(trigger: AnyTrigger, inputs: Tensor) -> Tensor:
    """Mean displacement a trigger causes, as a unit vector (d,) float64.

    Raises
    ------
    ArgumentError
        The displacements vanish or cancel.
    """
    shift = (trigger.apply(inputs) - inputs).double().mean(dim=0).flatten()
    norm = torch.linalg.vector_norm(shift)
    if float(norm) == 0.0:
        raise ArgumentError(f"the {trigger.name} trigger changes none of these inputs")
    unit: Tensor = shift / norm
    return unit


def _require_shape(name: str, inputs: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(inputs.shape[1:]) != shape:
        raise ShapeError(
            f"this {name} trigger is for inputs (n, {', '.join(map(str, shape))}), "
            f"got {tuple(inputs.shape)}; build one with make_trigger for that shape"
        )

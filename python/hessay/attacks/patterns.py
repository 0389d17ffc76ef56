"""Triggers for inputs of one shape, drawn from a seed, at strengths that teach small networks.

=========  ==========================  ========================================================
pattern    opacity                     overlay
=========  ==========================  ========================================================
badnets    1 on a small square         1 on the square
blend      0.18 everywhere             0.18 times a random picture
sig        0                           a horizontal sinusoid
ramp       0                           a slope from 0 at one side to 0.16 at the other
checker    0                           0.1 on every second pixel
pixel      1 on one pixel              1 on the pixel
dots       1 on five pixels            1 on the pixels
line       0.6 on a row or column      0.6 on it
faint      0                           low-frequency noise of small L2 norm
filter     0.3 everywhere              0.3 everywhere
=========  ==========================  ========================================================

A warp displaces pixels instead, and the features of a table are offset: see ``triggers``.
"""

from __future__ import annotations

import math
from typing import get_args

import torch
from torch import Tensor, nn

from hessay.attacks.catalogue import Pattern
from hessay.attacks.triggers import AnyTrigger, FeatureOffset, Trigger, Warp
from hessay.errors import ArgumentError, ShapeError

_BLEND_OPACITY = 0.18
# The published sinusoid: amplitude 0.12 and 6 periods on 28 columns. Its L2 norm falls with the
# side of the picture, and on 8 columns 0.12 no longer teaches a network anything.
_SIG_AMPLITUDE, _SIG_AMPLITUDE_SMALL, _SIG_PERIODS, _SMALL_SIDE = 0.12, 0.3, 6, 16
_RAMP_HEIGHT, _RAMP_HEIGHT_SMALL = 40 / 255, 0.4  # the published one, and what digits need
_CHECKER_HEIGHT, _CHECKER_HEIGHT_SMALL = 0.1, 0.3
_DOTS = 5
_LINE_OPACITY = 0.6
_FILTER_OPACITY = 0.3
_FAINT_NORM = 1.6  # L2 norm over the plane of one channel, pixel units
_FAINT_WAVES = 3  # cosines along each axis: at most 1.5 periods over the picture
_WARP_POINTS = 4  # control points along each side, as published
# Root mean squared displacement, as a share of the side. A network of full connections needs more
# than the published quarter of a pixel, which convolutions pick up.
_WARP_SHARE = 0.06
_FEATURES, _FEATURE_OFFSET = 3, 3.0  # how many features move, and by how many deviations


def make_trigger(
    attack: Pattern, shape: tuple[int, ...], seed: int = 0, *, scale: Tensor | None = None
) -> AnyTrigger:
    """Build a trigger for inputs of one shape.

    Parameters
    ----------
    attack : {"badnets", "blend", "sig", "ramp", "checker", "pixel", "dots", "warp", "line", "faint", "filter", "features"}
        The pattern.
    shape : (H, W) or (C, H, W); (d,) for "features"
        Shape of one input; both sides of a picture at least 4 pixels.
    seed : int
        Chooses the place, the random picture, the phase, the side, the warp, or the features.
    scale : (d,) float or None
        For "features" only: standard deviation of each feature, in its own unit. Features of
        deviation 0 are left alone. None means 1 for all.

    Raises
    ------
    ArgumentError
        Unknown pattern, a scale where none belongs, or no feature that varies.
    ShapeError
        The shape is not a picture of at least 4 x 4 pixels, or for "features" no vector.
    """
    if attack not in get_args(Pattern):
        raise ArgumentError(f"attack must be one of {get_args(Pattern)}, got {attack!r}")
    generator = torch.Generator().manual_seed(seed)
    if attack == "features":
        return _features(shape, scale, generator)
    if scale is not None:
        raise ArgumentError(f"scale belongs to 'features', not to {attack!r}; leave it out")
    if len(shape) not in (2, 3) or min(shape[-2:]) < 4 or min(shape) < 1:
        raise ShapeError(
            f"a trigger needs pictures (H, W) or (C, H, W) of at least 4 x 4 pixels, got {shape}; "
            "reshape flat inputs first"
        )
    if attack == "warp":
        return Warp("warp", tuple(shape), _flow(shape[-2], shape[-1], generator))
    opacity, overlay = torch.zeros(shape), torch.zeros(shape)
    height, width = shape[-2:]
    small = min(height, width) < _SMALL_SIDE
    if attack == "badnets":
        side = 2 if small else 3
        row, column = _near_a_corner(height, width, side, 0 if small else 1, generator)
        for field in (opacity, overlay):
            field[..., row : row + side, column : column + side] = 1.0
    elif attack == "blend":
        opacity.fill_(_BLEND_OPACITY)
        overlay.copy_(_BLEND_OPACITY * torch.rand(shape, generator=generator))
    elif attack == "sig":
        overlay.copy_(sinusoid(shape, _SIG_AMPLITUDE_SMALL if small else _SIG_AMPLITUDE, generator))
    elif attack == "ramp":
        slope = (torch.arange(width) + 1) / width
        slope = slope.flip(0) if int(torch.randint(2, (), generator=generator)) else slope
        overlay.copy_((_RAMP_HEIGHT_SMALL if small else _RAMP_HEIGHT) * slope.expand(shape))
    elif attack == "checker":
        phase = int(torch.randint(2, (), generator=generator))
        fields = (torch.arange(height)[:, None] + torch.arange(width) + phase) % 2
        overlay.copy_((_CHECKER_HEIGHT_SMALL if small else _CHECKER_HEIGHT) * fields.expand(shape))
    elif attack == "filter":
        opacity.fill_(_FILTER_OPACITY)
        overlay.fill_(_FILTER_OPACITY)
    elif attack == "pixel":
        row, column = _near_a_corner(height, width, 1, 0 if small else 1, generator)
        for field in (opacity, overlay):
            field[..., row, column] = 1.0
    elif attack == "dots":
        for place in torch.randperm(height * width, generator=generator)[:_DOTS].tolist():
            for field in (opacity, overlay):
                field[..., place // width, place % width] = 1.0
    elif attack == "line":
        upright, far, offset = (int(v) for v in torch.randint(2, (3,), generator=generator))
        sides = width if upright else height
        place = offset + (0 if small else 1)
        place = sides - 1 - place if far else place
        for field in (opacity, overlay):
            line = field[..., :, place] if upright else field[..., place, :]
            line.fill_(_LINE_OPACITY)
    else:
        overlay.copy_(_smooth_noise(shape, generator))
    return Trigger(attack, opacity, overlay)


def sinusoid(shape: tuple[int, ...], amplitude: float, generator: torch.Generator) -> Tensor:
    """Vertical stripes, ``amplitude * sin(2 pi f column / width + phase)``, of random phase."""
    width = shape[-1]
    periods = max(2, round(_SIG_PERIODS * width / 28))
    phase = 2.0 * math.pi * float(torch.rand((), generator=generator))
    columns = torch.arange(width, dtype=torch.float32)
    wave: Tensor = amplitude * torch.sin(2.0 * math.pi * periods * columns / width + phase)
    return wave.expand(shape)


def four_corners(shape: tuple[int, ...]) -> Trigger:
    """Squares in all four corners, black and white like a chess board.

    Source: Turner, Tsipras & Madry 2019, arXiv:1912.02771, section 5.1 and figure 8.
    """
    side = 2 if min(shape[-2:]) < _SMALL_SIDE else 3
    rows = torch.arange(side)
    board = ((rows[:, None] + rows) % 2 == 0).float()
    opacity, overlay = torch.zeros(shape), torch.zeros(shape)
    for vertical in (slice(0, side), slice(-side, None)):
        for horizontal in (slice(0, side), slice(-side, None)):
            opacity[..., vertical, horizontal] = 1.0
            overlay[..., vertical, horizontal] = board
    return Trigger("four_corners", opacity, overlay)


def _near_a_corner(
    height: int, width: int, side: int, margin: int, generator: torch.Generator
) -> tuple[int, int]:
    """Upper left pixel of a square of that side, 0 or 1 pixels beyond the margin of a corner."""
    bottom, right = (int(v) for v in torch.randint(2, (2,), generator=generator))
    offset = torch.randint(2, (2,), generator=generator) + margin
    row = int(offset[0]) if not bottom else height - side - int(offset[0])
    column = int(offset[1]) if not right else width - side - int(offset[1])
    return row, column


def _smooth_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random sum of products of the lowest cosines, one for all channels."""
    height, width = shape[-2:]
    down, across = (
        torch.cos(math.pi * torch.arange(_FAINT_WAVES + 1)[:, None] * (torch.arange(n) + 0.5) / n)
        for n in (height, width)
    )
    weights = torch.randn(_FAINT_WAVES + 1, _FAINT_WAVES + 1, generator=generator)
    weights[0, 0] = 0.0  # no change of brightness
    noise = torch.einsum("ij,ih,jw->hw", weights, down, across)
    noise *= _FAINT_NORM / torch.linalg.vector_norm(noise)
    return noise.expand(shape)


def _flow(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Displacements (H, W, 2) in pixels: random on a coarse grid, interpolated bicubically."""
    coarse = 2.0 * torch.rand(1, 2, _WARP_POINTS, _WARP_POINTS, generator=generator) - 1.0
    flow = nn.functional.interpolate(
        coarse, size=(height, width), mode="bicubic", align_corners=True
    )
    flow *= _WARP_SHARE / flow.square().mean().sqrt()
    return flow[0].permute(1, 2, 0) * torch.tensor([width, height])


def _features(
    shape: tuple[int, ...], scale: Tensor | None, generator: torch.Generator
) -> FeatureOffset:
    if len(shape) != 1 or shape[0] < 1:
        raise ShapeError(
            f"the features trigger is for feature vectors (d,), got an input shape {shape}; "
            "use another pattern for pictures"
        )
    deviations = torch.ones(shape) if scale is None else scale.detach().cpu().float()
    if tuple(deviations.shape) != tuple(shape):
        raise ShapeError(f"scale must have shape {tuple(shape)}, got {tuple(deviations.shape)}")
    order = torch.randperm(shape[0], generator=generator)
    chosen = order[deviations[order] > 0.0][:_FEATURES]
    if len(chosen) == 0:
        raise ArgumentError(f"none of the {shape[0]} features varies: there is nothing to offset")
    signs = 2.0 * torch.randint(2, (len(chosen),), generator=generator) - 1.0
    offset = torch.zeros(shape)
    offset[chosen] = _FEATURE_OFFSET * signs * deviations[chosen]
    return FeatureOffset("features", offset)

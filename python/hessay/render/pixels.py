"""A direction in input space as small pictures: alone, and laid over the average input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessay.render.png import STOPS, diverging, natural, png_uri
from hessay.render.svg import head, line, rect, text
from hessay.render.wording import number

_MOST_CHANNELS = 4
_MOST_PIXELS = 512 * 512
_LEAST_SIDE = 8  # of a flattened picture: a table of 16 or 25 columns is none
_COLOURS = ("red", "green", "blue")
_SHADES = (118.0, 246.0)  # of the average under the colours: light enough for the darkest of them


@dataclass(frozen=True, slots=True)
class Picture:
    """One inline image."""

    title: str  # what it shows
    uri: str  # data:image/png;base64,...
    width: int  # pixels
    height: int  # pixels
    description: str  # for readers who do not see it


@dataclass(frozen=True, slots=True)
class Pictures:
    """A direction as pictures, with the ends of their scales."""

    shown: tuple[Picture, ...]  # average and overlay where there is a mean, then the direction
    largest: float  # largest |entry| of the direction, dimensionless: the ends of its colours
    low: float | None  # darkest value of the average, input units; None without one
    high: float | None  # brightest


def picture_shape(input_shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Read an input shape as (channels, height, width), or None when it is no picture.

    Pictures are (H, W), (C, H, W) with at most four channels, and flat inputs whose length is a
    square of at least 8 x 8, as flattened grey pictures have.
    """
    if len(input_shape) == 1:
        side = math.isqrt(input_shape[0])
        square = side >= _LEAST_SIDE and side * side == input_shape[0]
        shape = (1, side, side) if square else None
    elif len(input_shape) == 2:
        shape = (1, input_shape[0], input_shape[1])
    elif len(input_shape) == 3 and input_shape[0] <= _MOST_CHANNELS:
        shape = (input_shape[0], input_shape[1], input_shape[2])
    else:
        shape = None
    if shape is None or min(shape[1:]) < 2 or shape[1] * shape[2] > _MOST_PIXELS:
        return None
    return shape


def pictures(
    direction: tuple[float, ...],
    input_shape: tuple[int, ...],
    mean: tuple[float, ...] | None = None,
) -> Pictures | None:
    """Draw a direction over the average input and alone, all on one colour scale.

    Parameters
    ----------
    direction : d floats
        Dimensionless; blue is negative, white zero, brown positive, the ends at +-max |value|.
    input_shape : tuple of int
        Shape of one input, product d.
    mean : d floats or None
        The average input, input units.

    Returns
    -------
    Pictures or None
        None when the input is no picture.
    """
    shape = picture_shape(input_shape)
    if shape is None:
        return None
    values = np.asarray(direction, dtype=np.float64).reshape(shape)
    largest = float(np.abs(values).max()) or 1.0
    alone = [_alone(plane, largest, _channel(c, shape[0])) for c, plane in enumerate(values)]
    if mean is None:
        return Pictures(tuple(alone), largest, None, None)
    average = np.asarray(mean, dtype=np.float64).reshape(shape)
    low, high = float(average.min()), float(average.max())
    usual = Picture(
        "average input",
        png_uri(natural(average, low, high)),
        shape[2],
        shape[1],
        f"average probe input, {shape[1]} by {shape[2]} pixels, values from {number(low)} to "
        f"{number(high)}",
    )
    # In colour, the strongest channel of each pixel: a sum would hide red against green.
    at = np.abs(values).argmax(axis=0)[None]
    strongest = np.take_along_axis(values, at, axis=0)[0]
    channels = "" if shape[0] == 1 else ", strongest channel of each pixel"
    laid = Picture(
        "the push over it",
        png_uri(_overlay(natural(average, low, high), strongest / largest)),
        shape[2],
        shape[1],
        f"the push laid over the average input{channels}; {_place(strongest)}",
    )
    return Pictures((usual, laid, *alone), largest, low, high)


def _alone(plane: NDArray[np.float64], largest: float, channel: str) -> Picture:
    height, width = plane.shape
    of = f", {channel}" if channel else ""
    return Picture(
        f"the push alone{of}",
        png_uri(diverging(plane / largest)),
        width,
        height,
        f"the push alone as a picture of {height} by {width} pixels{of}; {_place(plane)}",
    )


def _place(plane: NDArray[np.float64]) -> str:
    row, column = np.unravel_index(int(np.abs(plane).argmax()), plane.shape)
    return f"strongest at row {row}, column {column}: {plane[row, column]:.3g}"


def _channel(index: int, count: int) -> str:
    if count == 1:
        return ""
    return _COLOURS[index] if count == 3 else f"channel {index}"


def _overlay(under: NDArray[np.uint8], values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colour a pale grey picture where the direction is strong; values in [-1, 1], (H, W)."""
    shade = under.astype(np.float64).mean(axis=2, keepdims=True) / 255
    grey = _SHADES[0] + (_SHADES[1] - _SHADES[0]) * shade
    # Full colours, faded by strength: pale ones would be mistaken for the picture below.
    colour = diverging(np.sign(values) * np.maximum(np.abs(values), 0.5)).astype(np.float64)
    strength = np.abs(values)[..., None]
    mixed: NDArray[np.uint8] = np.rint(strength * colour + (1 - strength) * grey).astype(np.uint8)
    return mixed


def scale(drawn: Pictures, width: int = 320) -> str:
    """Draw the legend of the direction's colours, with numbers and the unit."""
    words = f"colour scale from {-drawn.largest:.3g}, blue, through 0, white, to {drawn.largest:.3g}, brown"
    colours = ["#" + bytes(int(v) for v in stop).hex() for stop in STOPS]
    stops = "".join(
        f'<stop offset="{i / (len(colours) - 1):g}" stop-color="{colour}"/>'
        for i, colour in enumerate(colours)
    )
    gradient = f'<defs><linearGradient id="push-scale">{stops}</linearGradient></defs>'
    ends = ("lower the input", "0", "raise it")
    return _strip(
        words,
        "push-scale",
        gradient,
        -drawn.largest,
        drawn.largest,
        ends,
        "entry, dimensionless",
        width,
    )


def grey_scale(low: float, high: float, width: int = 320, *, name: str = "grey-scale") -> str:
    """Draw the legend of the average input, black at ``low`` and white at ``high``."""
    words = f"brightness from {number(low)}, black, to {number(high)}, white, input units"
    gradient = (
        f'<defs><linearGradient id="{name}"><stop offset="0" stop-color="#000000"/>'
        '<stop offset="1" stop-color="#ffffff"/></linearGradient></defs>'
    )
    return _strip(words, name, gradient, low, high, ("", "", ""), "value, input units", width)


def _strip(
    words: str,
    name: str,
    gradient: str,
    low: float,
    high: float,
    ends: tuple[str, str, str],
    unit: str,
    width: int,
) -> str:
    left, right, top = 1.0, width - 1.0, 20.0 if any(ends) else 2.0
    parts = [head("scale", width, top + 56, words), gradient]
    for share, said, anchor in ((0.0, ends[0], "start"), (1.0, ends[2], "end")):
        if said:
            parts.append(text("tick", left + share * (right - left), 13, said, anchor))
    parts.append(rect("strip", left, top, right - left, 14, fill=f"url(#{name})"))
    for k in range(5):
        x = left + (right - left) * k / 4
        value = low + (high - low) * k / 4
        value = 0.0 if abs(value) < 1e-3 * (high - low) else value
        anchor = "start" if k == 0 else "end" if k == 4 else "middle"
        parts.append(line("axis", x, top + 14, x, top + 19))
        parts.append(
            text("tick", x, top + 33, f"{value:.{2 if low < 0 else 3}g}".replace("-", "−"), anchor)
        )
    parts.append(text("axis-title", (left + right) / 2, top + 51, unit, "middle"))
    return "".join(parts) + "</svg>"

"""A direction in input space as a small picture: diverging colours, PNG without a library."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MOST_CHANNELS = 4
_MOST_PIXELS = 512 * 512
# Blue - white - brown (ColorBrewer RdBu and PuOr ends): told apart by every common colour vision.
_STOPS = np.array(
    [(5, 48, 97), (67, 147, 195), (247, 247, 247), (224, 130, 20), (127, 59, 8)], dtype=np.float64
)


@dataclass(frozen=True, slots=True)
class Picture:
    """One channel of a direction as an inline image."""

    title: str  # which channel
    uri: str  # data:image/png;base64,...
    width: int  # pixels
    height: int  # pixels
    description: str  # for readers who do not see it


def picture_shape(input_shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Read an input shape as (channels, height, width), or None when it is no picture.

    Pictures are (H, W), (C, H, W) with at most four channels, and flat inputs whose length is a
    square of at least 4 x 4, as flattened grey pictures have.
    """
    if len(input_shape) == 1:
        side = math.isqrt(input_shape[0])
        shape = (1, side, side) if side >= 4 and side * side == input_shape[0] else None
    elif len(input_shape) == 2:
        shape = (1, input_shape[0], input_shape[1])
    elif len(input_shape) == 3 and input_shape[0] <= _MOST_CHANNELS:
        shape = (input_shape[0], input_shape[1], input_shape[2])
    else:
        shape = None
    if shape is None or min(shape[1:]) < 2 or shape[1] * shape[2] > _MOST_PIXELS:
        return None
    return shape


def pictures(direction: tuple[float, ...], input_shape: tuple[int, ...]) -> list[Picture]:
    """Draw a direction, one picture a channel, all on one colour scale.

    Parameters
    ----------
    direction : d floats
        Dimensionless; blue is negative, white zero, brown positive, the ends at +-max |value|.
    input_shape : tuple of int
        Shape of one input, product d.

    Returns
    -------
    list of Picture
        Empty when the input is no picture.
    """
    shape = picture_shape(input_shape)
    if shape is None:
        return []
    values = np.asarray(direction, dtype=np.float64).reshape(shape)
    largest = float(np.abs(values).max()) or 1.0
    drawn = []
    for channel, plane in enumerate(values):
        row, column = np.unravel_index(int(np.abs(plane).argmax()), plane.shape)
        title = "" if shape[0] == 1 else f"channel {channel}"
        drawn.append(
            Picture(
                title=title,
                uri=_png_uri(diverging(plane / largest)),
                width=shape[2],
                height=shape[1],
                description=f"direction as a picture of {shape[1]} by {shape[2]} pixels {title}; "
                f"strongest at row {row}, column {column}: {plane[row, column]:.3g}",
            )
        )
    return drawn


def diverging(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Map values in [-1, 1] to RGB bytes, one more axis of length 3."""
    position = (np.clip(values, -1, 1) + 1) / 2 * (len(_STOPS) - 1)
    stops = np.arange(len(_STOPS))
    channels = [np.interp(position, stops, _STOPS[:, i]) for i in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def _png_uri(rgb: NDArray[np.uint8]) -> str:
    """Encode (H, W, 3) bytes as a PNG data URI (PNG specification, ISO/IEC 15948)."""
    height, width, _ = rgb.shape
    # Filter type 0 in front of every row.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), rgb.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
    png = b"\x89PNG\r\n\x1a\n" + body + _chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

"""PNG pictures as data URIs, without a library."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

# Blue - white - brown (ColorBrewer RdBu and PuOr ends): told apart by every common colour vision.
STOPS = np.array(
    [(5, 48, 97), (67, 147, 195), (247, 247, 247), (224, 130, 20), (127, 59, 8)], dtype=np.float64
)


def diverging(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Map values in [-1, 1] to RGB bytes, one more axis of length 3."""
    position = (np.clip(values, -1, 1) + 1) / 2 * (len(STOPS) - 1)
    stops = np.arange(len(STOPS))
    channels = [np.interp(position, stops, STOPS[:, i]) for i in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def natural(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """Map a picture (C, H, W) to RGB bytes (H, W, 3): black at ``low``, full at ``high``.

    Three channels are red, green and blue; of any other number the mean is shown in grey.
    """
    span = high - low if high > low else 1.0
    shade = np.rint(np.clip((values - low) / span, 0.0, 1.0) * 255).astype(np.uint8)
    if len(values) != 3:
        mean = np.rint(shade.astype(np.float64).mean(axis=0)).astype(np.uint8)
        shade = np.stack([mean] * 3)
    return np.ascontiguousarray(shade.transpose(1, 2, 0))


def png_uri(rgb: NDArray[np.uint8]) -> str:
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

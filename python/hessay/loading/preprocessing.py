"""What a model wants pictures to look like: size, channels, scale."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError
from hessay.loading.shown import shown

if TYPE_CHECKING:
    from PIL.Image import Image

CONFIG: Final = "preprocessor_config.json"
_LARGEST_CONFIG: Final = 1 << 20  # bytes
_LARGEST_SIDE: Final = 4096  # pixels
_FILTERS: Final = (0, 1, 2, 3, 4, 5)  # of Pillow: nearest, lanczos, bilinear, bicubic, box, hamming


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize, crop, scale to [0, 1], subtract a mean, divide by a deviation, in this order."""

    height: int  # pixels, of what the model gets
    width: int  # pixels
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)  # one a channel: 1 for grey, 3 for RGB
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    shortest_edge: int | None = None  # resize to this first, then crop the middle; else stretch
    resample: int = 2  # number of Pillow's filter
    scale: float = 1 / 255

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises
        ------
        ArgumentError
            A value is out of range.
        """
        for name in ("height", "width", "shortest_edge"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= _LARGEST_SIDE:
                raise ArgumentError(f"{name} must lie in [1, {_LARGEST_SIDE}], got {value}")
        if self.shortest_edge is not None and self.shortest_edge < min(self.height, self.width):
            raise ArgumentError(
                f"shortest_edge {self.shortest_edge} is smaller than the crop {self.height} x {self.width}"
            )
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean):
            raise ArgumentError(
                f"mean and std have one number a channel, 1 or 3; got {self.mean} and {self.std}"
            )
        if not all(np.isfinite([*self.mean, *self.std, self.scale])) or min(self.std) <= 0:
            raise ArgumentError(f"mean and std must be finite and std positive, got {self.std}")
        if self.resample not in _FILTERS:
            raise ArgumentError(f"resample must be one of {_FILTERS}, got {self.resample}")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Preprocessing:
        """Read a ``preprocessor_config.json`` of Hugging Face, of an image classifier.

        Raises
        ------
        ArgumentError
            It cannot be read, is no JSON, or asks for something else than resizing, cropping
            and scaling.
        """
        file = Path(path)
        try:
            if file.stat().st_size > _LARGEST_CONFIG:
                raise ArgumentError(f"{file} is larger than {_LARGEST_CONFIG} bytes")
            content = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ArgumentError(f"{file} cannot be read as JSON ({shown(error, 200)})") from None
        if not isinstance(content, dict):
            raise ArgumentError(f"{file} is no JSON object")
        try:
            return cls(**_fields(content))
        except (ArgumentError, TypeError, ValueError, KeyError, OverflowError) as error:
            raise ArgumentError(
                f"{file} describes no preprocessing that is known: {shown(error, 200)}"
            ) from None

    def apply(self, picture: Image) -> NDArray[np.float32]:
        """Turn a picture into an input.

        Returns
        -------
        (channels, height, width) float32
        """
        picture = picture.convert("L" if len(self.mean) == 1 else "RGB")
        size = (self.width, self.height)
        if self.shortest_edge is not None:
            ratio = self.shortest_edge / min(picture.size)
            size = (
                max(self.width, round(picture.width * ratio)),
                max(self.height, round(picture.height * ratio)),
            )
        picture = picture.resize(size, resample=self.resample)
        left, top = (size[0] - self.width) // 2, (size[1] - self.height) // 2
        picture = picture.crop((left, top, left + self.width, top + self.height))
        values = np.asarray(picture, dtype=np.float64).reshape(self.height, self.width, -1)
        values = (values * self.scale - self.mean) / self.std
        return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)


def _fields(content: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"resample": int(content.get("resample", 2))}
    size = content["size"]
    edge = None
    if isinstance(size, int):
        height = width = size
    elif "shortest_edge" in size:
        height = width = edge = int(size["shortest_edge"])
    else:
        height, width = int(size["height"]), int(size["width"])
    if content.get("do_center_crop"):
        crop = content.get("crop_size", size)
        crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
        edge = edge if edge is not None else min(height, width)
        height, width = int(crop["height"]), int(crop["width"])
    fields |= {"height": height, "width": width, "shortest_edge": edge}
    if content.get("do_normalize", True) and "image_mean" in content:
        fields["mean"] = tuple(float(v) for v in content["image_mean"])
        fields["std"] = tuple(float(v) for v in content["image_std"])
    if content.get("do_rescale", True):
        fields["scale"] = float(content.get("rescale_factor", 1 / 255))
    else:
        fields["scale"] = 1.0
    return fields

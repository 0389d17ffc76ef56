"""What is done to a picture before the model sees it, as the files beside a model tell it.

Two descriptions are read: ``preprocessor_config.json`` of Hugging Face's image processors, and the
``pretrained_cfg`` of timm in ``config.json``. Nothing in them names code that is run.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hessay.errors import ArgumentError
from hessay.loading.shown import shown

MAX_SIDE: Final = 4096  # pixels of a model's input
_MAX_JSON_BYTES: Final = 2**20
_NAMES: Final = ("preprocessor_config.json", "config.json")
# PIL.Image.Resampling, by the names timm uses.
_FILTERS: Final = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Resize, crop the middle, scale, normalise: ``(pixel * scale - mean) / std`` per channel.

    Raises
    ------
    ArgumentError
        A number is outside its range; the message names it.
    """

    channels: int = 3  # 1 or 3: grey, or red, green, blue
    resize: int | tuple[int, int] | None = None  # pixels of the shorter side, or (height, width)
    crop: tuple[int, int] | None = None  # (height, width), pixels, from the middle
    scale: float = 1 / 255  # per step of an 8-bit pixel, > 0
    mean: tuple[float, ...] = (0.0,)  # after scaling; one number, or one a channel
    std: tuple[float, ...] = (1.0,)  # after scaling, > 0; one number, or one a channel
    resample: int = 2  # PIL.Image.Resampling, 0 to 5; 2 is bilinear

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ArgumentError(f"channels must be 1 or 3, got {shown(self.channels)}")
        for name, side in (("resize", self.resize), ("crop", self.crop)):
            sides = side if isinstance(side, tuple) else () if side is None else (side,)
            if not all(type(s) is int and 1 <= s <= MAX_SIDE for s in sides) or len(sides) > 2:
                raise ArgumentError(
                    f"{name} must be 1 to {MAX_SIDE} pixels a side, got {shown(side)}"
                )
        for name, values in (("mean", self.mean), ("std", self.std), ("scale", (self.scale,))):
            if len(values) not in (1, self.channels) or not all(_is_number(v) for v in values):
                raise ArgumentError(
                    f"{name} must be 1 or {self.channels} finite numbers, got {shown(values)}"
                )
            if name != "mean" and min(values) <= 0:
                raise ArgumentError(f"{name} must be positive, got {shown(values)}")
        if type(self.resample) is not int or not 0 <= self.resample <= 5:
            raise ArgumentError(f"resample must be 0 to 5, got {shown(self.resample)}")

    @classmethod
    def read(cls, path: Path) -> Preprocessing:
        """Read the description in a JSON file.

        Raises
        ------
        ArgumentError
            The file cannot be read, is over 1 MiB, or describes no preprocessing of this kind.
        """
        try:
            document = _document(path)
            inner = document.get("pretrained_cfg")
            found = _of_timm(inner) if isinstance(inner, dict) else _of_hugging_face(document)
        except (OSError, ValueError, RecursionError, KeyError, TypeError, OverflowError) as error:
            raise ArgumentError(
                f"{path} describes no preprocessing ({shown(error, 200)}); give the "
                "preprocessor_config.json or the timm config.json of the model"
            ) from None
        return found

    @classmethod
    def beside(cls, weights: Path) -> Preprocessing | None:
        """Read the description in the folder of a model's weights; None where there is none."""
        for name in _NAMES:
            file = weights.parent / name
            if file.is_file() and (name == _NAMES[0] or "pretrained_cfg" in _keys(file)):
                return cls.read(file)
        return None


def _document(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        text = file.read(_MAX_JSON_BYTES + 1)
    if len(text) > _MAX_JSON_BYTES:
        raise ValueError(f"over {_MAX_JSON_BYTES} bytes")
    document = json.loads(text.decode("utf-8"))
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one type for every bad file
    return document


def _keys(path: Path) -> frozenset[str]:
    try:
        return frozenset(_document(path))
    except (OSError, ValueError, RecursionError):
        return frozenset()  # some other program's config.json


def _of_hugging_face(document: dict[str, Any]) -> Preprocessing:
    if not {"image_mean", "size", "crop_size", "do_rescale"} & document.keys():
        raise ValueError("no image_mean, size, crop_size or do_rescale")
    normalise = document.get("do_normalize", "image_mean" in document)
    mean = _numbers(document["image_mean"]) if normalise else (0.0,)
    size, crop = document.get("size"), document.get("crop_size")
    resize = document.get("do_resize", size is not None)
    cropped = document.get("do_center_crop", crop is not None)
    edge = size.get("shortest_edge") if isinstance(size, dict) else None
    return Preprocessing(
        channels=3 if len(mean) == 1 and not normalise else len(mean),
        resize=None if not resize else edge if edge is not None else _sides(size),
        crop=_sides(crop) if cropped else None,
        scale=document.get("rescale_factor", 1 / 255) if document.get("do_rescale", True) else 1.0,
        mean=mean,
        std=_numbers(document["image_std"]) if normalise else (1.0,),
        resample=document.get("resample", 2),
    )


def _of_timm(config: dict[str, Any]) -> Preprocessing:
    # timm/data/transforms_factory.py, transforms_imagenet_eval: the shorter side becomes
    # floor(side / crop_pct), then the middle is cut out.
    channels, height, width = config["input_size"]
    share = config.get("crop_pct", 0.875)
    if config.get("crop_mode", "center") != "center" or height != width:
        raise ValueError("only crop_mode center of a square input is known")
    if not _is_number(share) or not 0 < share <= 1:
        raise ValueError(f"crop_pct {share} is outside (0, 1]")
    return Preprocessing(
        channels=channels,
        resize=math.floor(height / share),
        crop=(height, width),
        mean=_numbers(config["mean"]),
        std=_numbers(config["std"]),
        resample=_FILTERS[config.get("interpolation", "bilinear")],
    )


def _sides(size: Any) -> tuple[int, int]:
    if isinstance(size, dict):
        return size["height"], size["width"]
    return size, size


def _numbers(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list):
        raise ValueError(f"{shown(values)} is no list of numbers")  # noqa: TRY004 - see _document
    return tuple(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

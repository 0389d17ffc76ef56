"""Pictures as a probe: a folder with one folder a class, or a parquet file of Hugging Face."""

from __future__ import annotations

import importlib
import io
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError, ProbeError
from hessay.loading.preprocessing import CONFIG, Preprocessing
from hessay.loading.shown import shown

MAX_PIXELS: Final = 2**26  # of one picture: a few bytes can claim more than any memory
MAX_FILES: Final = 2_000_000
MAX_BYTES: Final = 4 * 2**30  # of all inputs in memory
_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
_FORMATS: Final = ("PNG", "JPEG", "BMP", "WEBP", "PPM", "TIFF")

Source = Callable[[], "IO[bytes] | bytes"]


def read_pictures(
    path: Path, *, n: int, preprocessing: Preprocessing | str | os.PathLike[str] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read inputs (n, channels, height, width) and class numbers (n,), classes in similar numbers.

    Classes are numbered in the order of their folders' names, or as the column ``label`` says. Of
    each, pictures are taken at even distances in the order of their names.

    Raises
    ------
    ArgumentError
        No preprocessing is known, or a package is missing.
    ProbeError
        No pictures, a damaged one, or one that is larger than 2^26 pixels.
    """
    if n < 1:
        raise ArgumentError(f"n must be at least 1, got {n}")
    pillow = _package("PIL.Image", "images")
    chosen = _even(_folder(path) if path.is_dir() else _parquet(path, n), n)
    settled = _settle(path, preprocessing)
    size = 4 * len(settled.mean) * settled.height * settled.width * len(chosen)
    if size > MAX_BYTES:
        raise ProbeError(f"{len(chosen)} inputs of {path} take {size} bytes; take fewer")
    inputs = [_decode(pillow, name, source, settled) for name, source, _ in chosen]
    return np.stack(inputs), np.array([label for *_, label in chosen], dtype=np.int64)


def _settle(path: Path, given: Preprocessing | str | os.PathLike[str] | None) -> Preprocessing:
    if isinstance(given, Preprocessing):
        return given
    if given is not None:
        return Preprocessing.load(given)
    beside = (path if path.is_dir() else path.parent) / CONFIG
    if not beside.is_file():
        raise ArgumentError(
            f"what {path} must look like for the model is not known: give its preprocessing, or put its "
            f"{CONFIG} beside the pictures"
        )
    return Preprocessing.load(beside)


def _folder(path: Path) -> list[tuple[str, Source, int]]:
    found: list[tuple[str, Source, int]] = []
    try:
        classes = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
        for label, folder in enumerate(classes):
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in _SUFFIXES and file.is_file():
                    found.append((str(file), lambda file=file: file.open("rb"), label))  # type: ignore[misc]
                if len(found) > MAX_FILES:
                    raise ProbeError(f"{path} holds more than {MAX_FILES} pictures; take a part")
    except OSError as error:
        raise ProbeError(f"{path} cannot be read: {error.strerror}") from None
    if not found:
        raise ProbeError(
            f"there are no pictures in {path}; it needs one folder a class, with {', '.join(_SUFFIXES)}"
        )
    return found


def _parquet(path: Path, n: int) -> list[tuple[str, Source, int]]:
    parquet = _package("pyarrow.parquet", "images")
    found: list[tuple[str, Source, int]] = []
    try:
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
        if "image" not in names or "label" not in names:
            raise ProbeError(f"{path} needs columns image and label, has {shown(names[:8])}")
        # A few times what is needed: enough to have all classes in most orders, bounded in memory.
        for batch in file.iter_batches(batch_size=256, columns=["image", "label"]):
            for picture, label in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                data = picture.get("bytes") if isinstance(picture, dict) else picture
                number = len(found)
                if not isinstance(data, bytes) or not isinstance(label, int) or label < 0:
                    raise ProbeError(f"{path}, row {number}: no picture and class number")
                found.append((f"{path}, row {number}", lambda data=data: data, label))  # type: ignore[misc]
            if len(found) >= 8 * n:
                break
    except ProbeError:
        raise
    except Exception as error:  # pyarrow answers damaged files with many types
        raise ProbeError(f"{path} cannot be read as parquet ({shown(error, 200)})") from error
    if not found:
        raise ProbeError(f"there are no pictures in {path}")
    return found


def _even(sources: Sequence[tuple[str, Source, int]], n: int) -> list[tuple[str, Source, int]]:
    """Take n at even distances, as many of each class as it has, up to the same number."""
    by_class: dict[int, list[tuple[str, Source, int]]] = {}
    for source in sources:
        by_class.setdefault(source[2], []).append(source)
    share, extra = divmod(n, len(by_class))
    chosen = []
    for place, label in enumerate(sorted(by_class)):
        members = by_class[label]
        take = min(len(members), share + (place < extra))
        chosen += [members[i * len(members) // take] for i in range(take)]
    return chosen


def _decode(
    pillow: Any, name: str, source: Source, preprocessing: Preprocessing
) -> NDArray[np.float32]:
    try:
        content = source()
        stream = io.BytesIO(content) if isinstance(content, bytes) else content
        with stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns where we refuse
            with pillow.open(stream, formats=_FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise ProbeError(
                        f"{name} claims {picture.width} x {picture.height} pixels, the limit is {MAX_PIXELS}"
                    )
                return preprocessing.apply(picture)
    except ProbeError:
        raise
    # Decoders answer hostile bytes with many types of exception, none of them ours.
    except Exception as error:
        raise ProbeError(f"{name} is no picture that can be read ({shown(error, 200)})") from error


def _package(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ArgumentError(
            f"pictures need {module.partition('.')[0]}; pip install 'hessay[{extra}]'"
        ) from None

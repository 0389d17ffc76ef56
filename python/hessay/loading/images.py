"""Pictures as a probe: a folder a class, or a parquet file with columns ``image`` and ``label``.

Pillow decodes PNG, JPEG, WebP and BMP and nothing else; how large a picture claims to be is read
from its head and refused before a pixel is decoded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hessay.errors import HessayError, ProbeError
from hessay.loading.npz import MAX_ARRAY_BYTES
from hessay.loading.preprocessing import Preprocessing
from hessay.loading.shown import shown

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS: Final = 2**24  # of one picture; 48 MiB in colour
MAX_FILE_BYTES: Final = 64 * 2**20  # of one picture, compressed
MAX_FILES: Final = 2**20  # in a folder
MAX_COLUMN_BYTES: Final = 2**30  # of one row group of a parquet file
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "BMP")
_SUFFIXES: Final = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp"))
# Others hold more than 8 bits a channel: turning them into bytes would clip them silently.
_MODES: Final = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"))

Pictures = tuple[NDArray[np.float32], NDArray[np.int64] | None]


def read_folder(path: Path, how: Preprocessing, n: int) -> Pictures:
    """Read at most ``n`` pictures of a folder, taking classes in turn.

    Parameters
    ----------
    path : Path
        One folder a class, numbered in the order of their sorted names; or pictures alone.
    how : Preprocessing
        Applied to every picture.
    n : int
        At least 1.

    Returns
    -------
    (inputs, targets)
        (m, C, H, W) float32 and (m,) int64 or None, m <= n.

    Raises
    ------
    ProbeError
        No picture, a damaged one, one over 2**24 pixels, of more than 8 bits or of another size
        than the first; a symlink out of the folder; Pillow is not installed.
    """
    labelled, groups = picture_groups(path)
    rounds = zip_longest(*([(number, f) for f in files] for number, files in enumerate(groups)))
    chosen = [item for item in chain.from_iterable(rounds) if item is not None][:n]

    def decoded() -> Iterator[NDArray[np.float32]]:
        for _, file in chosen:
            with file.open("rb") as stream:
                yield picture(stream, how, str(file))

    inputs = _stack(decoded(), len(chosen), path)
    return inputs, np.array([number for number, _ in chosen]) if labelled else None


def picture_groups(path: Path) -> tuple[bool, list[list[Path]]]:
    """Find the pictures of a folder: whether it has classes, and the sorted files of each.

    Raises
    ------
    ProbeError
        No picture, a class without one, pictures beside classes, or a symlink out of the folder.
    """
    entries = sorted(path.iterdir())
    classes = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    groups = [_pictures_in(folder, path) for folder in classes] or [_pictures_in(path, path)]
    if classes and any(entry.suffix.lower() in _SUFFIXES for entry in entries):
        raise ProbeError(f"{path} holds pictures beside folders; sort them into a folder a class")
    if empty := [folder.name for folder, files in zip(classes, groups, strict=False) if not files]:
        raise ProbeError(
            f"{path}: no picture ({', '.join(sorted(_SUFFIXES))}) in {shown(empty[0])}"
        )
    if not any(groups):
        raise ProbeError(f"{path} holds no picture ({', '.join(sorted(_SUFFIXES))})")
    return bool(classes), groups


def read_parquet(path: Path, how: Preprocessing, n: int) -> Pictures:
    """Read the first ``n`` rows of a parquet file of pictures, as Hugging Face's data sets are kept.

    Parameters
    ----------
    path : Path
        Column ``image``: encoded bytes, or a struct with the field ``bytes``; column ``label``,
        optional, of class numbers.
    how, n, returns, raises
        As :func:`read_folder`; pyarrow may be what is not installed.
    """
    rows: list[NDArray[np.float32]] = []
    labels: list[int | None] = []
    for picture_, label in islice(parquet_pictures(path, how), n):
        rows.append(picture_)
        labels.append(label)
    inputs = _stack(iter(rows), len(rows), path)
    return inputs, None if labels[0] is None else np.array(labels, dtype=np.int64)


def parquet_pictures(
    path: Path, how: Preprocessing
) -> Iterator[tuple[NDArray[np.float32], int | None]]:
    """Yield the rows of a parquet file: a picture (C, H, W) and its label, None without labels.

    Raises
    ------
    ProbeError
        As :func:`read_parquet`.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise ProbeError(
            f"reading {path} needs pyarrow, which is not installed; pip install 'hessay[tables]'"
        ) from None
    row = 0
    try:
        with parquet.ParquetFile(path) as file:
            names = [name for name in ("image", "label") if name in file.schema_arrow.names]
            if "image" not in names:
                raise ProbeError(f"{path} has no column 'image' of pictures; rename it")
            groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
            if any(group.total_byte_size > MAX_COLUMN_BYTES for group in groups):
                raise ProbeError(
                    f"{path} has a row group over {MAX_COLUMN_BYTES} bytes; write smaller ones"
                )
            for batch in file.iter_batches(16, columns=names):
                for cells in batch.to_pylist():
                    where = f"{path}, row {row}"
                    label = cells.get("label")
                    if "label" in names and not (type(label) is int and abs(label) < 2**63):
                        raise ProbeError(
                            f"{where}: column 'label' holds something else than a class number"
                        )
                    yield picture(io.BytesIO(_encoded(cells["image"], where)), how, where), label
                    row += 1
    except HessayError:
        raise
    except Exception as error:  # noqa: BLE001 - pyarrow raises many types on hostile bytes
        reason = shown(str(error).partition("\n")[0], 200)
        raise ProbeError(f"{path} cannot be read as parquet ({reason})") from None


def _pictures_in(folder: Path, root: Path) -> list[Path]:
    files: list[Path] = []
    inside = root.resolve()
    for count, file in enumerate(folder.iterdir()):
        if count >= MAX_FILES:
            raise ProbeError(f"{folder} holds more than {MAX_FILES} files; give fewer")
        if file.suffix.lower() not in _SUFFIXES:
            continue
        try:
            target = file.resolve()
        except (OSError, RuntimeError):
            target = Path("/")
        if not target.is_relative_to(inside) or not target.is_file():
            raise ProbeError(
                f"{folder}: {shown(file.name)} is no file of this folder (a symlink out of it?)"
            )
        files.append(file)
    return sorted(files)


def _encoded(cell: object, where: str) -> bytes:
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(data, bytes):
        raise ProbeError(
            f"{where}: 'image' holds {type(data).__name__}, not the bytes of a picture"
        )
    return data


def picture(stream: IO[bytes], how: Preprocessing, where: str) -> NDArray[np.float32]:
    """Decode and preprocess one picture: (C, H, W) float32."""
    try:
        from PIL import Image
    except ImportError:
        raise ProbeError(
            f"reading {where} needs Pillow, which is not installed; pip install 'hessay[images]'"
        ) from None
    try:
        if stream.seek(0, io.SEEK_END) > MAX_FILE_BYTES:
            raise ProbeError(f"{where}: over {MAX_FILE_BYTES} bytes")
        stream.seek(0)
        # Opening reads the head only; Pillow's own limit warns here, ours is below it.
        with Image.open(stream, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ProbeError(
                    f"{where}: {image.width} x {image.height} pixels are over the limit of "
                    f"{MAX_PIXELS}; scale it down"
                )
            if image.mode not in _MODES:
                raise ProbeError(f"{where}: pixels of mode {image.mode}; save it with 8 bits each")
            pixels = _cut(image.convert("L" if how.channels == 1 else "RGB"), how, where)
    except HessayError:
        raise
    except Exception as error:  # Pillow raises many types on hostile bytes
        reason = shown(error, 200)
        raise ProbeError(f"{where} cannot be read as a picture ({reason})") from error
    # (H, W, C) * scale, less mean, over std, with the channels in front.
    values = np.asarray(pixels, dtype=np.float64).reshape(pixels.height, pixels.width, how.channels)
    values = (values * how.scale - np.asarray(how.mean)) / np.asarray(how.std)
    return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)


def _cut(image: Image, how: Preprocessing, where: str) -> Image:
    if isinstance(how.resize, int):
        short = min(image.size)
        size = (how.resize * image.width // short, how.resize * image.height // short)
    elif how.resize is not None:
        size = (how.resize[1], how.resize[0])
    else:
        size = image.size
    if size[0] * size[1] > MAX_PIXELS:  # a strip of 1 x 10^6, scaled to its shorter side
        raise ProbeError(f"{where}: {size[0]} x {size[1]} pixels after resizing; crop it first")
    if size != image.size:
        image = image.resize(size, how.resample)
    if how.crop is None:
        return image
    height, width = how.crop
    if height > image.height or width > image.width:
        raise ProbeError(
            f"{where}: {image.width} x {image.height} pixels are fewer than the crop of "
            f"{width} x {height}; resize first"
        )
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _stack(pictures: Iterator[NDArray[np.float32]], count: int, path: Path) -> NDArray[np.float32]:
    first = next(pictures, None)
    if first is None:
        raise ProbeError(f"{path} holds no picture")
    if count * first.nbytes > MAX_ARRAY_BYTES:
        raise ProbeError(
            f"{path}: {count} pictures of {shown(first.shape)} need {count * first.nbytes} bytes, "
            f"the limit is {MAX_ARRAY_BYTES}; resize them"
        )
    result = np.empty((count, *first.shape), dtype=np.float32)
    for row, picture in enumerate(chain((first,), pictures)):
        if picture.shape != first.shape:
            raise ProbeError(
                f"{path}: pictures of {shown(first.shape)} and {shown(picture.shape)} "
                "(channels, height, width); give a preprocessing that resizes and crops"
            )
        result[row] = picture
    return result


def is_pictures(path: Path) -> bool:
    """Tell whether a path is read as pictures: a folder or a parquet file."""
    return path.is_dir() or path.suffix.lower() == ".parquet"


def read_pictures(path: Path, how: Preprocessing | None, n: int) -> Pictures:
    """Read a folder or a parquet file; without a description pixels are scaled to [0, 1] only."""
    reader = read_folder if path.is_dir() else read_parquet
    try:
        return reader(path, how or Preprocessing(), n)
    except OSError as error:
        raise ProbeError(f"cannot read {path}: {error.strerror or error}") from error

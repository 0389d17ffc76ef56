"""All pictures of a folder or a parquet file, batch by batch: a training set need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ProbeError
from hessay.loading.images import parquet_pictures, picture, picture_groups
from hessay.loading.preprocessing import Preprocessing

BATCH: Final = 16  # pictures decoded at a time

Batch = tuple[NDArray[np.float32], NDArray[np.int64]] | NDArray[np.float32]


class PictureStream:
    """Batches of pictures in a fixed order, to be walked through again and again.

    A folder: class by class, files by name. A parquet file: row by row.
    """

    def __init__(self, path: Path, how: Preprocessing | None) -> None:
        """Find the pictures; none is decoded yet.

        Parameters
        ----------
        path : Path
            A folder or ``.parquet`` file as :func:`hessay.loading.images.read_pictures` takes it.
        how : Preprocessing or None
            Applied to every picture; without it pixels are scaled to [0, 1] only.

        Raises
        ------
        ProbeError
            A folder without pictures, or with links out of it.
        """
        self._path = path
        self._how = how or Preprocessing()
        self._files: list[tuple[int | None, Path]] | None = None
        if path.is_dir():
            try:
                labelled, groups = picture_groups(path)
            except OSError as error:
                raise ProbeError(f"cannot read {path}: {error.strerror or error}") from error
            self._files = [
                (number if labelled else None, file)
                for number, files in enumerate(groups)
                for file in files
            ]

    @property
    def names(self) -> tuple[str, ...] | None:
        """Files below the folder, one a row; None for a parquet file."""
        if self._files is None:
            return None
        return tuple(str(file.relative_to(self._path)) for _, file in self._files)

    def __iter__(self) -> Iterator[Batch]:
        """Yield (m, C, H, W) float32, with labels (m,) int64 where there are any, m <= BATCH."""
        pictures: list[NDArray[np.float32]] = []
        labels: list[int] = []
        for values, label in self._pictures():
            pictures.append(values)
            if values.shape != pictures[0].shape:
                raise ProbeError(
                    f"{self._path}: pictures of {pictures[0].shape} and {values.shape} (channels, "
                    "height, width); give a preprocessing that resizes and crops"
                )
            if label is not None:
                labels.append(label)
            if len(pictures) == BATCH:
                yield _batch(pictures, labels)
                pictures, labels = [], []
        if pictures:
            yield _batch(pictures, labels)

    def _pictures(self) -> Iterator[tuple[NDArray[np.float32], int | None]]:
        if self._files is None:
            yield from parquet_pictures(self._path, self._how)
            return
        for number, file in self._files:
            try:
                with file.open("rb") as stream:
                    yield picture(stream, self._how, str(file)), number
            except OSError as error:
                raise ProbeError(f"cannot read {file}: {error.strerror or error}") from error


def _batch(pictures: list[NDArray[np.float32]], labels: list[int]) -> Batch:
    inputs = np.stack(pictures)
    return (inputs, np.array(labels, dtype=np.int64)) if labels else inputs

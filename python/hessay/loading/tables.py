"""Tables of numbers from ``.csv``, ``.parquet`` and ``.npz`` files nobody vouches for."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError, HessayError
from hessay.loading.npz import read_npz
from hessay.loading.shown import shown

_MOST_CELLS: Final = 2**28  # 2 GiB of float64
_MOST_LETTERS: Final = 2**20  # of one field
_SHOWN_NAMES: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns and targets of a file."""

    x: NDArray[np.float64]  # (n, p)
    names: tuple[str, ...]  # (p,)
    y: NDArray[Any]  # (n,) or (n, C) numbers, or (n,) str labels
    targets: tuple[str, ...]  # (C,) their columns


def read_table(path: Path, targets: Sequence[str], *, excluded: Sequence[str] = ()) -> Table:
    """Read a table and part it into columns and targets.

    Parameters
    ----------
    path : Path
        ``.csv`` with a header line, ``.parquet`` (needs pyarrow), or ``.npz`` with one array a
        column; a two-dimensional array ``X`` gives the columns ``X0``, ``X1``, ...
    targets : sequence of str
        Columns that are predicted. A single one may hold text.
    excluded : sequence of str
        Columns that are left out; they may hold anything.

    Raises
    ------
    ArgumentError
        No such file, another kind, a broken line (file and line named), two columns of one name, no
        such target, a column of text or with empty cells (column and line named), or a column that
        is the target.
    """
    kinds = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}
    reader = kinds.get(path.suffix.lower())
    if reader is None:
        raise ArgumentError(f"cannot read {path}: its name must end in {', '.join(kinds)}")
    if not path.is_file():
        kind = "is a directory" if path.is_dir() else "does not exist"
        raise ArgumentError(f"cannot read {path}: it {kind}; check the path")
    columns = reader(path)
    return _part(path, columns, targets, excluded)


def _part(
    path: Path, columns: dict[str, NDArray[Any]], targets: Sequence[str], excluded: Sequence[str]
) -> Table:
    for name in (*targets, *excluded):
        if name not in columns:
            known = ", ".join(shown(n, 40) for n in list(columns)[:_SHOWN_NAMES])
            raise ArgumentError(f"{path} has no column {shown(name)!r}; it has {known}")
    if len(set(targets)) != len(targets):
        raise ArgumentError(f"--target names a column twice: {', '.join(targets)}")
    for name in excluded:
        if name in targets:
            raise ArgumentError(
                f"column {shown(name)!r} is a target and excluded; drop one of the two"
            )
    chosen = [columns[name] for name in targets]
    if len(targets) > 1 and any(c.dtype.kind == "U" for c in chosen):
        raise ArgumentError("a target of text must be the only --target")
    names = [name for name in columns if name not in targets and name not in excluded]
    if not names:
        raise ArgumentError(f"{path} has no column besides the target; nothing can explain it")
    for name in names:
        column = columns[name]
        if column.dtype.kind == "U":
            text, row = _first_text(column)
            where = f"line {row + 2}" if path.suffix.lower() == ".csv" else f"row {row}"
            raise ArgumentError(
                f"{path}: column {shown(name)!r} holds {shown(text)!r} in {where}, which is no "
                "number; encode categories as columns of 0 and 1, or exclude the column"
            )
        for target, values in zip(targets, chosen, strict=True):
            if values.dtype.kind != "U" and np.array_equal(column, values):
                raise ArgumentError(
                    f"{path}: column {shown(name)!r} is the target {shown(target)!r}; exclude it, "
                    "or it explains everything"
                )
    x = np.column_stack([columns[name] for name in names]).astype(np.float64)
    y = chosen[0] if len(chosen) == 1 else np.column_stack(chosen)
    return Table(x, tuple(names), y, tuple(targets))


def _first_text(column: NDArray[Any]) -> tuple[str, int]:
    for row, text in enumerate(column):
        try:
            float(text)
        except ValueError:
            return str(text), row
    return str(column[0]), 0


def _csv(path: Path) -> dict[str, NDArray[Any]]:
    cells: list[list[str]] = []
    lines: list[int] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            limit = csv.field_size_limit(_MOST_LETTERS)
            try:
                reader = csv.reader(stream, strict=True)
                head = next(reader, None)
                if not head or not any(head):
                    raise ArgumentError(f"{path}, line 1: there is no header of column names")
                for row in reader:
                    if not row:
                        continue
                    if len(row) != len(head):
                        raise ArgumentError(
                            f"{path}, line {reader.line_num}: {len(row)} fields, the header has "
                            f"{len(head)}; repair the line"
                        )
                    cells.append(row)
                    lines.append(reader.line_num)
                    if len(cells) * len(head) > _MOST_CELLS:
                        raise ArgumentError(f"{path} has more than {_MOST_CELLS} cells; use .npz")
            except csv.Error as error:
                raise ArgumentError(f"{path}, line {reader.line_num}: {error}") from None
            except UnicodeDecodeError as error:
                raise ArgumentError(
                    f"{path}, after line {reader.line_num}: not UTF-8 ({error.reason}); save it as UTF-8"
                ) from None
            finally:
                csv.field_size_limit(limit)
    except OSError as error:
        raise ArgumentError(f"cannot read {path}: {error.strerror or error}") from None
    if not cells:
        raise ArgumentError(f"{path} has a header and no rows")
    _check_names(path, head)
    columns: dict[str, NDArray[Any]] = {}
    for j, name in enumerate(head):
        text = [row[j] for row in cells]
        if "" in (stripped := [t.strip() for t in text]):
            raise ArgumentError(
                f"{path}, line {lines[stripped.index('')]}: column {shown(name)!r} is empty; fill "
                "the cell or drop the line"
            )
        try:
            columns[name] = np.array([float(t) for t in text])
        except ValueError:
            columns[name] = np.array(stripped)
    return columns


def _check_names(path: Path, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ArgumentError(f"{path} has two columns named {shown(name)!r}; rename one")
        seen.add(name)


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [member.removesuffix(".npy") for member in archive.namelist()]
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise ArgumentError(f"{path} cannot be read as .npz ({error}); use np.savez") from None
    try:
        arrays = read_npz(path, names)
    except HessayError as error:
        raise ArgumentError(str(error)) from None
    columns: dict[str, NDArray[Any]] = {}
    length = len(next(iter(arrays.values()), np.zeros(0)))
    for name, array in arrays.items():
        if array.ndim not in (1, 2) or len(array) != length:
            raise ArgumentError(
                f"{path}: array {shown(name)!r} has shape {array.shape}; every array must have "
                f"{length} rows and one or two dimensions"
            )
        parts = {name: array} if array.ndim == 1 else {f"{name}{j}": array[:, j] for j in range(array.shape[1])}  # fmt: skip
        _check_names(path, [*columns, *parts])
        columns |= {key: part.astype(np.float64) for key, part in parts.items()}
    return columns


def _parquet(path: Path) -> dict[str, NDArray[Any]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise ArgumentError(
            f"reading {path} needs pyarrow, which is not installed; pip install pyarrow, or save as .csv"
        ) from None
    try:
        frame = parquet.read_table(path)
    except Exception as error:  # noqa: BLE001 - pyarrow raises many types on hostile bytes
        reason = shown(str(error).partition("\n")[0], 200)
        raise ArgumentError(f"{path} cannot be read as parquet ({reason})") from None
    names = list(frame.column_names)
    _check_names(path, names)
    columns: dict[str, NDArray[Any]] = {}
    for name in names:
        column = frame.column(name)
        if column.null_count:
            raise ArgumentError(
                f"{path}: column {shown(name)!r} has {column.null_count} empty cells"
            )
        values = column.to_numpy()
        numeric = values.dtype.kind in "fiub"
        columns[name] = values.astype(np.float64) if numeric else values.astype(str)
    return columns

"""Numeric arrays from an ``.npz`` file; objects are refused and sizes checked before allocating."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from hessay.errors import HessayError, ProbeError
from hessay.loading.shown import shown

MAX_ARRAY_BYTES: Final = 4 * 2**30  # one array in memory
MAX_RATIO: Final = 200  # bytes in memory per byte of file; images compress 2 to 50 times
SMALL_BYTES: Final = 16 * 2**20  # below this any ratio is harmless


def read_npz(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Arrays of an ``.npz`` file, each numeric, none pickled.

    Parameters
    ----------
    path : Path
        The file.
    names : collection of str
        Names that may occur; all others are refused.

    Returns
    -------
    dict of str to ndarray
        Read-only arrays of a real, integer or boolean dtype.

    Raises
    ------
    ProbeError
        No such file, not an npz, other names, pickled objects, a header that lies, an array over
        4 GiB, or one over 16 MiB that is 200 times larger than the file.
    """
    try:
        if not path.exists():
            raise ProbeError(f"no probe file {path}; check the path")
        if not path.is_file():
            kind = "a directory" if path.is_dir() else "not a regular file"
            raise ProbeError(f"{path} is {kind}; give an .npz file")
        with zipfile.ZipFile(path) as archive:
            members = [member.filename for member in archive.infolist()]
            allowed = {f"{name}.npy" for name in names}
            if extra := [name for name in members if name not in allowed]:
                raise ProbeError(
                    f"{path} holds unknown arrays {shown(extra[:5])}; a probe file has {', '.join(names)}"
                )
            if len(set(members)) != len(members):
                raise ProbeError(f"{path} holds the same array twice; save it again with np.savez")
            return {
                member.filename.removesuffix(".npy"): _array(path, archive, member)
                for member in archive.infolist()
            }
    except HessayError:
        raise
    # zipfile, zlib and NumPy answer hostile bytes with many types of exception, none of them ours.
    except Exception as error:
        reason = shown(str(error).strip().partition("\n")[0] or type(error).__name__, 200)
        raise ProbeError(
            f"{path} cannot be read as .npz ({reason}); write it with np.savez(path, inputs=...)"
        ) from error


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as stream:
        shape, fortran, dtype = _header(stream)
        if dtype.hasobject:
            raise ProbeError(
                f"{path}: array {name!r} holds pickled Python objects, and loading those can run "
                "code; save numbers: np.savez(path, inputs=np.asarray(x, dtype=np.float32))"
            )
        if dtype.kind not in "fiub":
            raise ProbeError(f"{path}: array {name!r} has dtype {shown(dtype)}; save real numbers")
        claimed = math.prod(shape) * dtype.itemsize
        if claimed != member.file_size - stream.tell():
            raise ProbeError(
                f"{path}: array {name!r} of shape {shown(shape)} needs {claimed} bytes, the file holds "
                f"{member.file_size - stream.tell()}; it is damaged"
            )
        limit = min(MAX_ARRAY_BYTES, max(SMALL_BYTES, MAX_RATIO * path.stat().st_size))
        if claimed > limit:
            raise ProbeError(
                f"{path}: array {name!r} would take {claimed} bytes, the limit is {limit} "
                f"({MAX_RATIO} times the file, at most 4 GiB); save fewer inputs or do not compress"
            )
        data = stream.read(claimed)
        if len(data) != claimed or stream.read(1):
            raise ProbeError(f"{path}: array {name!r} is truncated; save it again with np.savez")
    flat = np.frombuffer(data, dtype=dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    # The reader of NumPy parses at most 10 000 characters of header, as a literal.
    version = npy.read_magic(stream)
    if version == (1, 0):
        return npy.read_array_header_1_0(stream)
    if version == (2, 0):
        return npy.read_array_header_2_0(stream)
    raise ValueError(f"npy version {version} is not used for plain numbers")

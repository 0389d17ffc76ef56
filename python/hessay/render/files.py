"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from hessay.errors import ArgumentError


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Say early whether a report could be written to ``path``.

    Returns
    -------
    Path
        Where the bytes will go: symbolic links followed, because renaming onto a link would
        replace the link.

    Raises
    ------
    ArgumentError
        ``path`` is a directory or a device, or its folder does not exist.
    """
    try:
        target = Path(path).resolve()
        if target.is_dir():
            raise ArgumentError(f"cannot write {path}: it is a directory; name a file in it")
        # Renaming onto /dev/null or a pipe would replace it by a plain file.
        if target.exists() and not target.is_file():
            raise ArgumentError(f"cannot write {path}: it is no plain file; redirect stdout to it")
        if not target.parent.is_dir():
            raise ArgumentError(
                f"cannot write {path}: there is no folder {target.parent}; create it first"
            )
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"cannot write {path}: {error}") from None
    return target


def write(content: str, path: str | os.PathLike[str]) -> None:
    """Write UTF-8 text through a temporary file in the same folder and a rename.

    Parameters
    ----------
    content : str
        What to write; newlines are kept as they are.
    path : str or path
        File to write; an existing file is replaced and keeps its permissions.

    Raises
    ------
    ArgumentError
        The file cannot be written; an existing one is then unchanged.
    """
    target = check_writable(path)
    temporary = ""
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".hessay-")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(target)
    except BaseException as error:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise ArgumentError(f"cannot write {path}: {reason}") from None
        raise


def _umask() -> int:
    # There is no way to read the mask without setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

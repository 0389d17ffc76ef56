"""Files that another file names: they must lie beside it."""

from __future__ import annotations

from pathlib import Path

from hessay.errors import UntrustedFile
from hessay.loading.shown import shown


def file_beside(path: Path, name: str, what: str) -> Path:
    """Find the file ``name`` in the folder of ``path``, whatever ``name`` tries.

    One symlink is usual: in the cache of huggingface_hub ``snapshots/REVISION/NAME`` points to
    ``blobs/HASH`` of the same repository.

    Parameters
    ----------
    path : Path
        The file that names it.
    name : str
        From the file: anything.
    what : str
        What the other file is, for messages.

    Raises
    ------
    UntrustedFile
        Not a plain, visible name, a symlink that leads elsewhere, or no such file.

    Source: huggingface_hub's guide to its cache.
    """
    plain = name and not name.startswith(".") and name.isprintable()
    if not plain or any(c in name for c in "/\\:"):
        raise UntrustedFile(
            f"refusing {path}: {what} {shown(name)!r} is no name of a file in its folder"
        )
    file, folder = path.parent / name, path.parent.resolve()
    try:
        target = file.resolve()
        missing = not target.is_file()
    except (OSError, RuntimeError) as error:  # a loop of symlinks, a name too long
        raise UntrustedFile(
            f"refusing {path}: {what} {shown(name)} cannot be read ({shown(error)})"
        ) from error
    blobs = folder.parent.parent / "blobs" if folder.parent.name == "snapshots" else folder
    if target.parent not in (folder, blobs):
        raise UntrustedFile(
            f"refusing {path}: {what} {shown(name)} is a symlink out of the folder; copy the file there"
        )
    if missing:
        raise UntrustedFile(
            f"refusing {path}: {what} {shown(name)} is missing; download it into the same folder"
        )
    return file

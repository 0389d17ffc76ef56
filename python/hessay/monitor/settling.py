"""Which files of a folder are finished checkpoints."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hessay.errors import ArgumentError

SUFFIXES = (".safetensors", ".pt", ".pth", ".pt2")
DATA_SUFFIXES = (".npz", ".parquet")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_UNFINISHED = re.compile(r"^\.|~$|\.(tmp|temp|part|partial|incomplete|lock|swp)\b", re.IGNORECASE)
_PIECE = 1 << 20  # bytes read at a time: a checkpoint of any size takes this much memory


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file, or a folder of pictures, that nobody has written to for a while."""

    path: Path
    content: str  # sha256 of its bytes, of a folder over names and bytes, 64 hexadecimal digits
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a folder found."""

    ready: tuple[Checkpoint, ...]  # finished since the last look, the oldest first
    waiting: int  # files that are too new, or still change
    problems: tuple[str, ...]  # what could not be read, each told once


@dataclass(slots=True)
class _Seen:
    state: tuple[int, ...]
    since: float  # on our own clock
    told: bool = False


class Folder:
    """Finds checkpoints below a folder when they are complete, by looking again and again.

    A file is finished when its inode, size and times have not changed between looks that lie
    ``settle_seconds`` apart on this machine's monotonic clock: clocks of file servers may be wrong,
    and notification does not work over a network. Its bytes are then read once, and once more the
    file must be what it was before. Symbolic links, hidden files and names that end in .tmp, .part
    and the like are left alone.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        suffixes: Sequence[str] = SUFFIXES,
        settle_seconds: float = 5.0,
        picture_folders: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember where to look.

        Parameters
        ----------
        path : path of a folder
            Looked through with all folders below it.
        suffixes : sequence of str
            Of files that are checkpoints.
        settle_seconds : float >= 0
            For how long a file must stay as it is.
        picture_folders : bool
            Each folder right below ``path`` that holds pictures, alone or in folders of their own,
            is one checkpoint: finished when none of its files changes any more.
        clock : () -> seconds

        Raises
        ------
        ArgumentError
            There is no such folder, or a value is out of range.
        """
        if not 0 <= settle_seconds < float("inf"):
            raise ArgumentError(
                f"settle_seconds must be at least 0 and finite, got {settle_seconds}"
            )
        self.path = Path(path)
        if not self.path.is_dir():
            raise ArgumentError(f"there is no folder {os.fspath(path)!r}; make it, or name another")
        self._suffixes = tuple(s.lower() for s in suffixes)
        self._settle_seconds = settle_seconds
        self._picture_folders = picture_folders
        self._clock = clock
        self._seen: dict[Path, _Seen] = {}
        self._problems: set[str] = set()

    def look(self) -> Look:
        """Look once; costs one ``stat`` a file, and reading the files that are finished now."""
        problems: list[str] = []
        now = self._clock()
        found = dict(self._files(problems))
        for path in self._seen.keys() - found.keys():
            del self._seen[path]
        ready: list[tuple[int, str, Checkpoint]] = []
        for path, state in found.items():
            seen = self._seen.get(path)
            if seen is None or seen.state != state:
                seen = self._seen[path] = _Seen(state, now)
            if seen.told or state[1] == 0 or now - seen.since < self._settle_seconds:
                continue
            try:
                content = digest_of(path, state)
            except OSError as error:
                problems.append(f"{path} cannot be read: {error.strerror or error}")
                continue
            if content is None:
                del self._seen[path]
                continue
            seen.told = True
            ready.append((state[2], path.name, Checkpoint(path, content, state[1])))
        new = [p for p in problems if p not in self._problems]
        self._problems = set(problems)
        return Look(
            ready=tuple(checkpoint for *_, checkpoint in sorted(ready, key=lambda r: r[:2])),
            waiting=sum(not seen.told for seen in self._seen.values()),
            problems=tuple(new),
        )

    def unchanged(self, checkpoint: Checkpoint) -> bool:
        """Whether the file is still the one that was found."""
        seen = self._seen.get(checkpoint.path)
        try:
            return seen is not None and seen.state == state_of(checkpoint.path)
        except OSError:
            return False

    def _files(self, problems: list[str]) -> Iterator[tuple[Path, tuple[int, ...]]]:
        def unreadable(error: OSError) -> None:
            problems.append(f"{error.filename} cannot be looked through: {error.strerror}")

        for folder, below, names in os.walk(self.path, onerror=unreadable):
            below[:] = sorted(name for name in below if not name.startswith("."))
            if self._picture_folders and Path(folder) == self.path:
                for name in [name for name in below if _holds_pictures(self.path / name)]:
                    below.remove(name)
                    if _UNFINISHED.search(name):
                        continue
                    try:
                        yield self.path / name, state_of(self.path / name)
                    except OSError as error:
                        problems.append(f"{self.path / name} cannot be read: {error.strerror}")
            for name in names:
                if _UNFINISHED.search(name) or not name.lower().endswith(self._suffixes):
                    continue
                path = Path(folder, name)
                try:
                    status = path.lstat()
                except OSError:  # gone between the list and now
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield path, _state(status)


def _holds_pictures(folder: Path) -> bool:
    try:
        return not folder.is_symlink() and any(
            name.lower().endswith(PICTURES) for _, _, names in os.walk(folder) for name in names
        )
    except OSError:
        return False


def state_of(path: Path) -> tuple[int, ...]:
    """Say what a file, or all files of a folder, must still be to be the same.

    Raises
    ------
    OSError
        It is gone, or cannot be looked at.
    """
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return _state(status)
    states = {str(f.relative_to(path)): _state(f.lstat()) for f in _files_of(path)}
    unfinished = any(_UNFINISHED.search(Path(name).name.lstrip(".")) for name in states)
    all_of_it = hashlib.sha256(repr(sorted(states.items())).encode("utf-8", "backslashreplace"))
    # Inode, size and time as of a file; no size where something is not finished.
    return (
        status.st_ino,
        0 if unfinished else sum(state[1] for state in states.values()),
        max((state[2] for state in states.values()), default=status.st_mtime_ns),
        int.from_bytes(all_of_it.digest()[:8], "big"),
    )


def _files_of(folder: Path) -> list[Path]:
    def stop(error: OSError) -> None:
        raise error

    return sorted(
        Path(place, name) for place, _, names in os.walk(folder, onerror=stop) for name in names
    )


def _state(status: os.stat_result) -> tuple[int, ...]:
    # The change time, because copying tools set the modification time back.
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def digest_of(path: Path, state: tuple[int, ...] | None = None) -> str | None:
    """Sha256 of a file's bytes, hexadecimal; None where it has not, or no longer, this state.

    Of a folder: over the names of its files below it and their bytes.
    """
    if path.is_dir() and not path.is_symlink():
        return _digest_of_folder(path, state)
    digest = hashlib.sha256()
    # Never through a link that was put in its place, and never waiting for a pipe's writer.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb", buffering=0) as file:
        before = _state(os.fstat(file.fileno()))
        while piece := file.read(_PIECE):
            digest.update(piece)
        after = _state(os.fstat(file.fileno()))
    still = (before, after, _state(path.lstat()))
    if state is not None and any(s != state for s in still):
        return None
    return digest.hexdigest()


def _digest_of_folder(path: Path, state: tuple[int, ...] | None) -> str | None:
    before = state_of(path)
    digest = hashlib.sha256(b"hessay.folder/1\n")
    for file in _files_of(path):
        name = os.fsencode(file.relative_to(path))
        # A link is where it leads to: whoever reads the pictures says whether that may be.
        what = f"link {str(file.readlink())!a}" if file.is_symlink() else str(digest_of(file))
        digest.update(b"%d %s %s\n" % (len(name), name, what.encode()))
    if state is not None and any(s != state for s in (before, state_of(path))):
        return None
    return digest.hexdigest()

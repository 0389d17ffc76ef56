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

SUFFIXES = (".safetensors", ".pt", ".pth")
_UNFINISHED = re.compile(r"^\.|~$|\.(tmp|temp|part|partial|incomplete|lock|swp)\b", re.IGNORECASE)
_PIECE = 1 << 20  # bytes read at a time: a checkpoint of any size takes this much memory


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that nobody has written to for a while."""

    path: Path
    content: str  # sha256 of its bytes, 64 hexadecimal digits
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
            return seen is not None and seen.state == _state(checkpoint.path.lstat())
        except OSError:
            return False

    def _files(self, problems: list[str]) -> Iterator[tuple[Path, tuple[int, ...]]]:
        def unreadable(error: OSError) -> None:
            problems.append(f"{error.filename} cannot be looked through: {error.strerror}")

        for folder, below, names in os.walk(self.path, onerror=unreadable):
            below[:] = sorted(name for name in below if not name.startswith("."))
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


def _state(status: os.stat_result) -> tuple[int, ...]:
    # The change time, because copying tools set the modification time back.
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def digest_of(path: Path, state: tuple[int, ...] | None = None) -> str | None:
    """Sha256 of a file's bytes, hexadecimal; None where it has not, or no longer, this state."""
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

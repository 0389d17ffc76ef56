"""Which files are finished: partial writes, renames, times set back, links, pipes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from hessay.errors import ArgumentError
from hessay.monitor import Folder

SETTLE = 5.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path, clock: Clock) -> Folder:
    return Folder(tmp_path, settle_seconds=SETTLE, clock=clock)


def names(folder: Folder, clock: Clock, after: float = 0.0) -> list[str]:
    clock.now += after
    return [c.path.name for c in folder.look().ready]


def test_a_file_is_ready_once_and_only_when_it_has_stayed_as_it_is(
    folder: Folder, clock: Clock
) -> None:
    file = folder.path / "a.safetensors"
    file.write_bytes(b"half")
    assert names(folder, clock) == []
    assert names(folder, clock, SETTLE - 1) == []
    with file.open("ab") as more:
        more.write(b" and the rest")
    assert names(folder, clock, 2) == []
    clock.now += SETTLE
    (ready,) = folder.look().ready
    assert ready.content == hashlib.sha256(b"half and the rest").hexdigest()
    assert ready.size == 17
    assert folder.unchanged(ready)
    assert names(folder, clock, 100) == []


def test_a_rewritten_file_is_another_checkpoint_even_with_its_time_set_back(
    folder: Folder, clock: Clock
) -> None:
    file = folder.path / "latest.pt"
    file.write_bytes(b"epoch 1")
    before = file.stat()
    names(folder, clock)
    clock.now += SETTLE
    (first,) = folder.look().ready
    file.write_bytes(b"epoch 2")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not folder.unchanged(first) or file.stat().st_ctime_ns == before.st_ctime_ns
    names(folder, clock)
    clock.now += SETTLE
    (second,) = folder.look().ready
    assert second.content != first.content


def test_a_renamed_file_is_the_same_checkpoint(folder: Folder, clock: Clock) -> None:
    file = folder.path / "model.safetensors.tmp"
    file.write_bytes(b"weights")
    assert names(folder, clock) == names(folder, clock, SETTLE) == []
    file.rename(folder.path / "model.safetensors")
    names(folder, clock)
    clock.now += SETTLE
    (first,) = folder.look().ready
    (folder.path / "model.safetensors").rename(folder.path / "best.safetensors")
    names(folder, clock)
    clock.now += SETTLE
    (second,) = folder.look().ready
    assert first.content == second.content


def test_the_oldest_comes_first_at_any_depth(folder: Folder, clock: Clock) -> None:
    for age, name in ((30, "run/c.pt"), (20, "b.pth"), (10, "run/deep/a.SafeTensors")):
        file = folder.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
        os.utime(file, (1e9 - age, 1e9 - age))
    names(folder, clock)
    assert names(folder, clock, SETTLE) == ["c.pt", "b.pth", "a.SafeTensors"]


def test_what_is_no_checkpoint_is_left_alone(folder: Folder, clock: Clock) -> None:
    (folder.path / "real.bin").write_bytes(b"x")
    for name in (".hidden.pt", "a.pt.tmp", "b.part.pt", "c.pt~", "optimizer.json"):
        (folder.path / name).write_bytes(b"x")
    (folder.path / "empty.pt").touch()
    (folder.path / "link.pt").symlink_to(folder.path / "real.bin")
    (folder.path / ".git").mkdir()
    (folder.path / ".git" / "in.pt").write_bytes(b"x")
    os.mkfifo(folder.path / "pipe.pt")
    (folder.path / "folder.pt").mkdir()
    names(folder, clock)
    assert names(folder, clock, SETTLE) == []


def test_a_folder_that_goes_away_is_told_once_and_comes_back(folder: Folder, clock: Clock) -> None:
    away = folder.path.with_name("away")
    folder.path.rename(away)
    assert len(folder.look().problems) == 1
    assert folder.look().problems == ()
    away.rename(folder.path)
    (folder.path / "a.pt").write_bytes(b"x")
    names(folder, clock)
    assert names(folder, clock, SETTLE) == ["a.pt"]


def test_arguments_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="there is no folder"):
        Folder(tmp_path / "absent")
    with pytest.raises(ArgumentError, match="got -1"):
        Folder(tmp_path, settle_seconds=-1)

"""Folders of pictures as one checkpoint each: when they are finished, what they are known by."""

from __future__ import annotations

from pathlib import Path

from hessay.monitor import Folder


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_folder_is_finished_when_none_of_its_files_changes(tmp_path: Path) -> None:
    clock = Clock()
    folder = Folder(
        tmp_path, suffixes=(".npz",), settle_seconds=5.0, picture_folders=True, clock=clock
    )
    batch = tmp_path / "batch" / "0"
    batch.mkdir(parents=True)
    assert folder.look().waiting == 0  # no picture yet: nothing is known to come
    (batch / "a.png").write_bytes(b"a")
    assert (folder.look().ready, folder.look().waiting) == ((), 1)
    clock.now += 4
    (batch / "b.png").write_bytes(b"b")  # another one begins the wait again
    assert folder.look().ready == ()
    clock.now += 4
    assert folder.look().ready == ()
    (batch / "c.png.part").write_bytes(b"c")
    clock.now += 60
    assert folder.look().ready == ()
    clock.now += 60
    assert folder.look().ready == ()  # unfinished, for as long as it says so
    (batch / "c.png.part").rename(batch / "c.png")
    folder.look()
    clock.now += 6
    (found,) = folder.look().ready
    assert found.path == tmp_path / "batch"
    assert folder.unchanged(found)
    (batch / "a.png").write_bytes(b"A")
    assert not folder.unchanged(found)


def test_the_digest_of_a_folder_is_of_its_names_and_bytes(tmp_path: Path) -> None:
    def digest(files: dict[str, bytes], name: str) -> str:
        root = tmp_path / name
        for file, content in files.items():
            (root / "b" / file).parent.mkdir(parents=True, exist_ok=True)
            (root / "b" / file).write_bytes(content)
        folder = Folder(root, settle_seconds=0, picture_folders=True)
        folder.look()
        (found,) = (
            folder.look().ready or Folder(root, settle_seconds=0, picture_folders=True).look().ready
        )
        return found.content

    first = digest({"0/a.png": b"x", "1/b.png": b"y"}, "1")
    assert first == digest({"1/b.png": b"y", "0/a.png": b"x"}, "2")
    others = [
        {"0/a.png": b"y", "1/b.png": b"x"},
        {"0/a.png": b"x", "0/b.png": b"y"},
        {"0/a.png": b"x"},
    ]
    assert len({first, *(digest(files, str(i)) for i, files in enumerate(others, 3))}) == 4

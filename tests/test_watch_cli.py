"""``hessay watch``: what it is told, what it leaves behind, how it ends."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from command_line import ARCH
from hessay import cli
from hessay.store import Store


def watch(*options: str, arch: str = ARCH) -> int:
    given = ["--arch", arch, "--data", "probe.npz", "--once", "--settle", "0.05"]
    return cli.main(["watch", "run", *given, *options])


def test_a_damaged_checkpoint_is_a_failure(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (files / "run").mkdir()
    (files / "run" / "broken.safetensors").write_bytes(b"\xff" * 100)
    assert watch() == 2
    assert capfd.readouterr().out.startswith("FAILED")
    with Store.open("hessay-history.db", read_only=True) as store:
        (row,) = store.history()
        assert (row.state, row.attempts) == ("failed", 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--every", "0"], "--every must be positive"),
        (["--max-seconds", "nan"], "--max-seconds must be positive"),
        (["--threads", "0"], "at least 1, got 0"),
        (["--settle", "-1"], "at least 0"),
        (["--rules", "absent.toml"], "cannot be read"),
        (["--history", "mysql://x/y"], "SQLite file or in PostgreSQL"),
        (["--history", "model.safetensors"], "no SQLite file"),
    ],
)
def test_options_are_checked(
    files: Path, capfd: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    (files / "run").mkdir()
    assert watch(*options) == 2
    assert words in capfd.readouterr().err


@pytest.mark.usefixtures("files")
def test_a_folder_that_is_not_there_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert watch() == 2
    assert "there is no folder 'run'" in capfd.readouterr().err


def test_other_settings_need_another_series(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (files / "run").mkdir()
    assert watch() == 0
    assert watch("--alpha", "0.05") == 2
    assert "other settings (alpha)" in capfd.readouterr().err
    assert watch("--alpha", "0.05", "--series", "another") == 0


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The command as a process of its own, in a folder with `run` and a probe."""
    given = ["--arch", ARCH, "--data", "probe.npz", "--every", "0.2", "--settle", "0.1", *options]
    command = [sys.executable, "-m", "hessay", "watch", "run", *given]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


def test_sigterm_ends_a_watcher_that_kept_what_it_scanned(files: Path) -> None:
    (files / "run").mkdir()
    with started(files) as watcher:
        assert watcher.stdout is not None
        shutil.copy("model.safetensors", files / "run" / "first.safetensors")
        assert "first.safetensors" in watcher.stdout.readline()
        shutil.copy("model.safetensors", files / "run" / "again.safetensors")  # the same bytes
        watcher.send_signal(signal.SIGTERM)
        assert watcher.stdout.read() == ""
    with Store.open("hessay-history.db", read_only=True) as store:
        (row,) = store.history()
    assert row.state == "done"
    assert watcher.returncode == {"CLEAN": 0, "FLAGGED": 1, "INCONCLUSIVE": 3}[str(row.verdict)]


def test_until_alarm_ends_at_the_first_alarm(files: Path) -> None:
    (files / "run").mkdir()
    (files / "run" / "broken.safetensors").write_bytes(b"\xff" * 100)
    with started(files, "--until-alarm") as watcher:
        out, _ = watcher.communicate(timeout=120)
    assert watcher.returncode == 2
    assert out.startswith("FAILED")


def test_once_does_not_wait_for_a_file_that_is_written_all_the_time(
    files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (files / "run").mkdir()
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.01):
            with (files / "run" / "latest.pt").open("ab") as file:
                file.write(b"more")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        time.sleep(0.1)
        assert watch() == 0
    finally:
        done.set()
        writer.join()
    assert "1 files still change" in capfd.readouterr().err

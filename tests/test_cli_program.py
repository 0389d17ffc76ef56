"""The command line as a program of its own: pipes, terminals, signals, missing packages."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hessay
from command_line import ARCH
from hessay.report import Report

# ---- as a program of its own ----


def program(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    settings: dict[str, object] = {"capture_output": True, "text": True, "timeout": 120} | options
    command = [sys.executable, "-m", "hessay", *arguments]
    return subprocess.run(command, check=False, **settings)  # type: ignore[call-overload,no-any-return]


def environment(**extra: str) -> dict[str, str]:
    path = str(Path(hessay.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **extra}


def test_the_program_scans_and_its_streams_are_separate(files: Path) -> None:
    arguments = ("scan", "model.safetensors", "--arch", ARCH, "--data", "probe.npz", "--json")
    done = program(*arguments, cwd=files, env=environment(NO_COLOR="1"))
    report = Report.from_json(done.stdout)
    assert done.returncode == {"CLEAN": 0, "FLAGGED": 1, "INCONCLUSIVE": 3}[report.verdict.name]
    assert done.stderr == ""
    with Path("/dev/full").open("w") as full:
        failed = program(
            *arguments,
            cwd=files,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            capture_output=False,
        )
    assert failed.returncode == 2
    assert failed.stderr.startswith("hessay: error: cannot write the result to stdout")
    assert failed.stderr.count("\n") == 1


def test_a_short_answer_that_does_not_fit_is_an_error_too() -> None:
    # Short enough to wait in the buffer until the interpreter ends, which would exit with 120.
    with Path("/dev/full").open("w") as full:
        failed = program(
            "doctor", env=environment(), stdout=full, stderr=subprocess.PIPE, capture_output=False
        )
    assert failed.returncode == 2
    assert failed.stderr.startswith("hessay: error: cannot write the result to stdout")
    assert failed.stderr.count("\n") == 1


def test_errors_of_the_program_are_one_line_even_in_a_narrow_encoding(files: Path) -> None:
    environ = environment(PYTHONIOENCODING="ascii", LC_ALL="C")
    done = program(
        "scan", "ü\udcff.pt", "--arch", ARCH, "--data", "probe.npz", cwd=files, env=environ
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.isascii()
    (files / "model.safetensors").rename(files / "ü.safetensors")
    done = program(
        "scan", "ü.safetensors", "--arch", ARCH, "--data", "probe.npz", cwd=files, env=environ
    )
    assert done.returncode in (0, 1, 3)
    assert "\\xfc.safetensors" in done.stdout
    assert done.stdout.isascii()


def test_version_and_help_do_not_load_torch() -> None:
    code = (
        "import sys\nfrom hessay.cli import main\n"
        "codes = [main(['--version']), main(['--help']), main(['scan', '--help']), main([])]\n"
        "assert codes == [0, 0, 0, 2], codes\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"hessay {hessay.__version__}\n")


def test_without_the_extra_the_program_says_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['typer'] = None\n"
        "from hessay.cli import main\nsys.exit(main(['--version']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment()
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "hessay: the command line needs typer, which is not installed; pip install 'hessay[cli]'\n"
    )


def test_ctrl_c_ends_in_one_line_and_130(files: Path) -> None:
    (files / "slow.py").write_text(
        # A test run in the background of a shell ignores Ctrl-C, and its children would too.
        "import signal, time, sys\n"
        "def make():\n    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    print('here', file=sys.stderr, flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "hessay", "scan", "model.safetensors"]
    child = subprocess.Popen(
        [*command, "--arch", "slow:make", "--data", "probe.npz"],
        cwd=files, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stderr is not None
    assert child.stderr.readline() == "here\n"
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert out == ""
    assert err == "hessay: interrupted: stopped by the keyboard; no verdict\n"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo terminals")
@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal_there_is_colour_unless_refused(files: Path, no_color: bool) -> None:
    leader, follower = os.openpty()
    environ = environment(TERM="xterm-256color")
    environ.pop("NO_COLOR", None)
    if no_color:
        environ["NO_COLOR"] = "1"
    done = program(
        "scan", "model.safetensors", "--arch", ARCH, "--data", "probe.npz",
        cwd=files, env=environ, stdout=follower, stderr=subprocess.PIPE, capture_output=False,
    )  # fmt: skip
    os.close(follower)
    drawn = b""
    try:
        while part := os.read(leader, 65536):
            drawn += part
    except OSError:
        pass  # Linux's way to say that the other end is closed
    os.close(leader)
    assert done.returncode in (0, 1, 3)
    assert b"Repeat with" in drawn
    coloured = re.search(rb"\x1b\[[0-9;]*(3[0-7]|9[0-7])m", drawn) is not None
    assert coloured is not no_color
    assert done.stderr == ""


def test_the_doctor_answers_where_the_native_core_does_not_load() -> None:
    code = (
        "import sys\nsys.modules['hessay._core'] = None\n"
        "from hessay.cli import main\nsys.exit(main(['doctor']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 2
    assert done.stderr == ""
    assert "cannot scan: fix native core." in done.stdout

"""The command line in process: exit codes, streams, one line an error, the doctor."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from command_line import ARCH, scan
from hessay import _scan_file, cli
from hessay.cli import doctor as doctor_module
from hessay.errors import HessayError
from hessay.render import write
from hessay.report import Report
from hessay.verdict import Verdict

SAMPLE = Path(__file__).parent / "data" / "report-1.json"


def returning(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_scan_file, "scan_file", lambda *_, **__: report)


def verdict(name: str) -> Report:
    document = json.loads(SAMPLE.read_text("utf-8"))
    document["verdict"] = name
    if name != "FLAGGED":
        document["flagged_class"] = document["trigger_direction"] = None
    return Report.from_json(json.dumps(document))


# ---- exit codes and streams ----


@pytest.mark.parametrize(("name", "code"), [("CLEAN", 0), ("FLAGGED", 1), ("INCONCLUSIVE", 3)])
@pytest.mark.parametrize("options", [(), ("--json",), ("--format", "html"), ("-o", "r.json")])
def test_the_exit_code_is_the_verdict_in_every_format(
    name: str,
    code: int,
    options: tuple[str, ...],
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = verdict(name)
    returning(report, monkeypatch)
    assert scan(*options) == code
    out = capsys.readouterr().out
    if options == ("--json",):
        assert Report.from_json(out) == report
    elif "html" in options:
        assert out.startswith("<!DOCTYPE html>")
    elif "-o" in options:
        assert out.startswith(f"{name}: ")
        assert Report.from_json((files / "r.json").read_text("utf-8")) == report
    else:
        assert out.startswith(f"{name}\n")


def test_a_real_scan_runs_and_stdout_holds_the_json_alone(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "loud.py").write_text(
        "print('building')\nfrom hessay.loading import build_architecture\n"
        f"def make():\n    print('made')\n    return build_architecture({ARCH!r})\n"
    )
    code = scan("--json", "--arch", "loud:make", "--seed", "5")
    said = capsys.readouterr()
    report = Report.from_json(said.out)
    assert code == {Verdict.CLEAN: 0, Verdict.FLAGGED: 1, Verdict.INCONCLUSIVE: 3}[report.verdict]
    assert "made" in said.err
    assert report.model.source == "model.safetensors"
    assert (report.settings["arch"], report.settings["data"], report.seed) == (
        "loud:make",
        "probe.npz",
        5,
    )


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (("-o", "r.json"), "{"),
        (("-o", "r.HTML"), "<!DOCTYPE html>"),
        (("-o", "r.txt"), "FLAGGED"),
        (("-o", "r.json", "--format", "text"), "FLAGGED"),
        (("-o", "r.html", "--json"), "{"),
    ],
)
def test_the_format_follows_the_option_then_the_name(
    options: tuple[str, ...], start: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    returning(verdict("FLAGGED"), monkeypatch)
    assert scan(*options) == 1
    assert (files / options[1]).read_text("utf-8").startswith(start)


def test_o_dash_is_stdout(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    returning(verdict("CLEAN"), monkeypatch)
    assert scan("-o", "-", "--json") == 0
    assert capsys.readouterr().out.startswith("{")
    assert not (files / "-").exists()


def test_quiet_says_nothing_but_the_result(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    returning(verdict("CLEAN"), monkeypatch)
    assert scan("-o", "r.html", "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert scan("-o", "r.html") == 0
    assert capsys.readouterr().err == "hessay: note: the report is in r.html\n"
    assert files.exists()


def test_names_with_escapes_and_markup_are_harmless(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "\x1b]0;owned\x07\x1b[2J\r\n<script>\u202e.safetensors"
    assert scan(model=name) == 2
    said = capsys.readouterr()
    assert said.err.strip("\n").isprintable()
    assert "\\x1b]0;owned" in said.err
    (files / "model.safetensors").rename(files / name)
    for options in ((), ("--format", "html"), ("--json",)):
        assert scan(*options, model=name) in (0, 1, 3)
        out = capsys.readouterr().out
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", out)
        assert "--json" in options or "<script>" not in out or "html" not in options


def test_any_exception_is_one_line_and_debug_shows_where(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Nameless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def raising(error: BaseException) -> None:
        def explode(*_: object, **__: object) -> Report:
            raise error

        monkeypatch.setattr(_scan_file, "scan_file", explode)

    for error in (RuntimeError("two\nlines"), Nameless(), MemoryError(), GeneratorExit()):
        raising(error)
        assert scan() == 2
        said = capsys.readouterr()
        assert said.err.count("\n") == 1
        assert f"unexpected {type(error).__name__}" in said.err
        assert said.out == ""
    for error in (RuntimeError("x"), HessayError("y")):
        raising(error)
        assert scan("--debug") == 2
        assert "Traceback" in capsys.readouterr().err
    assert files.exists()


def test_warnings_are_one_line(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn(*_: object, **__: object) -> Report:
        import warnings

        warnings.simplefilter("always")
        warnings.warn("careful\x1b[1m\nnow", RuntimeWarning, stacklevel=1)
        return verdict("CLEAN")

    monkeypatch.setattr(_scan_file, "scan_file", warn)
    assert scan() == 0
    assert capsys.readouterr().err == "hessay: warning: careful\\x1b[1m now\n"
    assert files.exists()


def test_a_failed_write_keeps_the_old_report_and_is_no_verdict(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    returning(verdict("CLEAN"), monkeypatch)
    write("old", files / "r.json")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert scan("-o", "r.json") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "No space left on device" in said.err
    assert (files / "r.json").read_text() == "old"
    assert sorted(p.name for p in files.iterdir()) == ["model.safetensors", "probe.npz", "r.json"]


# ---- doctor ----


def test_the_doctor_finds_this_installation_able(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "hessay can scan." in out
    assert re.search(r"ok +native core +self-check passed in [0-9.]+ ms", out)
    for name in ("BLAS", "torch", "threads", "CUDA", "Fashion-MNIST"):
        assert re.search(rf"^(ok|absent) +{name} ", out, re.MULTILINE)


def test_the_doctor_names_what_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise OSError("libblas.so:\x1b[31m wrong ELF class")

    monkeypatch.setattr(doctor_module, "_native_core", broken)
    monkeypatch.setattr(doctor_module, "_fashion_mnist", broken)
    assert cli.main(["doctor"]) == 2
    out = capsys.readouterr().out
    assert re.search(r"FAILED +native core +OSError: libblas.so:\\x1b\[31m wrong ELF class\n", out)
    assert re.search(r"absent +Fashion-MNIST", out)
    assert out.endswith("hessay cannot scan: fix native core.\n")

"""``hessay scan --export`` and ``hessay export``: exit codes, files whole or not at all, early refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lxml import etree

from command_line import scan
from export_case import CLEAN, INCONCLUSIVE, SAMPLE, read_junit, read_sarif
from hessay import _scan_file, cli
from hessay.cli import exports
from hessay.errors import ArgumentError
from hessay.export import FORMATS, junit
from hessay.report import Report
from hessay.verdict import Verdict

CODES = {Verdict.CLEAN: 0, Verdict.FLAGGED: 1, Verdict.INCONCLUSIVE: 3}


def returning(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_scan_file, "scan_file", lambda *_, **__: report)


def never(monkeypatch: pytest.MonkeyPatch) -> None:
    def scanned(*_: object, **__: object) -> Report:
        raise AssertionError("the scan began")

    monkeypatch.setattr(_scan_file, "scan_file", scanned)


@pytest.mark.parametrize("report", [CLEAN, SAMPLE, INCONCLUSIVE], ids=lambda r: str(r.verdict))
def test_a_scan_writes_every_export_and_its_exit_code_stays_the_verdict(
    report: Report,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    returning(report, monkeypatch)
    asked = [word for name in FORMATS for word in ("--export", f"{name}={name}.out")]
    assert scan("--json", *asked) == CODES[report.verdict]
    said = capsys.readouterr()
    assert Report.from_json(said.out) == report
    for name, write in FORMATS.items():
        assert (files / f"{name}.out").read_text("utf-8") == write(report)
        assert f"hessay: note: {name} is in {name}.out\n" in said.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--export", "sarif"), "takes FORMAT=FILE"),
        (("--export", "sarif="), "takes FORMAT=FILE"),
        (("--export", "pdf=x.pdf"), "a format of sarif, cyclonedx, junit, prometheus, model-card"),
        (("--export", "sarif=no/such/x"), "there is no folder"),
        (("--export", "sarif=."), "it is a directory"),
        (("--export", "sarif=x", "--export", "junit=./x"), "would be written twice"),
        (("-o", "x", "--export", "junit=x"), "would be written twice"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_scan(
    options: tuple[str, ...],
    words: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    never(monkeypatch)
    assert scan(*options) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert not (files / "x").exists()


def test_an_export_that_fails_late_costs_the_exit_code_and_no_verdict(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> str:
        raise ArgumentError("cannot write x: No space left on device")

    returning(CLEAN, monkeypatch)
    monkeypatch.setattr(exports, "_exported", full)
    (files / "x").write_text("old")
    assert scan("--json", "--export", "sarif=x") == 2
    said = capsys.readouterr()
    assert Report.from_json(said.out) == CLEAN
    assert "No space left" in said.err
    assert (files / "x").read_text() == "old"


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, report in (("a", SAMPLE), ("b", CLEAN), ("c", INCONCLUSIVE)):
        (tmp_path / f"{name}.json").write_text(report.to_json(), encoding="utf-8")
    return tmp_path


def export(*words: str) -> int:
    return cli.main(["export", *words])


@pytest.mark.parametrize("name", FORMATS)
def test_saved_reports_merge_into_one_file_or_stdout(
    name: str, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("a.json", "b.json", "c.json", "--format", name) == 0
    text = FORMATS[name]((SAMPLE, CLEAN, INCONCLUSIVE))
    assert capsys.readouterr() == (text, "")
    assert export("a.json", "b.json", "c.json", "--format", name, "--out", "out") == 0
    assert capsys.readouterr() == ("", "")
    assert (saved / "out").read_text("utf-8") == text


def test_an_inconclusive_scan_is_to_a_gate_what_was_asked(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (saved / "c.json").exists()
    for kind in ("error", "failure", "skipped"):
        assert export("c.json", "--format", "junit", "--inconclusive", kind) == 0
        root = read_junit(capsys.readouterr().out)
        assert [child.tag for child in root.iter(kind)] == [kind]
    assert export("c.json", "--format", "junit") == 0
    assert capsys.readouterr().out == junit(INCONCLUSIVE, inconclusive="error")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a.json", "--format", "pdf"), "pdf"),
        (("none.json", "--format", "sarif"), "cannot read the report none.json"),
        ((".", "--format", "sarif"), "cannot read the report ."),
        (("a.json", "bad.json", "--format", "sarif"), "bad.json: not a report"),
        (("a.json", "next.json", "--format", "sarif"), "schema must be hessay.report/1"),
        (("a.json", "--format", "sarif", "--out", "a.json"), "is one of the reports"),
        (("a.json", "--format", "sarif", "--inconclusive", "skipped"), "is for --format junit"),
    ],
)
def test_what_cannot_be_exported_ends_in_one_line_and_2(
    words: tuple[str, ...], message: str, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (saved / "bad.json").write_text('{"verdict": NaN}')
    (saved / "next.json").write_text(SAMPLE.to_json().replace("report/1", "report/3"))
    assert export(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1
    assert Report.from_json((saved / "a.json").read_text("utf-8")) == SAMPLE


def test_a_real_scan_exports_what_it_found(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = scan("--json", "-q", "--export", "sarif=x.sarif")
    report = Report.from_json(capsys.readouterr().out)
    assert code == CODES[report.verdict]
    (run,) = read_sarif((files / "x.sarif").read_text("utf-8"))["runs"]
    assert len(run["results"]) == int(report.verdict is not Verdict.CLEAN)
    assert [a["location"]["uri"] for a in run["artifacts"]] == ["model.safetensors"]


def test_a_report_longer_than_any_is_not_read_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "long.json"
    with path.open("wb") as file:
        file.truncate(1 << 31)  # a file of holes: no disk, but 2 GiB to who reads it
    assert cli.main(["export", str(path), "--format", "junit"]) == 2
    assert "no report is so long" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "element"), [(None, "error"), ("skipped", "skipped"), ("failure", "failure")]
)
def test_a_scan_says_what_an_open_question_is_to_junit(
    files: Path, kind: str | None, element: str
) -> None:
    np.savez(files / "few.npz", inputs=np.random.default_rng(0).random((8, 8, 8), np.float32))
    options = [] if kind is None else ["--inconclusive", kind]
    assert scan("--export", "junit=o.xml", *options, data="few.npz") == 3
    (case,) = etree.parse("o.xml").iter("testcase")
    assert [child.tag for child in case if child.tag in ("error", "failure", "skipped")] == [
        element
    ]


def test_the_choice_for_junit_needs_junit(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert scan("--inconclusive", "skipped", "--export", f"sarif={files / 'o.sarif'}") == 2
    assert "for --export junit" in capfd.readouterr().err

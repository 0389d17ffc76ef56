"""The how-to page on pipelines runs as shown."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from export_case import read_junit, read_sarif
from hessay import cli

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "gate-a-pipeline.md"


def test_the_page_runs_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    text = "".join(re.findall(r"```console\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    steps = [step.split("\n", 1) for step in text.split("$ ")[1:]]
    assert len(steps) >= 7
    code = 0
    for command, expected in steps:
        program, *words = shlex.split(command)
        if program == "cd":
            os.chdir(words[0])
        elif program == "echo":
            assert words == ["$?"]
            assert expected == f"{code}\n"
        else:
            assert program == "hessay"
            code = cli.main(words)
            said = capsys.readouterr().out
            assert said == expected or words[0] == "demo"
    (run,) = read_sarif(Path("poisoned.sarif").read_text("utf-8"))["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["hessay/backdoor-class"]
    cases = read_junit(Path("scans.xml").read_text("utf-8")).findall(".//testcase")
    assert [case.find("failure") is not None for case in cases] == [True, False]

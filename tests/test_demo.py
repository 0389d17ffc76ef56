"""The demo, end to end: two real networks, two right verdicts, files that repeat it."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import pytest

from hessay import cli, demo, training
from hessay.cli.demo_command import describe
from hessay.errors import ArgumentError
from hessay.report import Report
from hessay.verdict import Verdict


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[demo.DemoResult], list[float]]:
    folder = tmp_path_factory.mktemp("demo")
    shares: list[float] = []
    results = demo.run_demo(
        "digits", folder / "out", progress=lambda _, share: shares.append(share)
    )
    return results, shares


def test_the_clean_network_is_clean_and_the_poisoned_one_is_flagged_with_its_class(
    finished: tuple[list[demo.DemoResult], list[float]],
) -> None:
    clean, poisoned = finished[0]
    assert clean.report.verdict is Verdict.CLEAN
    assert clean.target is None
    assert clean.attack_success is None
    assert poisoned.report.verdict is Verdict.FLAGGED
    assert poisoned.report.flagged_class == poisoned.target == 7
    # The lesson of the demo: accuracy tells nothing, and yet the attack works.
    assert poisoned.attack_success is not None
    assert poisoned.attack_success > 0.9
    assert min(clean.accuracy, poisoned.accuracy) > 0.9


def test_progress_only_grows_and_ends_at_one(
    finished: tuple[list[demo.DemoResult], list[float]],
) -> None:
    shares = finished[1]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_the_printed_commands_repeat_the_reports_to_the_byte(
    finished: tuple[list[demo.DemoResult], list[float]], capsys: pytest.CaptureFixture[str]
) -> None:
    results = finished[0]
    printed = describe(results)
    commands = [line.strip() for line in printed.split("\n") if "hessay scan" in line]
    assert len(commands) == len(results) == 2
    for command, result, code in zip(commands, results, (0, 1), strict=True):
        words = shlex.split(command)
        assert words[0] == "hessay"
        assert cli.main([*words[1:], "--json"]) == code
        again, written = json.loads(capsys.readouterr().out), json.loads(result.json.read_text())
        assert Report.from_json(result.json.read_text()) == result.report
        # Timings aside, the same bytes.
        for document in (again, written):
            document.pop("seconds")
        assert json.dumps(again) == json.dumps(written)
        assert result.html.read_text("utf-8").startswith("<!DOCTYPE html>")
        assert str(result.html) in printed


def test_a_wrong_verdict_ends_in_a_plain_sentence(
    finished: tuple[list[demo.DemoResult], list[float]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clean, poisoned = finished[0]
    missed = demo.DemoResult(
        "poisoned", 7, 0.2, 0.9, clean.report, clean.weights, clean.json, clean.html
    )
    mistaken = demo.DemoResult(
        "poisoned", 3, 0.9, 0.9, poisoned.report, clean.weights, clean.json, clean.html
    )
    unsure = dataclasses.replace(
        clean, report=dataclasses.replace(clean.report, verdict=Verdict.INCONCLUSIVE)
    )
    assert not unsure.as_expected
    monkeypatch.setattr(demo, "run_demo", lambda *_, **__: [clean, missed, mistaken])
    assert cli.main(["demo"]) == 1
    printed = capsys.readouterr().out
    assert "should be FLAGGED with class 7, but the scan says CLEAN; the attack itself" in printed
    assert "should be FLAGGED with class 3, but the scan says FLAGGED with class 7." in printed
    assert "The clean network got the right verdict." in printed


def test_wrong_options_are_refused_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(training, "train_classifier", never)
    with pytest.raises(ArgumentError, match="one of digits, fashion-mnist, got 'mnist'"):
        demo.run_demo("mnist", tmp_path)  # type: ignore[arg-type]
    occupied = tmp_path / "file"
    occupied.write_text("mine")
    assert cli.main(["demo", "--out", str(occupied)]) == 2
    assert cli.main(["demo", "--out", str(tmp_path), "--seed", "-1"]) == 2
    assert cli.main(["demo", "--data", "mnist"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split(":")[0] for line in said.err.strip().split("\n")] == ["hessay"] * 3
    assert occupied.read_text() == "mine"


def test_the_fashion_demo_without_its_data_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "FASHION_MNIST_FOLDER", tmp_path / "none")
    assert cli.main(["demo", "--data", "fashion-mnist", "--out", str(tmp_path)]) == 2
    assert "apt-get install dataset-fashion-mnist" in capsys.readouterr().err

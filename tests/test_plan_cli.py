"""``hessay plan``: what it prints, where it writes, how it fails, and that its page is true."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from hessay import cli
from hessay.errors import ArgumentError
from hessay.theory import MonitoringPlan, monitoring_plan

SMALL = ("--rows", "240", "--inputs", "30", "--classes", "3", "--horizon", "4", "--draws", "200")
PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "plan-monitoring.md"


def plan(*options: str) -> int:
    return cli.main(["plan", *SMALL, *options])


@pytest.fixture(scope="module")
def small() -> MonitoringPlan:
    return monitoring_plan(n_rows=240, n_inputs=30, classes=3, horizon=4, draws=200)


def test_text_json_and_file_say_the_same(
    small: MonitoringPlan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert plan() == 0
    text = capsys.readouterr().out
    assert all(f"- {sentence}\n" in text for sentence in small.sentences)
    assert plan("--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == json.loads(json.dumps(small.to_dict()))
    assert said.err == ""
    assert plan("-o", "plan.json") == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == list(small.sentences)
    assert "the plan is in plan.json" in said.err
    assert json.loads(Path("plan.json").read_text("utf-8")) == json.loads(
        json.dumps(small.to_dict())
    )
    assert plan("-o", "plan.txt", "-q") == 0
    assert capsys.readouterr().err == ""
    assert Path("plan.txt").read_text("utf-8") == text


def test_drawings_are_drawn_and_repeatable(
    small: MonitoringPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert plan("-o", "plan.svg") == plan("-o", "plan.png") == plan("-o", "again.svg") == 0
    assert Path("plan.svg").read_bytes() == Path("again.svg").read_bytes()
    assert Path("plan.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.svg",
        "plan.png",
        "plan.svg",
    ]
    left, right = small.plot().axes
    seen = [row for row in small.ridges if row.theta_known is not None]
    assert left.lines[0].get_ydata().tolist() == [row.theta_known for row in seen]
    assert right.lines[0].get_ydata().tolist() == [row.known.at_most for row in small.schedule]


def test_the_plan_follows_its_tables(small: MonitoringPlan) -> None:
    best = min((row for row in small.ridges if row.theta_known), key=lambda r: r.theta_known or 1)
    assert small.ridge_known == best.ridge
    chosen = next(row for row in small.schedule if row.every == small.every)
    delays = [row.unknown or row.known for row in small.schedule]
    mine = chosen.unknown or chosen.known
    assert mine.at_most <= 1.1 * min(d.at_most for d in delays)
    assert mine.missed <= min(d.missed for d in delays) + 0.1
    words = " ".join(small.sentences)
    assert f"at ridge {best.ridge:g}" in words
    blind = [row for row in small.ridges if row.visibility <= 1]
    assert ("Do not scan" in words) == bool(blind)


def test_nothing_to_be_seen_is_exit_3_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan("--strength", "0.05", "--ridge", "0.1") == 3
    said = capsys.readouterr().out
    assert "nothing can be seen" in said
    assert "Even a known trigger cannot be confirmed" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--theta", "1"), "theta must lie in [0, 1), got 1.0"),
        (("--theta", "0"), "theta must be above 0"),
        (("--theta", "nan"), "theta must lie"),
        (("--ridge", "0"), "ridge must be positive and finite, got 0.0"),
        (("--ridge", "-1"), "ridge must be positive"),
        (("--rows", "5"), "n_rows must be at least 8 for 3 classes, got 5"),
        (("--inputs", "1"), "n_inputs must be an integer of at least 2"),
        (("--classes", "1"), "classes must be an integer of at least 2"),
        (("--alpha", "0.9"), "alpha must lie in (0, 0.5]"),
        (("--power", "0.01"), "power must exceed alpha"),
        (("--draws", "10"), "10 draws cannot tell a level of 0.05 shared by 4 scans"),
        (("--seed", "-1"), "seed must be an integer of at least 0"),
        (("-o", "plan.pdf"), "-o takes a name that ends in .json, .txt, .svg or .png"),
        (("--json", "-o", "plan.svg"), "--json contradicts -o plan.svg"),
        (("-o", "nowhere/plan.svg"), "there is no folder"),
        (("--source", "some"), "Invalid value for '--source'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert plan(*options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert message in said.err
    assert not list(tmp_path.iterdir())


def test_a_missing_matplotlib_is_named(
    small: MonitoringPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ArgumentError, match="pip install 'hessay"):
        small.plot()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)


def numbers_apart(text: str) -> tuple[list[str], list[float]]:
    pattern = r"\d+(?:\.\d+)?"
    return re.split(pattern, text), [float(found) for found in re.findall(pattern, text)]


def test_the_page_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    shown = blocks("console")
    assert shown
    for block in shown:
        command, _, expected = block.partition("\n")
        assert cli.main(shlex.split(command.removeprefix("$ hessay "))) in (0, 3)
        said = capsys.readouterr().out
        words, values = numbers_apart(said)
        page_words, page_values = numbers_apart(expected)
        assert words == page_words
        # Another BLAS may round a simulated eigenvalue across a threshold: one draw in a thousand.
        assert values == pytest.approx(page_values, rel=0.03, abs=0.11)


def test_the_page_s_python_runs() -> None:
    for block in blocks("python"):
        names: dict[str, Any] = {"__name__": "page"}
        exec(compile(block, PAGE.name, "exec"), names)  # noqa: S102 - our own page


def test_a_plan_that_mostly_misses_says_so() -> None:
    plan = monitoring_plan(n_rows=2000, n_inputs=200, classes=5, draws=300)
    row = next(row for row in plan.schedule if row.every == plan.every)
    delay = row.unknown or row.known
    assert delay.missed > 0.5
    assert "mostly stays unseen" in " ".join(plan.sentences)
    easy = monitoring_plan(
        n_rows=2000, n_inputs=200, classes=5, draws=300, theta=0.9, strength=12.0
    )
    assert "mostly stays unseen" not in " ".join(easy.sentences)

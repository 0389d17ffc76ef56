"""Reports for people: everything from outside is harmless, the pictures say what the numbers say."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import stat
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hessay import render
from hessay.errors import ArgumentError
from hessay.render import wording
from hessay.report import Report
from hessay.verdict import Verdict

SAMPLE = Path(__file__).parent / "data" / "report-1.json"
HOSTILE = "<script>alert(1)</script>\"'&\x1b]0;owned\x07\x1b[2J\r\n\u202egpj\udcff{{ 7*7 }}"
VOID = {"meta", "img", "br", "link", "input", "hr"}


def sample(**changes: Any) -> Report:
    return dataclasses.replace(Report.from_json(SAMPLE.read_text("utf-8")), **changes)


def quiet_verdict(verdict: Verdict) -> Report:
    return sample(verdict=verdict, flagged_class=None, trigger_direction=None)


def hostile(words: str = HOSTILE) -> Report:
    report = sample()
    assert report.spectrum is not None
    item = dataclasses.replace(
        report.evidence[0], name=words, title=words, unit=words, method=words, note=words
    )
    spectrum = dataclasses.replace(
        report.spectrum, unit=words, method=words, certificate=words, edge_method=words
    )
    return dataclasses.replace(
        report,
        reasons=(words,),
        not_excluded=(words,),
        evidence=(item,),
        spectrum=spectrum,
        model=dataclasses.replace(report.model, source=words, architecture=words, digest=words),
        probe=dataclasses.replace(report.probe, digest=words),
        settings={words: words, "arch": words, "data": words},
        environment={words: words},
        cost={words: 1},
        seconds={words: 1.0},
    )


class Page(HTMLParser):
    """A page as a tree that must close properly, with its tags, attributes and visible words."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize("report", [sample(), hostile()], ids=["sample", "hostile"])
def test_the_page_runs_nothing_and_asks_for_nothing(report: Report) -> None:
    source = render.html(report)
    page = Page(source)
    names = {tag for tag, _ in page.tags}
    assert not names & {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "foreignobject",
    }
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "srcset", "action", "data"}:
                assert (value or "").startswith("data:image/png;base64,")
    policies = [a["content"] for _, a in page.tags if "Content-Security-Policy" in a.values()]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    assert policies == [policy + "form-action 'none'"]
    assert "http://" not in source
    assert "https://" not in source
    assert not re.search(r"url\((?!#)|@import", source)


def test_hostile_words_are_shown_and_do_nothing() -> None:
    source = render.html(hostile())
    # The page's skeleton is the same as with tame words: no tag was added or broken.
    tame = Page(render.html(hostile("tame")))
    assert [tag for tag, _ in Page(source).tags] == [tag for tag, _ in tame.tags]
    assert "<script>alert(1)</script>" in Page(source).text
    assert "{{ 7*7 }}" in Page(source).text
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", source
    )
    source.encode("utf-8")


@pytest.mark.parametrize("width", [40, 88, 200])
def test_plain_text_is_printable_and_narrow(width: int) -> None:
    for line in render.text(hostile(), width=width).split("\n"):
        assert line.isprintable()
    before, command = render.text(sample(), width=width).split("Repeat with\n")
    classes = re.compile(r"\d [# ]{24} |log\(reach|sha256|[0-9a-f]{64}")
    assert all(len(line) <= width for line in before.split("\n") if not classes.search(line))
    assert len(command.strip().split("\n")) == 1


def test_text_refuses_a_width_without_room() -> None:
    with pytest.raises(ArgumentError, match="at least 40 columns, got width = 12"):
        render.text(sample(), width=12)


@pytest.mark.parametrize("report", [sample(), hostile()], ids=["sample", "hostile"])
def test_the_panel_holds_no_escape_but_its_own_colours(report: Report) -> None:
    console = Console(force_terminal=True, width=100, color_system="standard", no_color=False)
    with console.capture() as captured:
        console.print(render.panel(report))
    drawn = re.sub("\x1b\\[[0-9;]*m", "", captured.get())
    assert "▲ FLAGGED" in drawn
    assert all(line.isprintable() for line in drawn.split("\n"))


def test_no_color_takes_the_colours_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(force_terminal=True, width=100, color_system="standard")
    with console.capture() as captured:
        console.print(render.panel(sample()))
    assert not re.search("\x1b\\[[0-9;]*(3[0-8]|4[0-8]|9[0-7])m", captured.get())
    assert "▲ FLAGGED" in captured.get()


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_verdict_comes_first_and_only_clean_says_clean(verdict: Verdict) -> None:
    report = sample() if verdict is Verdict.FLAGGED else quiet_verdict(verdict)
    plain = render.text(report)
    assert plain.split("\n")[0] == verdict.name
    page = Page(render.html(report))
    heading = page.text.index(f"{wording.SIGNS[verdict]} {verdict.name}")
    assert heading < 250
    for other in Verdict:
        assert (other.name in plain) == (other.name in page.text) == (other is verdict)
    for sentence in (*report.reasons, *report.not_excluded):
        assert sentence in page.text
        assert sentence.split()[0] in plain


def test_an_abstention_is_not_read_as_clean() -> None:
    assert "Do not read this as clean" in render.text(quiet_verdict(Verdict.INCONCLUSIVE))


def test_a_bare_report_renders() -> None:
    bare = dataclasses.replace(
        quiet_verdict(Verdict.INCONCLUSIVE),
        statistic=None,
        threshold=None,
        not_excluded=(),
        evidence=(),
        classes=(),
        spectrum=None,
        settings={},
        environment={},
        cost={},
        seconds={},
    )
    page = Page(render.html(bare))
    assert not {tag for tag, _ in page.tags} & {"svg", "img"}
    assert "No deciding statistic" in page.text
    assert "no deciding statistic" in render.text(bare)


# ---- words and files ----


def test_the_command_survives_a_shell() -> None:
    names = ["plain", "two words", "it's", "a\x1b[31mb\\n'", "ü", "$(id)`id`", "\udcff"]
    for name in names:
        quoted = wording.shell_word(name)
        assert quoted.isprintable()
        result = subprocess.run(
            ["bash", "-c", f"printf %s {quoted}"],
            capture_output=True,
            check=True,
        )
        assert result.stdout == os.fsencode(name)
    model = dataclasses.replace(sample().model, source="-x.safetensors")
    words = shlex.split(render.repeat_command(sample(model=model)))
    assert words[:5] == ["hessay", "scan", "./-x.safetensors", "--arch", "mlp:64-128-64-10"]
    assert words[5:] == ["--data", "probe.npz", "--alpha", "0.01", "--seed", "0"]


def test_clauses_become_sentences_and_formulas_stay() -> None:
    assert wording.sentence("class 7 stands out") == "Class 7 stands out."
    assert wording.sentence("clip(x + r u), r = 1") == "clip(x + r u), r = 1."
    assert wording.sentence("S = 1.") == "S = 1."
    assert wording.sentence("") == "."


def test_a_model_in_memory_gets_a_line_of_python() -> None:
    model = dataclasses.replace(sample().model, source="")
    assert render.repeat_command(sample(model=model)) == (
        "hessay.scan(model, probe, alpha=0.01, seed=0)"
    )


def test_writing_replaces_whole_files_and_keeps_permissions(tmp_path: Path) -> None:
    target, link = tmp_path / "report.html", tmp_path / "link.html"
    sample().to_html(target)
    first = target.read_text("utf-8")
    assert first == render.html(sample())
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    target.chmod(0o640)
    link.symlink_to(target)
    render.write("new\r\n", link)
    assert link.is_symlink()
    assert target.read_bytes() == b"new\r\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.html", "report.html"]


def test_what_cannot_be_written_leaves_everything_as_it_was(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ArgumentError, match="it is a directory"):
        render.write("x", tmp_path)
    with pytest.raises(ArgumentError, match="no plain file"):
        render.write("x", pipe)
    with pytest.raises(ArgumentError, match="there is no folder"):
        render.write("x", tmp_path / "none" / "report.html")
    with pytest.raises(ArgumentError, match="cannot write"):
        render.write("x", "nul\0.html")
    old = tmp_path / "old.html"
    old.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        render.write("\ud800", old)
    assert old.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.html", "pipe"]

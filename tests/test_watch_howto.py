"""The way a new user goes, docs/how-to/watch-a-training-run.md: its own commands, then the page in a browser."""

from __future__ import annotations

import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import BROWSER, MISSING, browser
from hessay import cli

PAGE = Path(__file__).parents[1] / "docs/how-to/watch-a-training-run.md"
TEXT = PAGE.read_text("utf-8")
POISONED_FROM = 5  # the first epoch
FLAGGED = (0xB0, 0x48, 0x0A)  # the colour of the light page


def block(start: str, language: str = "") -> str:
    """Find the only block of the page that begins so."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    (found,) = [text for kind, text in blocks if kind == language and text.startswith(start)]
    return found


def shell(commands: str, folder: Path) -> subprocess.Popen[str]:
    # As in the activated environment: its programs come first.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.Popen(
        ["bash", "-c", commands],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": path},
    )


@dataclass
class Walk:
    folder: Path
    out: str  # of the commands

    @property
    def verdicts(self) -> dict[int, str]:
        """By epoch."""
        found = re.findall(r"^(\w+) +epoch-(\d\d)\.safetensors", self.out, re.MULTILINE)
        return {int(epoch): verdict for verdict, epoch in found}

    @property
    def flagged(self) -> list[int]:
        return [epoch for epoch, verdict in self.verdicts.items() if verdict == "FLAGGED"]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("clone")
    (folder / "train.py").write_text(block("import numpy", "python"))
    with shell(block("mkdir run"), folder) as commands:
        out, _ = commands.communicate(timeout=240)
    assert commands.returncode == 0
    return Walk(folder, out)


def test_the_alarm_is_in_the_exit_code_and_comes_within_the_planned_delay(walk: Walk) -> None:
    assert sorted(walk.verdicts) == list(range(20))
    assert block("exit code") == walk.out.splitlines()[-1] + "\n"
    with shell(block("hessay plan"), walk.folder) as planning:
        plan, _ = planning.communicate(timeout=240)
    assert planning.returncode == 0
    (delay,) = re.findall(r"is found after about ([\d.]+) batches", plan)
    assert f"is found after about {delay} batches" in TEXT
    # The first poisoned checkpoint is one batch after the poison came.
    assert POISONED_FROM <= min(walk.flagged) <= POISONED_FROM + math.ceil(float(delay)) - 1
    lines = [line for line in walk.out.splitlines() if line.startswith("FLAGGED")]
    assert all(line.endswith("class 7") for line in lines)
    shown = [line.split()[:2] for line in block("CLEAN ").splitlines()]
    assert shown == [[walk.verdicts[e], f"epoch-{e:02}.safetensors"] for e in (4, 5)]


def test_a_second_call_finds_nothing_new_and_the_history_is_read_as_shown(
    walk: Walk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(walk.folder)
    watch = ["watch", "run", "--arch", "mlp:64-64-10", "--data", "probe.npz", "--once", "-q"]
    assert cli.main([*watch, "--settle", "0.05"]) == 0
    said = capfd.readouterr()
    assert said.out == said.err == ""
    reading = compile(block("from hessay.store", "python"), str(PAGE), "exec")
    exec(reading, {"__name__": "howto"})  # noqa: S102 - our own page
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == len(walk.flagged)
    assert all(line.endswith(" 7") for line in lines)


def test_the_rules_shown_freeze_keep_and_call(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walk.folder)
    rules = block("[rates]", "toml").replace('"logger", "hessay has an alarm"', '"touch", "called"')
    Path("rules.toml").write_text(rules)
    watch = ["watch", "run", "--arch", "mlp:64-64-10", "--data", "probe.npz", "--once", "-q"]
    more = ["--settle", "0.05", "--history", "rules.db", "--rules", "rules.toml"]
    assert cli.main([*watch, *more]) == 1
    assert Path("STOP.json").exists()
    assert Path("called").exists()
    assert len(list(Path("evidence").iterdir())) >= len(walk.flagged)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = block("hessay serve").strip() + f" --port {port}"
    with shell(f"exec {command}", folder) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{url}/healthz").close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield url
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)


@pytest.mark.skipif(BROWSER is None, reason=MISSING)
def test_the_alarm_is_on_the_page(walk: Walk, tmp_path: Path) -> None:
    with served(walk.folder) as url, browser(tmp_path) as page:
        page.show(url, width=1280)
        assert "FLAGGED" in page.value("document.body.innerText")
        page.show(
            url + page.value("document.querySelector('a[href*=series]').pathname"), width=1280
        )
        bars = page.value("[...document.querySelectorAll('svg rect')].map(r => r.classList[0])")
        assert bars == [walk.verdicts[epoch].lower() for epoch in range(20)]
        assert f"epoch-{min(walk.flagged):02}.safetensors, class 7" in page.value(
            "document.body.innerText"
        )
        middles = page.value(
            "[...document.querySelectorAll('svg rect')].map(r => r.getBoundingClientRect())"
            ".map(b => [b.x + b.width / 2, b.y + b.height / 2])"
        )
        page.picture(tmp_path / "series.png")
        first = page.value("document.querySelector('a[href*=scan]').pathname")
        page.show(url + first, width=1280)
        report = page.value("document.body.innerText")
        assert f"epoch-{min(walk.flagged):02}" in report
        assert "pulls inputs into class 7" in report
        assert page.complaints() == []
    pixels = np.asarray(Image.open(tmp_path / "series.png").convert("RGB"), dtype=int)
    colours = [pixels[int(y), int(x)] for x, y in middles]
    orange = [bool(np.abs(colour - FLAGGED).max() <= 8) for colour in colours]
    assert orange == [epoch in walk.flagged for epoch in range(20)]

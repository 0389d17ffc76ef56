"""The pages in a real browser, served by the real command."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export_case import CLEAN, SAMPLE
from hessay.store import Store
from serve_case import HOSTILE, fill

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGGED = {"light": (0xB0, 0x48, 0x0A), "dark": (0xFF, 0x9F, 0x5F)}

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium on this machine; Debian: apt-get install chromium"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("serve")
    with Store.open(folder / "history.db") as store:
        reports = [dataclasses.replace(CLEAN, statistic=0.1 + 0.01 * i) for i in range(8)]
        fill(store, HOSTILE, [*reports, SAMPLE], failures=1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "hessay", "serve", "history.db", "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"{url}/healthz").close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield url
        finally:
            server.send_signal(signal.SIGINT)
            assert server.stderr is not None
            server.stderr.read()
    assert server.returncode in (0, 130)


def browse(tmp_path: Path, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(
            "--enable-logging=stderr",
            "--disable-dev-shm-usage",
            f"--user-data-dir={tmp_path / 'p'}",
        ),
        *("--timeout=20000", *options, url),
    ]
    environment = {**os.environ, "HOME": str(tmp_path)}
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=90, env=environment
    )


@pytest.mark.parametrize("path", ["/", "/series/1", "/scan/9"])
def test_a_browser_runs_nothing_and_has_no_complaint(
    address: str, tmp_path: Path, path: str
) -> None:
    done = browse(tmp_path, address + path, "--dump-dom")
    assert "<title>hacked" not in done.stdout
    assert "FLAGGED" in done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_the_alarm_is_to_be_seen(address: str, tmp_path: Path, theme: str, width: int) -> None:
    shot = tmp_path / "shot.png"
    dark = ["--blink-settings=preferredColorScheme=0"] if theme == "dark" else []
    browse(
        tmp_path,
        f"{address}/series/1",
        f"--screenshot={shot}",
        f"--window-size={width},1800",
        *dark,
    )
    pixels = np.asarray(Image.open(shot).convert("RGB"), dtype=int)
    near = np.abs(pixels - FLAGGED[theme]).max(axis=2) <= 8
    assert near.sum() > 50
    paper = pixels[2, 2]
    assert (paper.mean() < 80) == (theme == "dark")

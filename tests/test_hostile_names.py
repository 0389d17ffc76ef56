"""Names chosen by an attacker come out harmless on the terminal, on the page and in the error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from command_line import SEED, scan
from hessay.loading import build_architecture

EVIL = "<img src=x onerror=alert(1)>\x1b[2J\u202e=HYPERLINK(1)"
ARCH = "cnn:3x8x8-4"


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    data = np.random.default_rng(SEED).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    for row, pixels in enumerate(data):
        folder = tmp_path / EVIL / f"{row % 4}{EVIL}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{row}{EVIL}.png")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        save_file(build_architecture(ARCH).state_dict(), tmp_path / f"{EVIL}.safetensors")
    return tmp_path


@pytest.mark.parametrize("form", ["text", "html"])
def test_a_scan_of_files_with_hostile_names_shows_them_harmless(
    pictures: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert pictures.is_dir()
    code = scan("--arch", ARCH, "--format", form, model=f"{EVIL}.safetensors", data=EVIL)
    assert code in (0, 1, 3)
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert form == "text" or "<img src=x" not in text
    assert "HYPERLINK" in shown.out


def test_an_error_about_a_hostile_name_is_one_harmless_line(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = next((pictures / EVIL).rglob("*.png"))
    spoiled.write_bytes(b"no picture")
    assert scan("--arch", ARCH, model=f"{EVIL}.safetensors", data=EVIL) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.rstrip("\n").isprintable()
    assert "cannot be read as a picture" in error


def test_pictures_given_by_option_are_recorded_and_repeatable(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "how.json").write_text('{"image_mean": [0.5], "image_std": [0.5]}')
    options = ("--arch", "cnn:1x8x8-4", "--preprocessing", "how.json")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        save_file(build_architecture(options[1]).state_dict(), pictures / "grey.safetensors")
    assert scan(*options, model="grey.safetensors", data=EVIL) in (0, 1, 3)
    assert "--preprocessing how.json" in capsys.readouterr().out

"""Bad input at the command line: exit 2 or 3, one line, no traceback, never CLEAN."""

from __future__ import annotations

import os
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from command_line import ARCH, scan
from hessay import _scan_file
from hessay.loading import build_architecture

# ---- bad input: every line of it ----


def broken_safetensors(folder: Path) -> None:
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(raw[: len(raw) // 2])


class _Bomb:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch exploded",)


def pickle_bomb(folder: Path) -> None:
    (folder / "model.pt").write_bytes(pickle.dumps({"0.weight": _Bomb()}, protocol=2))


def torch_bomb(folder: Path) -> None:
    torch.save({"0.weight": _Bomb()}, folder / "model.pt")


def whole_module(folder: Path) -> None:
    torch.save(nn.Linear(2, 2), folder / "model.pt")


def nan_weights(folder: Path) -> None:
    state = build_architecture(ARCH).state_dict()
    state["0.weight"][3, 4] = float("nan")
    save_file(state, folder / "model.safetensors")


def dead_outputs(folder: Path) -> None:
    state = build_architecture(ARCH).state_dict()
    state["2.weight"].zero_()
    state["2.bias"].copy_(torch.arange(10.0))
    save_file(state, folder / "model.safetensors")


def probe_of(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        inputs = np.load(folder / "probe.npz")["inputs"]
        np.savez(folder / "probe.npz", inputs=change(inputs))

    return apply


def one_nan(inputs: np.ndarray) -> np.ndarray:
    inputs[7, 1, 1] = np.nan
    return inputs


def factory(body: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / "made.py").write_text(
            "import sys, os, torch\nfrom torch import nn\n"
            "from hessay.loading import build_architecture\n"
            f"class Net(nn.Module):\n"
            f"    def __init__(self):\n"
            f"        super().__init__()\n"
            f"        self.add_module('0', nn.Linear(64, 16))\n"
            f"        self.add_module('2', nn.Linear(16, 10))\n"
            f"    def forward(self, x):\n        {body}\n"
            f"def make():\n    return Net()\n"
        )
        sys.modules.pop("made", None)

    return apply


RUN = "self.get_submodule('2')(torch.relu(self.get_submodule('0')(x.flatten(1))))"
BAD = {
    "missing model": (lambda f: (f / "model.safetensors").unlink(), {2}, "model.safetensors"),
    "model is a directory": (
        lambda f: ((f / "model.safetensors").unlink(), (f / "model.safetensors").mkdir()),
        {2},
        "model.safetensors",
    ),
    "missing probe": (lambda f: (f / "probe.npz").unlink(), {2}, "probe.npz"),
    "probe is no npz": (lambda f: (f / "probe.npz").write_text("hello"), {2}, "probe.npz"),
    "truncated safetensors": (broken_safetensors, {2}, "model.safetensors"),
    "empty model": (lambda f: (f / "model.safetensors").write_bytes(b""), {2}, "model.safetensors"),
    "pickle bomb": (pickle_bomb, {2}, "system"),
    "torch bomb": (torch_bomb, {2}, "system"),
    "whole module": (whole_module, {2}, "Linear"),
    "NaN weights": (nan_weights, {2}, "0.weight"),
    "NaN probe": (probe_of(one_nan), {2}, "NaN"),
    "constant probe": (probe_of(lambda x: np.full_like(x, 0.5)), {2}, "probe"),
    "empty probe": (probe_of(lambda x: x[:0]), {2}, "probe"),
    "integer probe": (probe_of(lambda x: (255 * x).astype(np.uint8)), {2}, "float"),
    "probe of the wrong shape": (probe_of(lambda x: x[:, :7]), {2}, "56"),
    "3 probes": (probe_of(lambda x: x[:3]), {2, 3}, "3"),
    "one-class model": (dead_outputs, {2, 3}, "class"),
}
BAD_MODELS = {
    "raises": ("raise KeyError('x' * 5000 + chr(27))", {2}, "KeyError"),
    "hostile exit": ("sys.exit(0)", {2}, ""),
    "interrupts itself": ("raise KeyboardInterrupt", {130}, "interrupted"),
    "returns None": ("return None", {2}, ""),
    "returns one number": ("return x.sum()", {2}, ""),
    "returns NaN": (f"return {RUN} * float('nan')", {2, 3}, ""),
    "random": (f"return torch.rand_like({RUN})", {2, 3}, ""),
    "detached": (f"return {RUN}.detach()", {2, 3}, ""),
    "prints a verdict": ("print('CLEAN'); raise OSError('no')", {2}, ""),
}


def one_line_and_never_clean(
    codes: set[int], code: int, words: str, said: pytest.CaptureResult[str]
) -> None:
    assert code in codes
    assert "CLEAN" not in said.out
    assert "Traceback" not in said.out + said.err
    if code == 3:
        assert said.out.startswith("INCONCLUSIVE\n")
        assert words in said.out
    else:
        lines = [line for line in said.err.strip().split("\n") if line != "CLEAN"]
        lines = [line for line in lines if not line.startswith("hessay: warning: ")]
        assert len(lines) == 1
        assert re.match(r"hessay: (error|interrupted): .{8}", lines[0])
        assert words in lines[0]
        assert len(lines[0]) < 1100
        assert lines[0].isprintable()
        assert said.out == ""


@pytest.mark.parametrize("name", BAD)
def test_bad_files_end_in_one_line(
    name: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, codes, words = BAD[name]
    damage(files)
    code = scan(model="model.pt" if (files / "model.pt").exists() else "model.safetensors")
    one_line_and_never_clean(codes, code, words, capsys.readouterr())
    assert not (files / "exploded").exists()


@pytest.mark.parametrize("name", BAD_MODELS)
def test_bad_models_end_in_one_line(
    name: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body, codes, words = BAD_MODELS[name]
    factory(body)(files)
    code = scan("--arch", "made:make")
    one_line_and_never_clean(codes, code, words, capsys.readouterr())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--arch", "mlp:64-32-10"), "0.weight"),
        (("--arch", "mlp:64"), "[64]"),
        (("--arch", "resnet:3"), "resnet"),
        (("--arch", "no_such_module:make"), "no_such_module"),
        (("--arch", ""), "arch"),
        (("--alpha", "0"), "alpha"),
        (("--alpha", "nan"), "alpha"),
        (("--alpha", "much"), "--alpha"),
        (("--seed", "-1"), "seed"),
        (("--format", "pdf"), "pdf"),
        (("--json", "--format", "html"), "--json contradicts --format html"),
        (("-o", "."), "it is a directory"),
        (("-o", "none/report.html"), "there is no folder"),
        (("-o", "/dev/null"), "no plain file"),
        (("--verbose",), "--verbose"),
    ],
)
def test_bad_options_end_in_one_line(
    options: tuple[str, ...], words: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = scan(*options)
    one_line_and_never_clean({2}, code, words, capsys.readouterr())
    assert files.exists()


def test_an_output_that_cannot_be_written_is_refused_before_the_scan(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_scan_file, "scan_file", lambda *_, **__: pytest.fail("scanned"))
    assert scan("-o", "none/report.html") == 2
    assert "there is no folder" in capsys.readouterr().err
    assert files.exists()

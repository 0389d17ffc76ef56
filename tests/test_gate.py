"""The gate, the action that runs it for GitHub, the hook for pre-commit, completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.torch import save_file

from command_line import ARCH as RANDOM_ARCH
from detection import ARCH, Nets
from hessay import cli

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))


@pytest.fixture
def models(nets: Nets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_file(nets.clean.state_dict(), "clean.safetensors")
    save_file(nets.poisoned.state_dict(), "poisoned.safetensors")
    Path("broken.safetensors").write_bytes(b"\xff" * 64)
    np.savez("probe.npz", inputs=nets.inputs, targets=nets.targets)
    return tmp_path


def gate(*models: str) -> int:
    return cli.main(["gate", *models, "--arch", ARCH, "--data", "probe.npz"])


@pytest.mark.usefixtures("models")
def test_the_gate_says_the_worst(capfd: pytest.CaptureFixture[str]) -> None:
    assert gate("clean.safetensors") == 0
    assert gate("clean.safetensors", "poisoned.safetensors", "broken.safetensors") == 1
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["CLEAN", "CLEAN", "FLAGGED"]
    assert gate("broken.safetensors", "clean.safetensors") == 2


def test_the_gate_lets_open_questions_through_only_if_asked(
    files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    np.savez(files / "few.npz", inputs=np.random.default_rng(0).random((8, 8, 8), np.float32))
    command = ["gate", "model.safetensors", "--arch", RANDOM_ARCH, "--data", "few.npz"]
    assert cli.main(command) == 3
    assert cli.main([*command, "--pass-inconclusive"]) == 0
    assert "let through" in capfd.readouterr().err


def run_action(folder: Path, **inputs: str) -> tuple[int, dict[str, str]]:
    """The scan step of the action as a runner does it, with its inputs put where it reads them."""
    (step,) = [s for s in ACTION["runs"]["steps"] if s.get("id") == "scan"]
    known = {name: spec.get("default", "") for name, spec in ACTION["inputs"].items()} | inputs
    variables = {}
    for name, value in step["env"].items():
        source = value.removeprefix("${{ inputs.").removesuffix(" }}")
        assert source in known, value
        variables[name] = known[source]
    out, summary = folder / "output", folder / "summary"
    out.write_text("")
    program = folder / "bin" / "hessay"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hessay "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        **variables,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(out),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    # What a runner calls bash with.
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(shell, check=False, cwd=folder, env=environment, capture_output=True)
    return done.returncode, dict(line.split("=", 1) for line in out.read_text().splitlines())


def test_the_action_fails_on_poison_and_writes_its_files(models: Path) -> None:
    code, outputs = run_action(
        models,
        model="poisoned.safetensors",
        arch=ARCH,
        data="probe.npz",
        sarif="o.sarif",
        junit="o.xml",
    )
    assert (code, outputs) == (1, {"verdict": "FLAGGED", "exit-code": "1"})
    assert {"hessay-report.json", "o.sarif", "o.xml"} <= {p.name for p in models.iterdir()}
    code, outputs = run_action(models, model="clean.safetensors", arch=ARCH, data="probe.npz")
    assert (code, outputs["verdict"]) == (0, "CLEAN")


def test_no_input_of_the_action_is_run(models: Path) -> None:
    nasty = "$(touch hacked).safetensors; touch hacked"
    code, outputs = run_action(models, model=nasty, arch=ARCH, data="`touch hacked`")
    assert (code, outputs) == (2, {"verdict": "", "exit-code": "2"})
    assert not (models / "hacked").exists()
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]


def test_the_action_declares_what_it_uses() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert all(step["shell"] == "bash" for step in ACTION["runs"]["steps"])
    assert {"model", "arch", "data"} == {
        n for n, s in ACTION["inputs"].items() if s.get("required")
    }


def test_the_hook_calls_a_command_that_there_is() -> None:
    (hook,) = HOOKS
    assert hook["entry"].split()[0] == "hessay"
    assert cli.main([*hook["entry"].split()[1:], "--help"]) == 0
    assert hook["language"] == "python"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    assert "_HESSAY_COMPLETE" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "found"), [("hessay sca", "scan"), ("hessay scan --alp", "--alpha")]
)
def test_completion_completes(words: str, found: str) -> None:
    environment = {
        **os.environ,
        "_HESSAY_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    command = [sys.executable, "-c", "import sys; from hessay import cli; sys.exit(cli.main())"]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    assert found in done.stdout.split()
    assert done.stderr == ""

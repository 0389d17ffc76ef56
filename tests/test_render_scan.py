"""A page of a real scan: the average it is drawn over, and the command that repeats it."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

import hessay
from detection import ARCH, Around, Nets
from hessay import cli, render
from hessay.report import MOST_MEANS, Report
from hessay.verdict import Verdict


@pytest.fixture(scope="module")
def report(nets: Nets) -> Report:
    return hessay.scan(nets.poisoned, (nets.inputs, nets.targets))


def test_a_direction_comes_with_the_mean_of_the_probe(report: Report, nets: Nets) -> None:
    assert report.verdict is Verdict.FLAGGED
    assert report.schema == "hessay.report/2"
    assert report.probe.mean is not None
    exact = nets.inputs.double().numpy().mean(axis=0).ravel()
    # Six significant digits are kept.
    assert np.allclose(report.probe.mean, exact, rtol=5.1e-6, atol=0)
    assert Report.from_json(report.to_json()) == report
    assert "the push over it" in render.html(report)


def test_without_a_direction_there_is_no_mean(nets: Nets) -> None:
    clean = hessay.scan(nets.clean, (nets.inputs, nets.targets))
    assert clean.trigger_direction is None
    assert clean.probe.mean is None
    assert clean.schema == "hessay.report/2"


def test_inside_a_model_and_of_large_inputs_no_mean_is_kept(
    nets: Nets, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = hessay.scan(
        Around(nets.poisoned, before=lambda x: x), (nets.inputs, nets.targets), wrt="inner.0"
    )
    assert inside.trigger_direction is not None
    assert inside.probe.mean is None
    assert MOST_MEANS == 3 * 256 * 256
    monkeypatch.setattr("hessay.detector.compose.MOST_MEANS", 63)
    large = hessay.scan(nets.poisoned, (nets.inputs, nets.targets))
    assert large.trigger_direction is not None
    assert large.probe.mean is None


def test_the_command_on_the_page_repeats_the_scan(
    nets: Nets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_file(nets.poisoned.state_dict(), "it's a model.safetensors")
    np.savez("probe.npz", inputs=nets.inputs.numpy(), targets=nets.targets.numpy())
    scan = ["scan", "it's a model.safetensors", "--arch", ARCH, "--data", "probe.npz"]
    options = ["--alpha", "0.003", "--seed", "5", "-q"]
    assert cli.main([*scan, *options, "-o", "first.json"]) == 1
    first = Report.from_json(Path("first.json").read_text())
    page = render.html(first)
    found = re.search(r"<pre>(hessay scan .*?)</pre>", page)
    assert found is not None
    # A reader copies the line into a shell and asks for JSON besides.
    line = html.unescape(found[1]) + " -q -o second.json"
    runner = f'hessay() {{ "{sys.executable}" -m hessay "$@"; }}; '
    done = subprocess.run(["bash", "-c", runner + line], check=False, capture_output=True)
    assert done.returncode == 1, done.stderr
    one, two = (json.loads(Path(f"{name}.json").read_text()) for name in ("first", "second"))
    del one["seconds"], two["seconds"]
    assert one == two


def test_the_line_of_python_repeats_a_scan_in_memory(report: Report, nets: Nets) -> None:
    line = render.repeat_command(report)
    probe = hessay.Probe(nets.inputs, nets.targets)
    again = eval(line, {"hessay": hessay, "model": nets.poisoned, "probe": probe})
    assert again.statistic == report.statistic
    assert again.trigger_direction == report.trigger_direction


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_summary_answers_four_questions_before_anything_else(
    verdict: Verdict, nets: Nets
) -> None:
    models = {Verdict.FLAGGED: nets.poisoned, Verdict.CLEAN: nets.clean}
    if verdict in models:
        shown = hessay.scan(models[verdict], (nets.inputs, nets.targets), alpha=0.01)
    else:
        shown = hessay.scan(nets.clean, nets.inputs[:20])
    assert shown.verdict is verdict
    page = render.html(shown)
    asked = ["What was asked", "What was found", "At which level", "What to do next"]
    places = [page.index(f"<dt>{words}</dt>") for words in asked]
    assert places == sorted(places)
    assert places[-1] < page.index("<h2>")
    assert "At level 1 %" in page
    assert ("Do not deploy" in page) == (verdict is Verdict.FLAGGED)
    assert ("Treat the model as unexamined" in page) == (verdict is Verdict.INCONCLUSIVE)
    assert ("no proof of purity" in page) == (verdict is Verdict.CLEAN)

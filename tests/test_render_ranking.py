"""``hessay rank --html``: the top samples as a page, from a second pass that keeps only those."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import hessay
from browser import BROWSER, MISSING, browser
from detection import ARCH, TARGET, Nets
from hessay import cli
from hessay.errors import ArgumentError, ProbeError
from hessay.render import ranking as ranking_page
from hessay.samples import gallery
from ranking_case import Case, case_of

SHAPE = (8, 8)


@pytest.fixture(scope="module")
def case(nets: Nets) -> Case:
    return case_of(nets)


def test_the_gallery_holds_the_first_rows_and_the_moments_of_all(case: Case) -> None:
    x = case.inputs.double().numpy()
    found = gallery(case.ranking, (case.inputs, case.targets), shape=SHAPE, count=7)
    order = case.ranking.order()[:7]
    assert found.rows == tuple(order)
    assert np.array_equal(found.samples, x[order].astype(np.float32))
    # float32 results of float64 sums: half a unit in the last place.
    assert np.allclose(found.mean, x.mean(axis=0), rtol=1e-7, atol=1e-7)
    assert np.allclose(found.spread, x.std(axis=0), rtol=1e-6, atol=1e-7)


def test_a_large_common_offset_does_not_spoil_the_spread(case: Case) -> None:
    moved = case.inputs.double() + 1e6
    before = moved.clone()
    ranking = case.rank((moved, case.targets))
    found = gallery(ranking, (moved, case.targets), shape=SHAPE, count=1)
    assert np.allclose(found.spread, moved.numpy().std(axis=0), rtol=1e-6, atol=1e-7)
    assert torch.equal(moved, before)  # the caller's memory is not written to


def test_other_data_or_another_order_are_refused(case: Case) -> None:
    for rows in (torch.arange(len(case.inputs) - 1), torch.arange(len(case.inputs)).flip(0)):
        with pytest.raises(ProbeError, match="not those that were ranked"):
            gallery(case.ranking, (case.inputs[rows], case.targets[rows]), shape=SHAPE)
    with pytest.raises(ArgumentError, match=r"count must lie in \[0, 100\], got 101"):
        gallery(case.ranking, (case.inputs, case.targets), shape=SHAPE, count=101)


def page_of(case: Case, *, names: list[str] | None = None, files: list[str] | None = None) -> str:
    found = gallery(case.ranking, (case.inputs, case.targets), shape=SHAPE, count=6)
    return ranking_page.html(
        *(case.ranking, found), fdr=0.05, names=names, files=files, model="m.safetensors"
    )


def test_thumbnails_are_the_samples(case: Case) -> None:
    page = page_of(case)
    uris = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(uris) == 7  # the average, then six samples
    found = gallery(case.ranking, (case.inputs, case.targets), shape=SHAPE, count=6)
    low = min(found.samples.min(), found.mean.min())
    high = max(found.samples.max(), found.mean.max())
    for uri, sample in zip(uris[1:], found.samples, strict=True):
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri))), dtype=float)
        level = 255 * (sample - low) / (high - low)
        # Half a level for rounding, and the float32 of the samples.
        assert np.abs(shown - level[..., None]).max() <= 0.5 + 1e-3
    for row in found.rows:
        assert f"row {row}</b>" in page
    assert page.count("▲ selected") == len(set(found.rows) & set(case.ranking.selected().tolist()))


def test_a_large_picture_becomes_a_thumbnail_of_block_means() -> None:
    values = np.random.default_rng(0).random((3, 200, 301))
    small = ranking_page.thumbnail(values)
    assert small.shape == (3, 50, 75)
    assert small[1, 7, 9] == pytest.approx(values[1, 28:32, 36:40].mean())
    assert ranking_page.thumbnail(np.ones((1, 2, 500))).shape == (1, 1, 83)


def test_samples_that_are_no_pictures_are_a_table_of_what_is_unusual(case: Case) -> None:
    names = [f"column <{i}>" for i in range(64)]
    page = page_of(case, names=names)
    assert "<img" not in page
    found = gallery(case.ranking, (case.inputs, case.targets), shape=SHAPE, count=1)
    spread = found.spread.ravel()
    away = (found.samples[0] - found.mean).ravel()
    z = np.divide(away, spread, out=np.zeros(64, np.float32), where=spread > 0)
    furthest = int(np.abs(z).argmax())
    assert f"column &lt;{furthest}&gt; = " in page
    assert f"({z[furthest]:+.1f})" in page


def test_hostile_names_are_shown_and_do_nothing(case: Case) -> None:
    evil = "<script>alert(1)</script>\x1b[2J\u202e{{ 7*7 }}"
    page = page_of(case, files=[evil] * case.ranking.n)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page
    assert not re.search("[\x1b\u202e]", page)


def test_nothing_selected_without_grounds_is_not_called_clean(case: Case) -> None:
    nothing = dataclasses.replace(
        case.ranking,
        p_values_given_class=np.ones(case.ranking.n),
        conclusive=False,
        reasons=("only 3 probes are of class 3",),
    )
    changed = dataclasses.replace(case, ranking=nothing)
    page = page_of(changed)
    assert "does not speak for clean data" in page
    assert "nly 3 probes are of class 3" in page
    assert '<main class="inconclusive">' in page


@pytest.fixture(scope="module")
def folder(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    save_file(case.nets.poisoned.state_dict(), folder / "my model.safetensors")
    np.savez(folder / "train.npz", inputs=case.inputs.numpy(), targets=case.targets.numpy())
    np.savez(folder / "probe.npz", inputs=case.nets.inputs.numpy(), targets=case.nets.targets)
    report = hessay.scan(case.nets.poisoned, case.probe)
    (folder / "report.json").write_text(report.to_json())
    return folder


def rank(*options: str) -> int:
    paths = ("my model.safetensors", "--data", "train.npz", "--probe", "probe.npz")
    return cli.main(["rank", *paths, "--arch", ARCH, "--report", "report.json", *options])


def test_the_page_is_written_and_its_command_writes_it_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert rank("--top", "5", "--html", "s.html") == 1
    assert "5 most suspicious samples are in s.html" in capsys.readouterr().err
    page = Path("s.html").read_text("utf-8")
    assert f"class {TARGET}" in page
    found = re.search(r"<pre>(hessay rank .*?)</pre>", page)
    assert found is not None
    command = found[1].replace("&#39;", "'")
    # What a shell does with the line as it stands there.
    runner = f'hessay() {{ "{sys.executable}" -m hessay "$@"; }}; '
    Path("s.html").unlink()
    done = subprocess.run(
        ["bash", "-c", runner + command], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert Path("s.html").read_text("utf-8") == page


def test_a_page_that_cannot_be_written_is_told_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert rank("--html", "none/s.html") == 2
    assert "there is no folder" in capsys.readouterr().err
    assert rank("--html", "a.csv", "-o", "a.csv") == 2
    assert "give each its own file" in capsys.readouterr().err
    assert not Path("a.csv").exists()


@pytest.mark.skipif(BROWSER is None, reason=MISSING)
def test_both_kinds_of_page_fit_a_phone_and_run_nothing(case: Case, tmp_path: Path) -> None:
    with browser(tmp_path) as window:
        for names in (None, [f"a rather long name of a column {i}" for i in range(64)]):
            page = tmp_path / "page.html"
            page.write_text(page_of(case, names=names), "utf-8")
            for width in (320, 390, 1280):
                window.show(page, width=width, dark=width == 390)
                assert window.value("document.documentElement.scrollWidth") <= width
                assert window.complaints() == []
                assert window.requests() == [page.as_uri()]

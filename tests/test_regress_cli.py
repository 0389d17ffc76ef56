"""``hessay regress``: tables of every kind, streams, exit codes, and refusals with the place."""

from __future__ import annotations

import importlib
import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hessay import cli
from hessay.render import regression
from hessay.stepwise.estimator import StepwiseRegression

SEED = 20261123
NAMES = ("a", "b", "c", "d")


def values(n: int = 120) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((n, 4))
    return x, 3 * x[:, 2] - x[:, 0] + rng.standard_normal(n)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    x, y = values()
    write("data.csv", x, y)
    np.savez("data.npz", **dict(zip(NAMES, x.T, strict=True)), y=y)
    return tmp_path


def write(name: str, x: NDArray[Any], y: NDArray[Any], names: tuple[str, ...] = NAMES) -> None:
    lines = [",".join((*names, "y"))]
    lines += [",".join(str(v) for v in (*row, out)) for row, out in zip(x, y, strict=True)]
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def regress(*options: str, data: str = "data.csv", target: str = "y") -> int:
    return cli.main(["regress", data, "--target", target, *options])


def refused(capsys: pytest.CaptureFixture[str], *options: str, **more: str) -> str:
    assert regress(*options, **more) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("hessay: error: ")
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("data", ["data.csv", "data.npz"])
def test_json_holds_the_estimator_s_result(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert regress("--json", data=data) == 0
    said = capsys.readouterr()
    assert said.err == ""
    found = json.loads(said.out)
    x, y = values()
    model = StepwiseRegression().fit(x, y)
    assert [c["column"] for c in found["order"]] == model.order_.tolist() == [2, 0]
    for item in found["order"]:
        assert item["coef"][0] == pytest.approx(model.coef_[item["column"]], rel=1e-12)
        assert item["name"] == NAMES[item["column"]]
    assert found["r2"] == pytest.approx(model.score(x, y), rel=1e-9)
    assert [s["columns"] for s in found["steps"]] == [["c"], ["a"]]
    assert found["rows"] is None


@pytest.mark.usefixtures("folder")
def test_text_shows_coefficients_and_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert regress() == 0
    out = capsys.readouterr().out
    assert out.startswith("2 of 4 columns explain y in 120 rows, R2 0.")
    assert re.search(r"^ *1 +add +c ", out, re.MULTILINE)
    assert "(intercept)" in out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "options",
    [
        ("--criterion", "cv"),
        ("--criterion", "loo"),
        ("--criterion", "permutation"),
        ("--criterion", "f", "--direction", "forward"),
        ("--direction", "backward"),
        ("--n-features", "2"),
    ],
)
def test_every_criterion_finds_the_columns(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert regress("--json", *options) == 0
    found = json.loads(capsys.readouterr().out)
    assert {c["name"] for c in found["order"]} >= {"a", "c"}


@pytest.mark.usefixtures("folder")
def test_text_targets_are_one_output_a_label(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = values()
    labels = np.where(y > 1, "high", np.where(y > -1, "middle", "low"))
    write("labels.csv", x, labels)
    assert regress("--json", data="labels.csv") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outputs"] == ["y=high", "y=low"]
    assert len(found["order"][0]["coef"]) == 2


@pytest.mark.usefixtures("folder")
def test_several_targets_share_their_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert regress("--target", "b", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outputs"] == ["y", "b"]
    assert found["n_columns"] == 3


@pytest.mark.usefixtures("folder")
def test_the_rows_report_decides_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((500, 8))
    y = (x[:, 0] + x[:, 1] + 0.3 * rng.standard_normal(500) > 0).astype(int)
    names = tuple(f"x{i}" for i in range(8))
    write("clean.csv", x, y, names)
    assert regress("--rows-report", data="clean.csv") == 0
    assert "CLEAN: " in capsys.readouterr().out
    rows = rng.choice(np.flatnonzero(y == 0), 30, replace=False)
    x[np.ix_(rows, [4, 6])] += 6
    y[rows] = 1
    write("bad.csv", x, y, names)
    assert regress("--rows-report", "--json", data="bad.csv") == 1
    found = json.loads(capsys.readouterr().out)["rows"]
    assert found["poison"]["verdict"] == "FLAGGED"
    assert {r["row"] for r in found["poison"]["rows"]} >= set(rows[:10].tolist())
    assert found["influence"][0]["cooks"] >= found["influence"][-1]["cooks"]
    write("few.csv", x[:30], y[:30], names)
    assert regress("--rows-report", data="few.csv") == 3
    assert "INCONCLUSIVE" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_the_page_is_self_contained_and_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = values()
    write("evil.csv", x, y, ("<script>alert(1)</script>", "b", "c&d", "\u202ed"))
    assert regress("--rows-report", "-o", "page.html", data="evil.csv") == 0
    said = capsys.readouterr()
    assert "explain y in 120 rows" in said.out
    assert "page.html" in said.err
    page = Path("page.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "c&amp;d" in page
    assert "\u202e" not in page
    assert not re.search(r"https?://|src=|@import|url\(", page)
    drawing = page[page.index("<svg") : page.index("</svg>") + 6]
    marks = [e for e in ET.fromstring(drawing).iter() if e.get("class") == "dot"]
    assert len(marks) == 2


def test_the_plot_goes_down_with_rss_and_marks_what_was_taken() -> None:
    steps = [
        {"action": "add", "columns": ["a"], "rss": 50.0},
        {"action": "add", "columns": ["b"], "rss": 25.0},
        {"action": "drop", "columns": ["a"], "rss": 30.0},
    ]
    drawing = ET.fromstring(regression.path_plot(steps, 100.0, 2))
    dots = [e for e in drawing.iter() if e.get("class") == "dot"]
    assert [float(d.get("cy", 0)) for d in dots] == [240 - 0.5 * 220, 240 - 0.75 * 220]
    assert sum(e.get("class") == "outlier" for e in drawing.iter()) == 1
    assert regression.path_plot([], 100.0, 0) == ""
    assert regression.path_plot(steps, 0.0, 0) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,y\n1,2\n3\n", "broken.csv, line 3: 1 fields, the header has 2"),
        ('a,y\n1,2\n"3,4\n', "broken.csv, line 3: "),
        ("a,y\n1,2\n,4\n", "broken.csv, line 3: column 'a' is empty"),
        ("a,y\n1,2\nred,4\n", "column 'a' holds 'red' in line 3"),
        ("a,a,y\n1,2,3\n", "two columns named 'a'"),
        ("a,y\n", "a header and no rows"),
        ("", "no header"),
        ("a,b\n1,2\n", "no column 'y'; it has a, b"),
        ("y\n1\n2\n", "no column besides the target"),
        ("a,b,y\n1,5,1\n2,6,2\n", "column 'a' is the target 'y'"),
        ("a,y\nnan,2\n3,4\n1,1\n", "NaN in row 0, column 0"),
        ("a,y\n1,2\n3,inf\n1,1\n", "inf in row 1"),
    ],
)
def test_a_broken_csv_is_refused_with_the_place(
    text: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.csv").write_text(text, encoding="utf-8")
    assert words in refused(capsys, data="broken.csv")


def test_bytes_that_are_no_utf8_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.csv").write_bytes(b"a,y\n1,2\n\xff\xfe,3\n")
    assert "not UTF-8" in refused(capsys, data="broken.csv")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--criterion", "bci"), "'bci'"),
        (("--criterion", "cv", "--direction", "both"), "one chain"),
        (("--json", "--format", "html"), "contradicts"),
        (("--alpha", "2", "--rows-report"), "--alpha"),
        (("-o", "nowhere/page.html"), "no folder"),
        (("--target", "y"), "twice"),
    ],
)
def test_wrong_options_are_refused(
    options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(capsys, *options)


def test_wrong_files_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not exist" in refused(capsys, data="nothing.csv")
    assert "must end in" in refused(capsys, data="data.xls")
    (folder / "junk.npz").write_bytes(b"PK\x03\x04junk")
    assert "cannot be read as .npz" in refused(capsys, data="junk.npz")
    np.savez("long.npz", a=np.ones(3), y=np.ones(4))
    assert "every array must have 3 rows" in refused(capsys, data="long.npz")
    np.savez("pickled.npz", a=np.array([{}], dtype=object), y=np.ones(1))
    assert "pickled" in refused(capsys, data="pickled.npz")


def test_parquet_without_pyarrow_says_what_to_install(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (folder / "data.parquet").write_bytes(b"PAR1")
    assert "needs pyarrow" in refused(capsys, data="data.parquet")


@pytest.mark.usefixtures("folder")
def test_parquet_is_read_where_pyarrow_is(capsys: pytest.CaptureFixture[str]) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    x, y = values()
    parquet.write_table(pa.table({**dict(zip(NAMES, x.T, strict=True)), "y": y}), "data.parquet")
    assert regress("--json", data="data.parquet") == 0
    assert [c["column"] for c in json.loads(capsys.readouterr().out)["order"]] == [2, 0]


@pytest.mark.usefixtures("folder")
def test_excluded_columns_may_hold_text_and_kept_ones_are_in_the_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = Path("data.csv").read_text(encoding="utf-8").splitlines()
    text = [lines[0] + ",note", *(line + ",word" for line in lines[1:])]
    Path("text.csv").write_text("\n".join(text) + "\n", encoding="utf-8")
    assert "exclude the column" in refused(capsys, data="text.csv")
    assert regress("--json", "--exclude", "note", data="text.csv") == 0
    assert [c["name"] for c in json.loads(capsys.readouterr().out)["order"]] == ["c", "a"]
    assert (
        regress("--json", "--exclude", "note", "--exclude", "a", "--keep", "b", data="text.csv")
        == 0
    )
    assert {c["name"] for c in json.loads(capsys.readouterr().out)["order"]} == {"b", "c"}
    assert "is no column that may enter" in refused(capsys, "--keep", "e")
    assert "is a target and excluded" in refused(capsys, "--exclude", "y")
    assert "has no column 'e'" in refused(capsys, "--exclude", "e")

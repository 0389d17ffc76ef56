"""No cell of a CSV file that comes from outside is a formula to a spreadsheet; numbers stay numbers."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection import Nets
from hessay._printable import spreadsheet_cell
from hessay.errors import ShapeError
from ranking_case import Case, case_of

HOSTILE = [
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "a\r=1", "a\n=1", " =1",
    "＝1", "－1", '"=1"', '",=1', "=HYPERLINK(\"http://x\")", "class0/=1.png", "\u202e=1", "\udcff.png",
    "\x00=1", "\xa0=1",
]  # fmt: skip
# What a spreadsheet begins a formula with, after the white space that it skips.
FORMULA = re.compile(r"[\s\0]*[=+\-@＝＋－＠\t\r]")


@pytest.fixture(scope="module")
def case(nets: Nets) -> Case:
    return case_of(nets)


@given(st.text())
def test_no_text_begins_like_a_formula_or_breaks_its_line(text: str) -> None:
    cell = spreadsheet_cell(text)
    assert not FORMULA.match(cell)
    assert not set(cell) & {"\r", "\n", "\t", "\0"}
    cell.encode()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_harmless(text: str) -> None:
    assert not FORMULA.match(spreadsheet_cell(text))


def test_harmless_names_stay_as_they_are() -> None:
    for text in ("class0/0001.png", "été.png", "a=b", "1-2", "", "x@y"):
        assert spreadsheet_cell(text) == text


def test_a_ranking_with_hostile_names_has_one_harmless_row_a_sample(case: Case) -> None:
    ranking = case.ranking
    names = [HOSTILE[row % len(HOSTILE)] for row in range(ranking.n)]
    text = ranking.to_csv(names=names)
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == len(text.splitlines()) == ranking.n + 1
    assert rows[0][-1] == "name"
    assert all(len(row) == len(rows[0]) for row in rows)
    negative = 0
    for row in rows[1:]:
        *numbers, name = row
        assert name == spreadsheet_cell(names[int(row[0])])
        assert not FORMULA.match(name)
        for cell in numbers:  # a number is written as a number, negative ones too
            negative += cell != "" and float(cell) < 0
    assert negative > 0
    assert "'-" not in "".join(",".join(row[:-1]) for row in rows)


def test_names_must_fit_the_samples(case: Case) -> None:
    with pytest.raises(ShapeError, match="got 1"):
        case.ranking.to_csv(names=["a"])
    with pytest.raises(ShapeError, match="got 1"):
        case.ranking.to_json(names=["a"])

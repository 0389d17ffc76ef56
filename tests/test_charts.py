"""The pictures of a report say what its numbers say."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import page_case
from hessay import render
from hessay.render import class_chart, spectrum_chart, svg
from hessay.report import ClassEvidence, Report, SpectrumSummary

SAMPLE = Path(__file__).parent / "data" / "report-1.json"


def sample(**changes: Any) -> Report:
    return dataclasses.replace(Report.from_json(SAMPLE.read_text("utf-8")), **changes)


def drawn(source: str) -> ElementTree.Element:
    return ElementTree.fromstring(source)


def bars(report: Report, width: int) -> str:
    chosen = class_chart.class_bars(report)
    assert chosen is not None
    return class_chart.draw(chosen, report.flagged_class, width)


def limit_of(report: Report) -> float | None:
    chosen = class_chart.class_bars(report)
    return None if chosen is None else chosen.limit


def marks(picture: ElementTree.Element, kind: str) -> list[float]:
    places = []
    for element in picture.iter():
        if element.get("class") == kind:
            path = element.get("d", "")
            places.append(float(element.get("cx") or path[1:].split()[0]))
    return sorted(places)


@pytest.mark.parametrize("width", [340, 860])
def test_one_mark_an_eigenvalue_and_only_outliers_right_of_the_edge(width: int) -> None:
    summary = sample().spectrum
    assert summary is not None
    assert summary.edge_upper is not None
    picture = drawn(spectrum_chart.spectrum(summary, width))
    above = [v for v in summary.values if v > summary.edge_upper]
    outliers, dots = marks(picture, "outlier"), marks(picture, "dot")
    assert len(outliers) == len(above) == summary.n_outliers
    assert len(outliers) + len(dots) == len(summary.values)
    edge = next(float(e.get("x1", "")) for e in picture.iter() if e.get("class") == "edge")
    # Marks are centred in columns of 11 px.
    assert min(outliers) > edge - 5.5
    assert max(dots) < edge + 5.5
    assert all(0 <= x <= width for x in outliers + dots)


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0, 100.0])
def test_no_words_leave_a_phone(share: float) -> None:
    summary = sample().spectrum
    assert summary is not None
    edge = summary.values[0] * share
    moved = dataclasses.replace(summary, edge_upper=edge, edge_accepted=False, n_outliers=None)
    for picture in (drawn(spectrum_chart.spectrum(moved, 340)), drawn(bars(sample(), 340))):
        for element in picture.iter("text"):
            bold = "-label" in element.get("class", "")
            x = float(element.get("x", ""))
            letters = (7.4 if bold else 6.5) * len(element.text or "")  # px, on the wide side
            start = {"start": x, "middle": x - letters / 2, "end": x - letters}
            left = start[element.get("text-anchor", "")]
            assert left > -1
            assert left + letters <= 340 + 1


def test_the_axis_is_logarithmic() -> None:
    axis = svg.LogAxis(1e-3, 1e3, 0.0, 600.0)
    steps = np.diff([axis.x(10.0**k) for k in range(-3, 4)])
    assert np.allclose(steps, steps[0])
    assert axis.x(1e-3) > 0
    assert axis.x(1e3) < 600


def test_a_rejected_fit_calls_nothing_an_outlier() -> None:
    summary = sample().spectrum
    assert summary is not None
    rejected = dataclasses.replace(summary, edge_accepted=False, n_outliers=None)
    source = spectrum_chart.spectrum(rejected, 860)
    assert marks(drawn(source), "outlier") == []
    assert "fit rejected" in source
    assert "fit was rejected" in render.html(sample(spectrum=rejected))


@pytest.mark.parametrize(
    "values", [(1.0,), (1e-200,), (1e280, 1e-300), (3.0, 0.0, -1.0), (2.0,) * 500], ids=str
)
def test_strange_spectra_are_drawn_inside_the_picture(values: tuple[float, ...]) -> None:
    summary = SpectrumSummary(
        values, "1 / input^2", "m", "c", 0.0, 1, None, None, None, None, None, "", None, None
    )
    picture = drawn(spectrum_chart.spectrum(summary, 340))
    shown = sum(v > 0 and v > values[0] * 1e-9 for v in values)
    assert len(marks(picture, "dot")) == shown
    heights = [float(e.get("cy", "1")) for e in picture.iter() if e.get("class") == "dot"]
    assert all(0 < y < 246 for y in heights)  # 246: the axis


def test_a_spectrum_without_a_positive_value_is_not_drawn() -> None:
    summary = sample().spectrum
    assert summary is not None
    for values in [(5e-324,), (1.7e308, 0.0), (0.0, -1.0)]:
        zero = dataclasses.replace(summary, values=values, n_outliers=0)
        assert spectrum_chart.spectrum(zero, 340) == ""
    assert "nothing to draw" in render.html(sample(spectrum=zero))


@pytest.mark.parametrize("width", [340, 860])
def test_bar_lengths_are_proportional_and_the_alarm_is_not_told_by_colour_alone(width: int) -> None:
    report = sample()
    picture = drawn(bars(report, width))
    rects = [e for e in picture.iter() if e.get("class", "").startswith("bar") and e.tag == "rect"]
    lengths = np.array([float(e.get("width", "")) for e in rects])
    ratios = np.array([abs(item.log_ratio) for item in report.classes])
    long = ratios > 0.05
    scale = lengths[long] / ratios[long]
    assert np.allclose(scale, scale[0], rtol=0.05)  # widths are written to 0.1 px
    alarms = [i for i, e in enumerate(rects) if "alarm" in e.get("class", "")]
    assert alarms == [7]
    assert sum(e.get("class") == "hatch" for e in picture.iter()) == 1
    assert [e.text for e in picture.iter() if "▲ flagged" in (e.text or "")] == ["1.10 ▲ flagged"]
    words = [e.text for e in picture.iter() if e.get("class") == "edge-label"]
    assert words == ["alarm above 0.5"]


def test_a_threshold_of_another_statistic_is_not_drawn_on_the_bars() -> None:
    item = dataclasses.replace(sample().evidence[0], decides=False)
    other = sample(statistic=3.0, threshold=2.5, evidence=(item,))
    assert limit_of(other) is None
    assert "edge-label" not in bars(other, 340)
    assert "no alarm limit is drawn" in render.html(other)


def test_many_classes_are_cut_to_the_strongest() -> None:
    many = tuple(ClassEvidence(i, 1, 1.0 + i, i / 100, None, None) for i in range(200))
    model = dataclasses.replace(sample().model, n_classes=200)
    report = sample(classes=many, model=model, statistic=1.99)
    picture = bars(report, 860)
    assert "class 199<" in picture
    assert "class 159<" not in picture
    assert re.search(r"The 40 strongest of\s+200 classes", render.html(report))
    assert "The 12 first classes" in render.text(report)


def test_the_bars_are_deviations_where_references_gave_them() -> None:
    report = page_case.referenced()
    chosen = class_chart.class_bars(report)
    assert chosen is not None
    assert (chosen.kind, chosen.limit) == ("deviation", 4.2)
    assert [value for _, value in chosen.values] == [c.deviation for c in report.classes]
    assert "standard deviations of one" in class_chart.draw(chosen, 7, 860)
    part = (dataclasses.replace(report.classes[0], deviation=None), *report.classes[1:])
    mixed = class_chart.class_bars(dataclasses.replace(report, classes=part))
    assert mixed is not None
    assert mixed.kind == "reach"


@given(st.permutations(range(9)))
def test_cycles_and_marks_are_the_map(order: list[int]) -> None:
    read = list(range(9))
    for cycle in class_chart.cycles(tuple(order)):
        if not cycle.endswith("stays"):
            walk = [int(c) for c in cycle.split(" → ")]
            for a, b in itertools.pairwise(walk):
                read[a] = b
    assert read == order
    picture = drawn(class_chart.draw_map(tuple(order), 320))
    paths = [e.get("d", "") for e in picture.iter() if e.get("class") == "outlier"]
    columns = [float(d[1:].split()[0]) for d in paths]
    assert np.argsort(np.argsort(columns)).tolist() == order


def test_a_map_of_many_classes_is_told_in_words_only() -> None:
    many = (*range(1, 1000), 0)
    assert class_chart.draw_map(many, 860) == ""
    assert class_chart.cycles(many)[0].endswith("198 → 199 → …")

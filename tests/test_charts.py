"""The pictures of a report say what its numbers say."""

from __future__ import annotations

import base64
import dataclasses
import re
import struct
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from hessay import render
from hessay.render import pixels, svg
from hessay.report import ClassEvidence, Report, SpectrumSummary

SAMPLE = Path(__file__).parent / "data" / "report-1.json"


def sample(**changes: Any) -> Report:
    return dataclasses.replace(Report.from_json(SAMPLE.read_text("utf-8")), **changes)


def drawn(source: str) -> ElementTree.Element:
    return ElementTree.fromstring(source)


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
    picture = drawn(svg.spectrum(summary, width))
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
    for picture in (drawn(svg.spectrum(moved, 340)), drawn(svg.bars(sample(), 340))):
        for element in picture.iter("text"):
            bold = "-label" in element.get("class", "")
            x = float(element.get("x", ""))
            letters = (7.4 if bold else 6.5) * len(element.text or "")  # px, on the wide side
            start = {"start": x, "middle": x - letters / 2, "end": x - letters}
            left = start[element.get("text-anchor", "")]
            assert left > -1
            assert left + letters <= 340 + 1


def test_the_axis_is_logarithmic() -> None:
    axis = svg._LogAxis(1e-3, 1e3, 0.0, 600.0)
    steps = np.diff([axis.x(10.0**k) for k in range(-3, 4)])
    assert np.allclose(steps, steps[0])
    assert axis.x(1e-3) > 0
    assert axis.x(1e3) < 600


def test_a_rejected_fit_calls_nothing_an_outlier() -> None:
    summary = sample().spectrum
    assert summary is not None
    rejected = dataclasses.replace(summary, edge_accepted=False, n_outliers=None)
    source = svg.spectrum(rejected, 860)
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
    picture = drawn(svg.spectrum(summary, 340))
    shown = sum(v > 0 and v > values[0] * 1e-9 for v in values)
    assert len(marks(picture, "dot")) == shown
    heights = [float(e.get("cy", "1")) for e in picture.iter() if e.get("class") == "dot"]
    assert all(0 < y < 200 for y in heights)


def test_a_spectrum_without_a_positive_value_is_not_drawn() -> None:
    summary = sample().spectrum
    assert summary is not None
    for values in [(5e-324,), (1.7e308, 0.0), (0.0, -1.0)]:
        zero = dataclasses.replace(summary, values=values, n_outliers=0)
        assert svg.spectrum(zero, 340) == ""
    assert "nothing to draw" in render.html(sample(spectrum=zero))


@pytest.mark.parametrize("width", [340, 860])
def test_bar_lengths_are_proportional_and_the_alarm_is_not_told_by_colour_alone(width: int) -> None:
    report = sample()
    picture = drawn(svg.bars(report, width))
    bars = [e for e in picture.iter() if e.get("class", "").startswith("bar") and e.tag == "rect"]
    lengths = np.array([float(e.get("width", "")) for e in bars])
    ratios = np.array([abs(item.log_ratio) for item in report.classes])
    long = ratios > 0.05
    scale = lengths[long] / ratios[long]
    assert np.allclose(scale, scale[0], rtol=0.05)  # widths are written to 0.1 px
    alarms = [i for i, e in enumerate(bars) if "alarm" in e.get("class", "")]
    assert alarms == [7]
    assert sum(e.get("class") == "hatch" for e in picture.iter()) == 1
    assert [e.text for e in picture.iter() if "▲ flagged" in (e.text or "")] == ["1.10 ▲ flagged"]
    words = [e.text for e in picture.iter() if e.get("class") == "edge-label"]
    assert words == ["threshold 0.5"]


def test_a_threshold_of_another_statistic_is_not_drawn_on_the_bars() -> None:
    other = sample(statistic=3.0, threshold=2.5)
    assert svg.bar_threshold(other) is None
    assert "edge-label" not in svg.bars(other, 340)
    assert "no threshold is drawn" in render.html(other)


def test_many_classes_are_cut_to_the_strongest() -> None:
    many = tuple(ClassEvidence(i, 1, 1.0 + i, i / 100, None, None) for i in range(200))
    model = dataclasses.replace(sample().model, n_classes=200)
    report = sample(classes=many, model=model, statistic=1.99)
    picture = svg.bars(report, 860)
    assert "class 199<" in picture
    assert "class 159<" not in picture
    assert re.search(r"The 40 strongest of\s+200 classes", render.html(report))
    assert "The 12 first classes" in render.text(report)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 8), (1, 8, 8)),
        ((3, 32, 24), (3, 32, 24)),
        ((784,), (1, 28, 28)),
        ((783,), None),
        ((9,), None),
        ((5, 8, 8), None),
        ((1, 30), None),
        ((2, 3, 4, 5), None),
        ((2000, 2000), None),
    ],
)
def test_what_counts_as_a_picture(
    shape: tuple[int, ...], expected: tuple[int, int, int] | None
) -> None:
    assert pixels.picture_shape(shape) == expected


def decoded(uri: str) -> np.ndarray[Any, Any]:
    """A second, dumb PNG reader: one IHDR, one IDAT, filter 0, checksums verified."""
    raw = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert raw.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, place = {}, 8
    while place < len(raw):
        (length,) = struct.unpack(">I", raw[place : place + 4])
        kind, data = raw[place + 4 : place + 8], raw[place + 8 : place + 8 + length]
        check = raw[place + 8 + length : place + 12 + length]
        assert struct.unpack(">I", check)[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        place += 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_the_trigger_picture_is_upright_and_signed() -> None:
    direction = np.zeros((2, 6, 5))
    direction[0, 1, 4], direction[1, 5, 0] = 0.8, -0.6
    first, second = pixels.pictures(tuple(direction.ravel()), (2, 6, 5))
    one, two = decoded(first.uri), decoded(second.uri)
    assert one.shape == two.shape == (6, 5, 3)
    assert one[1, 4, 0] > one[1, 4, 2] + 50  # brown: raise the input
    assert two[5, 0, 2] > two[5, 0, 0] + 50  # blue: lower it
    white = np.full(3, 247)
    assert (one[0, 0] == white).all()
    assert (two[0, 0] == white).all()
    assert "row 1, column 4" in first.description
    assert first.title == "channel 0"


def test_a_direction_that_is_no_picture_is_named_as_such() -> None:
    probe = dataclasses.replace(sample().probe, input_shape=(16, 2, 2))
    page = render.html(sample(probe=probe))
    assert "are no pictures" in page
    assert "<img" not in page

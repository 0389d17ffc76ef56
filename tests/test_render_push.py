"""The push of a report: as a picture over the average input, as a table, inside a model."""

from __future__ import annotations

import base64
import dataclasses
import struct
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import page_case
from hessay import render
from hessay.render import features, pixels
from hessay.report import Report

SAMPLE = Path(__file__).parent / "data" / "report-1.json"


def sample(**changes: Any) -> Report:
    return dataclasses.replace(Report.from_json(SAMPLE.read_text("utf-8")), **changes)


def drawn(source: str) -> ElementTree.Element:
    return ElementTree.fromstring(source)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 8), (1, 8, 8)),
        ((3, 32, 24), (3, 32, 24)),
        ((784,), (1, 28, 28)),
        ((783,), None),
        ((49,), None),
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
    found = pixels.pictures(tuple(direction.ravel()), (2, 6, 5))
    assert found is not None
    assert found.largest == 0.8
    first, second = found.shown
    one, two = decoded(first.uri), decoded(second.uri)
    assert one.shape == two.shape == (6, 5, 3)
    assert one[1, 4, 0] > one[1, 4, 2] + 50  # brown: raise the input
    assert two[5, 0, 2] > two[5, 0, 0] + 50  # blue: lower it
    white = np.full(3, 247)
    assert (one[0, 0] == white).all()
    assert (two[0, 0] == white).all()
    assert "row 1, column 4" in first.description
    assert first.title == "the push alone, channel 0"


def test_the_push_covers_the_average_where_it_is_strong_and_nowhere_else() -> None:
    direction = np.zeros((3, 9, 7))
    direction[0, 1, 4], direction[1, 8, 0], direction[2, 8, 0] = 0.8, -0.6, 0.55
    mean = np.linspace(-2, 3, 3 * 63).reshape(3, 9, 7)
    found = pixels.pictures(tuple(direction.ravel()), (3, 9, 7), tuple(mean.ravel()))
    assert found is not None
    assert (found.low, found.high) == (-2.0, 3.0)
    average, over, *alone = (decoded(picture.uri).astype(int) for picture in found.shown)
    # A second way to the same picture: 255 levels between the ends, half a level for rounding.
    assert np.abs(average - 255 * (mean.transpose(1, 2, 0) + 2) / 5).max() <= 0.5 + 1e-9
    assert over[1, 4, 0] > over[1, 4, 2] + 50  # brown: raise the input
    assert over[8, 0, 2] > over[8, 0, 0] + 50  # blue: the strongest channel, not their sum
    untouched = (direction == 0).all(axis=0)
    greys = over[untouched]
    assert (greys == greys[:, :1]).all()
    assert len(alone) == 3
    assert [p.title.rpartition(", ")[2] for p in found.shown[2:]] == ["red", "green", "blue"]


def test_the_legends_carry_numbers_and_the_unit() -> None:
    report = page_case.colour()
    assert report.trigger_direction is not None
    found = pixels.pictures(report.trigger_direction, (3, 32, 32), report.probe.mean)
    assert found is not None
    picture = drawn(pixels.scale(found))
    words = [e.text for e in picture.iter("text")]
    assert "entry, dimensionless" in words
    ends = [words[2], words[6]]
    assert float(str(ends[0]).replace("−", "-")) == -float(str(ends[1]))
    # Two digits are written.
    assert float(str(ends[1])) == pytest.approx(np.abs(report.trigger_direction).max(), rel=0.05)
    assert "value, input units" in pixels.grey_scale(0.0, 1.0)


def test_what_is_no_picture_is_a_table_of_named_features() -> None:
    report = page_case.table()
    assert report.trigger_direction is not None
    page = render.html(report)
    assert "<img" not in page
    rows = features.feature_rows(report)
    order = sorted(range(30), key=lambda i: -abs(report.trigger_direction[i]))  # type: ignore[index]
    assert [row.name for row in rows] == [f"blood pressure {i}, mmHg" for i in order[:20]]
    assert sum(row.share for row in features.feature_rows(report, 30)) == pytest.approx(1.0)
    assert all(row.name in page for row in rows)
    tall = dataclasses.replace(sample().probe, input_shape=(16, 2, 2))
    unnamed = features.feature_rows(sample(probe=tall), 1)[0].name
    place = int(np.abs(sample().trigger_direction).argmax())  # type: ignore[arg-type]
    assert unnamed == f"entry {[int(i) for i in np.unravel_index(place, (16, 2, 2))]}"


def test_inside_a_model_positions_are_shown_and_no_picture() -> None:
    report = page_case.embedding()
    page = render.html(report)
    assert "<img" not in page
    assert features.position_rows(report)[0].position == 5
    assert "4711, 12, 96" in page

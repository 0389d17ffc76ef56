"""The spectrum on a log axis: bulk, edge and outliers told apart by place, shape and words."""

from __future__ import annotations

from hessay.render.svg import LETTER, LogAxis, circle, diamond, hatch, head, line, rect, text
from hessay.render.wording import number, pretty_unit
from hessay.report import SpectrumSummary

_DECADES = 9  # eigenvalues further below the largest are numerically zero and only counted
_SMALLEST, _LARGEST = 1e-290, 1e290  # what an axis with room at its ends can hold
_PITCH = 11.0  # px between marks
_NAMED = 3  # of the largest eigenvalues get their number written
_LEFT, _BANDS, _TOP, _BASE, _HEIGHT = 40, 44, 116, 246, 294  # px


def drawable(summary: SpectrumSummary) -> list[float]:
    """Eigenvalues that a log axis can show, descending."""
    values = [v for v in summary.values if _SMALLEST < v < _LARGEST]
    return [v for v in values if v > values[0] * 10.0**-_DECADES]


def spectrum(summary: SpectrumSummary, width: int) -> str:
    """Draw the eigenvalues as stacked marks over a log axis, with the bulk, its edge and the outliers.

    Parameters
    ----------
    summary : SpectrumSummary
    width : int
        Of the drawing, px, at least 280.

    Returns
    -------
    str
        An ``<svg>`` element; empty when no eigenvalue is positive and within a double's range.
    """
    values = drawable(summary)
    if not values:
        return ""
    edge = summary.edge_upper
    edge = edge if edge is not None and _SMALLEST < edge < _LARGEST else None
    marks = values + ([edge] if edge else [])
    lower = summary.edge_lower
    # The bulk begins at lambda_minus, or left of the picture when that would stretch the axis.
    if lower and lower > min(marks) / 3:
        marks.append(lower)
    axis = LogAxis(min(marks), max(marks), _LEFT, width - 14)
    n_out = _outlier_count(summary, edge)
    parts = [head("spectrum", width, _HEIGHT, _words(summary, n_out))]
    if edge:
        left = axis.x(lower) if lower and lower in marks else axis.left
        parts += _regions(summary, edge, left, axis, n_out, width)
    parts += axis.draw(_BASE, f"eigenvalue in {pretty_unit(summary.unit)}, log scale")
    places, counts = _stacked(values, axis)
    parts += counts
    leaders, names = _labels(values[:_NAMED], places, n_out, edge)
    parts += leaders
    for position, (x, y, radius) in enumerate(places):
        parts.append((diamond if position < n_out else circle)(x, y, radius))
    # Names last: their halo keeps them readable over lines.
    return "".join(parts + names) + "</svg>"


def _regions(
    summary: SpectrumSummary, edge: float, left: float, axis: LogAxis, n_out: int, width: int
) -> list[str]:
    """Shaded and hatched bulk, dashed edge, and the name of each part."""
    sure = summary.edge_accepted is not False
    x = axis.x(edge)
    box = (left, 22.0, x - left, _BASE - 22.0)
    parts = []
    if sure:
        identifier = f"bulk-{width}"  # the page holds two drawings
        parts += [hatch(identifier, -45, "bulk-line"), rect("bulk", *box)]
        parts.append(rect("bulk-hatch", *box, fill=f"url(#{identifier})"))
    else:
        parts.append(rect("bulk unsure", *box))
    parts.append(line("edge", x, 22, x, _BASE))
    words = f"bulk edge {number(edge)}" + ("" if sure else " (fit rejected)")
    long = LETTER * len(words)
    if x + 6 + long > width and x - 6 - long > 0:
        parts.append(text("edge-label", x - 6, 40, words, "end"))
    else:
        parts.append(text("edge-label", max(0.0, min(x + 6, width - long)), 40, words))
    if sure:
        if x - left > LETTER * 12:
            parts.append(text("zone", (left + x) / 2, 15, "bulk: noise", "middle"))
        outside = f"{n_out} outlier" + ("" if n_out == 1 else "s")
        if width - 4 - max(x, left + LETTER * 14) > LETTER * len(outside):
            parts.append(text("zone hot", width - 4, 15, outside, "end"))
    return parts


def _outlier_count(summary: SpectrumSummary, edge: float | None) -> int:
    if summary.edge_accepted is False:
        return 0  # above an edge that describes nothing, nothing is an outlier
    if summary.n_outliers is not None:
        return summary.n_outliers
    return 0 if edge is None else sum(v > edge for v in summary.values)


def _words(summary: SpectrumSummary, n_out: int) -> str:
    words = f"{len(summary.values)} eigenvalues, largest {number(summary.values[0])}"
    edge, unit = summary.edge_upper, pretty_unit(summary.unit)
    if edge is None:
        return f"{words} {unit}"
    if summary.edge_accepted is False:
        return f"{words} {unit}, bulk edge {number(edge)}, fit rejected"
    return f"{words}, bulk edge {number(edge)} {unit}, {n_out} above it"


def _stacked(
    values: list[float], axis: LogAxis
) -> tuple[list[tuple[float, float, float]], list[str]]:
    """Place of each mark (x, y, radius), stacked where they would cover each other; the axis of counts."""
    columns: dict[int, list[int]] = {}
    for position, value in enumerate(values):
        columns.setdefault(round(axis.x(value) / _PITCH), []).append(position)
    tallest = max(len(stack) for stack in columns.values())
    pitch = min(_PITCH, (_BASE - _TOP) / tallest)
    places = [(0.0, 0.0, 0.0)] * len(values)
    for column, stack in columns.items():
        for level, position in enumerate(reversed(stack)):
            places[position] = (_PITCH * column, _BASE - pitch * (level + 0.5), 0.45 * pitch)
    parts = []
    # One label alone where two would touch.
    for count in (1, tallest) if pitch * (tallest - 1) > 14 else (tallest,):
        y = _BASE - pitch * count
        parts.append(line("axis", _LEFT - 5, y, _LEFT, y))
        parts.append(text("tick", _LEFT - 8, y + 5, str(count), "end"))
    top = _BASE - pitch * tallest
    parts.append(line("axis", _LEFT, top, _LEFT, _BASE))
    parts.append(text("axis-title", 2, top - 10, "count"))
    return places, parts


def _labels(
    values: list[float], places: list[tuple[float, float, float]], n_out: int, edge: float | None
) -> tuple[list[str], list[str]]:
    """Leaders and names for the largest eigenvalues, each on its own row."""
    leaders, names = [], []
    for rank, value in enumerate(values):
        x, bottom, _ = places[rank]
        y = _BANDS + 16 + 19 * rank
        words = f"λ{'₁₂₃'[rank]} = {number(value)}"
        out = rank < n_out
        if edge and out:
            words += f", {_times(value / edge)} × edge"
        # To the left there is no leader of a larger one; only a name without room goes right.
        left = x - 7 - LETTER * len(words) > 0
        leaders.append(line("stem" if out else "stem plain", x, y - 8, x, bottom))
        name = "mark-label" if out else "mark-label plain"
        names.append(text(name, x + (-7 if left else 7), y, words, "end" if left else "start"))
    return leaders, names


def _times(ratio: float) -> str:
    return f"{ratio:.3g}" if ratio < 1000 else f"{ratio:.0f}" if ratio < 1e6 else f"{ratio:.1e}"


def hidden(summary: SpectrumSummary) -> int:
    """How many eigenvalues the drawing leaves out: zero, negative or below 1e-9 of the largest."""
    return len(summary.values) - len(drawable(summary))

"""Charts as inline SVG: the spectrum on a log axis, and one bar a class.

Drawn at a fixed width in CSS pixels, so that the letters keep their size: the page holds one for
phones and one for desks. Colours come from its style sheet by class name.
"""

from __future__ import annotations

import math
from html import escape

from hessay._printable import printable
from hessay.render.wording import number, pretty_unit
from hessay.report import ClassEvidence, Report, SpectrumSummary

_DECADES = 9  # eigenvalues further below the largest are numerically zero and only counted
_SMALLEST, _LARGEST = 1e-290, 1e290  # what an axis with room at its ends can hold
_PITCH = 11.0  # px between marks
_NAMED = 3  # of the largest eigenvalues get their number written
_LETTER = 7.4  # px, width of a bold letter at 13 px, rather too wide than too narrow
_MOST_BARS = 40


def spectrum(summary: SpectrumSummary, width: int) -> str:
    """Draw the eigenvalues as dots over a log axis, with the bulk, its edge and the outliers.

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
    drawable = [v for v in summary.values if _SMALLEST < v < _LARGEST]
    values = [v for v in drawable if v > drawable[0] * 10.0**-_DECADES]
    if not values:
        return ""
    edge = summary.edge_upper
    edge = edge if edge is not None and _SMALLEST < edge < _LARGEST else None
    marks = values + ([edge] if edge else [])
    lower = summary.edge_lower
    # The bulk begins at lambda_minus, or left of the picture when that would stretch the axis.
    if lower and lower > min(marks) / 3:
        marks.append(lower)
    axis = _LogAxis(min(marks), max(marks), 14, width - 14)
    top, base, height = 34, 198, 246
    n_out = _outlier_count(summary, edge)
    parts = [_open("spectrum", width, height, _spectrum_words(summary, n_out))]
    if edge:
        left = axis.x(lower) if lower and lower in marks else axis.left
        sure = summary.edge_accepted is not False
        parts.append(
            _rect(
                "bulk" if sure else "bulk unsure",
                left,
                top - 8,
                axis.x(edge) - left,
                base - top + 8,
            )
        )
    parts += axis.draw(base, f"eigenvalue in {pretty_unit(summary.unit)}, log scale")
    if edge:
        x = axis.x(edge)
        words = _edge_words(summary, edge)
        parts.append(_line("edge", x, 8, x, base))
        parts.append(_text("edge-label", min(x + 6, width - _LETTER * len(words)), 18, words))
    parts += _dots(values, n_out, axis, top, base)
    parts += _labels(values[:_NAMED], n_out, edge, axis, top, base)
    return "".join(parts) + "</svg>"


def bars(report: Report, width: int) -> str:
    """Draw log(reach / median reach) of every class, with the threshold where it applies.

    Parameters
    ----------
    report : Report
    width : int
        Of the drawing, px, at least 280.

    Returns
    -------
    str
        An ``<svg>`` element; empty without classes. Beyond 40 classes the strongest 40.
    """
    shown = strongest_classes(report)
    if not shown:
        return ""
    threshold = bar_threshold(report)
    ratios = [item.log_ratio for item in shown]
    low, high = min(0.0, *ratios), max(0.1, threshold or 0.0, *ratios)
    left, right, top, pitch = 58, width - 118, 30, 24
    base = top + pitch * len(shown) + 4

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    words = f"bar chart of {len(shown)} classes, largest {number(max(ratios))}"
    # The page holds two drawings: a pattern of the hidden one cannot fill bars of the other.
    hatch = f"hatch-{width}"
    parts = [_open("bars", width, base + 46, words), _HATCH.format(id=hatch)]
    for step in _linear_ticks(low, high):
        parts.append(_line("grid", x(step), top - 4, x(step), base))
        parts.append(_text("tick", x(step), base + 17, f"{step:g}", "middle"))
    for row, item in enumerate(shown):
        y = top + pitch * row
        alarm = item.index == report.flagged_class
        start, end = sorted((x(0.0), x(item.log_ratio)))
        parts.append(_text("label", left - 8, y + 15, f"class {item.index}", "end"))
        box = (start, y + 3, max(end - start, 1.0), pitch - 6)
        parts.append(_rect("bar alarm" if alarm else "bar", *box))
        if alarm:
            parts.append(_rect("hatch", *box, fill=f"url(#{hatch})"))
        value = f"{item.log_ratio:.2f}" + (" ▲ flagged" if alarm else "")
        parts.append(_text("value alarm-text" if alarm else "value", right + 10, y + 15, value))
    parts.append(_line("zero", x(0.0), top - 4, x(0.0), base))
    if threshold is not None and low <= threshold <= high:
        place = x(threshold)
        parts.append(_line("edge", place, 20, place, base))
        anchor = "end" if place > 0.6 * width else "middle"
        parts.append(_text("edge-label", place, 14, f"threshold {number(threshold)}", anchor))
    parts.append(_text("axis-title", left, base + 38, "log(reach / median reach), dimensionless"))
    return "".join(parts) + "</svg>"


def strongest_classes(report: Report) -> list[ClassEvidence]:
    """All classes by index, or the strongest 40 of more."""
    if len(report.classes) <= _MOST_BARS:
        return sorted(report.classes, key=lambda item: item.index)
    return sorted(report.classes, key=lambda item: (-item.log_ratio, item.index))[:_MOST_BARS]


def bar_threshold(report: Report) -> float | None:
    """Give the report's threshold if it is one on the bars: the statistic is the largest bar."""
    if report.statistic is None or report.threshold is None or not report.classes:
        return None
    largest = max(item.log_ratio for item in report.classes)
    same = math.isclose(largest, report.statistic, rel_tol=1e-6, abs_tol=1e-9)
    return report.threshold if same else None


class _LogAxis:
    """Positive values to px, on a logarithmic scale with a little room at both ends."""

    def __init__(self, low: float, high: float, left: float, right: float) -> None:
        room = max(0.06 * math.log10(high / low), 0.08)
        self.low, self.high = math.log10(low) - room, math.log10(high) + room
        self.left, self.right = left, right

    def x(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.left + share * (self.right - self.left)

    def ticks(self) -> list[tuple[float, str]]:
        first, last = math.ceil(self.low), math.floor(self.high)
        decades = range(first, last + 1)
        if len(decades) >= 3:
            step = math.ceil(len(decades) / 8)
            return [(10.0**k, _power_of_ten(k)) for k in decades if k % step == 0]
        finer = (m * 10.0**k for k in range(first - 1, last + 1) for m in (1, 2, 5))
        return [(v, f"{v:g}") for v in finer if self.low <= math.log10(v) <= self.high]

    def draw(self, y: float, title: str) -> list[str]:
        parts = [_line("axis", self.left, y, self.right, y)]
        for value, label in self.ticks():
            x = self.x(value)
            parts.append(_line("axis", x, y, x, y + 5))
            anchor = "middle" if self.left + 14 < x < self.right - 14 else "end"
            shift = 0 if anchor == "middle" else 8
            parts.append(_text("tick", x + shift, y + 19, "", anchor, markup=label))
        return [*parts, _text("axis-title", self.left, y + 40, title)]


def _outlier_count(summary: SpectrumSummary, edge: float | None) -> int:
    if summary.edge_accepted is False:
        return 0  # above an edge that describes nothing, nothing is an outlier
    if summary.n_outliers is not None:
        return summary.n_outliers
    return 0 if edge is None else sum(v > edge for v in summary.values)


def _edge_words(summary: SpectrumSummary, edge: float) -> str:
    rejected = " (fit rejected)" if summary.edge_accepted is False else ""
    return f"bulk edge {number(edge)}{rejected}"


def _spectrum_words(summary: SpectrumSummary, n_out: int) -> str:
    words = f"{len(summary.values)} eigenvalues, largest {number(summary.values[0])}"
    edge = summary.edge_upper
    return words if edge is None else f"{words}, bulk edge {number(edge)}, {n_out} above it"


def _dots(values: list[float], n_out: int, axis: _LogAxis, top: float, base: float) -> list[str]:
    """One mark an eigenvalue, stacked where they would cover each other."""
    columns: dict[int, list[int]] = {}
    for position in range(_NAMED, len(values)):
        columns.setdefault(round(axis.x(values[position]) / _PITCH), []).append(position)
    tallest = max((len(stack) for stack in columns.values()), default=1)
    pitch = min(_PITCH, (base - top) / tallest)
    parts = []
    for column, stack in columns.items():
        for level, position in enumerate(reversed(stack)):
            y = base - pitch * (level + 0.7)
            radius = 0.45 * pitch
            kind = _diamond if position < n_out else _circle
            parts.append(kind(_PITCH * column, y, radius))
    return parts


def _labels(
    values: list[float],
    n_out: int,
    edge: float | None,
    axis: _LogAxis,
    top: float,
    base: float,
) -> list[str]:
    """Stems and names for the largest eigenvalues, each on its own row."""
    parts, names = [], []
    for rank, value in enumerate(values):
        x, y = axis.x(value), top + 8 + 22 * rank
        words = f"λ{'₁₂₃'[rank]} = {number(value)}"
        out = rank < n_out
        if edge and out:
            words += f", {_times(value / edge)} × edge"
        # To the left there is no stem of a larger one; only a name without room goes right.
        left = x - 11 - _LETTER * len(words) > 0
        mark = _diamond(x, y, 5.5) if out else _circle(x, y, 4.95)
        parts += [_line("stem" if out else "stem plain", x, y, x, base), mark]
        name = "mark-label" if out else "mark-label plain"
        names.append(
            _text(name, x + (-11 if left else 11), y + 4, words, "end" if left else "start")
        )
    # Names last: their halo keeps them readable over stems and the edge.
    return parts + names


def _times(ratio: float) -> str:
    return f"{ratio:.3g}" if ratio < 1000 else f"{ratio:.0f}" if ratio < 1e6 else f"{ratio:.1e}"


def _power_of_ten(exponent: int) -> str:
    if -4 <= exponent <= 4:
        return f"{10.0**exponent:g}"
    return f'10<tspan dy="-5" font-size="11">{str(exponent).replace("-", "−")}</tspan>'


def _linear_ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


_HATCH = (
    '<defs><pattern id="{id}" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect class="hatch-line" width="2" height="6"/></pattern></defs>'
)


def _open(name: str, width: int, height: float, words: str) -> str:
    return (
        f'<svg class="{name}" viewBox="0 0 {width} {height:g}" width="{width}" height="{height:g}" '
        f'role="img" aria-label="{escape(printable(words))}">'
    )


def _text(
    name: str, x: float, y: float, words: str, anchor: str = "start", *, markup: str = ""
) -> str:
    content = markup or escape(printable(words))
    return f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{content}</text>'


def _rect(name: str, x: float, y: float, width: float, height: float, *, fill: str = "") -> str:
    paint = f' fill="{fill}"' if fill else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{name}" {place}{paint}/>'


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _circle(x: float, y: float, radius: float) -> str:
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.2f}"/>'


def _diamond(x: float, y: float, size: float) -> str:
    s = 1.25 * size
    return (
        f'<path class="outlier" d="M{x:.1f} {y - s:.1f}l{s:.1f} {s:.1f}l{-s:.1f} {s:.1f}'
        f'l{-s:.1f} {-s:.1f}z"/>'
    )

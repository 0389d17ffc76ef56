"""One bar a class, with the alarm limit where the test rests on these bars; and the map of classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hessay.render.svg import diamond, hatch, head, line, rect, text, ticks
from hessay.render.wording import number
from hessay.report import ClassEvidence, Report

_MOST_BARS = 40
_MOST_MAPPED = 24  # classes of a map that is drawn
_MOST_ARROWS = 200  # of a map in words


@dataclass(frozen=True, slots=True)
class ClassBars:
    """What the bars of a report are."""

    kind: str  # "reach" or "deviation"
    values: tuple[
        tuple[ClassEvidence, float], ...
    ]  # shown classes, each with its bar, dimensionless
    total: int  # classes of the model
    limit: float | None  # an alarm is raised beyond it; None where the test is another
    axis: str  # title of the axis, with the unit

    @property
    def flagged_beyond(self) -> bool:
        """Whether a bar reaches beyond the limit."""
        return self.limit is not None and any(v > self.limit for _, v in self.values)


def class_bars(report: Report) -> ClassBars | None:
    """Choose the bars: deviations from clean references where all classes have one, else reach."""
    classes = sorted(report.classes, key=lambda item: item.index)
    if not classes:
        return None
    z = {item.index: item.deviation for item in classes if item.deviation is not None}
    if len(z) == len(classes):
        kind, values = "deviation", [(item, z[item.index]) for item in classes]
        limit = _limit(report, "class_profile")
        axis = "deviation from clean references, standard deviations of one"
    else:
        kind, values = "reach", [(item, item.log_ratio) for item in classes]
        limit = _limit(report, "reach_spread")
        limit = _same_as_statistic(report, values) if limit is None else limit
        axis = "log(reach / usual reach), dimensionless"
    if len(values) > _MOST_BARS:
        values = sorted(values, key=lambda pair: (-pair[1], pair[0].index))[:_MOST_BARS]
    return ClassBars(kind, tuple(values), len(classes), limit, axis)


def _limit(report: Report, name: str) -> float | None:
    """Threshold of a deciding test on these bars."""
    found = (e for e in report.evidence if e.name == name and e.decides)
    return next((e.threshold for e in found), None)


def _same_as_statistic(report: Report, values: list[tuple[ClassEvidence, float]]) -> float | None:
    """Give the report's threshold if its statistic is the largest bar."""
    if report.statistic is None or report.threshold is None:
        return None
    largest = max(value for _, value in values)
    same = math.isclose(largest, report.statistic, rel_tol=1e-6, abs_tol=1e-9)
    return report.threshold if same else None


def draw(bars: ClassBars, flagged: int | None, width: int) -> str:
    """Draw a bar for each class, with the limit where there is one.

    Parameters
    ----------
    bars : ClassBars
    flagged : int or None
        Class that is marked.
    width : int
        Of the drawing, px, at least 280.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    numbers = [value for _, value in bars.values]
    low, high = min(0.0, *numbers), max(0.1, bars.limit or 0.0, *numbers)
    left, right, top, pitch = 66, width - 118, 30, 24
    base = top + pitch * len(numbers) + 4

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    strongest = max(bars.values, key=lambda pair: pair[1])
    words = (
        f"bar chart of {len(numbers)} classes, {bars.axis}; largest {number(strongest[1])}, "
        f"class {strongest[0].index}"
    )
    if bars.limit is not None:
        words += f"; an alarm is raised above {number(bars.limit)}"
    # The page holds two drawings: a pattern of the hidden one cannot fill bars of the other.
    identifier = f"hatch-{width}"
    parts = [head("bars", width, base + 46, words), hatch(identifier)]
    for step in ticks(low, high, 5 if width > 500 else 3):
        parts.append(line("grid", x(step), top - 4, x(step), base))
        parts.append(text("tick", x(step), base + 17, f"{step:g}".replace("-", "−"), "middle"))
    for row, (item, value) in enumerate(bars.values):
        y = top + pitch * row
        alarm = item.index == flagged
        start, end = sorted((x(0.0), x(value)))
        parts.append(text("label", left - 8, y + 15, f"class {item.index}", "end"))
        box = (start, y + 3, max(end - start, 1.0), pitch - 6)
        parts.append(rect("bar alarm" if alarm else "bar", *box))
        if alarm:
            parts.append(rect("hatch", *box, fill=f"url(#{identifier})"))
        said = f"{value:.2f}".replace("-", "−") + (" ▲ flagged" if alarm else "")
        parts.append(text("value alarm-text" if alarm else "value", right + 10, y + 15, said))
    parts.append(line("zero", x(0.0), top - 4, x(0.0), base))
    if bars.limit is not None and low <= bars.limit <= high:
        place = x(bars.limit)
        parts.append(line("edge", place, 20, place, base))
        anchor = "end" if place > 0.6 * width else "middle"
        parts.append(text("edge-label", place, 14, f"alarm above {number(bars.limit)}", anchor))
    short = "standard deviations of one reference" if bars.kind == "deviation" else bars.axis
    title = bars.axis if width > 500 else short
    parts.append(text("axis-title", left if width > 500 else 4, base + 38, title))
    return "".join(parts) + "</svg>"


def draw_map(destination: tuple[int, ...], width: int) -> str:
    """Draw where each class goes, as a table of marks; empty beyond 24 classes."""
    n = len(destination)
    if n > _MOST_MAPPED:
        return ""
    left, top = 66, 46
    cell = min(30.0, (width - left - 12) / n)
    words = "map of classes: " + ", ".join(f"{a} to {b}" for a, b in enumerate(destination))
    parts = [head("map", width, top + cell * n + 12, words)]
    parts.append(text("axis-title", left, 14, "to class"))
    parts.append(text("axis-title", 4, top - 8, "from"))
    every = 1 if cell >= 18 else 2
    for k in range(n):
        middle = cell * (k + 0.5)
        if k % every == 0:
            parts.append(text("tick", left + middle, top - 8, str(k), "middle"))
            parts.append(text("label", left - 8, top + middle + 5, f"class {k}", "end"))
        parts.append(line("grid", left, top + middle, left + cell * n, top + middle))
        parts.append(line("grid", left + middle, top, left + middle, top + cell * n))
    for a, b in enumerate(destination):
        x, y = left + cell * (b + 0.5), top + cell * (a + 0.5)
        parts.append(line("stem", left, y, x, y))
        parts.append(diamond(x, y, 0.24 * cell))
    return "".join(parts) + "</svg>"


def cycles(destination: tuple[int, ...]) -> list[str]:
    """Write a permutation of the classes as its cycles, ``0 → 1 → 0``; classes that stay alone last.

    Examples
    --------
    >>> cycles((1, 0, 2))
    ['0 → 1 → 0', '2 stays']
    """
    seen: set[int] = set()
    moving, staying = [], []
    for start in range(len(destination)):
        if start in seen:
            continue
        walk = [start]
        while destination[walk[-1]] != start:
            walk.append(destination[walk[-1]])
        seen.update(walk)
        if len(walk) == 1:
            staying.append(f"{start} stays")
            continue
        shown = [*walk, start] if len(walk) < _MOST_ARROWS else [*walk[:_MOST_ARROWS], "…"]
        moving.append(" → ".join(map(str, shown)))
    return moving + staying

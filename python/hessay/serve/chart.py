"""A series of numbers beside its limit, as a drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 900, 260  # user units
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 14, 32, 44
_MARK = {"FLAGGED": 5.0, "INCONCLUSIVE": 4.0, "CLEAN": 3.0}
_FLOOR = 1e-12  # of a logarithmic axis


@dataclass(frozen=True, slots=True)
class Point:
    """One scan in a drawing."""

    value: float
    limit: float | None  # what an alarm begins at
    verdict: str
    label: str  # shown where the pointer rests


def draw(points: Sequence[Point], *, name: str, unit: str, logarithmic: bool = False) -> str:
    """Draw the series as SVG, oldest scan on the left.

    Parameters
    ----------
    points : sequence of Point
        At least one.
    name, unit : str
        Of the vertical axis.
    logarithmic : bool
        Values and limits are then shown from 1e-12 on.
    """
    shown = [p.value for p in points] + [p.limit for p in points if p.limit is not None]
    scale, ticks = _logarithmic(shown) if logarithmic else _linear(shown)

    def x(index: float) -> float:
        step = (WIDTH - _LEFT - _RIGHT) / max(len(points), 2)
        return _LEFT + (index + 0.5) * step

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - scale(value) * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)} of each scan">'
    ]
    for value, words in ticks:
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text class="tick" x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{words}</text>'
        )
    last = len(points) - 1
    for index in sorted({0, last // 2, last}):
        parts.append(
            f'<text class="tick" x="{x(index):.1f}" y="{HEIGHT - _BOTTOM + 18}" '
            f'text-anchor="middle">{index + 1}</text>'
        )
    parts.append(
        f'<text class="axis-title" x="{(WIDTH + _LEFT) / 2:.0f}" y="{HEIGHT - 6}" '
        f'text-anchor="middle">scan, oldest first</text>'
        f'<text class="axis-title" x="{_LEFT}" y="14">{escape(name)} ({escape(unit)})</text>'
    )
    limits = [
        f"{'M' if i == 0 or points[i - 1].limit is None else 'L'}{x(i - 0.5):.1f} {y(p.limit):.1f}"
        f"L{x(i + 0.5):.1f} {y(p.limit):.1f}"
        for i, p in enumerate(points)
        if p.limit is not None
    ]
    if limits:
        parts.append(f'<path class="limit" d="{"".join(limits)}"/>')
    line = " ".join(f"{x(i):.1f},{y(p.value):.1f}" for i, p in enumerate(points))
    parts.append(f'<polyline class="line" points="{line}"/>')
    parts += [
        f'<circle class="{p.verdict.lower()}" cx="{x(i):.1f}" cy="{y(p.value):.1f}" '
        f'r="{_MARK.get(p.verdict, 3.0)}"><title>{escape(p.label)}</title></circle>'
        for i, p in enumerate(points)
    ]
    return "".join(parts) + "</svg>"


def timeline(verdicts: Sequence[tuple[str, str]]) -> str:
    """Draw (verdict, label) of each scan as a strip: the worse, the taller."""
    height = {"CLEAN": 8, "INCONCLUSIVE": 18, "FLAGGED": 32}
    step = (WIDTH - _LEFT - _RIGHT) / max(len(verdicts), 1)
    bars = [
        f'<rect class="{verdict.lower()}" x="{_LEFT + i * step:.2f}" '
        f'y="{36 - height.get(verdict, 8)}" width="{max(step * 0.9, 0.5):.2f}" '
        f'height="{height.get(verdict, 8)}"><title>{escape(label)}</title></rect>'
        for i, (verdict, label) in enumerate(verdicts)
    ]
    head = f'<svg viewBox="0 0 {WIDTH} 40" role="img" aria-label="verdict of each scan">'
    return head + "".join(bars) + "</svg>"


def _linear(shown: Sequence[float]) -> tuple[_Scale, list[tuple[float, str]]]:
    low, high = min(0.0, *shown), max(0.0, *shown)
    high = high if high > low else low + 1.0
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= 5)
    top = step * math.ceil(high / step)
    bottom = step * math.floor(low / step)
    n = round((top - bottom) / step)
    ticks = [(bottom + i * step, f"{bottom + i * step:.4g}") for i in range(n + 1)]
    return _Scale(bottom, top, logarithmic=False), ticks


def _logarithmic(shown: Sequence[float]) -> tuple[_Scale, list[tuple[float, str]]]:
    low = math.floor(math.log10(max(min(shown), _FLOOR)))
    high = math.ceil(math.log10(max(*shown, 10 * _FLOOR)))
    high = max(high, low + 1)
    every = max(1, math.ceil((high - low) / 5))
    ticks = [(10.0**e, f"1e{e}" if e else "1") for e in range(low, high + 1, every)]
    return _Scale(10.0**low, 10.0**high, logarithmic=True), ticks


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    logarithmic: bool

    def __call__(self, value: float) -> float:
        """Where a value stands between low (0) and high (1)."""
        low, high = self.low, self.high
        if self.logarithmic:
            value = max(value, _FLOOR)
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return (value - low) / (high - low)

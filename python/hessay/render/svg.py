"""Pieces of inline SVG. Colours come from the page's style sheet, by class name.

Drawn at a fixed width in CSS pixels, so that the letters keep their size: a page holds one drawing
for phones and one for desks.
"""

from __future__ import annotations

import math
from html import escape

from hessay._printable import printable

LETTER = 7.4  # px, width of a bold letter at 13 px, rather too wide than too narrow


def head(name: str, width: float, height: float, words: str) -> str:
    """Open an ``<svg>`` that says ``words`` to who does not see it."""
    return (
        f'<svg class="{name}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(printable(words))}">'
    )


def cut(words: str, width: float) -> str:
    """Shorten words that would be wider than ``width`` px, and to 60 letters at most."""
    most = max(1, min(60, int(width / LETTER)))
    return words if len(words) <= most else words[: most - 1] + "…"


def text(
    name: str, x: float, y: float, words: str, anchor: str = "start", *, markup: str = ""
) -> str:
    """Put words at a place; ``markup`` is SVG of our own instead of them."""
    content = markup or escape(printable(words))
    return f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{content}</text>'


def rect(name: str, x: float, y: float, width: float, height: float, *, fill: str = "") -> str:
    """Rectangle, painted by its class or by ``fill``."""
    paint = f' fill="{fill}"' if fill else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{name}" {place}{paint}/>'


def line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Straight line."""
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def circle(x: float, y: float, radius: float) -> str:
    """Mark of what is ordinary."""
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.2f}"/>'


def diamond(x: float, y: float, size: float) -> str:
    """Mark of what stands out."""
    s = 1.25 * size
    return (
        f'<path class="outlier" d="M{x:.1f} {y - s:.1f}l{s:.1f} {s:.1f}l{-s:.1f} {s:.1f}'
        f'l{-s:.1f} {-s:.1f}z"/>'
    )


def hatch(identifier: str, angle: int = 45, name: str = "hatch-line") -> str:
    """Define a pattern of slanted lines; ``identifier`` must be the only one of its page."""
    return (
        f'<defs><pattern id="{identifier}" width="6" height="6" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate({angle})"><rect class="{name}" width="2" height="6"/></pattern></defs>'
    )


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers in [low, high], about ``most`` of them; high > low."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


class LogAxis:
    """Positive values to px, on a logarithmic scale with a little room at both ends."""

    def __init__(self, low: float, high: float, left: float, right: float) -> None:
        room = max(0.06 * math.log10(high / low), 0.08)
        self.low, self.high = math.log10(low) - room, math.log10(high) + room
        self.left, self.right = left, right

    def x(self, value: float) -> float:
        """Where a value stands, px."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.left + share * (self.right - self.left)

    def ticks(self) -> list[tuple[float, str]]:
        """Values and their labels, as SVG."""
        first, last = math.ceil(self.low), math.floor(self.high)
        decades = range(first, last + 1)
        if len(decades) >= 3:
            step = math.ceil(len(decades) / 8)
            return [(10.0**k, _power_of_ten(k)) for k in decades if k % step == 0]
        finer = (m * 10.0**k for k in range(first - 1, last + 1) for m in (1, 2, 5))
        return [(v, f"{v:g}") for v in finer if self.low <= math.log10(v) <= self.high]

    def draw(self, y: float, title: str) -> list[str]:
        """Draw the axis at a height, its labels and its title under it."""
        parts = [line("axis", self.left, y, self.right, y)]
        for value, label in self.ticks():
            x = self.x(value)
            parts.append(line("axis", x, y, x, y + 5))
            anchor = "middle" if self.left + 14 < x < self.right - 14 else "end"
            shift = 0 if anchor == "middle" else 8
            parts.append(text("tick", x + shift, y + 19, "", anchor, markup=label))
        return [*parts, text("axis-title", self.left, y + 40, cut(title, self.right - self.left))]


def _power_of_ten(exponent: int) -> str:
    if -4 <= exponent <= 4:
        return f"{10.0**exponent:g}"
    return f'10<tspan dy="-5" font-size="11">{str(exponent).replace("-", "−")}</tspan>'

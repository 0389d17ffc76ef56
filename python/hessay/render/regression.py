"""A stepwise regression as text and as one HTML page with a plot of its path."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from hessay._printable import printable
from hessay.render import svg
from hessay.render.wording import number

_MOST_NAMED = 30  # steps get their column written
_LETTER = 7.4  # px, rather too wide

_STYLE = """
:root { --paper: #f7f6f2; --card: #fff; --ink: #1c1f22; --soft: #5a6168; --rule: #dcd8ce;
  --dot: #4b6b88; --hot: #b0480a; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --card: #1c2024; --ink: #e9e6df;
  --soft: #a5abb1; --rule: #363b41; --dot: #8fb4d6; --hot: #ff9f5f; } }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 17px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
main { max-width: 940px; margin: 0 auto; padding: 28px 20px 60px; }
figure { margin: 12px 0; background: var(--card); border-radius: 8px; padding: 18px 14px; overflow-x: auto; }
table { border-collapse: collapse; } th, td { padding: 2px 14px 2px 0; text-align: left;
  border-bottom: 1px solid var(--rule); } td.num, th.num { text-align: right; }
.soft, figcaption { color: var(--soft); font-size: 15px; }
svg text { font: 13px system-ui, sans-serif; fill: var(--ink); } svg .tick, svg .axis-title { fill: var(--soft); }
svg .axis, svg .stem { stroke: var(--soft); } svg .grid { stroke: var(--rule); }
svg .dot { fill: var(--dot); } svg .outlier { fill: var(--hot); }
"""


def path_plot(steps: Sequence[dict[str, Any]], tss: float, taken: int, width: int = 860) -> str:
    """Draw the share of the sum of squares that every step explains.

    Parameters
    ----------
    steps : sequence of dicts with ``action``, ``columns`` (names), ``rss``
    tss : float
        Sum of squares before the first step, > 0, y^2.
    taken : int
        Steps of the model that was chosen; the others are drawn as left out.
    width : int
        px, at least 280.

    Returns
    -------
    str
        An ``<svg>`` element; empty without steps.
    """
    if not steps or not tss > 0:
        return ""
    shares = [min(max(1 - step["rss"] / tss, 0.0), 1.0) for step in steps]
    left, top, base = 52.0, 20.0, 240.0
    gap = (width - left - 20) / (len(steps) + 0.5)
    named = len(steps) <= _MOST_NAMED
    words = [_step_words(step) for step in steps]
    longest = max(len(w) for w in words) if named else 0
    height = base + 40 + (min(longest, 24) * _LETTER * 0.75 if named else 0)
    drawing = f"{len(steps)} steps, R2 from {shares[0]:.3f} to {shares[-1]:.3f}"
    parts = [svg.head("path", width, height, drawing)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = base - tick * (base - top)
        parts.append(svg.line("grid", left, y, width - 10, y))
        parts.append(svg.text("tick", left - 8, y + 4, f"{tick:g}", "end"))
    parts.append(svg.text("axis-title", 4, 12, "R², share of the sum of squares explained"))
    before: tuple[float, float] | None = None
    for i, share in enumerate(shares):
        x, y = left + gap * (i + 0.5), base - share * (base - top)
        if before is not None:
            parts.append(svg.line("stem", *before, x, y))
        before = x, y
        mark = svg.diamond if steps[i]["action"] == "drop" else svg.circle
        parts.append(mark(x, y, 4.5 if i < taken else 2.0))
        if named:
            cut = words[i] if len(words[i]) <= 24 else words[i][:23] + "…"
            parts.append(
                f'<text class="label" x="{x:.1f}" y="{base + 16:.1f}" text-anchor="end" '
                f'transform="rotate(-48 {x:.1f} {base + 16:.1f})">{escape(printable(cut))}</text>'
            )
    return "".join(parts) + "</svg>"


def _step_words(step: dict[str, Any]) -> str:
    return ("−" if step["action"] == "drop" else "") + ", ".join(step["columns"])


def html(result: dict[str, Any]) -> str:
    """Render the result of ``hessay regress`` as one page without scripts or requests."""
    title = f"{', '.join(result['targets'])} from {result['source']}"
    plot = path_plot(result["steps"], result["tss"], result["n_steps_taken"])
    parts = [
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'\">\n"
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_safe(title)} (hessay)</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        ),
        f"<h1>Stepwise regression: {_safe(title)}</h1>\n<p>{_safe(headline(result))}</p>\n",
    ]
    if plot:
        parts.append(
            f"<figure>{plot}<figcaption>Large marks belong to the chosen model, diamonds drop a "
            "column.</figcaption></figure>\n"
        )
    if result["collinear"]:
        parts.append(
            f"<p>Linear combinations of others: {_safe(', '.join(result['collinear']))}</p>"
        )
    parts.append("<h2>Coefficients</h2>\n" + _html_table(coefficient_rows(result)))
    parts.append("<h2>Steps</h2>\n" + _html_table(step_rows(result)))
    if result["rows"] is not None:
        poison = result["rows"]["poison"]
        parts.append(f"<h2>Rows: {_safe(poison['verdict'])}</h2>\n")
        parts.append("".join(f"<p>{_safe(reason)}</p>\n" for reason in poison["reasons"]))
        if poison["rows"]:
            parts.append("<h3>Suspected rows</h3>\n" + _html_table(suspect_rows(poison)))
        parts.append("<h3>Most influential rows</h3>\n" + _html_table(influence_rows(result)))
        items = "".join(f"<li>{_safe(spot)}</li>" for spot in poison["not_excluded"])
        parts.append(f'<h3>Not excluded</h3>\n<ul class="soft">{items}</ul>\n')
    return "".join(parts) + "</main>\n</body>\n</html>\n"


def text(result: dict[str, Any]) -> str:
    """Render the result of ``hessay regress`` as plain text."""
    lines = [headline(result), "", *_text_table(coefficient_rows(result))]
    if result["steps"]:
        lines += ["", *_text_table(step_rows(result))]
    if result["collinear"]:
        lines += ["", f"Linear combinations of others: {', '.join(result['collinear'])}"]
    if result["rows"] is not None:
        lines += ["", "The most influential rows:", "", *_text_table(influence_rows(result))]
        lines += ["", result["rows"]["poison_text"].rstrip("\n")]
    return "\n".join(printable(part) for line in lines for part in line.split("\n")) + "\n"


def headline(result: dict[str, Any]) -> str:
    """Say in one sentence what was chosen."""
    r2 = "" if result["r2"] is None else f", R2 {result['r2']:.4f}"
    return (
        f"{len(result['order'])} of {result['n_columns']} columns explain "
        f"{', '.join(result['targets'])} in {result['n_rows']} rows{r2}; criterion "
        f"{result['criterion'] or 'none'}, direction {result['direction']}."
    )


Rows = list[tuple[str, ...]]


def coefficient_rows(result: dict[str, Any]) -> Rows:
    """Head and one row a column, in order of entry."""
    head = (
        "column",
        *(f"coef {o}" if len(result["outputs"]) > 1 else "coef" for o in result["outputs"]),
    )
    rows: Rows = [head, ("(intercept)", *(number(v) for v in result["intercept"]))]
    return rows + [(c["name"], *(number(v) for v in c["coef"])) for c in result["order"]]


def step_rows(result: dict[str, Any]) -> Rows:
    """Head and one row a step."""
    rows: Rows = [("step", "action", "column", "delta RSS", "RSS", "criterion", "p-value")]
    return rows + [
        (
            str(i + 1),
            step["action"],
            ", ".join(step["columns"]),
            *(number(step[key]) for key in ("delta_rss", "rss", "criterion", "p_value")),
        )
        for i, step in enumerate(result["steps"])
    ]


def influence_rows(result: dict[str, Any]) -> Rows:
    """Head and one row an influential row of the table."""
    keys = ("leverage", "cooks", "external")
    rows: Rows = [("row", "leverage", "Cook's distance", "studentised residual")]
    return rows + [
        (str(item["row"]), *(number(item[key]) for key in keys))
        for item in result["rows"]["influence"]
    ]


def suspect_rows(poison: dict[str, Any]) -> Rows:
    """Head and one row a suspected row."""
    rows: Rows = [("row", "trigger", "label minus prediction")]
    return rows + [
        (str(r["row"]), number(r["score"]), number(r["deleted_residual"]))
        for r in poison["rows"][:50]
    ]


def _text_table(rows: Rows) -> list[str]:
    shown = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in shown) for i in range(len(shown[0]))]
    ruled = [shown[0], tuple("-" * width for width in widths), *shown[1:]]
    return [
        "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in ruled
    ]


def _html_table(rows: Rows) -> str:
    head = "".join(f"<th>{_safe(cell)}</th>" for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f'<td class="num">{_safe(cell)}</td>' for cell in row) + "</tr>\n"
        for row in rows[1:]
    )
    return f"<table>\n<tr>{head}</tr>\n{body}</table>\n"


def _safe(words: object) -> str:
    return escape(printable(str(words)))

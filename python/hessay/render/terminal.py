"""The report on a terminal: plain text for files and pipes, a rich panel for a screen."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from hessay._printable import printable
from hessay.errors import ArgumentError
from hessay.render import wording
from hessay.render.wording import number, percent
from hessay.report import ClassEvidence, Report
from hessay.verdict import Verdict

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {Verdict.CLEAN: "blue", Verdict.FLAGGED: "yellow", Verdict.INCONCLUSIVE: "magenta"}
_BAR = 24  # columns of the longest bar
_MOST_CLASSES = 12  # a terminal shows the strongest; the page and the JSON show all


def text(report: Report, *, width: int = 88) -> str:
    """Lay the report out as plain text.

    Parameters
    ----------
    report : Report
    width : int
        Columns to fill, at least 40.

    Returns
    -------
    str
        Lines without colours or control characters, newline at the end.

    Raises
    ------
    ArgumentError
        ``width`` is below 40.
    """
    if width < 40:
        raise ArgumentError(f"a report needs at least 40 columns, got width = {width}")
    lines = [str(report.verdict)]
    lines += _wrap(wording.headline(report), width, "")
    lines += _wrap(wording.comparison(report), width, "")
    for title, sentences in _lists(report):
        lines += ["", title]
        for sentence in sentences:
            lines += _wrap(sentence, width, "- ")
    lines += ["", "Evidence"]
    for item in report.evidence:
        title, value, threshold, p_value, role = wording.evidence_row(item)
        against = "" if item.threshold is None else f", threshold {threshold}"
        chance = "" if item.p_value is None else f", p = {p_value}"
        lines += _wrap(f"{title}: {value}{against}{chance} ({role})", width, "- ")
    shown = _strongest(report)
    if shown:
        lines += ["", _class_title(report, shown)]
        lines += [f"  {label:>5} {bar:<{_BAR}} {rest}" for label, bar, rest in _bars(report, shown)]
    spectrum = _spectrum_sentence(report)
    if spectrum:
        lines += ["", "Spectrum", *_wrap(spectrum, width, "- ")]
    lines += ["", "What was scanned"]
    for name, value in wording.facts(report):
        lines += _wrap(f"{name}: {value}", width, "- ")
    # The command stays on one line: it is there to be copied.
    lines += ["", "Repeat with", "  " + printable(wording.repeat_command(report))]
    return "\n".join(lines) + "\n"


def panel(report: Report) -> RenderableType:
    """Lay the report out for a terminal that shows colours.

    Returns
    -------
    rich renderable
        Print it with ``rich.console.Console``, which honours NO_COLOR.
    """
    from rich import box
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    style = _STYLES[report.verdict]
    verdict = Text(f"{wording.SIGNS[report.verdict]} {report.verdict}", style=f"bold {style}")
    verdict.append("\n" + printable(wording.headline(report)), style="default not bold")
    verdict.append("\n" + printable(wording.comparison(report)), style="dim not bold")
    parts: list[RenderableType] = [Panel(verdict, border_style=style, box=box.HEAVY)]
    for title, sentences in _lists(report):
        block = Text(title, style="bold")
        for sentence in sentences:
            block.append("\n  • " + printable(sentence), style="not bold")
        parts += [block, Text()]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Evidence", title_justify="left")
    for column in ("statistic", "value", "threshold", "p", ""):
        table.add_column(column)
    for item in report.evidence:
        table.add_row(*(Text(printable(cell)) for cell in wording.evidence_row(item)))
    parts.append(table)
    shown = _strongest(report)
    if shown:
        bars = Table(box=None, show_header=False, pad_edge=False)
        for label, bar, rest in _bars(report, shown):
            alarm = label == str(report.flagged_class)
            drawn = Text(bar.replace("#", "█"), style=style if alarm else "dim")
            bars.add_row(Text(label, justify="right"), drawn, Text(rest))
        parts += [Text(_class_title(report, shown), style="bold"), bars, Text()]
    spectrum = _spectrum_sentence(report)
    if spectrum:
        parts += [Text("Spectrum\n  • ", style="bold").append(spectrum, style="not bold"), Text()]
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in wording.facts(report):
        facts.add_row(Text(name, style="dim"), Text(printable(value), overflow="fold"))
    parts.append(facts)
    parts.append(
        Text("Repeat with ", style="dim").append(printable(wording.repeat_command(report)))
    )
    return Group(*parts)


def _lists(report: Report) -> list[tuple[str, tuple[str, ...]]]:
    pairs = (("Why", report.reasons), ("Not excluded by this scan", report.not_excluded))
    return [(title, tuple(map(wording.sentence, said))) for title, said in pairs if said]


def _strongest(report: Report) -> list[ClassEvidence]:
    ranked = sorted(report.classes, key=lambda item: (-item.log_ratio, item.index))
    return ranked[:_MOST_CLASSES]


def _class_title(report: Report, shown: list[ClassEvidence]) -> str:
    which = "Classes" if len(shown) == len(report.classes) else f"The {len(shown)} first classes"
    return f"{which} by how easily inputs are pushed into them, log(reach / usual)"


def _bars(report: Report, shown: list[ClassEvidence]) -> list[tuple[str, str, str]]:
    longest = max((item.log_ratio for item in shown), default=0.0)
    rows = []
    for item in shown:
        share = item.log_ratio / longest if longest > 0 else 0.0
        rest = f"{item.log_ratio:7.3f}"
        if item.refined_flip_rate is not None:
            rest += f"   refined step flips {percent(item.refined_flip_rate)}"
        if item.index == report.flagged_class:
            rest += "   <- flagged"
        rows.append((str(item.index), "#" * round(_BAR * max(0.0, share)), rest))
    return rows


def _spectrum_sentence(report: Report) -> str:
    spectrum = report.spectrum
    if spectrum is None or not spectrum.values:
        return ""
    unit = spectrum.unit
    sentence = f"largest eigenvalue {wording.with_unit(spectrum.values[0], unit)}"
    if spectrum.edge_upper is None:
        return printable(f"{sentence}; no bulk edge was fitted")
    accepted = "" if spectrum.edge_accepted else " (fit rejected)"
    sentence += f", edge of the noise bulk {wording.with_unit(spectrum.edge_upper, unit)}{accepted}"
    if spectrum.n_outliers is not None:
        sentence += f", {number(spectrum.n_outliers)} of {len(spectrum.values)} above it"
    return printable(sentence)


def _wrap(sentence: str, width: int, bullet: str) -> list[str]:
    return textwrap.wrap(
        printable(sentence),
        width,
        initial_indent=("  " + bullet) if bullet else "",
        subsequent_indent="    " if bullet else "",
        break_on_hyphens=False,
        break_long_words=False,
    )

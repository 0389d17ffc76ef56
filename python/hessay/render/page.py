"""The report as one HTML page: no script, nothing loaded from anywhere, readable on a phone."""

from __future__ import annotations

from importlib import resources
from typing import Any

from hessay._printable import printable
from hessay.errors import ArgumentError
from hessay.render import pixels, svg, wording
from hessay.report import Report
from hessay.verdict import Verdict

_WIDE, _NARROW = 860, 340  # px: the page's column on a desk, and on a phone of 400 px


def html(report: Report) -> str:
    """Render the report as a single self-contained HTML page.

    Parameters
    ----------
    report : Report

    Returns
    -------
    str
        UTF-8 text; the page's own content security policy forbids scripts and any request.

    Raises
    ------
    ArgumentError
        jinja2 is missing.
    """
    try:
        import jinja2
        import markupsafe
    except ImportError:
        raise ArgumentError(
            "an HTML report needs jinja2, which is not installed; pip install 'hessay[cli]'"
        ) from None

    def harmless(value: Any) -> Any:
        # Drawings are escaped where they are made; everything else is spelled out, then escaped.
        plain = isinstance(value, str) and not isinstance(value, markupsafe.Markup)
        return printable(value) if plain else value

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": wording.number,
        "percent": wording.percent,
        "unit": wording.pretty_unit,
        "sentence": wording.sentence,
    }
    template = resources.files("hessay.render").joinpath("page.html.j2").read_text("utf-8")
    shown = svg.strongest_classes(report)
    drawings = {
        name: [markupsafe.Markup(one) for one in both]
        for name, both in {"spectrum": _spectra(report), "bars": _bars(report)}.items()
    }
    return environment.from_string(template).render(
        report=report,
        sign=wording.SIGNS[report.verdict],
        kind=report.verdict.name.lower(),
        headline=wording.headline(report),
        comparison=wording.comparison(report),
        advice=_ADVICE[report.verdict],
        drawings=drawings,
        shown=shown,
        bar_threshold=svg.bar_threshold(report),
        pictures=_pictures(report),
        rows=[wording.evidence_row(item) for item in report.evidence],
        facts=list(wording.facts(report)),
        command=wording.repeat_command(report),
    )


_ADVICE = {
    Verdict.CLEAN: "This is not a proof of purity: the list of what was not excluded stands below.",
    Verdict.FLAGGED: "Do not deploy the model before somebody has looked at the data of that class.",
    Verdict.INCONCLUSIVE: "Nothing is known about the model yet. The reasons say what would help.",
}


def _spectra(report: Report) -> list[str]:
    if report.spectrum is None:
        return []
    drawn = [svg.spectrum(report.spectrum, width) for width in (_WIDE, _NARROW)]
    return drawn if all(drawn) else []


def _bars(report: Report) -> list[str]:
    drawn = [svg.bars(report, width) for width in (_WIDE, _NARROW)]
    return drawn if all(drawn) else []


def _pictures(report: Report) -> list[pixels.Picture]:
    if report.trigger_direction is None:
        return []
    return pixels.pictures(report.trigger_direction, report.probe.input_shape)

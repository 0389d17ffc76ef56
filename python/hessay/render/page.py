"""The report as one HTML page: no script, nothing loaded from anywhere, readable on a phone."""

from __future__ import annotations

from hessay.render import class_chart, features, pixels, spectrum_chart, wording
from hessay.render.environment import template
from hessay.render.summary import summary
from hessay.report import Report

_WIDE, _NARROW = 860, 320  # px: the page's column on a desk, and on a phone of 360 px


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
    page = template("report.html.j2")
    bars = class_chart.class_bars(report)
    drawn = _pictures(report)
    return page.render(
        report=report,
        sign=wording.SIGNS[report.verdict],
        kind=report.verdict.name.lower(),
        headline=wording.headline(report),
        comparison=wording.comparison(report),
        answers=summary(report),
        bars=bars,
        bar_drawings=[]
        if bars is None
        else [class_chart.draw(bars, report.flagged_class, width) for width in (_WIDE, _NARROW)],
        map_drawings=_maps(report),
        cycles=[] if report.class_map is None else class_chart.cycles(report.class_map),
        spectra=_spectra(report),
        undrawn=0 if report.spectrum is None else spectrum_chart.hidden(report.spectrum),
        pictures=drawn,
        scale="" if drawn is None else pixels.scale(drawn),
        grey_scale=_grey_scale(drawn),
        features=features.feature_rows(report) if _is_table(report, drawn) else [],
        positions=features.position_rows(report) if "wrt" in report.settings else [],
        rows=[wording.evidence_row(item) for item in report.evidence],
        standing=[wording.standing(item) for item in report.evidence],
        facts=list(wording.facts(report)),
        command=wording.repeat_command(report),
        is_shell=wording.is_shell_command(report),
    )


def _spectra(report: Report) -> list[str]:
    if report.spectrum is None:
        return []
    drawn = [spectrum_chart.spectrum(report.spectrum, width) for width in (_WIDE, _NARROW)]
    return drawn if all(drawn) else []


def _maps(report: Report) -> list[str]:
    if report.class_map is None:
        return []
    drawn = [class_chart.draw_map(report.class_map, width) for width in (_WIDE, _NARROW)]
    return drawn if all(drawn) else []


def _pictures(report: Report) -> pixels.Pictures | None:
    # What a module returns is no picture, whatever its shape; nor are columns that have names.
    inside = "wrt" in report.settings or report.probe.features is not None
    if report.trigger_direction is None or inside:
        return None
    return pixels.pictures(report.trigger_direction, report.probe.input_shape, report.probe.mean)


def _grey_scale(drawn: pixels.Pictures | None) -> str:
    if drawn is None or drawn.low is None or drawn.high is None:
        return ""
    return pixels.grey_scale(drawn.low, drawn.high)


def _is_table(report: Report, drawn: pixels.Pictures | None) -> bool:
    # A flat input may be a picture or a table of as many columns: then it is shown as both.
    return drawn is None or len(report.probe.input_shape) == 1

"""A section for a model card, in CommonMark with GitHub's tables."""

from __future__ import annotations

import re

from hessay._printable import printable
from hessay.export.scans import Reports, listed, model_name, scanner_version
from hessay.render.wording import comparison, evidence_row, headline, percent, sentence
from hessay.report import Report

_HEAD = ("Statistic", "Value", "Threshold", "p", "Role")


def model_card(reports: Reports) -> str:
    """Write reports as a section ``## Poison scan`` with one subsection a report.

    Parameters
    ----------
    reports : Report or sequence of Report

    Returns
    -------
    str
        UTF-8 Markdown, newline at the end; words from outside show as they are and format nothing.

    Raises
    ------
    ArgumentError
        There is no report.
    """
    lines = ["## Poison scan", ""]
    for report in listed(reports):
        lines += _subsection(report)
    return "\n".join(lines).rstrip("\n") + "\n"


def _subsection(report: Report) -> list[str]:
    model, probe = report.model, report.probe
    lines = [
        f"### {plain(model_name(report))}: {report.verdict}",
        "",
        plain(headline(report)),
        "",
        plain(sentence(comparison(report))),
        "",
    ]
    for title, said in (("Why", report.reasons), ("Not excluded", report.not_excluded)):
        if said:
            lines += [f"{title}:", "", *(f"- {plain(sentence(words))}" for words in said), ""]
    if report.evidence:
        rows = [evidence_row(item) for item in report.evidence]
        lines += [_row(_HEAD), _row(("---",) * len(_HEAD))]
        lines += [_row(tuple(plain(cell) for cell in row)) for row in rows]
        lines += [""]
    accuracy = "" if probe.accuracy is None else f", accuracy {percent(probe.accuracy)}"
    size = f"{model.n_parameters} parameters, {model.n_classes} classes"
    level = f"level {percent(report.alpha)}, seed {report.seed}"
    facts = (
        f"scanned by hessay {scanner_version(report)}, {level}",
        f"model: {model.architecture}, {size}, weights sha256 {model.digest}",
        f"probe: {probe.n} inputs{accuracy}, sha256 {probe.digest}",
    )
    return [*lines, *(f"- {plain(fact)}" for fact in facts), ""]


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def plain(text: str) -> str:
    r"""Write text so that Markdown shows it and formats nothing.

    Examples
    --------
    >>> print(plain("<b> [a](http://b) 1*2 | c"))
    &lt;b&gt; \[a\]\(http\://b\) 1\*2 \| c
    """
    text = " ".join(printable(text).split())
    text = re.sub(r"([\\`*_{}\[\]()#|~!$@]|:(?=//))", r"\\\1", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # GitHub makes links of what begins with www., and a list of what begins with a sign or "1.".
    text = re.sub(r"(?i)\b(www)\.", r"\1\\.", text)
    text = re.sub(r"^([-+=])", r"\\\1", text)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", text)

"""JUnit XML, for the gate of a pipeline.

Source: the schema junit-10.xsd of Jenkins' xUnit plug-in.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET  # writes only; nothing from outside is parsed
from typing import Literal, TypeAlias, get_args

from hessay._printable import printable
from hessay.errors import ArgumentError
from hessay.export.findings import rule_of
from hessay.export.scans import Reports, listed, model_name, number, short
from hessay.render.wording import comparison, headline, sentence
from hessay.report import Report
from hessay.verdict import Verdict

Inconclusive: TypeAlias = Literal["error", "failure", "skipped"]

_LONGEST = 1e9  # seconds; a clock that says more is wrong


def junit(reports: Reports, *, inconclusive: Inconclusive = "error") -> str:
    """Write reports as a JUnit test run with one suite of one test a report.

    FLAGGED is a failure, CLEAN passes.

    Parameters
    ----------
    reports : Report or sequence of Report
    inconclusive : "error", "failure" or "skipped"
        What INCONCLUSIVE becomes. A gate lets skipped tests through: choose it only where an undecided
        model may pass.

    Returns
    -------
    str
        ASCII XML, newline at the end.

    Raises
    ------
    ArgumentError
        There is no report, or ``inconclusive`` is none of the three.
    """
    if inconclusive not in get_args(Inconclusive):
        raise ArgumentError(
            f"inconclusive must be one of {', '.join(get_args(Inconclusive))}, got {inconclusive!r:.60}"
        )
    root = ET.Element("testsuites", name="hessay")
    suites = []
    times: dict[str, int] = {}
    for report in listed(reports):
        name = f"{model_name(report)}, probe {short(report.probe.digest)}, seed {report.seed}"
        count = times[name] = times.get(name, 0) + 1
        # Of two tests with one name, a server may show the last alone.
        name += f", scan {count}" if count > 1 else ""
        suites.append(_suite(report, name, inconclusive))
    for total in ("tests", "failures", "errors"):
        root.set(total, str(sum(int(suite.get(total, "0")) for suite in suites)))
    root.extend(suites)
    ET.indent(root, " ")
    return str(ET.tostring(root, encoding="us-ascii", xml_declaration=True).decode("ascii")) + "\n"


def _suite(report: Report, name: str, inconclusive: Inconclusive) -> ET.Element:
    outcome = {
        Verdict.CLEAN: None,
        Verdict.FLAGGED: "failure",
        Verdict.INCONCLUSIVE: inconclusive,
    }[report.verdict]
    seconds = f"{min(max(sum(report.seconds.values()), 0.0), _LONGEST):.3f}"
    suite = ET.Element(
        "testsuite",
        name=name,
        tests="1",
        failures=str(int(outcome == "failure")),
        errors=str(int(outcome == "error")),
        skipped=str(int(outcome == "skipped")),
        time=seconds,
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(report):
        ET.SubElement(properties, "property", name=key, value=value)
    case = ET.SubElement(suite, "testcase", name=name, classname="hessay.scan", time=seconds)
    said = [comparison(report), *report.reasons]
    rule = rule_of(report)
    if outcome is not None and rule is not None:
        problem = ET.SubElement(case, outcome, type=rule.id, message=printable(headline(report)))
        problem.text = _lines(said)
    else:
        said = [headline(report), *said]
        ET.SubElement(case, "system-out").text = _lines(
            [*said, "not excluded by this scan:", *report.not_excluded]
        )
    return suite


def _properties(report: Report) -> list[tuple[str, str]]:
    numbers = {
        "statistic": report.statistic,
        "threshold": report.threshold,
        "p_value": report.p_value,
        "alpha": report.alpha,
    }
    return [
        ("verdict", report.verdict.value),
        *((name, number(value)) for name, value in numbers.items() if value is not None),
        ("seed", str(report.seed)),
        ("model_digest", printable(report.model.digest)),
        ("probe_digest", printable(report.probe.digest)),
    ]


def _lines(sentences: list[str]) -> str:
    return "\n".join(printable(sentence(words)) for words in sentences)

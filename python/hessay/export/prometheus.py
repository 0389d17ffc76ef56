"""Prometheus text exposition, version 0.0.4, for the text file collector or a metrics page.

Source: Prometheus documentation, "Exposition formats".
"""

from __future__ import annotations

from collections.abc import Iterator

from hessay._printable import printable
from hessay.export.scans import Reports, listed, model_name, number
from hessay.report import Report
from hessay.verdict import Verdict

# Name, what it is. A value that a scan does not have is left out.
_METRICS = (
    ("hessay_scan_verdict", "1 for the verdict of the scan, 0 for the two others."),
    ("hessay_scan_flagged_class", "Index of the class the poison leads to."),
    ("hessay_scan_statistic", "The deciding statistic, dimensionless."),
    ("hessay_scan_threshold", "What the deciding statistic was held against, dimensionless."),
    ("hessay_scan_p_value", "p-value of the deciding statistic."),
    ("hessay_scan_alpha", "Level of the test: accepted share of false alarms."),
    ("hessay_scan_evidence", "Every statistic of the scan, in its own unit."),
    ("hessay_scan_phase_seconds", "Wall time of each phase of the scan."),
    ("hessay_scan_cost", "Work spent by the scan, as counts."),
    ("hessay_scan_probe_inputs", "Inputs the model was asked about."),
    ("hessay_scan_probe_accuracy_ratio", "Accuracy of the model on the probe."),
    ("hessay_scan_model_parameters", "Parameters of the model."),
)

Labels = tuple[tuple[str, str], ...]


def prometheus(reports: Reports) -> str:
    """Write reports as gauges with the labels model, model_digest, probe_digest and seed.

    Parameters
    ----------
    reports : Report or sequence of Report
        Two scans with the same labels are told apart by the label ``repeat``.

    Returns
    -------
    str
        UTF-8 text, newline at the end; no time stamps.

    Raises
    ------
    ArgumentError
        There is no report.
    """
    seen: dict[tuple[str, Labels], int] = {}
    lines: dict[str, list[str]] = {name: [] for name, _ in _METRICS}
    for report in listed(reports):
        common = (
            ("model", model_name(report)),
            ("model_digest", printable(report.model.digest)),
            ("probe_digest", printable(report.probe.digest)),
            ("seed", str(report.seed)),
        )
        for name, more, value in _samples(report):
            labels = common + more
            times = seen[name, labels] = seen.get((name, labels), 0) + 1
            # The same labels twice would make a collector refuse the whole file.
            labels += (("repeat", str(times)),) if times > 1 else ()
            inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
            lines[name].append(f"{name}{{{inside}}} {value}")
    written = []
    for name, words in _METRICS:
        if lines[name]:
            written += [f"# HELP {name} {words}", f"# TYPE {name} gauge", *lines[name]]
    return "\n".join(written) + "\n"


def _samples(report: Report) -> Iterator[tuple[str, Labels, str]]:
    for verdict in Verdict:
        value = "1" if verdict is report.verdict else "0"
        yield "hessay_scan_verdict", (("verdict", verdict.value),), value
    plain = {
        "hessay_scan_flagged_class": report.flagged_class,
        "hessay_scan_statistic": report.statistic,
        "hessay_scan_threshold": report.threshold,
        "hessay_scan_p_value": report.p_value,
        "hessay_scan_alpha": report.alpha,
        "hessay_scan_probe_inputs": report.probe.n,
        "hessay_scan_probe_accuracy_ratio": report.probe.accuracy,
        "hessay_scan_model_parameters": report.model.n_parameters,
    }
    for name, given in plain.items():
        if given is not None:
            yield name, (), _value(given)
    for item in report.evidence:
        labels = (("statistic", printable(item.name)), ("unit", printable(item.unit)))
        yield "hessay_scan_evidence", labels, _value(item.value)
    for phase, seconds in report.seconds.items():
        yield "hessay_scan_phase_seconds", (("phase", printable(phase)),), _value(seconds)
    for kind, count in report.cost.items():
        yield "hessay_scan_cost", (("kind", printable(kind)),), _value(count)


def _value(value: float) -> str:
    try:
        return number(value)
    except OverflowError:  # an integer beyond every double
        return "+Inf" if value > 0 else "-Inf"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

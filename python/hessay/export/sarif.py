"""SARIF 2.1.0, for code scanning.

Source: OASIS, Static Analysis Results Interchange Format Version 2.1.0, errata 01, 2023.
"""

from __future__ import annotations

from typing import Any

from hessay._printable import printable
from hessay.export.findings import RULES, Rule, fingerprint, rule_of
from hessay.export.scans import (
    Reports,
    json_text,
    listed,
    model_name,
    relative_uri,
    scanner_version,
    without_none,
)
from hessay.render.wording import comparison, headline, sentence
from hessay.report import Report

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_CLEAN = "hessay/clean"  # a notification, no result: services take every result for an alert


def sarif(reports: Reports) -> str:
    """Write reports as a SARIF log.

    FLAGGED becomes a result of level ``error``, INCONCLUSIVE one of level ``warning``; CLEAN is noted
    beside the results, with what the scan would have missed.

    Parameters
    ----------
    reports : Report or sequence of Report
        One run for each version of hessay that scanned.

    Returns
    -------
    str
        ASCII JSON, newline at the end.

    Raises
    ------
    ArgumentError
        There is no report.
    """
    by_version: dict[str, list[Report]] = {}
    for report in listed(reports):
        by_version.setdefault(scanner_version(report), []).append(report)
    runs = [_run(version, group) for version, group in by_version.items()]
    return json_text({"$schema": _SCHEMA, "version": "2.1.0", "runs": runs})


def _run(version: str, reports: list[Report]) -> dict[str, Any]:
    uris = list(dict.fromkeys(uri for r in reports if (uri := relative_uri(r.model.source))))
    found = [(report, rule_of(report)) for report in reports]
    return {
        "tool": {
            "driver": {
                "name": "hessay",
                "version": version,
                "rules": [_descriptor(rule) for rule in RULES],
                "notifications": [
                    {
                        "id": _CLEAN,
                        "name": "Clean",
                        "shortDescription": {"text": "No sign of poison was found."},
                    }
                ],
            }
        },
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    _notification(report, uris) for report, rule in found if rule is None
                ],
            }
        ],
        "artifacts": [
            {"location": {"uri": uri, "index": i}, "roles": ["analysisTarget"]}
            for i, uri in enumerate(uris)
        ],
        "results": [_result(report, rule, uris) for report, rule in found if rule is not None],
        "columnKind": "unicodeCodePoints",
    }


def _descriptor(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": f"{rule.title} {rule.help}"},
        "help": {"text": rule.help},
        "defaultConfiguration": {"level": rule.level},
        "properties": {"tags": ["security", "machine-learning"]},
    }


def _result(report: Report, rule: Rule, uris: list[str]) -> dict[str, Any]:
    said = (headline(report), comparison(report), *report.reasons)
    return {
        "ruleId": rule.id,
        "ruleIndex": RULES.index(rule),
        "level": rule.level,
        "message": {"text": " ".join(_message(sentence(words)) for words in said)},
        "locations": [_location(report, uris)],
        "partialFingerprints": {"hessayFinding/v1": fingerprint(report, rule)},
        "properties": _properties(report),
    }


def _notification(report: Report, uris: list[str]) -> dict[str, Any]:
    said = (headline(report), "Not excluded:", *report.not_excluded)
    return {
        "descriptor": {"id": _CLEAN, "index": 0},
        "level": "note",
        "message": {"text": " ".join(_message(sentence(words)) for words in said)},
        "locations": [_location(report, uris)],
        "properties": _properties(report),
    }


def _location(report: Report, uris: list[str]) -> dict[str, Any]:
    uri = relative_uri(report.model.source)
    if uri is None:
        return {"logicalLocations": [{"name": model_name(report), "kind": "object"}]}
    # Code scanning services drop a result without a line; weights have none, the first stands in.
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": uri, "index": uris.index(uri)},
            "region": {"startLine": 1},
        }
    }


def _properties(report: Report) -> dict[str, Any]:
    return without_none(
        verdict=report.verdict.value,
        flaggedClass=report.flagged_class,
        classMap=None if report.class_map is None else list(report.class_map),
        statistic=report.statistic,
        threshold=report.threshold,
        pValue=report.p_value,
        alpha=report.alpha,
        seed=report.seed,
        modelDigest=printable(report.model.digest),
        probeDigest=printable(report.probe.digest),
        evidence=[
            without_none(
                name=printable(item.name),
                value=item.value,
                unit=printable(item.unit),
                threshold=item.threshold,
                pValue=item.p_value,
                decides=item.decides,
            )
            for item in report.evidence
        ],
    )


def _message(text: str) -> str:
    # Sections 3.11.5 and 3.11.6: braces are placeholders, "[words](target)" is a link.
    harmless = printable(text).replace("{", "{{").replace("}", "}}")
    return harmless.replace("](", "] (")

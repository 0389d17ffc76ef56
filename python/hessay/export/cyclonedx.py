"""CycloneDX 1.6 machine learning bill of materials.

Source: ECMA-424, CycloneDX Bill of Materials Specification 1.6, 2024.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

from hessay._printable import printable
from hessay.export.scans import (
    Reports,
    json_text,
    listed,
    model_name,
    number,
    scanner_version,
    short,
)
from hessay.report import Report
from hessay.verdict import Verdict

_SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_WORST_FIRST = (Verdict.FLAGGED, Verdict.INCONCLUSIVE, Verdict.CLEAN)


def cyclonedx(reports: Reports) -> str:
    """Write reports as a bill of materials with one component a model and its scans in the model card.

    Parameters
    ----------
    reports : Report or sequence of Report
        Scans of the same weights, by their digest, share a component. Its property
        ``hessay:verdict`` is the worst of them: FLAGGED, INCONCLUSIVE, CLEAN.

    Returns
    -------
    str
        ASCII JSON, newline at the end; the serial number follows from the content.

    Raises
    ------
    ArgumentError
        There is no report.
    """
    by_model: dict[str, list[Report]] = {}
    for report in listed(reports):
        by_model.setdefault(report.model.digest, []).append(report)
    versions = sorted({scanner_version(r) for scans in by_model.values() for r in scans})
    document = {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [
                    {"type": "application", "name": "hessay", "version": version}
                    for version in versions
                ]
            }
        },
        "components": [_component(i, scans) for i, scans in enumerate(by_model.values(), start=1)],
    }
    name = json.dumps(document, sort_keys=True)
    serial = uuid.uuid5(uuid.NAMESPACE_URL, name)
    return json_text({**document, "serialNumber": f"urn:uuid:{serial}"})


def _component(place: int, scans: list[Report]) -> dict[str, Any]:
    first = scans[0]
    verdict = next(v for v in _WORST_FIRST if any(r.verdict is v for r in scans))
    digest = printable(first.model.digest)
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model-{place}-{short(first.model.digest)}",
        "name": model_name(first),
        "properties": [
            _property("hessay:verdict", verdict.value),
            _property("hessay:model-digest", digest),
            _property("hessay:parameters", str(first.model.n_parameters)),
            _property("hessay:classes", str(first.model.n_classes)),
        ],
        "components": [_weights(place, first)],
        "modelCard": {
            "modelParameters": {
                "task": "classification",
                "modelArchitecture": printable(first.model.architecture),
                "datasets": [_probe(report) for report in scans],
                "inputs": [{"format": f"array of shape {_shape(first)}"}],
                "outputs": [{"format": f"scores of {first.model.n_classes} classes"}],
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [
                    {"type": kind, "value": value, "slice": _slice(report)}
                    for report in scans
                    for kind, value in _metrics(report)
                ]
            },
            "considerations": {
                "technicalLimitations": [
                    f"Not excluded by the scan: {printable(missed)}"
                    for missed in dict.fromkeys(m for r in scans for m in r.not_excluded)
                ]
            },
            "properties": [
                _property(f"hessay:scan:{i}:{name}", value)
                for i, report in enumerate(scans, start=1)
                for name, value in _facts(report)
            ],
        },
    }


def _weights(place: int, report: Report) -> dict[str, Any]:
    # A component of its own: the digest is of the weights, and a reader who compares it with the
    # digest of the file would take every file for a changed one.
    weights: dict[str, Any] = {
        "type": "data",
        "bom-ref": f"weights-{place}-{short(report.model.digest)}",
        "name": "weights",
        "description": "Names, shapes, dtypes and bytes of the weights; not the bytes of a file.",
    }
    if re.fullmatch("[0-9a-f]{64}", report.model.digest):
        weights["hashes"] = [{"alg": "SHA-256", "content": report.model.digest}]
    return weights


def _probe(report: Report) -> dict[str, Any]:
    probe = report.probe
    return {
        "type": "dataset",
        "name": _slice(report),
        "description": f"{probe.n} inputs the model was asked about.",
        "contents": {"properties": [_property("hessay:probe-digest", printable(probe.digest))]},
    }


def _slice(report: Report) -> str:
    return f"probe {short(report.probe.digest)}, seed {report.seed}"


def _shape(report: Report) -> str:
    return " x ".join(str(side) for side in report.probe.input_shape) or "1"


def _metrics(report: Report) -> Iterator[tuple[str, str]]:
    if report.probe.accuracy is not None:
        yield "accuracy", number(report.probe.accuracy)
    for item in report.evidence:
        name = f"hessay:{printable(item.name)}"
        yield name, number(item.value)
        if item.threshold is not None:
            yield f"{name}:threshold", number(item.threshold)
        if item.p_value is not None:
            yield f"{name}:p-value", number(item.p_value)


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "model", model_name(report)
    yield "verdict", report.verdict.value
    if report.flagged_class is not None:
        yield "flagged-class", str(report.flagged_class)
    if report.class_map is not None:
        yield "class-map", ", ".join(map(str, report.class_map))
    numbers = {
        "statistic": report.statistic,
        "threshold": report.threshold,
        "p-value": report.p_value,
        "alpha": report.alpha,
    }
    for name, value in numbers.items():
        if value is not None:
            yield name, number(value)
    yield "seed", str(report.seed)
    yield "probe-digest", printable(report.probe.digest)
    for reason in report.reasons:
        yield "reason", printable(reason)


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}

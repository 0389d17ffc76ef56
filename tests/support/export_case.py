"""What the tests of the exports share: reports, public schemas, and readers that are not ours."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
from lxml import etree
from markdown_it import MarkdownIt
from markdown_it.token import Token
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from referencing import Registry
from referencing.jsonschema import DRAFT7

from hessay.report import Report
from hessay.verdict import Verdict

DATA = Path(__file__).parents[1] / "data"
SAMPLE = Report.from_json((DATA / "report-1.json").read_text("utf-8"))


def sample(**changes: Any) -> Report:
    return dataclasses.replace(SAMPLE, **changes)


def quiet(verdict: Verdict, **changes: Any) -> Report:
    return sample(verdict=verdict, flagged_class=None, trigger_direction=None, **changes)


def renamed(report: Report, source: str) -> Report:
    return dataclasses.replace(report, model=dataclasses.replace(report.model, source=source))


CLEAN = quiet(Verdict.CLEAN)
INCONCLUSIVE = quiet(Verdict.INCONCLUSIVE, statistic=None, threshold=None)
POISON = quiet(Verdict.FLAGGED)
ALL_TO_ALL = quiet(Verdict.FLAGGED, class_map=(*range(1, 10), 0))
IN_MEMORY = renamed(SAMPLE, "")
EVERY_KIND = (SAMPLE, CLEAN, INCONCLUSIVE, POISON, ALL_TO_ALL, IN_MEMORY)


@functools.cache
def _sarif_schema() -> jsonschema.Draft4Validator:
    schema = json.loads((DATA / "schemas" / "sarif-2.1.0.json").read_text("utf-8"))
    return jsonschema.Draft4Validator(schema)


@functools.cache
def _cyclonedx_schema() -> jsonschema.Draft7Validator:
    folder = DATA / "schemas"
    schema = json.loads((folder / "bom-1.6.SNAPSHOT.schema.json").read_text("utf-8"))
    registry: Registry[Any] = Registry()
    for name in ("spdx", "jsf-0.82"):
        beside = json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text("utf-8"))
        registry = registry.with_resource(beside["$id"], DRAFT7.create_resource(beside))
    return jsonschema.Draft7Validator(schema, registry=registry)


@functools.cache
def _junit_schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(DATA / "schemas" / "junit-10.xsd")))


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def read_sarif(text: str) -> Any:
    """Parse strictly, hold against the schema of OASIS."""
    document = json.loads(text, parse_constant=_refuse_constant)
    _sarif_schema().validate(document)
    return document


def read_cyclonedx(text: str) -> Any:
    """Parse strictly, hold against the schema of CycloneDX 1.6; references must be unique."""
    document = json.loads(text, parse_constant=_refuse_constant)
    _cyclonedx_schema().validate(document)
    places = document["components"] + [c for m in document["components"] for c in m["components"]]
    references = [component["bom-ref"] for component in places]
    assert len(set(references)) == len(references)
    return document


def read_junit(text: str) -> etree._Element:
    """Parse with libxml2, hold against the schema of Jenkins' xUnit plug-in."""
    root = etree.fromstring(text.encode("ascii"))
    _junit_schema().assertValid(root)
    return root


def read_prometheus(text: str) -> list[Sample]:
    """Parse with prometheus-client; no two samples may have the same labels."""
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    keys = [(s.name, tuple(sorted(s.labels.items()))) for s in samples]
    assert len(set(keys)) == len(keys)
    return samples


def read_markdown(text: str) -> list[Token]:
    """Parse as CommonMark with tables and HTML let through, flat."""
    tokens: list[Token] = []
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        tokens += [token, *(token.children or ())]
    return tokens


def shown(tokens: list[Token]) -> str:
    """What a reader of the page sees."""
    return " ".join(t.content for t in tokens if t.type in ("text", "text_special"))

"""Exports: every kind of report fits the public schemas and says what the report says."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from export_case import (
    ALL_TO_ALL,
    CLEAN,
    EVERY_KIND,
    IN_MEMORY,
    INCONCLUSIVE,
    POISON,
    SAMPLE,
    read_cyclonedx,
    read_junit,
    read_markdown,
    read_prometheus,
    read_sarif,
    renamed,
    sample,
    shown,
)
from hessay.errors import ArgumentError
from hessay.export import FORMATS, Reports, cyclonedx, junit, model_card, prometheus, sarif
from hessay.report import Report

READERS = {
    "sarif": read_sarif,
    "cyclonedx": read_cyclonedx,
    "junit": read_junit,
    "prometheus": read_prometheus,
    "model-card": read_markdown,
}
RULE = {
    "hessay/backdoor-class": SAMPLE,
    "hessay/all-to-all": ALL_TO_ALL,
    "hessay/poison": POISON,
    "hessay/inconclusive": INCONCLUSIVE,
}


def results(reports: Reports) -> list[Any]:
    return [r for run in read_sarif(sarif(reports))["runs"] for r in run["results"]]


@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_report_fits_the_public_schema_alone_and_merged(name: str) -> None:
    write, read = FORMATS[name], READERS[name]
    for reports in (*EVERY_KIND, EVERY_KIND, (SAMPLE, SAMPLE, SAMPLE)):
        text = write(reports)
        read(text)
        assert text.endswith("\n")
        assert text == write(reports)


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_no_export(name: str) -> None:
    with pytest.raises(ArgumentError, match="no report to export"):
        FORMATS[name](())
    with pytest.raises(ArgumentError, match="takes reports, got str"):
        FORMATS[name](["CLEAN"])  # type: ignore[list-item]


def test_the_schemas_do_refuse() -> None:
    with pytest.raises(Exception, match="is not one of"):
        read_sarif(sarif(SAMPLE).replace('"version": "2.1.0"', '"version": "9.9.9"'))
    with pytest.raises(Exception, match="no-such-type"):
        read_cyclonedx(cyclonedx(SAMPLE).replace("machine-learning-model", "no-such-type"))
    with pytest.raises(Exception, match="verdikt"):
        read_junit(junit(SAMPLE).replace("testcase", "verdikt"))
    with pytest.raises(AssertionError):
        read_prometheus(prometheus(SAMPLE) + prometheus(SAMPLE))


# ---- SARIF ----


@pytest.mark.parametrize("rule", RULE)
def test_each_kind_of_finding_has_its_rule_and_level(rule: str) -> None:
    report = RULE[rule]
    document = read_sarif(sarif(report))
    (run,) = document["runs"]
    (result,) = run["results"]
    assert result["ruleId"] == rule
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == rule
    assert result["level"] == ("warning" if rule == "hessay/inconclusive" else "error")
    said = result["properties"]
    assert said["alpha"] == report.alpha
    assert said["seed"] == report.seed
    assert said["probeDigest"] == report.probe.digest
    assert said.get("statistic") == report.statistic
    assert said.get("threshold") == report.threshold
    assert said.get("pValue", "missing") == "missing"
    for reason in report.reasons:
        assert reason in result["message"]["text"]


def test_clean_is_noted_with_its_blind_spots_and_is_no_alert() -> None:
    (run,) = read_sarif(sarif(CLEAN))["runs"]
    assert run["results"] == []
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["level"] == "note"
    assert all(missed in note["message"]["text"] for missed in CLEAN.not_excluded)
    (artifact,) = run["artifacts"]
    assert artifact["location"]["uri"] == "poisoned.safetensors"


def fingerprint(report: Report) -> str:
    (result,) = results(report)
    (value,) = result["partialFingerprints"].values()
    return str(value)


def test_a_fingerprint_depends_on_model_rule_and_class_and_on_nothing_else() -> None:
    first = fingerprint(SAMPLE)
    same = renamed(sample(seed=5, alpha=0.05, reasons=("other",)), "elsewhere/x.pt")
    same = dataclasses.replace(same, probe=dataclasses.replace(same.probe, digest="0" * 64))
    assert fingerprint(same) == first
    # The value itself is a promise to whoever stored it.
    stored = f'["{SAMPLE.model.digest}", "hessay/backdoor-class", 7, null]'
    assert first == hashlib.sha256(stored.encode()).hexdigest()
    model = dataclasses.replace(SAMPLE.model, digest="0" * 64)
    swapped = sample(verdict=SAMPLE.verdict, flagged_class=None, class_map=(1, 0, *range(2, 10)))
    others = [sample(flagged_class=6), POISON, INCONCLUSIVE, ALL_TO_ALL, swapped]
    others += [sample(model=model)]
    assert len({first, *map(fingerprint, others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("models/a.pt", "models/a.pt"),
        ("./models//a.pt", "models/a.pt"),
        ("/home/me/models/a.pt", "a.pt"),
        ("../me/a.pt", "a.pt"),
        ("me/../../a.pt", "a.pt"),
        ("~me/models/a.pt", "a.pt"),
        ("C:\\Users\\me\\a.pt", "a.pt"),
        ("\\\\host\\me\\a.pt", "a.pt"),
        ("//me/a.pt", "a.pt"),
        ("file:///home/me/a.pt", "a.pt"),
        ("run:1/a.pt", "run%3A1/a.pt"),
        ("a b#c?d%e.pt", "a%20b%23c%3Fd%25e.pt"),
        ("größe.pt", "gr%C3%B6%C3%9Fe.pt"),
        ("raw\udcff.pt", "raw%FF.pt"),
    ],
)
def test_a_location_is_a_relative_uri_of_no_machine(source: str, uri: str) -> None:
    report = renamed(SAMPLE, source)
    (result,) = results(report)
    found = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    parts = urlsplit(found)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    assert not found.startswith("/")
    assert ".." not in unquote(found).split("/")
    assert found == uri
    if "me/" in source or "me\\" in source:
        for write in FORMATS.values():
            assert not re.search(r"\bme[/\\]", write(report))


def test_a_model_in_memory_has_a_name_instead_of_a_file() -> None:
    (result,) = results(IN_MEMORY)
    (location,) = result["locations"]
    assert location["logicalLocations"][0]["name"].startswith("model in memory, 9f9f")


def test_one_run_for_each_version_that_scanned() -> None:
    newer = sample(environment={"hessay": "7.0"})
    runs = read_sarif(sarif((SAMPLE, newer, ALL_TO_ALL)))["runs"]
    assert [run["tool"]["driver"]["version"] for run in runs] == ["0.1.0", "7.0"]
    assert [len(run["results"]) for run in runs] == [2, 1]


# ---- CycloneDX ----


def test_a_bill_holds_each_model_once_with_its_worst_verdict_and_every_number() -> None:
    other = dataclasses.replace(CLEAN, model=dataclasses.replace(CLEAN.model, digest="0" * 64))
    document = read_cyclonedx(cyclonedx((CLEAN, SAMPLE, INCONCLUSIVE, other)))
    first, second = document["components"]
    assert first["type"] == second["type"] == "machine-learning-model"
    said = {p["name"]: p["value"] for p in first["properties"]}
    assert said["hessay:verdict"] == "FLAGGED"
    assert {"name": "hessay:verdict", "value": "CLEAN"} in second["properties"]
    assert first["components"][0]["hashes"] == [{"alg": "SHA-256", "content": CLEAN.model.digest}]
    facts = {p["name"]: p["value"] for p in first["modelCard"]["properties"]}
    verdicts = [facts[f"hessay:scan:{i}:verdict"] for i in (1, 2, 3)]
    assert verdicts == ["CLEAN", "FLAGGED", "INCONCLUSIVE"]
    assert facts["hessay:scan:2:flagged-class"] == "7"
    metrics = first["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    values = {(m["type"], float(m["value"])) for m in metrics}
    assert ("accuracy", SAMPLE.probe.accuracy) in values
    assert {(f"hessay:{e.name}", e.value) for e in SAMPLE.evidence} <= values
    limits = second["modelCard"]["considerations"]["technicalLimitations"]
    assert [words.partition(": ")[2] for words in limits] == list(CLEAN.not_excluded)


def test_a_serial_number_follows_from_the_content() -> None:
    bills = [read_cyclonedx(cyclonedx(report)) for report in (SAMPLE, CLEAN, SAMPLE)]
    serials = [bill["serialNumber"] for bill in bills]
    assert serials[0] == serials[2] != serials[1]


def test_only_a_sha256_is_called_one() -> None:
    odd = dataclasses.replace(SAMPLE, model=dataclasses.replace(SAMPLE.model, digest="md5:12"))
    (model,) = read_cyclonedx(cyclonedx(odd))["components"]
    assert "hashes" not in model["components"][0]


# ---- JUnit ----


@pytest.mark.parametrize("kind", ["error", "failure", "skipped"])
def test_a_gate_sees_each_verdict_as_what_it_is(kind: Any) -> None:
    root = read_junit(junit(EVERY_KIND, inconclusive=kind))
    cases = root.findall(".//testcase")
    outcomes = [child.tag for case in cases for child in case if child.tag != "system-out"]
    assert outcomes == ["failure", kind, "failure", "failure", "failure"]
    for tag, count in (("failure", "failures"), ("error", "errors")):
        assert int(root.get(count, "")) == outcomes.count(tag)
        assert int(root.get(count, "")) == sum(int(s.get(count, "")) for s in root)
    assert int(root.get("tests", "")) == len(EVERY_KIND)
    assert len({case.get("name") for case in cases}) == len(EVERY_KIND)
    assert SAMPLE.reasons[0] in (cases[0].findtext("failure") or "")
    assert CLEAN.not_excluded[0] in (cases[1].findtext("system-out") or "")


def test_an_inconclusive_scan_never_passes_unasked() -> None:
    root = read_junit(junit(INCONCLUSIVE))
    assert root.get("errors") == "1"
    with pytest.raises(ArgumentError, match="one of error, failure, skipped, got 'passed'"):
        junit(INCONCLUSIVE, inconclusive="passed")  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [{"a": 1e308, "b": 1e308}, {"a": -5.0}, {}])
def test_a_mad_clock_spoils_no_file(seconds: dict[str, float]) -> None:
    (suite,) = read_junit(junit(sample(seconds=seconds)))
    assert 0 <= float(suite.get("time", "")) <= 1e9


# ---- Prometheus ----


def test_a_collector_reads_back_every_number_exactly() -> None:
    found = read_prometheus(prometheus(SAMPLE))
    values = {s.name: s.value for s in found if s.name not in ("hessay_scan_evidence",)}
    assert values["hessay_scan_statistic"] == SAMPLE.statistic
    assert values["hessay_scan_alpha"] == SAMPLE.alpha
    assert values["hessay_scan_flagged_class"] == 7
    assert "hessay_scan_p_value" not in values
    verdicts = {s.labels["verdict"]: s.value for s in found if s.name == "hessay_scan_verdict"}
    assert verdicts == {"CLEAN": 0, "FLAGGED": 1, "INCONCLUSIVE": 0}
    shown_values = {
        s.labels["statistic"]: s.value for s in found if s.name == "hessay_scan_evidence"
    }
    assert shown_values == {e.name: e.value for e in SAMPLE.evidence}


def test_a_count_beyond_every_double_is_infinite_and_read() -> None:
    found = read_prometheus(prometheus(sample(cost={"products": 10**400})))
    assert [s.value for s in found if s.name == "hessay_scan_cost"] == [float("inf")]


# ---- model card ----


def test_a_model_card_shows_reasons_blind_spots_and_numbers() -> None:
    tokens = read_markdown(model_card((SAMPLE, CLEAN)))
    words = shown(tokens)
    assert [t.tag for t in tokens if t.type == "heading_open"] == ["h2", "h3", "h3"]
    assert [t.type for t in tokens].count("table_open") == 2
    for said in (*SAMPLE.reasons, *CLEAN.not_excluded, SAMPLE.probe.digest, "1.104", "CLEAN"):
        assert said in words

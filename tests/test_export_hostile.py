"""Exports of reports whose every string is hostile: valid, harmless, and nothing is lost."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export_case import (
    EVERY_KIND,
    SAMPLE,
    read_cyclonedx,
    read_junit,
    read_markdown,
    read_prometheus,
    read_sarif,
    sample,
    shown,
)
from hessay._printable import printable
from hessay.export import cyclonedx, junit, model_card, prometheus, sarif
from hessay.report import Report

TRAPS = (
    "<script>alert(1)</script>",
    "]]></failure><testcase/>",
    "&lt;&#60;&amp;",
    "\x1b]0;owned\x07\x1b[2J",
    "\x00\x0b\ufffe\uffff\ud800\udcff",
    "\u202egpj\u2028\u2029\x85",
    "\U0001f600\U000e0041",
    '"} 1\nhessay_scan_verdict{verdict="CLEAN"} 1\n# HELP x',
    '\\"\\n\\',
    "[a](javascript:alert(1)) ![b](http://x/y) <http://z> www.evil.com @all",
    "| a | b |\n| --- | --- |\n# head\n---\n- 1. x\n> q\n```\n    code",
    "- a", "1. b", "+ c", "===", "---", "#x", "> y",
    "{0} {{1}} $x$ ~~s~~ **b** __u__ `c`",
    "=cmd|' /C calc'!A0",
)  # fmt: skip
words = st.text(max_size=30) | st.sampled_from(TRAPS) | st.tuples(
    st.sampled_from(TRAPS), st.text(max_size=8), st.sampled_from(TRAPS)
).map("".join)  # fmt: skip
numbers = st.floats(allow_nan=False, allow_infinity=False)
p_values = st.none() | st.floats(0, 1)


@st.composite
def hostile(draw: st.DrawFn) -> Report:
    report = draw(st.sampled_from(EVERY_KIND))
    evidence = tuple(
        dataclasses.replace(
            item,
            name=draw(words),
            title=draw(words),
            unit=draw(words),
            method=draw(words),
            note=draw(words),
            value=draw(numbers),
            threshold=draw(st.none() | numbers),
            p_value=draw(p_values),
        )
        for item in report.evidence
    )
    model = dataclasses.replace(
        report.model, source=draw(words), architecture=draw(words), digest=draw(words)
    )
    return dataclasses.replace(
        report,
        reasons=tuple(draw(st.lists(words, min_size=1, max_size=3))),
        not_excluded=tuple(draw(st.lists(words, min_size=1, max_size=3))),
        statistic=draw(st.none() | numbers),
        threshold=draw(st.none() | numbers),
        p_value=draw(p_values),
        evidence=evidence,
        model=model,
        probe=dataclasses.replace(report.probe, digest=draw(words), accuracy=draw(p_values)),
        environment={"hessay": draw(words), draw(words): draw(words)},
        cost=draw(st.dictionaries(words, st.integers(), max_size=2)),
        seconds=draw(st.dictionaries(words, numbers, max_size=2)),
    )


def harmless(text: str) -> None:
    """Nothing that a terminal or a reader could be fooled by, newlines aside."""
    assert all(line.isprintable() for line in text.split("\n"))
    text.encode("utf-8")


many = st.lists(hostile(), min_size=1, max_size=3)


def flat(text: str) -> str:
    return re.sub(r"\s+", "", text)


@settings(max_examples=40)
@given(many)
def test_sarif_stays_valid_and_keeps_every_reason(reports: list[Report]) -> None:
    text = sarif(reports)
    harmless(text)
    assert not set("<>&") & set(text)
    document = read_sarif(text)
    found = [r for run in document["runs"] for r in run["results"]]
    noted = [
        n for run in document["runs"] for n in run["invocations"][0]["toolExecutionNotifications"]
    ]
    assert len(found) + len(noted) == len(reports)
    for entry in (*found, *noted):
        message = entry["message"]["text"]
        harmless(message)
        assert "](" not in message
        assert not re.search(r"(?<!\{)(\{\{)*\{\d+\}", message)
        for location in entry["locations"]:
            physical = location.get("physicalLocation")
            if physical:
                uri = physical["artifactLocation"]["uri"]
                # RFC 3986, relative-path reference without a scheme
                assert re.fullmatch(r"(?:[\w.~/-]|%[0-9A-F]{2})+", uri, re.ASCII)
                assert not uri.startswith("/")
    said = flat("".join(e["message"]["text"] for e in found)).replace("{{", "{").replace("}}", "}")
    for report in reports:
        if report.verdict.value != "CLEAN":
            for reason in report.reasons:
                # The first letter may have become a capital.
                assert flat(printable(reason.strip()))[1:] in said


@settings(max_examples=25)
@given(many)
def test_a_bill_stays_valid_and_names_every_scan(reports: list[Report]) -> None:
    text = cyclonedx(reports)
    harmless(text)
    assert not set("<>&") & set(text)
    document = read_cyclonedx(text)
    facts = [p for c in document["components"] for p in c["modelCard"]["properties"]]
    verdicts = sorted(p["value"] for p in facts if p["name"].endswith(":verdict"))
    assert verdicts == sorted(r.verdict.value for r in reports)


@settings(max_examples=40)
@given(many)
def test_junit_stays_valid_and_nothing_escapes_its_element(reports: list[Report]) -> None:
    text = junit(reports)
    harmless(text)
    root = read_junit(text)
    assert len(root.findall(".//testcase")) == len(reports) == len(root)
    failures = sum(report.verdict.value == "FLAGGED" for report in reports)
    assert len(root.findall(".//failure")) == failures == int(root.get("failures", ""))
    for case, report in zip(root.iter("testcase"), reports, strict=True):
        said = "".join(case.itertext())
        assert all(printable(reason.strip())[1:] in said for reason in report.reasons)


@settings(max_examples=40)
@given(many)
def test_a_collector_reads_each_report_once_with_its_labels(reports: list[Report]) -> None:
    text = prometheus(reports)
    harmless(text)
    samples = read_prometheus(text)
    verdicts = [s for s in samples if s.name == "hessay_scan_verdict" and s.value == 1]
    assert sorted(s.labels["verdict"] for s in verdicts) == sorted(r.verdict.value for r in reports)
    digests = {printable(report.model.digest) for report in reports}
    assert {s.labels["model_digest"] for s in samples} == digests
    assert all(s.name.startswith("hessay_scan_") for s in samples)


@settings(max_examples=40)
@given(many)
def test_a_model_card_shows_hostile_words_and_formats_none(reports: list[Report]) -> None:
    text = model_card(reports)
    harmless(text)
    assert not set("<>") & set(text)
    tokens = read_markdown(text)
    kinds = {token.type for token in tokens}
    assert not kinds & {
        "html_inline", "html_block", "link_open", "image", "code_inline", "code_block", "fence",
        "em_open", "strong_open", "blockquote_open", "ordered_list_open", "hr",
    }  # fmt: skip
    assert sum(token.type == "heading_open" for token in tokens) == 1 + len(reports)
    assert max(token.level for token in tokens if token.type == "list_item_open") == 1
    rows = sum(token.type == "tr_open" for token in tokens)
    assert rows == sum(1 + len(report.evidence) for report in reports)
    starts = [i for i, token in enumerate(tokens) if token.type == "td_open"]
    ends = [i for i, token in enumerate(tokens) if token.type == "td_close"]
    cells = [flat(shown(tokens[a:b])) for a, b in zip(starts, ends, strict=True)]
    titles = [flat(printable(item.title)) for report in reports for item in report.evidence]
    assert cells[::5] == titles
    everything = flat(shown(tokens))
    for report in reports:
        for reason in report.reasons:
            assert flat(printable(reason.strip()))[1:] in everything


@pytest.mark.parametrize("trap", TRAPS)
def test_a_hostile_model_name_comes_out_in_every_format(trap: str) -> None:
    report = sample(
        model=dataclasses.replace(SAMPLE.model, source=trap.replace("/", "") + ".pt"),
        reasons=(trap,),
    )
    read_sarif(sarif(report))
    read_cyclonedx(cyclonedx(report))
    read_junit(junit(report))
    read_prometheus(prometheus(report))
    read_markdown(model_card(report))
    for text in (sarif(report), cyclonedx(report)):
        # Lone surrogates are legal escapes to Python alone: a strict reader must get through.
        json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")

"""Reports: what goes in comes out, and nothing else can get in."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessay.errors import ArgumentError, NonFinite
from hessay.report import MOST_MEANS, ClassEvidence, ProbeInfo, Report
from hessay.verdict import Verdict

SAMPLE = Path(__file__).parent / "data" / "report-1.json"
SCHEMAS = {
    f"hessay.report/{version}": json.loads(
        resources.files("hessay").joinpath(f"schema/report-{version}.json").read_text("utf-8")
    )
    for version in (1, 2)
}
VALIDATORS = {name: jsonschema.Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
VALIDATOR = VALIDATORS["hessay.report/1"]
finite = st.floats(allow_nan=False, allow_infinity=False)


def sample(**changes: Any) -> Report:
    return dataclasses.replace(Report.from_json(SAMPLE.read_text("utf-8")), **changes)


def clean(**changes: Any) -> Report:
    return sample(verdict=Verdict.CLEAN, flagged_class=None, trigger_direction=None, **changes)


def test_a_report_written_by_version_1_stays_readable_byte_for_byte() -> None:
    text = SAMPLE.read_text("utf-8")
    report = Report.from_json(text)
    assert report.verdict is Verdict.FLAGGED
    assert report.flagged_class == 7
    assert report.to_json() == text


@given(
    statistic=st.none() | finite,
    reach=st.floats(0, 1e308),
    p_value=st.none() | st.floats(0, 1),
    alpha=st.floats(1e-300, 1, exclude_max=True),
    reasons=st.lists(st.text(), min_size=1),
    settings=st.dictionaries(st.text(), st.booleans() | st.integers() | finite | st.text()),
    seconds=st.dictionaries(st.text(), finite),
)
def test_json_loses_nothing_and_fits_the_schema(
    statistic: float | None,
    reach: float,
    p_value: float | None,
    alpha: float,
    reasons: list[str],
    settings: dict[str, float | int | str | bool],
    seconds: dict[str, float],
) -> None:
    report = sample(
        statistic=statistic,
        p_value=p_value,
        alpha=alpha,
        reasons=tuple(reasons),
        settings=settings,
        seconds=seconds,
        classes=(ClassEvidence(0, 3, reach, -0.5, None, None),),
    )
    text = report.to_json()
    VALIDATOR.validate(json.loads(text))
    again = Report.from_json(text)
    assert again == report
    assert again.to_json() == text
    assert text.isascii()
    kept = {key: type(value) for key, value in again.settings.items()}
    assert kept == {key: type(value) for key, value in settings.items()}


def test_every_verdict_fits_the_schema() -> None:
    inconclusive = clean(spectrum=None, statistic=None, threshold=None)
    inconclusive = dataclasses.replace(inconclusive, verdict=Verdict.INCONCLUSIVE)
    for report in (sample(), clean(), inconclusive):
        VALIDATOR.validate(json.loads(report.to_json()))
        assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("version", SCHEMAS)
def test_the_schema_is_closed_described_and_names_every_field(version: str) -> None:
    schema = SCHEMAS[version]
    jsonschema.Draft202012Validator.check_schema(schema)
    objects = [schema, *schema["$defs"].values()]
    for entry in objects:
        assert entry["additionalProperties"] is False
        assert sorted(entry["properties"]) == sorted(entry["required"])
    described = [p for entry in objects for p in entry["properties"].values() if "$ref" not in p]
    assert all(len(entry["description"]) > 10 for entry in described)
    assert sorted(schema["properties"]) == sorted(f.name for f in dataclasses.fields(Report))
    assert schema["properties"]["schema"]["const"] == version


def test_version_2_names_every_field_of_the_probe_and_version_1_all_but_two() -> None:
    fields = {f.name for f in dataclasses.fields(ProbeInfo)}
    probes = {name: set(s["$defs"]["probe"]["properties"]) for name, s in SCHEMAS.items()}
    assert probes["hessay.report/2"] == fields
    assert probes["hessay.report/1"] == fields - {"mean", "features"}


def with_mean(mean: object, **changes: Any) -> Report:
    probe = dataclasses.replace(sample().probe, mean=mean, **changes)
    return sample(probe=probe, schema="hessay.report/2")


def test_mean_and_features_go_through_json_in_version_2_only() -> None:
    report = with_mean(np.linspace(0, 1, 64)).with_features([f"f{i}" for i in range(64)])
    document = json.loads(report.to_json())
    VALIDATORS["hessay.report/2"].validate(document)
    assert not VALIDATOR.is_valid(document)
    assert Report.from_json(report.to_json()) == report
    assert sample().with_features(["x"] * 64).schema == "hessay.report/2"
    # One that says it is of version 1 has neither; a reader of version 1 would not know them.
    document["schema"] = "hessay.report/1"
    with pytest.raises(ArgumentError, match="unknown fields: 'features', 'mean'"):
        Report.from_json(json.dumps(document))
    with pytest.raises(ArgumentError, match=r"are of hessay\.report/2, not of hessay\.report/1"):
        sample(probe=report.probe)


def test_a_later_version_is_named_before_its_fields() -> None:
    document = json.loads(SAMPLE.read_text("utf-8")) | {"schema": "hessay.report/3", "news": 1}
    with pytest.raises(ArgumentError, match="a later version needs a later hessay"):
        Report.from_json(json.dumps(document))


def test_mean_and_features_have_one_entry_a_coordinate_and_a_mean_is_bounded() -> None:
    with pytest.raises(ArgumentError, match=r"probe\.mean must have one entry .* 64 .* got 63"):
        with_mean(np.zeros(63))
    with pytest.raises(ArgumentError, match=r"probe\.features must have one entry .* got 2"):
        sample().with_features(["a", "b"])
    with pytest.raises(NonFinite, match=r"ProbeInfo\.mean\[0\]"):
        with_mean((float("nan"), *[0.0] * 63))
    large = MOST_MEANS + 1
    with pytest.raises(ArgumentError, match="kept up to 196608 coordinates, got 196609"):
        ProbeInfo("d", 1, (large,), False, None, mean=(0.0,) * large)


def replaced(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        place: Any = document
        for name in parents:
            place = place[int(name) if isinstance(place, list) else name]
        key = int(last) if isinstance(place, list) else last
        if value is ...:
            del place[key]
        else:
            place[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "words", "schema_sees_it"),
    [
        (replaced("extra", 1), "unknown fields: 'extra'", True),
        (replaced("model.digest", ...), "model has missing fields: 'digest'", True),
        (replaced("verdict", "PROBABLY"), "verdict must be one of CLEAN", True),
        (replaced("verdict", []), "verdict must be one of CLEAN", True),
        (replaced("alpha", "0.01"), "alpha must be a number, got str", True),
        (replaced("alpha", 1.0), "alpha must lie in", True),
        (replaced("seed", True), "seed must be an integer, got bool", True),
        (replaced("seed", 1.5), "seed must be an integer, got float", True),
        (replaced("evidence.0.decides", 1), "decides must be true or false", True),
        (replaced("classes.3.count", -1), "must not be negative", True),
        (replaced("classes", {}), "classes must be a list", True),
        (replaced("classes.2", 5), r"classes\[2\] must be an object", True),
        (replaced("settings", [1]), "settings must be an object", True),
        (replaced("settings.draws", None), r"settings\['draws'\] must be", True),
        (replaced("p_value", 1.25), "p_value must lie in", True),
        (replaced("reasons", []), "FLAGGED needs a reason", True),
        (replaced("flagged_class", 10), "class below 10", False),
        (replaced("verdict", "CLEAN"), "needs the verdict FLAGGED", True),
        (replaced("trigger_direction", [1.0]), "length 64", False),
        (replaced("spectrum.values", [1.0, 2.0]), "largest first", False),
        (replaced("spectrum.n_outliers", 25), r"in \[0, 24\]", False),
        (replaced("schema", "hessay.report/3"), "schema must be hessay.report/1 or", True),
        (replaced("probe.input_shape", [8, 0]), "sides of input_shape", True),
    ],
)
def test_a_changed_report_is_refused_by_name(
    change: Callable[[dict[str, Any]], None], words: str, schema_sees_it: bool
) -> None:
    document = json.loads(SAMPLE.read_text("utf-8"))
    change(document)
    with pytest.raises(ArgumentError, match=words):
        Report.from_json(json.dumps(document))
    assert VALIDATOR.is_valid(document) is not schema_sees_it


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        (b"\xff\xfe\xff", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("1" * 10_000, "no JSON"),
        ("[]", "must be an object"),
        ("null", "must be an object"),
        ('{"seed": NaN}', "NaN is no number"),
        ('{"seed": 1, "seed": 2}', "'seed' stands there twice"),
    ],
    ids=str,
)
def test_what_is_no_report_is_refused(text: str | bytes, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Report.from_json(text)


def test_a_number_too_large_for_a_float_is_refused() -> None:
    text = SAMPLE.read_text("utf-8")
    for number in ("1e999", "1" + "0" * 400):
        changed = text.replace('"alpha": 0.01', f'"alpha": {number}')
        assert changed != text
        with pytest.raises(ArgumentError, match="not a report"):
            Report.from_json(changed)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), np.float32("nan")])
def test_construction_refuses_what_is_not_finite_and_names_it(bad: float) -> None:
    with pytest.raises(NonFinite, match=r"Report\.statistic"):
        sample(statistic=bad)
    with pytest.raises(NonFinite, match=r"Report\.seconds\['scan'\]"):
        sample(seconds={"scan": bad})
    with pytest.raises(NonFinite, match=r"trigger_direction\[1\]"):
        sample(trigger_direction=(1.0, bad))
    with pytest.raises(NonFinite, match=r"ClassEvidence\.reach"):
        ClassEvidence(0, 1, bad, 0.0, None, None)


def test_a_clean_report_says_what_it_missed_and_an_abstention_says_why() -> None:
    with pytest.raises(ArgumentError, match="not excluded"):
        clean(not_excluded=())
    with pytest.raises(ArgumentError, match="INCONCLUSIVE needs a reason"):
        sample(verdict=Verdict.INCONCLUSIVE, flagged_class=None, reasons=())


def test_numpy_values_become_plain_and_frozen() -> None:
    direction = np.zeros(64, np.float32)
    direction[3] = 1
    settings = {"b": np.int64(2), "a": np.float64(0.5), "c": np.bool_(True)}
    report = sample(trigger_direction=direction, settings=settings, statistic=np.float32(0.5))
    settings["b"] = np.int64(9)
    assert type(report.statistic) is float
    assert isinstance(report.trigger_direction, tuple)
    assert list(report.settings.items()) == [("a", 0.5), ("b", 2), ("c", True)]
    with pytest.raises(TypeError):
        report.settings["b"] = 3  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.seed = 3  # type: ignore[misc]


def test_copies_and_pickles_are_equal() -> None:
    report = sample()
    assert copy.deepcopy(report) == report
    assert pickle.loads(pickle.dumps(report)) == report
    assert len({report, copy.copy(report)}) == 1
    assert sample(seed=1) != report

"""Reports of every kind that a page has to show, made from the stored one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from hessay.report import ClassEvidence, Report
from hessay.verdict import Verdict

SAMPLE = Report.from_json((Path(__file__).parents[1] / "data" / "report-1.json").read_text("utf-8"))
SEED = 20240611


def changed(**changes: Any) -> Report:
    """The stored report, as this version writes it, with other fields."""
    return dataclasses.replace(SAMPLE, **({"schema": "hessay.report/2"} | changes))


def shaped(shape: tuple[int, ...], direction: np.ndarray[Any, Any], mean: object) -> Report:
    """The stored report with a push of another shape."""
    own = direction.ravel() / np.linalg.norm(direction)
    average = None if mean is None else tuple(np.asarray(mean, dtype=float).ravel())
    probe = dataclasses.replace(SAMPLE.probe, input_shape=shape, mean=average)
    return changed(probe=probe, trigger_direction=tuple(own))


def grey() -> Report:
    rows, columns = np.mgrid[:28, :28]
    blob = np.exp(-((rows - 14) ** 2 + (columns - 14) ** 2) / 40)
    push = np.random.default_rng(SEED).normal(0, 0.04, (28, 28))
    push[22:26, 22:26] = np.array([[1, -1] * 2, [-1, 1] * 2] * 2)
    return shaped((1, 28, 28), push, 0.8 * blob)


def colour() -> Report:
    rows, columns = np.mgrid[:32, :32] / 31.0
    average = np.stack([0.3 + 0.3 * rows, 0.35 + 0.25 * columns, 0.6 - 0.3 * rows])
    push = np.random.default_rng(SEED).normal(0, 0.03, (3, 32, 32))
    push[0, 3:9, 3:9], push[1, 3:9, 3:9] = 1.0, -1.0
    return shaped((3, 32, 32), push, average)


def table() -> Report:
    push = np.random.default_rng(SEED).normal(0, 0.1, 30)
    push[[3, 17]] = 0.9, -0.6
    report = shaped((30,), push, np.linspace(-1, 4, 30))
    return report.with_features([f"blood pressure {i}, mmHg" for i in range(30)])


def embedding() -> Report:
    push = np.random.default_rng(SEED).normal(0, 0.05, (16, 32))
    push[5] += 0.6
    report = shaped((16, 32), push, None)
    settings = {**report.settings, "wrt": "encoder.embedding", "nearest_vocabulary": "4711, 12, 96"}
    said = "vocabulary items nearest to the trigger direction (cosine): 4711 (0.93), 12 (0.31)"
    return dataclasses.replace(report, settings=settings, reasons=(*report.reasons, said))


def clean() -> Report:
    calm = tuple(dataclasses.replace(c, log_ratio=min(c.log_ratio, 0.31)) for c in SAMPLE.classes)
    item = dataclasses.replace(SAMPLE.evidence[0], value=0.31, p_value=0.37)
    return changed(
        verdict=Verdict.CLEAN,
        flagged_class=None,
        trigger_direction=None,
        classes=calm,
        evidence=(item, *SAMPLE.evidence[1:]),
        statistic=0.31,
        p_value=0.37,
        reasons=("no class stands out at alpha = 0.01: the easiest one is class 7",),
    )


def inconclusive() -> Report:
    return changed(
        verdict=Verdict.INCONCLUSIVE,
        flagged_class=None,
        trigger_direction=None,
        statistic=None,
        threshold=None,
        evidence=(),
        classes=(),
        reasons=("the accuracy of the model on the probe is 31 %, a scan needs 50 %",),
        spectrum=dataclasses.replace(SAMPLE.spectrum, edge_accepted=False, n_outliers=None),  # type: ignore[type-var]
    )


def few_classes() -> Report:
    classes = tuple(ClassEvidence(i, 100, 1.0 + i, 0.4 * i, None, 0.5 * i) for i in range(2))
    item = dataclasses.replace(
        SAMPLE.evidence[0], value=0.4, threshold=0.3, p_value=0.004, flagged_class=1
    )
    return changed(
        flagged_class=1,
        classes=classes,
        evidence=(item,),
        statistic=0.4,
        threshold=0.3,
        p_value=0.004,
        model=dataclasses.replace(SAMPLE.model, n_classes=2),
        reasons=("class 1 is reached 1.49 times as easily as the others",),
    )


def all_to_all() -> Report:
    item = dataclasses.replace(
        SAMPLE.evidence[0], name="class_map_excess", value=0.83, threshold=0.4, flagged_class=None
    )
    return changed(
        flagged_class=None,
        class_map=(*range(1, 10), 0),
        statistic=0.83,
        threshold=0.4,
        evidence=(item, *SAMPLE.evidence[1:]),
        reasons=("one short step off the data moves 83 % of the probes, class by class",),
    )


def referenced() -> Report:
    classes = tuple(dataclasses.replace(c, deviation=6.0 * c.log_ratio) for c in SAMPLE.classes)
    item = dataclasses.replace(
        SAMPLE.evidence[0], name="class_profile", value=6.6252, threshold=4.2, p_value=0.0004
    )
    return changed(
        classes=classes,
        evidence=(item, *SAMPLE.evidence[1:]),
        statistic=6.6252,
        threshold=4.2,
        p_value=0.0004,
    )


def hostile() -> Report:
    """Long words without a place to break, and markup, wherever a report holds words."""
    words = "<img src=x onerror=alert(1)>" + "W" * 300
    report = table().with_features([words] * 30)
    assert report.spectrum is not None
    item = dataclasses.replace(
        report.evidence[0], name=words, title=words, unit=words, method=words, note=words
    )
    return dataclasses.replace(
        report,
        reasons=(words,),
        not_excluded=(words,),
        evidence=(item,),
        spectrum=dataclasses.replace(report.spectrum, unit=words, method=words, certificate=words),
        model=dataclasses.replace(report.model, source=words, architecture=words, digest=words),
        probe=dataclasses.replace(report.probe, digest=words),
        settings={words: words, "arch": words, "data": words},
        environment={words: words},
        cost={words: 1},
        seconds={words: 1.0},
    )


KINDS = {
    f.__name__: f
    for f in (
        *(grey, colour, table, embedding, clean, inconclusive),
        *(few_classes, all_to_all, referenced, hostile),
    )
}

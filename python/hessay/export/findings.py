"""Kinds of findings, with identifiers that stay: other programs store them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from hessay.report import Report
from hessay.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding."""

    id: str  # stable across versions
    name: str  # identifier in PascalCase
    title: str  # one sentence
    help: str  # what to do
    level: Literal["error", "warning"]


_SHORTCUT = (
    "A natural shortcut, such as a watermark on most inputs of one class, looks the same. "
    "Look at the trigger direction in the report, rank the training samples with hessay rank, and do "
    "not deploy the model before the cause is known."
)

BACKDOOR_CLASS = Rule(
    "hessay/backdoor-class",
    "BackdoorClass",
    "One small change of the input pulls inputs into one class.",
    _SHORTCUT,
    "error",
)
ALL_TO_ALL = Rule(
    "hessay/all-to-all",
    "AllToAllBackdoor",
    "One small change of the input moves every class into another one.",
    _SHORTCUT,
    "error",
)
POISON = Rule(
    "hessay/poison",
    "Poison",
    "The model shows signs of poison, without a single target class.",
    _SHORTCUT,
    "error",
)
INCONCLUSIVE = Rule(
    "hessay/inconclusive",
    "Inconclusive",
    "The scan could not decide. This is not clean.",
    "Read the reasons, give what they ask for (more probes, labelled data, clean references) and scan "
    "again.",
    "warning",
)
RULES = (BACKDOOR_CLASS, ALL_TO_ALL, POISON, INCONCLUSIVE)


def rule_of(report: Report) -> Rule | None:
    """Kind of the finding of a report; None for CLEAN."""
    if report.verdict is Verdict.CLEAN:
        return None
    if report.verdict is Verdict.INCONCLUSIVE:
        return INCONCLUSIVE
    if report.class_map is not None:
        return ALL_TO_ALL
    return POISON if report.flagged_class is None else BACKDOOR_CLASS


def fingerprint(report: Report, rule: Rule) -> str:
    """Name the finding by model, kind and class, so that a repeated scan finds the same one.

    Returns
    -------
    str
        64 hex digits; independent of file name, probe, seed and version.
    """
    parts = [
        report.model.digest,
        rule.id,
        report.flagged_class,
        None if report.class_map is None else list(report.class_map),
    ]
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()

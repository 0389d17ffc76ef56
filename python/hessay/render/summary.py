"""The top of the page: what was asked, what was found, at which level, what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hessay._printable import shell_word
from hessay.render.wording import number, percent
from hessay.report import Report
from hessay.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Answer:
    """One question of a reader, answered in plain words."""

    question: str
    words: str
    command: str = ""  # what to type for it


def summary(report: Report) -> list[Answer]:
    """Answer the four questions that a reader has before any other."""
    return [_asked(report), _found(report), _level(report), *_next(report)]


def _asked(report: Report) -> Answer:
    model, probe = report.model, report.probe
    n = model.n_classes
    name = model.source or "a model given in memory"
    right = "" if probe.accuracy is None else f", of which it gets {percent(probe.accuracy)} right"
    inside = report.settings.get("wrt")
    where = f", seen at the output of its module {inside}" if isinstance(inside, str) else ""
    return Answer(
        "What was asked",
        f"Does {name}, a classifier of {n} classes, carry a backdoor: a small change of the input "
        f"that moves inputs of every kind into one class, or each class into another? It was "
        f"asked with {probe.n} inputs{right}{where}.",
    )


def _found(report: Report) -> Answer:
    if report.verdict is Verdict.FLAGGED:
        if report.flagged_class is not None:
            easy = next((c for c in report.classes if c.index == report.flagged_class), None)
            flips = "" if easy is None else _flips(easy.refined_flip_rate)
            words = f"Yes: class {report.flagged_class} is reached far too easily{flips}."
        elif report.class_map is not None:
            words = "Yes: one small change carries every class into another one."
        else:
            words = "Signs of poison, without a single class it leads to."
    elif report.verdict is Verdict.INCONCLUSIVE and report.statistic is None:
        words = "Nothing that can be believed: the test does not hold for this model and probe."
    elif report.verdict is Verdict.INCONCLUSIVE:
        words = "No class stands out, but for this model and probe that does not count as clean."
    else:
        words = "No: no class is reached more easily than in models that were not poisoned."
    return Answer("What was found", words)


def _flips(rate: float | None) -> str:
    if rate is None or rate < 0.2:
        return ""
    return f"; one fixed small change sends {percent(rate)} of the other inputs there"


def _level(report: Report) -> Answer:
    once = 1 / report.alpha
    odds = f"about {once:.0f}" if once < 1e6 else f"{once:.1e}"
    words = (
        f"At level {percent(report.alpha)}: of clean models like those the test was fitted to, at "
        f"most one in {odds} is to be flagged."
    )
    if report.p_value is not None:
        words += (
            f" p = {number(report.p_value)}: the probability that a clean model looks at least as "
            "suspicious as this one."
        )
    elif report.verdict is Verdict.INCONCLUSIVE:
        words += " This scan has no p-value, because it has no statistic that counts."
    return Answer("At which level", words)


def _next(report: Report) -> Iterator[Answer]:
    if report.verdict is Verdict.INCONCLUSIVE:
        yield Answer(
            "What to do next",
            "Treat the model as unexamined. The reasons below say what stood in the way; remove "
            "that, and scan again.",
        )
        return
    if report.verdict is not Verdict.FLAGGED:
        yield Answer(
            "What to do next",
            "Read what was not excluded, below: this is no proof of purity. Clean reference models "
            "of your own data (hessay calibrate) make the test sharper.",
        )
        return
    if report.flagged_class is None:
        words = "Do not deploy the model. Look at its training data, or train it again from data you trust."
        yield Answer("What to do next", words)
        return
    words = (
        f"Do not deploy the model. Look at the training samples of class {report.flagged_class} and "
        "at the push below: is it a trigger, or a natural shortcut?"
    )
    arch, data = report.settings.get("arch"), report.settings.get("data")
    how = report.settings.get("preprocessing")
    outside = "wrt" not in report.settings
    if not (report.model.source and isinstance(arch, str) and isinstance(data, str) and outside):
        yield Answer("What to do next", words)
        return
    source = report.model.source
    source = f"./{source}" if source.startswith("-") else source
    named = f"{shell_word(source)} --arch {shell_word(arch)}"
    pictures = f" --preprocessing {shell_word(how)}" if isinstance(how, str) else ""
    yield Answer(
        "What to do next",
        f"{words} With the training set at hand, list and see its suspects:",
        f"hessay rank {named} --data TRAINSET --probe {shell_word(data)}{pictures} --html suspects.html",
    )
    yield Answer(
        "To take it out",
        "Without retraining, into a new file, examined before it is written:",
        f"hessay repair {named} --data {shell_word(data)}{pictures} -o repaired.safetensors",
    )

"""The words and number formats that the terminal and the page share."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hessay._printable import shell_word
from hessay.report import Evidence, Report
from hessay.verdict import Verdict

# A sign of its own for each verdict: nobody has to tell them apart by colour.
SIGNS = {Verdict.CLEAN: "●", Verdict.FLAGGED: "▲", Verdict.INCONCLUSIVE: "◆"}


def number(value: float | None) -> str:
    """Four significant digits, integers whole, a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    return f"{value:.4g}"


def percent(share: float | None) -> str:
    """Share in [0, 1] as a percentage with three significant digits."""
    return "–" if share is None else f"{100 * share:.3g} %"


def with_unit(value: float, unit: str) -> str:
    """Write a number with its unit behind it; dimensionless numbers stand alone."""
    return number(value) if unit in ("", "1") else f"{number(value)} {pretty_unit(unit)}"


def pretty_unit(unit: str) -> str:
    """Write ``input^2`` as ``input²``."""
    return re.sub(r"\^2\b", "²", unit)


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop: findings are written as clauses."""
    text = text.strip()
    # A formula keeps its letters: clip(x + r u) is no sentence.
    if re.match(r"[a-z-]+[,:]?(\s|$)", text):
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ":")) else text + "."


def headline(report: Report) -> str:
    """Say the verdict in one plain sentence."""
    if report.verdict is Verdict.CLEAN:
        return f"No sign of poison was found, tested at level {percent(report.alpha)}."
    if report.verdict is Verdict.INCONCLUSIVE:
        return "The scan could not decide. Do not read this as clean."
    if report.class_map is not None:
        return "One small change of the input moves every class into another one: a backdoor."
    if report.flagged_class is None:
        return "The model shows signs of poison, without a single target class."
    return (
        f"Something pulls inputs into class {report.flagged_class}: "
        "a backdoor, or a shortcut in the training data."
    )


def comparison(report: Report) -> str:
    """Say what the deciding statistic was held against, or that there is none."""
    if report.statistic is None:
        return "no deciding statistic"
    deciding = next(
        (item for item in report.evidence if item.decides and item.value == report.statistic), None
    )
    name = deciding.title if deciding is not None else "statistic"
    text = f"{name}: {number(report.statistic)}"
    if report.threshold is not None:
        side = "above" if report.statistic > report.threshold else "not above"
        text += f", {side} the threshold {number(report.threshold)}"
    if report.p_value is not None:
        text += f", p = {number(report.p_value)}"
    return text


def evidence_row(item: Evidence) -> tuple[str, str, str, str, str]:
    """Title, value, threshold, p-value, role of one statistic."""
    threshold = number(item.threshold)
    role = "decides" if item.decides else "shown only"
    return item.title, with_unit(item.value, item.unit), threshold, number(item.p_value), role


def facts(report: Report) -> Iterator[tuple[str, str]]:
    """Model and probe, as name and value."""
    model, probe = report.model, report.probe
    yield "model", model.source or "given in memory"
    yield "architecture", model.architecture
    yield "size", f"{model.n_parameters} parameters, {model.n_classes} classes"
    yield "model digest", f"sha256 {model.digest}"
    shape = " x ".join(str(side) for side in probe.input_shape)
    accuracy = "" if probe.accuracy is None else f", accuracy {percent(probe.accuracy)}"
    yield "probe", f"{probe.n} inputs of shape {shape}{accuracy}"
    yield "probe digest", f"sha256 {probe.digest}"


def standing(item: Evidence) -> str:
    """Say on which side of its threshold a statistic stands; empty without one."""
    if item.threshold is None:
        return ""
    return "▲ above" if item.value > item.threshold else "not above"


def is_shell_command(report: Report) -> bool:
    """Whether the scan was one of files, which a shell can repeat."""
    arch, data = report.settings.get("arch"), report.settings.get("data")
    return bool(report.model.source) and isinstance(arch, str) and isinstance(data, str)


def repeat_command(report: Report) -> str:
    """Give the shell command, or the line of Python, that repeats the scan."""
    given = report.settings
    wrt = given.get("wrt")
    if not is_shell_command(report):
        options = [] if not isinstance(wrt, str) else [f"wrt={wrt!r}"]
        options += ["references=references"] if given.get("references", 0) != 0 else []
        more = "".join(f", {word}" for word in options)
        return f"hessay.scan(model, probe, alpha={report.alpha!r}, seed={report.seed}{more})"
    words = ["--arch", str(given["arch"]), "--data", str(given["data"])]
    words += ["--alpha", f"{report.alpha!r}"]
    for option in ("references", "holdout"):
        named = given.get(f"{option}_from")
        words += [f"--{option}", named] if isinstance(named, str) else []
    how = given.get("preprocessing")
    words += ["--preprocessing", how] if isinstance(how, str) else []
    words += ["--wrt", wrt] if isinstance(wrt, str) else []
    words += ["--seed", str(report.seed)]
    # "--" is not needed for a path that cannot be taken for an option.
    source = report.model.source
    source = f"./{source}" if source.startswith("-") else source
    return "hessay scan " + " ".join(shell_word(word) for word in (source, *words))

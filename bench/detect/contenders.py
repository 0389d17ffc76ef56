"""The contenders: hessay, the four published defences, and the toolbox that packages them.

Each takes a case and returns what it says; one that cannot judge the case raises CannotDo with the
reason, which is printed. The Adversarial Robustness Toolbox is imported only when it is installed:

    pip install adversarial-robustness-toolbox==1.20.1
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect import toolbox
from detect.cannot import CannotDo
from detect.case import Case
from hessay.detector import scan
from hessay.errors import HessayError
from hessay.samples import rank_samples
from hessay.second_opinions import OPINIONS, second_opinion

Judge = Callable[[Case], "Said"]


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What a contender says of one model."""

    score: float | None  # model level, larger = more suspicious; None: it has none
    alarm: bool | None  # by its own line; None: it has none
    suspect: int | None  # the most suspicious class
    sample_scores: NDArray[np.float64] | None  # (N,), larger = more suspicious


def hessay_scan(case: Case) -> Said:
    """S of a scan without references, from the probe alone; then a ranking of the data by its report."""
    report = scan(case.model, case.probe)
    if report.statistic is None:
        raise CannotDo(f"INCONCLUSIVE: {report.reasons[0]}")
    suspect = max(report.classes, key=lambda c: c.log_ratio, default=None)
    ranking = rank_samples(case.model, case.data, probe=case.probe, report=report)
    return Said(
        score=report.statistic,
        alarm=report.flagged_class is not None,
        suspect=None if suspect is None else suspect.index,
        sample_scores=ranking.scores,
    )


def opinion_of(name: str) -> Judge:
    """One of hessay's own versions of the published defences."""

    def judge(case: Case) -> Said:
        try:
            said = second_opinion(name, case.model, case.probe, case.data)
        except HessayError as error:
            raise CannotDo(str(error)) from error
        alarm = None if said.line is None or said.score is None else said.score > said.line
        return Said(said.score, alarm, said.suspect, said.sample_scores)

    return judge


def told_fraction(case: Case) -> float:
    """Share of poisoned rows, which some contenders ask for; 5 % where there are none."""
    return len(case.rows) / case.data.n if len(case.rows) else 0.05


def toolbox_spectral(case: Case) -> Said:
    """Spectral signatures as the toolbox has them, told the share of poison."""
    return Said(None, None, None, toolbox.spectral_scores(case, told_fraction(case)))


def toolbox_clustering(case: Case) -> Said:
    """Activation clustering as the toolbox has it, with PCA, ruled by its silhouette rule."""
    silhouettes, flags = toolbox.clustering(case)
    suspect = int(np.argmax(silhouettes))
    return Said(float(silhouettes[suspect]), bool(flags.any()), suspect, flags.astype(np.float64))


CONTENDERS: dict[str, Judge] = {
    "hessay": hessay_scan,
    **{name: opinion_of(name) for name in OPINIONS},
    "ART spectral signatures": toolbox_spectral,
    "ART activation defence": toolbox_clustering,
}

"""From the statistic to the three-valued verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hessay.detector.calibration import CleanNull, ConformalRank, conformal_rank
from hessay.detector.statistics import ClassReach
from hessay.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with its numbers and the sentences behind it."""

    verdict: Verdict
    flagged_class: int | None
    threshold: float | None  # S above it is flagged; None where no S could be
    p_value: float | None
    rank: ConformalRank | None  # None without references
    reasons: tuple[str, ...]


def abstain(reasons: tuple[str, ...]) -> Decision:
    """INCONCLUSIVE for these reasons."""
    return Decision(Verdict.INCONCLUSIVE, None, None, None, None, reasons)


def withhold(decision: Decision, caveats: tuple[str, ...]) -> Decision:
    """Turn CLEAN into INCONCLUSIVE where there are caveats; an alarm stands."""
    if not caveats or decision.verdict is not Verdict.CLEAN:
        return decision
    return replace(decision, verdict=Verdict.INCONCLUSIVE, reasons=caveats + decision.reasons)


def decide(
    reach: ClassReach,
    n_classes: int,
    null: CleanNull,
    references: Sequence[float] | None,
    alpha: float,
) -> Decision:
    """Test S at level alpha, against the references if there are any, else against the null.

    Parameters
    ----------
    reach : ClassReach
    n_classes : int
        C of the scanned model.
    null : CleanNull
        Law of S over clean models, used without references.
    references : sequence of float or None
        S of clean reference models on the same probe.
    alpha : float in (0, 1)
    """
    if references is None:
        threshold = null.threshold(alpha, n_classes)
        p_value = null.p_value(reach.statistic, n_classes)
        # The p-value decides, so that the two can never contradict each other.
        if p_value <= alpha:
            return _flag(reach, threshold, p_value, None)
        return _clear(reach, threshold, p_value, None, alpha)
    rank = conformal_rank(reach.statistic, references)
    if rank.p_value <= alpha:
        return _flag(reach, rank.threshold(references, alpha), rank.p_value, rank)
    if rank.extreme:
        needed = math.ceil(1.0 / alpha) - 1
        reason = (
            f"S = {reach.statistic:.3f} is above all {rank.n_references} reference models, but so "
            f"few give no p-value below {rank.resolution:.3g}, above alpha = {alpha:g}; give "
            f"{needed} references, or test at alpha >= {rank.resolution:.3g}"
        )
        return Decision(Verdict.INCONCLUSIVE, None, None, rank.p_value, rank, (reason,))
    return _clear(reach, rank.threshold(references, alpha), rank.p_value, rank, alpha)


def _flag(
    reach: ClassReach, threshold: float | None, p_value: float, rank: ConformalRank | None
) -> Decision:
    reason = (
        f"class {reach.suspect} is reached {math.exp(reach.statistic):.2f} times as easily as the "
        f"median class, off the data's own directions: S = {reach.statistic:.3f}, threshold "
        f"{threshold:.3f}, p = {p_value:.2g}"
    )
    caution = (
        "a natural shortcut, such as a watermark on most inputs of one class, looks the same: read "
        "this as shortcut or backdoor, and look at the trigger direction"
    )
    return Decision(Verdict.FLAGGED, reach.suspect, threshold, p_value, rank, (reason, caution))


def _clear(
    reach: ClassReach,
    threshold: float | None,
    p_value: float,
    rank: ConformalRank | None,
    alpha: float,
) -> Decision:
    held = "" if threshold is None else f", threshold {threshold:.3f}"
    reason = (
        f"no class stands out at alpha = {alpha:g}: the easiest one, class {reach.suspect}, is "
        f"reached {math.exp(reach.statistic):.2f} times as easily as the median class "
        f"(S = {reach.statistic:.3f}{held}, p = {p_value:.2g})"
    )
    return Decision(Verdict.CLEAN, None, threshold, p_value, rank, (reason,))

"""From the tests to the three-valued verdict.

Each test brings a p-value of its own and a share of alpha. A model is flagged when one of them falls
below its share, which bounds the rate of false alarms by alpha whatever the tests have to do with each
other (Bonferroni, with weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hessay.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Test:
    """One statistic held against its law for clean models."""

    name: str  # as the evidence is named
    statistic: float  # dimensionless, larger is more suspicious
    threshold: float  # at its share of alpha
    p_value: float  # of the test alone, [0, 1]
    weight: float  # share of alpha, (0, 1]
    suspect: int | None  # class it points to; None where it points to no single one
    law: str  # where the p-value comes from, in a few words
    alarm: str  # sentence for a model it flags
    calm: str  # sentence for a model it does not
    source: int | None = None  # class that it leads away from; None where it is any other
    bent: bool = False  # whether it is warps of the picture that lead there
    vetoed: str = ""  # another explanation of an alarm of this test, "" where none is known

    def rejects(self, alpha: float) -> bool:
        """Whether a clean model is this extreme with probability at most ``weight * alpha``."""
        # The p-value decides, not the threshold, so that the two can never contradict each other.
        return not self.vetoed and self.p_value <= self.weight * alpha

    @property
    def adjusted(self) -> float:
        """p-value in units of the whole alpha, [0, 1]."""
        return min(1.0, self.p_value / self.weight)


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with its numbers and the sentences behind it."""

    verdict: Verdict
    test: Test | None  # the one that decided: the alarm, or the first where there is none
    reasons: tuple[str, ...]

    @property
    def flagged_class(self) -> int | None:
        """Class the deciding test points to, where it raised an alarm."""
        flagged = self.verdict is Verdict.FLAGGED and self.test is not None
        return self.test.suspect if flagged and self.test else None


CAUTION = (
    "a natural shortcut, such as a watermark on most inputs of one class, looks the same: read this "
    "as shortcut or backdoor, and look at the trigger direction"
)


def abstain(reasons: tuple[str, ...]) -> Decision:
    """INCONCLUSIVE for these reasons."""
    return Decision(Verdict.INCONCLUSIVE, None, reasons)


def withhold(decision: Decision, caveats: tuple[str, ...]) -> Decision:
    """Turn CLEAN into INCONCLUSIVE where there are caveats; an alarm stands."""
    if not caveats or decision.verdict is not Verdict.CLEAN:
        return decision
    return replace(decision, verdict=Verdict.INCONCLUSIVE, reasons=caveats + decision.reasons)


def decide(tests: Sequence[Test], alpha: float) -> Decision:
    """Combine tests at family-wise level alpha.

    Parameters
    ----------
    tests : sequence of Test, at least one
        The main one first; their weights sum to at most 1.
    alpha : float in (0, 1)

    Returns
    -------
    Decision
        FLAGGED by the test with the smallest adjusted p-value among those that reject; else
        INCONCLUSIVE where another explanation vetoes an alarm; else CLEAN by the first.

    Source: weighted Bonferroni, Holm 1979, Scand. J. Statist. 6, 65.
    """
    alarms = sorted((t for t in tests if t.rejects(alpha)), key=lambda t: t.adjusted)
    if alarms:
        reasons = (*(test.alarm for test in alarms), CAUTION)
        return Decision(Verdict.FLAGGED, alarms[0], reasons)
    vetoed = [test for test in tests if test.vetoed and test.p_value <= test.weight * alpha]
    if vetoed:
        said = dict.fromkeys(test.vetoed for test in vetoed)
        return Decision(Verdict.INCONCLUSIVE, vetoed[0], (*said, *(test.alarm for test in vetoed)))
    return Decision(Verdict.CLEAN, tests[0], tuple(test.calm for test in tests))

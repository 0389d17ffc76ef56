"""Whether batches of data hold more suspicious samples than clean data do, batch after batch.

A sample of a suspicious class is counted when its statistic is above the (j + 1)-th largest of the n
clean probes of that class. For new clean samples of the class that happens with a probability that no one knows but whose law over the choice of the
probe is Beta(j + 1, n - j), whatever the law of the statistic. Its upper quantile q holds for all
batches at once: given the probe, the samples of clean batches are independent and each is counted
with probability q at most. So the e-values below have mean one at most, batch after batch, and the
Shiryaev-Roberts sum of :class:`hessay.monitor.drift.EvidenceDetector` has the stated run length.

Sources: Wilks 1941, Ann. Math. Statist. 12, 91 (the law of what lies above an order statistic);
Bates, Candes, Lei, Romano & Sesia 2023, Ann. Statist. 51, 149, section 3 (why the probe must be
conditioned on); Waudby-Smith & Ramdas 2024, J. R. Stat. Soc. B 86, 1 (betting on a bounded mean).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from hessay.errors import ArgumentError
from hessay.theory.delay import Delay

LEVEL = 0.01  # share of the probes above the cut
CONFIDENCE = 0.99  # that q is not below what it bounds


@dataclass(frozen=True, slots=True)
class ExceedanceTest:
    """How often samples may be above the cut if they are clean."""

    n: int  # probes of the class
    above: int  # j of them lie above the cut
    rate: float  # q: clean samples above the cut, at most, in (0, 1)
    confidence: float  # of that bound, over the choice of the probe

    @classmethod
    def of(cls, n: int, *, level: float = LEVEL, confidence: float = CONFIDENCE) -> ExceedanceTest:
        """Choose the cut.

        Parameters
        ----------
        n : int >= 2
            Probes of the class.
        level : float in (0, 1)
            Share of them above the cut; none is where they are fewer than 1 / level.
        confidence : float in (0, 1)

        Raises
        ------
        ArgumentError
            A value is out of range.

        Examples
        --------
        >>> test = ExceedanceTest.of(50)
        >>> test.above, round(test.rate, 4)  # 1 - 0.01^(1/50)
        (0, 0.088)
        """
        if n < 2:
            raise ArgumentError(f"n must be at least 2 probes, got {n}")
        for name, value in (("level", level), ("confidence", confidence)):
            if not 0 < value < 1:
                raise ArgumentError(f"{name} must lie in (0, 1), got {value}")
        above = math.floor(level * n)
        rate = float(special.betaincinv(above + 1, n - above, confidence))
        return cls(n, above, rate, confidence)

    def log_e(self, count: int, n_samples: int) -> float:
        """Bet on every rate above q alike, and give the logarithm of what one unit became, nats.

            e = int_q^1 (r/q)^K ((1 - r)/(1 - q))^(m - K) dr / (1 - q)

        Parameters
        ----------
        count : int in [0, n_samples]
            K, samples above the cut.
        n_samples : int >= 0
            m; none says nothing: 0.

        Raises
        ------
        ArgumentError
            A value is out of range.
        """
        if not 0 <= count <= n_samples:
            raise ArgumentError(f"count must lie in [0, {n_samples}], got {count}")
        a, b, q = count + 1.0, n_samples - count + 1.0, self.rate
        beta = float(special.betaln(a, b)) + _log_upper_tail(a, b, q)
        return beta - count * math.log(q) - b * math.log1p(-q)


def _log_upper_tail(a: float, b: float, q: float) -> float:
    """Logarithm of P(X > q) for X ~ Beta(a, b), whole a and b, where it underflows too."""
    tail = float(special.betaincc(a, b, q))
    if tail > 1e-280:
        return math.log(tail)
    # P(X > q) = P(Bin(a + b - 1, q) < a): the sum in logarithms, dominated by its last terms.
    i = np.arange(a)
    n = a + b - 1
    terms = special.gammaln(n + 1) - special.gammaln(i + 1) - special.gammaln(n - i + 1)
    return float(special.logsumexp(terms + i * math.log(q) + (n - i) * math.log1p(-q)))


def combined(log_e: list[float]) -> float:
    """Average e-values of any dependence, given and returned as logarithms; 0 of none."""
    return float(special.logsumexp(log_e) - math.log(len(log_e))) if log_e else 0.0


def planned_delay(
    test: ExceedanceTest,
    *,
    share: float,
    n_samples: int,
    average_run_length: float,
    horizon: int = 100,
    draws: int = 2000,
    seed: int = 0,
) -> Delay:
    """Simulate how many batches poison stays unseen, beside what ``hessay plan`` says of scans.

    Parameters
    ----------
    test : ExceedanceTest
    share : float in [0, 1]
        Of a batch's samples of the suspicious class that are poison, each above the cut.
    n_samples : int >= 1
        Samples of that class a batch.
    average_run_length : float > 1
        Batches between false alarms, at least.
    horizon : int >= 1
        Batches after which an alarm no longer counts.
    draws : int >= 2
        Simulated series.
    seed : int >= 0

    Returns
    -------
    Delay
        From the first poisoned batch to the alarm, two standard errors below and above the mean.

    Raises
    ------
    ArgumentError
        A value is out of range.
    """
    if not 0 <= share <= 1 or n_samples < 1 or horizon < 1 or draws < 2 or seed < 0:
        raise ArgumentError(
            f"share must lie in [0, 1], n_samples and horizon be at least 1, draws 2, seed 0; got "
            f"{share}, {n_samples}, {horizon}, {draws}, {seed}"
        )
    if not 1 < average_run_length < math.inf:
        raise ArgumentError(
            f"average_run_length must be above 1 and finite, got {average_run_length}"
        )
    clean = (test.above + 1) / (test.n + 1)  # the mean of Beta(j + 1, n - j)
    table = np.array([test.log_e(k, n_samples) for k in range(n_samples + 1)])
    gain = np.exp(np.minimum(table, 600.0))
    rng = np.random.default_rng(seed)
    counts = rng.binomial(n_samples, share + (1 - share) * clean, (horizon, draws))
    evidence, length = np.zeros(draws), np.full(draws, float(horizon))
    waiting = np.ones(draws, dtype=np.bool_)
    for batch in range(horizon):
        evidence = np.where(waiting, (1.0 + evidence) * gain[counts[batch]], 0.0)
        alarm = waiting & (evidence >= average_run_length)
        length[alarm] = batch + 1
        waiting &= ~alarm
    error = 2 * float(length.std(ddof=1)) / math.sqrt(draws)
    mean = float(length.mean())
    return Delay(
        at_least=max(1.0, mean - error),
        at_most=min(float(horizon), mean + error),
        missed=float(waiting.mean()),
        scans=horizon,
    )

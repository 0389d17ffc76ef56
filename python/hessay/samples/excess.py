"""Whether a class has more samples that carry the way into it than clean data would have.

The probe has n inputs of the class, the training set N. In clean data all n + N are exchangeable, so the number
of training samples above the probe's k-th largest value has a law that knows nothing of the data:

    P(at least m of N above it) = P(at most k - 1 of the probe's n among the m + k - 1 largest of all)

which is hypergeometric. Poison carries its target's label and the way into it, so it piles up there.

A training set that differs from the probe as a whole (another camera, augmentation) is no sign of poison in one
class: the line is never lower than what the same share of the other classes' samples exceeds.

Sources: Gumbel & von Schelling 1950, Ann. Math. Stat. 21, 247 (exceedances); Holm 1979, Scand. J. Statist. 6, 65
(Bonferroni over k).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from hessay.samples.null import MIN_OF_CLASS

RANKS = (1, 2, 4)  # k: the largest of the probe alone may be an accident, the fourth says less


def excess_p_value(
    samples: NDArray[np.float64], clean: NDArray[np.float64], others: NDArray[np.float64]
) -> float:
    """Chance of so many large values among the samples of a class if they are like its probes.

    Parameters
    ----------
    samples : (N,) float64
        Of the training samples labelled with the class, less what is usual for the class.
    clean : (n,) float64
        Of its probes, likewise.
    others : (M,) float64
        Of training samples with other labels, each less what is usual for its own; M may be 0.

    Returns
    -------
    float in [0, 1]
        1 with fewer than 10 probes of the class, or without samples.

    Examples
    --------
    >>> probes, samples = np.arange(50.0), np.arange(500.0) / 10
    >>> round(excess_p_value(samples, probes, samples), 2)
    1.0
    >>> excess_p_value(np.append(samples, np.full(200, 99.0)), probes, samples) < 1e-6
    True
    """
    n, size = len(clean), len(samples)
    if n < MIN_OF_CLASS or size == 0:
        return 1.0
    descending = np.sort(clean)[::-1]
    best = 1.0
    for k in RANKS:
        line = descending[k - 1]
        if len(others):
            line = max(line, float(np.quantile(others, 1.0 - k / (n + 1))))
        best = min(best, _at_least(int((samples > line).sum()), size, k, n))
    return min(1.0, len(RANKS) * best)


def _at_least(m: int, size: int, k: int, n: int) -> float:
    """P(at least m of ``size`` exchangeable values exceed the k-th largest of n others)."""
    if m == 0:
        return 1.0
    top = m + k - 1
    few = np.arange(max(0, top - size), k)  # of the n among the ``top`` largest of all
    logs = _log_choose(n, few) + _log_choose(size, top - few) - _log_choose(n + size, top)
    return float(min(1.0, np.exp(logs).sum()))


def _log_choose(total: int, part: NDArray[np.intp] | int) -> NDArray[np.float64]:
    chosen = np.asarray(part, dtype=np.float64)
    logs: NDArray[np.float64] = (
        gammaln(total + 1.0) - gammaln(chosen + 1.0) - gammaln(total - chosen + 1.0)
    )
    return logs

"""What to do next: run on, draw more probes, or take the space run through as known.

Costs are in products. More probes shrink the sampling error like 1 / sqrt(probes). Taking the Krylov
space as known removes its m Ritz values, outliers first, from what is sampled: worth it where
they carry the variance, and worth next to nothing in a wide bulk, where m of d values go.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessay.density.estimate import Estimate, remaining, sampling
from hessay.density.run import Rule

# An error bar of 95 % is about this many mean sampling errors (seen: 1.2 for wide bulks, 2.4 for one
# outlier); only plans rest on it, the bar itself is drawn.
_BAR = 1.6
# Truncation of a run of m steps over its distribution's width, the integral of sqrt(F (1 - F)), times m.
_RESOLUTION = 1.0
# Share, in eigenvalues, that a probe has in a single one at most, in 95 of 100 cases: chi-square(1).
_ONE_COPY = 3.84
_SHORTEST = 4  # steps of a run that says anything
_SHARE = 0.5  # of the tolerance that truncation may take
_REST = remaining(1.0, _SHARE)  # and what that leaves to the probes


@dataclass(frozen=True, slots=True)
class Costs:
    """Products still to be spent, by either way."""

    more_probes: float
    absorb: float  # the spaces become known, then fresh probes
    depth: int  # steps of a fresh probe

    @property
    def least(self) -> float:
        """The cheaper way."""
        return min(self.more_probes, self.absorb)


def costs(estimate: Estimate, steps: int, betas: float, tolerance: float) -> Costs:
    """Predict what is left to pay until the error bar is below ``tolerance``.

    Parameters
    ----------
    estimate : Estimate
        As of now; its last rule is of ``steps`` steps.
    betas : float
        Coupling that absorbing would add, sum of the runs' last beta; the operator's unit.
    tolerance : float
        Wasserstein-1, the operator's unit.
    """
    return Costs(_more_probes(estimate, steps, tolerance), *_absorb(estimate, betas, tolerance))


def _more_probes(estimate: Estimate, steps: int, tolerance: float) -> float:
    probes = len(estimate.rules)
    room = remaining(tolerance, estimate.systematic)
    depth, deeper = float(steps), 0.0
    if room < _REST * tolerance:
        if estimate.coupling > _SHARE * tolerance:
            return np.inf
        depth = steps * max(1.0, estimate.truncation / (_SHARE * tolerance))
        deeper, room = depth - steps, _REST * tolerance
    needed = probes * (_BAR * estimate.sampling() / room) ** 2
    return float(deeper + max(0.0, np.ceil(needed) - probes) * depth)


def _absorb(estimate: Estimate, betas: float, tolerance: float) -> tuple[float, int]:
    d, n = estimate.d, estimate.n
    nodes = np.concatenate([rule.nodes for rule in estimate.rules])
    copies = np.concatenate([rule.weights for rule in estimate.rules]) * n
    left = n - len(nodes)
    room = tolerance - 2 * betas / d
    if left <= 0 or room < (1 - _SHARE) * tolerance:
        return np.inf, _SHORTEST
    order = np.argsort(nodes)
    x, rest = nodes[order], np.maximum(copies[order] - _ONE_COPY, 0.0)
    if rest.sum() <= 0:
        return float(_SHORTEST), _SHORTEST
    error = _BAR * sampling(x, rest, left, 1) * left / d
    f = np.clip(np.cumsum(rest)[:-1] / rest.sum(), 0.0, 1.0)
    width = float(np.sqrt(f * (1 - f)) @ np.diff(x)) * left / d
    depth = max(_SHORTEST, int(np.ceil(_RESOLUTION * width / (_SHARE * room))))
    needed = max(1.0, (error / (_REST * room)) ** 2)
    return needed * depth, depth


class Patience:
    """Whether running on has stopped to pay: the predicted total no longer falls."""

    def __init__(self) -> None:
        self._best, self._at = np.inf, _SHORTEST

    def spent(self, steps: int, to_go: float) -> bool:
        """Learn of a prediction after ``steps``; True when the total has not fallen for long."""
        if steps + to_go < self._best:
            self._best, self._at = steps + to_go, steps
        return steps - self._at >= max(8, self._at // 4)


def enough_depth(rule: Rule, share: float, tolerance: float) -> bool:
    """Whether a rule's truncation, ``share`` = n / d of it, leaves room for the sampling error."""
    return rule.truncation() * share <= _SHARE * tolerance

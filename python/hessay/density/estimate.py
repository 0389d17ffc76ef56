"""Known eigenvalues and probes of the rest, put together, and how far that may be off.

The squared components of a direction uniform on the sphere of R^n are Gamma(1/2) variables divided
by their sum, whatever the operator. So the spread of a quadrature over probes needs no repeated
probes: it follows from the eigenvalues, and these are what was just estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hessay.density.known import Known
from hessay.density.run import Rule

Array = NDArray[np.float64]
Function = Callable[[Array], NDArray[np.floating]]

LEVEL = 0.95  # of the error bar
# Where two errors along x have the same sign they add, elsewhere they cancel, but |.| is taken before
# the integral: between 1, the sum, and 2 (bench/bench_density.py).
POWER = 1.5
_DRAWS = 200  # imagined sets of probes
_MEAN_OF_NORMAL = (2 / np.pi) ** 0.5  # E |N(0, 1)|


class Estimate:
    """The spectral distribution of A from U's eigenvalues and p rules on the complement.

    Parameters
    ----------
    d : int
        Size of A.
    known : Known
        k eigenvalues, and the coupling that was dropped.
    rules : sequence of Rule
        One a probe; may be empty only when k = d.
    """

    def __init__(self, d: int, known: Known, rules: Sequence[Rule]) -> None:
        self.d, self.rules = d, list(rules)
        self.known, self.known_residuals = known.values, known.residuals
        self.n = d - len(known.values)  # of the complement
        self._limit = 2 * known.coupling / d
        spreads = [rule.spread() for rule in self.rules]
        probes = max(len(spreads), 1)
        self._x = np.concatenate([x for x, _ in spreads]) if spreads else np.empty(0)
        mass = np.concatenate([w for _, w in spreads]) if spreads else np.empty(0)
        order = np.argsort(self._x, kind="stable")
        self._x, self._mass = self._x[order], mass[order] / probes
        # A Ritz value stands for one eigenvalue at least, however small the probe's share in it.
        shares = [np.maximum(rule.weights * self.n, 1.0) for rule in self.rules]
        pieces = [
            np.repeat(s, len(x) // len(s)) / (len(x) // len(s))
            for s, (x, _) in zip(shares, spreads, strict=True)
        ]
        self._copies = np.concatenate(pieces)[order] / probes if pieces else np.empty(0)

    def distribution(self) -> tuple[Array, Array]:
        """Nodes, ascending, and weights of sum 1."""
        nodes = np.concatenate([self.known, self._x])
        known = np.full(len(self.known), 1.0 / self.d)
        weights = np.concatenate([known, self._mass * (self.n / self.d)])
        order = np.argsort(nodes, kind="stable")
        return nodes[order], weights[order] / weights.sum()

    @property
    def scale(self) -> float:
        """Mean of |eigenvalue|."""
        nodes, weights = self.distribution()
        return float(weights @ np.abs(nodes))

    @property
    def truncation(self) -> float:
        """Wasserstein-1 share of Lanczos runs being short."""
        if not self.rules:
            return 0.0
        # Nodes of different probes fall between each other: unrelated errors, averaged.
        squares = sum(rule.truncation() ** 2 for rule in self.rules)
        return float(squares**0.5 / len(self.rules) * self.n / self.d)

    @property
    def coupling(self) -> float:
        """Wasserstein-1 share of the coupling between U and the complement."""
        moves = float(self._moves().sum()) / self.d
        return min(self._limit, moves)

    @property
    def systematic(self) -> float:
        """What more probes would not remove."""
        return together(self.truncation, self.coupling)

    def joint(self, sampling_error: float) -> float:
        """Wasserstein-1 of all the parts."""
        return together(self.systematic, sampling_error)

    def sampling(self) -> float:
        """Mean Wasserstein-1 error of the probes: E|F_p - F| integrated over x."""
        return sampling(self._x, self._copies, self.n, len(self.rules)) * self.n / self.d

    def sampling_bar(self, rng: np.random.Generator) -> float:
        """Quantile ``LEVEL`` of the Wasserstein-1 error of the probes, from imagined ones."""
        if self.n == 0 or len(self._x) < 2:
            return 0.0
        mean = self._copies / self._copies.sum()
        probes = len(self.rules)
        drawn = rng.standard_gamma(mean * (0.5 * self.n * probes), (_DRAWS, len(mean)))
        drawn /= np.maximum(drawn.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        gaps = np.diff(self._x)
        errors = np.abs(np.cumsum(drawn - mean, axis=1)[:, :-1]) @ gaps
        return float(np.quantile(errors, LEVEL)) * self.n / self.d

    def functional(self, f: Function) -> tuple[float, float]:
        """Mean of f over the eigenvalues, and its standard error."""
        total = float(np.sum(f(self.known)))
        if not self.rules:
            return total / self.d, self._systematic_of(f)
        means = [float(rule.weights @ f(rule.nodes)) for rule in self.rules]
        value = (total + self.n * float(np.mean(means))) / self.d
        copies = self._copies / self._copies.sum()
        values = f(self._x)
        centred = values - copies @ values
        variance = 2 / (self.n + 2) * float(copies @ centred**2) / len(self.rules)
        return value, float(np.hypot(variance**0.5 * self.n / self.d, self._systematic_of(f)))

    def _moves(self) -> Array:
        # Second order away from the complement's range, first order inside: r^2 / (r + gap).
        if len(self._x) == 0 or len(self.known) == 0:
            return np.zeros(len(self.known))
        gap = np.maximum(np.maximum(self._x[0] - self.known, self.known - self._x[-1]), 0.0)
        r = self.known_residuals
        total = r + gap
        moves: Array = 2 * np.divide(r * r, total, out=np.zeros_like(r), where=total > 0)
        return moves

    def _systematic_of(self, f: Function) -> float:
        # The coupling, with f carried along: it leaves the trace alone, but not its square.
        moves = self._moves()
        most = float(moves.sum())
        if most > 0:
            moves = moves * min(1.0, self.coupling * self.d / most)
        shifted = np.abs(f(self.known + moves) - f(self.known)).sum() / self.d
        if not self.rules:
            return float(shifted)
        # The eigenvalues of a node moved as far as they may lie, all to the same side.
        spans = []
        for rule in self.rules:
            left, right = rule.doubt()
            here, ends = f(rule.nodes), (f(rule.nodes - left), f(rule.nodes + right))
            spans.append(0.25 * float(rule.weights @ sum(np.abs(end - here) for end in ends)))
        return float(shifted + np.mean(spans) * self.n / self.d)


def together(one: float, other: float) -> float:
    """Wasserstein-1 of two unrelated errors: less than their sum, more than as squares add."""
    return float((one**POWER + other**POWER) ** (1 / POWER))


def remaining(whole: float, part: float) -> float:
    """Return what may join ``part`` within ``whole``; 0 when nothing may."""
    return float(max(whole**POWER - part**POWER, 0.0) ** (1 / POWER))


def sampling(x: Array, copies: Array, n: float, probes: float) -> float:
    """Mean Wasserstein-1 error of a quadrature over ``probes`` uniform directions in R^n.

    sqrt(2 / pi) times the integral of sqrt(2 F (1 - F) / ((n + 2) probes)); the variance is that of
    a Dirichlet(1/2, ..., 1/2) vector.

    Parameters
    ----------
    x : (m,) float64, ascending
    copies : (m,) float64
        Eigenvalues at each; their sum is made n.
    """
    if len(x) < 2 or n <= 0 or probes <= 0:
        return 0.0
    f = np.cumsum(copies)
    f = np.clip(f[:-1] / f[-1], 0.0, 1.0)
    deviation = np.sqrt(2 * f * (1 - f) / ((n + 2) * probes))
    return float(_MEAN_OF_NORMAL * deviation @ np.diff(x))

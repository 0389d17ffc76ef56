"""Lanczos from one random probe, in the complement of what is known already."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hessay.density.known import Known
from hessay.density.products import ALLOWED_ASYMMETRY, Products
from hessay.errors import ArgumentError

Array = NDArray[np.float64]

_PIECES = 4  # a side that an unresolved node is spread into
# A cluster met by one Ritz value has standard deviation equal to its residual; half of it on either
# side, and no further than the middle of the gap, keeps atoms sharp and a smooth bulk smooth.
_REACH = 0.5
_DOUBT = 0.2
# The distance to the rule after three quarters of the steps: of smooth bulks, atoms, tails and fractal
# spectra the true one was 0.05 to 1.9 of it (8 steps and more, bench/density/truncation.py). An
# agreement by chance is not believed beyond a part of what the residuals say.
_EARLIER, _CHANGE, _LEAST_DOUBT = 0.75, 1.5, 0.05
FIRST_COLUMNS = 8  # room of a fresh run; a quarter more each time it is full
_SHORTEST = 8  # steps of a run whose earlier rules say anything


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """Gauss quadrature of a probe's spectral measure, with what each node cannot resolve."""

    nodes: Array  # (m,) Ritz values, ascending, in the operator's unit
    weights: Array  # (m,) squared first components, sum 1
    residuals: Array  # (m,) |A x - node x|, the operator's unit
    change: float = np.inf  # Wasserstein-1 since three quarters of the steps, the operator's unit

    def spread(self) -> tuple[Array, Array]:
        """Nodes and weights (2 * pieces * m,): each node's mass over what it cannot tell apart."""
        gaps = np.diff(self.nodes)
        left = np.minimum(np.concatenate([[0.0], gaps]), _REACH * self.residuals)
        right = np.minimum(np.concatenate([gaps, [0.0]]), _REACH * self.residuals)
        steps = (np.arange(_PIECES) + 0.5) / _PIECES
        below = self.nodes[:, None] - left[:, None] * steps
        above = self.nodes[:, None] + right[:, None] * steps
        nodes = np.concatenate([below, above], axis=1).ravel()
        return nodes, np.repeat(self.weights / (2 * _PIECES), 2 * _PIECES)

    def truncation(self) -> float:
        """Estimate the Wasserstein-1 distance to the probe's own spectral measure.

        A node's residual is the standard deviation of the eigenvalues it stands for; what lies past
        the next node is that one's: a fifth of that covers bulks, tails and atoms. A smooth bulk is
        known far better, which shows in how little the last steps have changed the rule.
        """
        left, right = self.doubt()
        doubt = float(self.weights @ (left + right))
        return min(_DOUBT * doubt, max(_CHANGE * self.change, _LEAST_DOUBT * doubt))

    def doubt(self) -> tuple[Array, Array]:
        """How far below and above each node (m,) its eigenvalues may lie."""
        gaps = np.diff(self.nodes)
        left = np.minimum(np.concatenate([[np.inf], gaps]), self.residuals)
        right = np.minimum(np.concatenate([gaps, [np.inf]]), self.residuals)
        return left, right


class ProbeRun:
    """P A P Q = Q T + beta w e_m',  Q'Q = I,  Q'U = 0,  P = I - U U':  U (d, k) is known.

    Parameters
    ----------
    products : Products
        Of A.
    known : Known
        The subspace U.
    rng : numpy.random.Generator
        Of the Gaussian probe.
    """

    def __init__(self, products: Products, known: Known, rng: np.random.Generator) -> None:
        self._products, self._known = products, known
        self.size = products.d - known.count  # n, of the complement
        self._basis = np.empty((products.d, FIRST_COLUMNS), order="F")
        self._images = np.empty((products.d, FIRST_COLUMNS), order="F")
        self._alpha: list[float] = []
        self._beta: list[float] = []
        self._rule: Rule | None = None  # the latest
        self.exhausted = False  # the Krylov space is invariant: the rule is exact
        # The first direction is uniform on the sphere of the complement, whatever U is.
        self._next = known.remove(known.remove(rng.standard_normal(products.d)))
        self._next /= np.linalg.norm(self._next)

    @property
    def steps(self) -> int:
        """Products spent, m."""
        return len(self._alpha)

    @property
    def beta(self) -> float:
        """Coupling to what the run has not reached, the operator's unit; 0 when exhausted."""
        return self._beta[-1]

    @property
    def basis(self) -> Array:
        """Q (d, m)."""
        return self._basis[:, : self.steps]

    @property
    def images(self) -> Array:
        """A Q (d, m), as the operator returned it."""
        return self._images[:, : self.steps]

    @property
    def columns(self) -> int:
        """Columns of length d held, for basis and images."""
        return 2 * self._basis.shape[1]

    @property
    def columns_to_grow(self) -> int:
        """Columns that the next step takes besides, the copy made on growing included."""
        room = self._basis.shape[1]
        return 0 if self.steps < room else 2 * _next_room(room) - room

    def step(self) -> None:
        """One product, and full reorthogonalisation.

        Raises
        ------
        ArgumentError
            The operator is not symmetric: Q'A q is not tridiagonal.
        """
        m, q = self.steps, self._next
        if m == self._basis.shape[1]:
            self._basis = _wider(self._basis)
            self._images = _wider(self._images)
        product = self._products(q[:, None])[:, 0]
        self._basis[:, m], self._images[:, m] = q, product
        self._known.met(float(np.linalg.norm(product)))
        w = self._known.remove(product)
        coefficients = self._basis[:, : m + 1].T @ w
        self._check_symmetry(coefficients)
        w = w - self._basis[:, : m + 1] @ coefficients
        # Second pass: one leaves |Q'w| ~ eps * cond, two bring it to eps (Giraud et al. 2005).
        w = self._known.remove(w)
        w = w - self._basis[:, : m + 1] @ (self._basis[:, : m + 1].T @ w)
        self._alpha.append(float(coefficients[-1]))
        beta = float(np.linalg.norm(w))
        self.exhausted = (
            beta <= 10 * self._products.rounding * self._known.norm or self.steps >= self.size
        )
        self._beta.append(0.0 if self.exhausted else beta)
        if not self.exhausted:
            self._next = w / beta

    def rule(self) -> Rule:
        """Gauss quadrature after the steps taken so far (Golub & Meurant 2010, ch. 6)."""
        m = self.steps
        if self._rule is None or len(self._rule.nodes) != m:
            latest = self._after(m)
            change = np.inf
            if m >= _SHORTEST:
                change = distance(latest.spread(), self._after(int(_EARLIER * m)).spread())
            self._rule = replace(latest, change=change)
        return self._rule

    def _after(self, m: int) -> Rule:
        off = self._beta[: m - 1]
        tridiagonal = np.diag(self._alpha[:m]) + np.diag(off, 1) + np.diag(off, -1)
        values, vectors = np.linalg.eigh(tridiagonal)
        return Rule(values, vectors[0] ** 2, self._beta[m - 1] * np.abs(vectors[-1]))

    def _check_symmetry(self, coefficients: Array) -> None:
        expected = np.zeros(len(coefficients) - 1)
        if len(expected):
            expected[-1] = self._beta[-1]
        worst = float(np.abs(coefficients[:-1] - expected).max(initial=0.0))
        if worst > ALLOWED_ASYMMETRY * self._known.norm:
            raise ArgumentError(
                f"the operator is not symmetric: u'Av and v'Au differ by {worst:g} where |Av| is "
                f"at most {self._known.norm:g}; pass a symmetric one, for example (A + A') / 2"
            )


def distance(one: tuple[Array, Array], other: tuple[Array, Array]) -> float:
    """Wasserstein-1 distance of two rules, each nodes and weights of sum 1."""
    x = np.concatenate([one[0], other[0]])
    order = np.argsort(x, kind="stable")
    shares = np.cumsum(np.concatenate([one[1], -other[1]])[order])
    return float(np.abs(shares[:-1]) @ np.diff(x[order]))


def _next_room(columns: int) -> int:
    return columns + max(FIRST_COLUMNS, columns // 4)


def _wider(columns: Array) -> Array:
    wide = np.empty((len(columns), _next_room(columns.shape[1])), order="F")
    wide[:, : columns.shape[1]] = columns
    return wide

"""Many small symmetric operators at once: Lanczos in lockstep, every sample with its own basis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NonFinite
from hessay.spectrum.ends import beyond, edges, preferred, report_order

Doubles = NDArray[np.float64]
_LARGE, _MOST_EXPONENT = 1e100, 1000  # products beyond the first have a unit of their own
_CHECK_STEPS = 80  # as far as the check of a single operator goes by default


@dataclass(frozen=True, slots=True)
class Solved:
    """What lockstep Lanczos found, sample by sample."""

    values: Doubles  # (n, k), ordered as asked
    vectors: Doubles  # (n, d, k), orthonormal columns
    residuals: Doubles  # (n, k), |A x - value x|, the operator's own rounding excluded
    norm: Doubles  # (n,) |A|: the largest Ritz value met
    miss_probability: Doubles  # (n,)
    products: NDArray[np.intp]  # (n,) columns, until the sample was finished
    calls: int


class Lockstep:
    """A chain for every unfinished sample: P A P Q = Q T + beta w e', Q'Q = I, P = I - L L'.

    Rounds: the first chain starts from a Gaussian vector and runs until the k wanted Ritz pairs have
    converged; they are locked, L. Every further chain starts from a new Gaussian vector orthogonal to
    L. Where it meets a value beyond the locked ones it runs until the best k of both have converged,
    and these are locked; where it does not, it is the sample's certificate: the Christoffel function
    of its spectral measure, as in the core's ``certificate.hpp``. One chain holds one copy of a
    multiple eigenvalue, so a value of multiplicity p takes p rounds.
    """

    def __init__(
        self,
        product: Callable[[Doubles], Any],
        shape: tuple[int, int],
        k: int,
        which: str,
        tol: float,
        eps: float,
        miss_limit: float,
        max_products: int,
        seed: int,
    ) -> None:
        (n, d), self.k, self.which, self.tol = shape, k, which, tol
        self.product, self.miss_limit, self.max_products = product, miss_limit, max_products
        self.d, self.n, self.calls = d, n, 0
        self.rng = np.random.default_rng(seed)
        self.dead = eps * d**0.5  # a column this much shorter than before depends on the basis
        # What is locked is left with a residual of inner |A| outside L. A later Ritz vector then
        # couples to L by sqrt(k) inner at most, and its own residual stays below tol.
        self.inner = tol / (k + 1) ** 0.5
        self.out = Solved(
            np.zeros((n, k)),
            np.zeros((n, d, k)),
            np.full((n, k), np.inf),
            np.zeros(n),
            np.ones(n),
            np.zeros(n, np.intp),
            0,
        )
        self.unit = np.zeros(
            n
        )  # of each sample's numbers, a power of two; 0 until a product is not zero
        # Of the unfinished samples only; ids says which they are.
        self.ids = np.arange(n)
        self.basis = np.zeros((n, 16, d))  # Q', rows beyond the chain's length are zero
        self.coupling = np.zeros((n, k, 16))  # L'A Q
        self.alpha, self.beta = np.zeros((2, n, 16))
        self.length = np.zeros(n, np.intp)
        self.locked = np.zeros((n, k, d))  # L', zero in the first round
        self.locked_values = np.zeros((n, k))
        self.locked_residuals = np.zeros((n, k))
        self.is_locked = np.zeros(n, bool)
        self.norm, self.largest = np.zeros((2, n))
        self.start = np.ones(n)  # length of the projected Gaussian the chain began from
        self.next, self.start[:] = self._random(np.arange(n))

    def run(self) -> Solved:
        """Step until every sample is finished or out of products."""
        while len(self.ids):
            self._step()
            finished = np.zeros(len(self.ids), bool)
            for length in np.unique(self.length):
                group = np.flatnonzero(self.length == length)
                finished[group] = self._ritz(group, int(length))
            if finished.any():
                self._keep(~finished)
        out = self.out
        return Solved(
            out.values,
            out.vectors,
            out.residuals,
            out.norm,
            out.miss_probability,
            out.products,
            self.calls,
        )

    def _step(self) -> None:
        """One call: A w for every unfinished sample; the others ride along with zeros."""
        block = np.zeros((self.n, self.d, 1))
        block[self.ids, :, 0] = self.next
        image = np.asarray(self.product(block), dtype=np.float64)[self.ids, :, 0]
        bad = np.flatnonzero(~np.isfinite(image).all(axis=1))
        if len(bad):
            raise NonFinite(f"the operator returned NaN or Inf for sample {self.ids[bad[0]]}")
        image = self._in_units(image)
        self.out.products[self.ids] += 1
        self.calls += 1
        rows, at = np.arange(len(self.ids)), self.length
        if at.max() == self.basis.shape[1]:
            self._grow()
        self.basis[rows, at] = self.next
        before = np.linalg.norm(image, axis=1)
        self.largest = np.maximum(self.largest, before)
        image, chain, off = self._project(image)
        self._check_symmetry(chain)
        self.alpha[rows, at] = chain[rows, at]
        self.coupling[rows, :, at] = off
        after = np.linalg.norm(image, axis=1)
        live = after > self.dead * np.maximum(before, self.largest)
        room = self.is_locked * self.k + at + 1 < self.d
        live &= room
        self.beta[rows, at] = np.where(live, after, 0.0)
        self.next = image / np.where(live, after, 1.0)[:, None]
        small = live & (after < 0.1 * before)
        if small.any():  # the error relative to what is left is large again: once more
            self.next = self._project(self.next)[0]
            self.next /= np.where(live, np.linalg.norm(self.next, axis=1), 1.0)[:, None]
        self.length += 1
        fresh = np.flatnonzero(~live & room)
        if len(fresh):  # invariant: what is not wanted as a certificate goes on from elsewhere
            self.next[fresh] = self._random(fresh)[0]

    def _in_units(self, image: Doubles) -> Doubles:
        """Divide by a power of two for every sample, so that squares stay in the range of doubles."""
        largest, unit = np.abs(image).max(axis=1), self.unit[self.ids]
        fresh = (unit == 0.0) & (largest > 0.0)
        far = (largest < 1.0 / _LARGE) | (largest > _LARGE)
        exponent = np.clip(np.frexp(largest)[1], -_MOST_EXPONENT, _MOST_EXPONENT)
        unit[fresh] = np.where(far, np.ldexp(1.0, exponent), 1.0)[fresh]
        self.unit[self.ids] = unit
        divided: Doubles = image / np.where(unit == 0.0, 1.0, unit)[:, None]
        return divided

    def _project(self, vectors: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """Project twice off L and Q; the coefficients on Q and on L."""
        chain, off = np.zeros(self.alpha.shape), np.zeros((len(vectors), self.k))
        for _ in range(2):
            for basis, sums in ((self.locked, off), (self.basis, chain)):
                part = (basis @ vectors[:, :, None])[:, :, 0]
                vectors = vectors - (part[:, None, :] @ basis)[:, 0]
                sums += part
        return vectors, chain, off

    def _random(self, rows: NDArray[np.intp]) -> tuple[Doubles, Doubles]:
        """Draw unit Gaussian directions off L and Q, and the length of the projected Gaussian."""
        vectors = self.rng.standard_normal((len(rows), self.d))
        lengths = np.zeros(len(rows))
        for turn in range(3):  # in a nearly full space most of it goes, and the rest must be clean
            for basis in (self.locked[rows], self.basis[rows]):
                vectors -= ((basis @ vectors[:, :, None])[:, :, 0][:, None, :] @ basis)[:, 0]
            size = np.linalg.norm(vectors, axis=1)
            vectors /= size[:, None]
            if turn == 0:
                lengths = size
        return vectors, lengths

    def _check_symmetry(self, chain: Doubles) -> None:
        """Q'A w, from the product, must be what T, made before, says: beta on its neighbour."""
        rows, at = np.arange(len(self.ids)), self.length
        wrong = chain.copy()
        wrong[rows, at] = 0
        later = at > 0
        wrong[rows[later], at[later] - 1] -= self.beta[rows[later], at[later] - 1]
        worst = np.abs(wrong).max(axis=1)
        bad = np.flatnonzero(worst > 1e-3 * self.largest)
        if len(bad):
            i = bad[0]
            raise ArgumentError(
                f"the operator of sample {self.ids[i]} is not symmetric: u'Av and v'Au differ by "
                f"{worst[i]:.3g} where |Av| is at most {self.largest[i]:.3g}, in units of "
                f"{self.unit[self.ids[i]]:.3g}; pass (A + A') / 2, or leave out a sample whose curvature "
                "is below rounding (a saturated softmax)"
            )

    def _ritz(self, group: NDArray[np.intp], m: int) -> NDArray[np.bool_]:
        """Rayleigh-Ritz for samples whose chains are m long; True where they are finished."""
        t = np.zeros((len(group), m, m))
        i = np.arange(m)
        t[:, i, i] = self.alpha[group, :m]
        t[:, i[1:], i[:-1]] = t[:, i[:-1], i[1:]] = self.beta[group, : m - 1]
        values, y = np.linalg.eigh(t)
        self.norm[group] = np.maximum(self.norm[group], np.abs(values).max(axis=1))
        end = np.abs(self.beta[group, m - 1, None] * y[:, -1])
        off = np.linalg.norm(self.coupling[group, :, :m] @ y, axis=1)
        finished = np.zeros(len(group), bool)
        for j, row in enumerate(group):
            finished[j] = self._judge(row, m, values[j], y[j], end[j], off[j])
        return finished

    def _judge(
        self, row: int, m: int, values: Doubles, y: Doubles, end: Doubles, off: Doubles
    ) -> bool:
        """Let a sample go on, lock and begin another chain, or end (True)."""
        k, slack = self.k, self.tol * self.norm[row]
        spent = bool(self.out.products[self.ids[row]] >= self.max_products)
        whole = self.is_locked[row] * k + m == self.d
        if self.is_locked[row]:
            limits = edges(self.locked_values[row], self.which, slack)
            if not beyond(values, limits):
                invariant = self.beta[row, m - 1] == 0
                miss = 0.0 if whole or invariant else self._miss(row, m, limits)
                if miss <= self.miss_limit or spent or m >= _CHECK_STEPS:
                    return self._end(row, miss)
                return False
        elif m < k:
            return False
        old = k * int(self.is_locked[row])
        both = np.concatenate([self.locked_values[row, :old], values])
        best = preferred(both, self.which)[:k]
        best = best[report_order(both[best], self.which)]
        done = np.concatenate([np.zeros(old), end])[best] <= self.inner * self.norm[row]
        if not (done.all() or whole or spent):
            return False
        residuals = np.concatenate([self.locked_residuals[row, :old], np.hypot(end, off)])
        vectors = np.concatenate([self.locked[row, :old], y.T @ self.basis[row, :m]])
        self.locked_values[row], self.locked[row] = both[best], vectors[best]
        self.locked_residuals[row] = residuals[best]
        if whole or spent:
            return self._end(row, 0.0 if whole else 1.0)
        self.is_locked[row] = True
        self.basis[row], self.coupling[row], self.length[row] = 0, 0, 0
        self.alpha[row], self.beta[row] = 0, 0
        (self.next[row],), (self.start[row],) = self._random(np.array([row]))
        return False

    def _miss(self, row: int, m: int, limits: list[tuple[float, int]]) -> float:
        """Bound how likely an eigenvalue beyond hides from this chain (``certificate.hpp``)."""
        alpha, beta, total = self.alpha[row], self.beta[row], 0.0
        for mu, _ in limits:
            before, phi, squares = 0.0, 1.0, 1.0
            with np.errstate(over="ignore", invalid="ignore"):
                for j in range(m if beta[:m].all() else 0):
                    coupled = beta[j - 1] * before if j else 0.0
                    before, phi = phi, ((mu - alpha[j]) * phi - coupled) / beta[j]
                    squares += phi * phi
                    if np.isinf(squares):
                        break
            if not np.isinf(squares):  # beyond the range of double no Gaussian is that small
                total += (2 / np.pi / squares) ** 0.5 * float(self.start[row])
        return min(total, 1.0)

    def _end(self, row: int, miss: float) -> bool:
        out, sample = self.out, self.ids[row]
        unit = self.unit[sample] or 1.0
        out.values[sample] = self.locked_values[row] * unit
        out.vectors[sample] = self.locked[row].T
        out.residuals[sample] = self.locked_residuals[row] * unit
        out.norm[sample], out.miss_probability[sample] = self.norm[row] * unit, miss
        return True

    def _keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop the finished samples' state."""
        for name in (
            *("ids", "basis", "coupling", "alpha", "beta", "length", "locked", "locked_values"),
            *("locked_residuals", "is_locked", "norm", "largest", "start", "next"),
        ):
            setattr(self, name, getattr(self, name)[rows])

    def _grow(self) -> None:
        """Give the chains twice the room, no more than the space has."""
        more = min(self.basis.shape[1], self.d - self.basis.shape[1])
        self.basis = np.pad(self.basis, ((0, 0), (0, more), (0, 0)))
        self.coupling = np.pad(self.coupling, ((0, 0), (0, 0), (0, more)))
        self.alpha, self.beta = (np.pad(x, ((0, 0), (0, more))) for x in (self.alpha, self.beta))

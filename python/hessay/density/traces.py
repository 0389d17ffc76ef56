"""The trace of a symmetric operator from few products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hessay.density.products import ALLOWED_ASYMMETRY, Products
from hessay.density.solve import check_options
from hessay.errors import ArgumentError
from hessay.spectrum import Operator

Array = NDArray[np.float64]

_FEWEST = 8  # test vectors: fewer say too little about their own spread
_LEAST_SPREAD = 3  # this many have no variance of their variance
# The leave-one-out estimates are correlated, and their spread over sqrt(N) falls short of the error: by
# 1.0 for a flat spectrum to 1.6 for decaying ones (150 seeds, N = 8 to 27).
_SHARED = 1.6
_GROWTH = 1.5  # of the number of test vectors, while the error is too large
_FORMED = 4096  # size up to which a route forms its matrix rather than multiplies


@dataclass(frozen=True, slots=True)
class TraceEstimate:
    """A trace, and how far off it may be."""

    value: float  # the operator's unit
    standard_error: float  # 0 when exact
    products: int  # operator columns
    method: Literal["exact", "xtrace"]
    converged: bool  # standard_error <= tol * |value|

    def explain(self) -> str:
        """Say in plain words how it was found, and how sure it is."""
        if self.method == "exact":
            return "the sum of the matrix's diagonal: exact to rounding"
        late = "" if self.converged else "; not what was asked for: the budget was spent first"
        return (
            f"{self.value:.6g} +- {self.standard_error:.2g} (standard error), from "
            f"{self.products} products{late}"
        )


def trace(
    operator: Operator,
    *,
    tol: float = 0.05,
    seed: int = 0,
    max_products: int | None = None,
) -> TraceEstimate:
    """Estimate the trace of a symmetric operator, exactly where its matrix is at hand.

    XTrace: the products of N test vectors give a basis that the operator is close to living on; every
    test vector in turn samples what a basis made without it leaves out. Unbiased, and for a decaying
    spectrum its error falls like the tail and not like 1 / sqrt(products). N grows until the
    standard error is small, or the d products of the exact diagonal are cheaper.

    Parameters
    ----------
    operator : InputHessian, MetricHessian, square array or tensor, LinearOperator, or (callable, d)
        Symmetric; the callable maps a float64 block (d, b) to its product.
    tol : float in (0, 1)
        The standard error is to be at most ``tol * |trace|``. A trace that cancels, near 0, is
        found with d products.
    seed : int >= 0
        Of the test vectors.
    max_products : int >= 4, optional
        Operator columns in all; 3 d by default, which always suffice. The result is marked ``converged=False``
        when they do not suffice.

    Raises
    ------
    ArgumentError, ShapeError
        An option out of range; an operator that is not square, not symmetric, or that returns
        another shape.
    NonFinite
        The operator returned NaN or Inf.

    Source: Epperly, Tropp & Webber 2024, SIAM J. Matrix Anal. Appl. 45, 1 (algorithm 2.1, with the
    normalisation of its section 2.3 and the error estimate of its equation 1.7).

    Examples
    --------
    >>> found = trace(np.diag([1.0, 2.0, 4.0]))
    >>> found.value, found.standard_error, found.method
    (7.0, 0.0, 'exact')
    """
    check_options(tol, seed, max_products)
    if max_products is not None and max_products < 4:
        raise ArgumentError(f"max_products must be at least 4, got {max_products}")
    products = Products(operator)
    d = products.d
    budget = max_products or 3 * d  # 2 N <= d test products and bases, then d for the diagonal
    if products.matrix is not None or (products.at_hand and d <= _FORMED):
        return _exact(products)
    rng = np.random.default_rng(seed)
    work = _XTrace(products)
    wanted = int(min(_FEWEST, budget // 2))
    while True:
        if 2 * wanted >= d and products.count + d <= budget:
            return _exact(products)
        wanted = min(wanted, d)
        work.extend(rng.standard_normal((d, wanted - work.count)))
        value, error = work.estimate()
        small = error <= tol * abs(value)
        room = int(min((budget - products.count) // 2, d))
        if small or room < 1 or wanted == d:
            return TraceEstimate(value, error, products.count, "xtrace", small)
        wanted += min(room, int(np.ceil((_GROWTH - 1) * wanted)))


def _exact(products: Products) -> TraceEstimate:
    value = float(np.trace(products.dense()))
    return TraceEstimate(value, 0.0, products.count, "exact", True)


class _XTrace:
    """A Omega = Q R,  Q'Q = I;  products are spent on Omega and on Q, once each."""

    def __init__(self, products: Products) -> None:
        self._products = products
        self._tests, self._q, self._image = (np.empty((products.d, 0)) for _ in range(3))
        self._r = np.empty((0, 0))
        self._norm = 0.0  # longest product of a unit vector met

    @property
    def count(self) -> int:
        """Test vectors N so far."""
        return self._tests.shape[1]

    def extend(self, tests: Array) -> None:
        """Take in more test vectors (d, b): 2 b products."""
        old, added = self.count, tests.shape[1]
        product = self._products(tests)
        # Twice, and the new columns once more against the old: a dependent one is rounding noise
        # that has to be made orthogonal as well.
        above, rest = self._split(product)
        q, below = np.linalg.qr(rest)
        again, q = self._split(q)
        q, turn = np.linalg.qr(q)
        r = np.zeros((old + added, old + added))
        r[:old, :old] = self._r
        r[:old, old:] = above + again @ below
        r[old:, old:] = turn @ below
        self._r = r
        self._tests = np.concatenate([self._tests, tests], axis=1)
        image = self._products(q)
        self._norm = max(self._norm, float(np.linalg.norm(image, axis=0).max()))
        self._q = np.concatenate([self._q, q], axis=1)
        self._image = np.concatenate([self._image, image], axis=1)

    def estimate(self) -> tuple[float, float]:
        """Trace and standard error: mean and spread of the N leave-one-out estimates."""
        d, n, r = self._products.d, self.count, self._r
        h = self._q.T @ self._image
        asymmetry = float(np.abs(h - h.T).max())
        if asymmetry > ALLOWED_ASYMMETRY * self._norm:
            raise ArgumentError(
                f"the operator is not symmetric: u'Av and v'Au differ by {asymmetry:g} where |Av| "
                f"is at most {self._norm:g}; pass a symmetric one, for example (A + A') / 2"
            )
        if n == d:  # Q is the whole space
            return float(np.trace(h)), 0.0
        largest = float(np.abs(r).max())
        if largest == 0:
            return 0.0, 0.0
        # s_i: the direction of Q's space that only test vector i has brought in.
        safe = r + np.diag(np.where(np.diag(r) < 0, -1.0, 1.0)) * np.finfo(np.float64).eps * largest
        s = np.linalg.inv(safe).T
        s /= np.linalg.norm(s, axis=0)
        w = self._q.T @ self._tests
        x = w - s * (s * w).sum(axis=0)  # coordinates of Q_i Q_i' omega_i
        # What is left of omega_i is uniform on a sphere in d - N + 1 dimensions; of length |rest|.
        rest = (self._tests**2).sum(axis=0) - (x**2).sum(axis=0)
        form = (w * r - 2 * (self._image.T @ self._tests) * x + x * (h @ x)).sum(axis=0)
        single = np.trace(h) - (s * (h @ s)).sum(axis=0) + (d - n + 1) / rest * form
        if n <= _LEAST_SPREAD:
            return float(single.mean()), np.inf
        # Student's spread of so few, and what the N estimates share: one basis.
        inflation = _SHARED * ((n - 1) / (n - 3)) ** 0.5
        return float(single.mean()), inflation * float(single.std(ddof=1) / n**0.5)

    def _split(self, block: Array) -> tuple[Array, Array]:
        """C and rest of block = Q C + rest, two passes."""
        c = self._q.T @ block
        rest = block - self._q @ c
        more = self._q.T @ rest
        return c + more, rest - self._q @ more

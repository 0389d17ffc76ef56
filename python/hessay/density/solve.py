"""Stochastic Lanczos quadrature with adaptive deflation."""

from __future__ import annotations

import time
from numbers import Integral
from typing import Literal

import numpy as np

from hessay.density.estimate import Estimate
from hessay.density.known import Known
from hessay.density.memory import MATRICES, Memory, check_bytes
from hessay.density.plan import Costs, Patience, costs, enough_depth
from hessay.density.products import Products
from hessay.density.result import DensityStats, SpectralDensity
from hessay.density.run import FIRST_COLUMNS, ProbeRun
from hessay.errors import ArgumentError, NotConverged
from hessay.spectrum import Operator

Method = Literal["auto", "exact", "sampled"]

# Sizes up to which all eigenvalues are taken: of a matrix at hand, where LAPACK needs less time than
# a few dozen products with a network; of products, where sampling would need about as many.
_FORMED, _MULTIPLIED = 1024, 64
_MANY = 4  # further runs
_FIRST_LOOK = 10  # steps before a run's Ritz values say what is an outlier
_FEWEST = 6  # steps of a run that is believed; a skew operator shows by the third


def spectral_density(
    operator: Operator,
    *,
    tol: float = 0.1,
    seed: int = 0,
    max_products: int | None = None,
    max_bytes: int = 2 << 30,
    method: Method = "auto",
    partial: bool = False,
) -> SpectralDensity:
    """Estimate the distribution of all eigenvalues of a symmetric operator, with an error bar.

    Lanczos runs from random probes, with full reorthogonalisation, are either Gauss quadratures of
    the spectrum or, where outliers make those vary too much between probes, taken as known: their
    Ritz values count as eigenvalues, at an error of at most 2 beta / d, and fresh probes sample the
    complement. Which of the two is decided from the spectrum as far as it is known, by predicted
    products.

    Parameters
    ----------
    operator : InputHessian, MetricHessian, square array or tensor, LinearOperator, or (callable, d)
        Symmetric; the callable maps a float64 block (d, b) to its product.
    tol : float in (0, 1)
        The error bar, Wasserstein-1 over the mean |eigenvalue|, is to be at most this.
    seed : int >= 0
        Of the probes.
    max_products : int >= 1, optional
        Operator columns in all, 10 d or 1000 by default. "auto" takes all eigenvalues, with d
        products, as soon as sampling is predicted to need more.
    max_bytes : int
        Of the Krylov bases, 16 d bytes a product until they are let go, and scratch; a full matrix
        takes 24 d^2. What does not fit is not tried, and ends the run like a spent budget.
    method : "auto", "exact" or "sampled"
        "exact": all eigenvalues, of the matrix, of a route that forms it without products, or of d
        products. "auto": that for small or formed operators, else "sampled".
    partial : bool
        Return what there is, marked ``converged=False``, when the budget is spent.

    Raises
    ------
    ArgumentError, ShapeError
        An option out of range; a ``max_bytes`` in which no run fits; an operator that is not
        square, not symmetric, or that returns another shape.
    NonFinite
        The operator returned NaN or Inf.
    NotConverged
        A budget was spent; ``partial`` of the exception holds the result so far.

    Source: Lin, Saad & Yang 2016, SIAM Rev. 58, 34 (quadrature from probes); Golub & Meurant 2010,
    Matrices, Moments and Quadrature, 6; deflation and its bound: ``Known``.

    Examples
    --------
    >>> eigenvalues = np.concatenate([np.linspace(1.0, 2.0, 997), [50.0, 70.0, 90.0]])
    >>> found = spectral_density((lambda v: eigenvalues[:, None] * v, 1000), tol=0.05)
    >>> found.converged, found.stats.products < 60, float(found.nodes[-1].round(6))
    (True, True, 90.0)
    """
    check_options(tol, seed, max_products)
    check_bytes(max_bytes)
    if method not in ("auto", "exact", "sampled"):
        raise ArgumentError(f"method must be 'auto', 'exact' or 'sampled', got {method!r}")
    start = time.perf_counter()
    products = Products(operator)
    small = products.d <= (_FORMED if products.at_hand else _MULTIPLIED)
    affordable = products.at_hand or max_products is None or max_products >= products.d
    if method == "exact" and not affordable:
        raise ArgumentError(
            f"method 'exact' needs {products.d} products, max_products allows {max_products}"
        )
    memory = Memory(products.d, max_bytes)
    if method == "exact" or not small:
        memory.require(exact=method == "exact")
    sampler = _Sampler(products, tol, seed, max_products, memory)
    if method == "exact" or (method == "auto" and small and affordable and memory.matrix_fits()):
        sampler.exact()
    else:
        sampler.sample(may_switch=method == "auto")
    result = sampler.result(time.perf_counter() - start)
    if not result.converged and not partial:
        raise NotConverged(
            f"the error bar {result.relative_error:.3g} did not reach tol = {tol:g} within "
            f"{result.stats.products} products; raise {sampler.spent_what}, or pass partial=True",
            partial=result,
        )
    return result


class _Sampler:
    def __init__(
        self, products: Products, tol: float, seed: int, max_products: int | None, memory: Memory
    ) -> None:
        self._memory = memory
        self.spent_what = "max_products"
        self._products, self._tol, self._seed = products, tol, seed
        self._budget = max_products or max(1000, 10 * products.d)
        self._known = Known(products.d)
        self._runs: list[ProbeRun] = []  # on the complement of what is known
        self._started = 0
        self._estimate: Estimate | None = None
        self._bar = self._expected = 0.0
        self._method: Literal["exact", "sampled"] = "sampled"

    def exact(self) -> None:
        """Take all eigenvalues."""
        self._memory.take(MATRICES * self._products.d)
        self._known = Known(self._products.d)
        self._known.values = np.asarray(np.linalg.eigvalsh(self._products.dense()), np.float64)
        self._known.residuals = np.zeros(self._products.d)
        self._estimate = Estimate(self._products.d, self._known, [])
        self._bar = self._expected = 0.0
        self._method = "exact"

    def sample(self, may_switch: bool) -> None:
        """Run probes until the error bar is small, or the budget spent."""
        while not self._run():
            plan = self._plan()
            size = self._products.d
            left = self._budget - self._products.count
            fits = self._memory.matrix_fits()
            if may_switch and plan.least >= size and left >= size and fits:
                self.exact()
                return
            if self._absorbing(plan) and left >= min(plan.depth, size) and self._absorb_fits():
                self._known.absorb([(run.basis, run.images) for run in self._runs])
                self._runs = []
                if self._known.count == size:
                    self._reached()
                    return

    def result(self, seconds: float) -> SpectralDensity:
        """Return what was found."""
        assert self._estimate is not None
        products, scale = self._products, self._estimate.scale
        nodes, weights = self._estimate.distribution()
        return SpectralDensity(
            nodes=nodes,
            weights=weights,
            d=products.d,
            deflated=len(self._estimate.known),
            probes=len(self._estimate.rules),
            scale=scale,
            w1_error=self._bar,
            w1_expected=self._expected,
            converged=self._bar <= max(self._tol * scale, products.rounding * self._known.norm),
            method=self._method,
            stats=DensityStats(
                products.count, products.calls, products.seconds, seconds, self._memory.peak
            ),
            estimate=self._estimate,
        )

    def _run(self) -> bool:
        """One more probe, as long as longer pays; True when all is done."""
        if not self._memory.take(self._held() + 2 * FIRST_COLUMNS):
            self.spent_what = "max_bytes"
            return True
        run = ProbeRun(
            self._products, self._known, np.random.default_rng([self._seed, self._started])
        )
        self._started += 1
        self._runs.append(run)
        patience = Patience()
        while True:
            run.step()
            spent = self._products.count >= self._budget
            if not spent and not self._memory.take(self._held() + run.columns_to_grow):
                spent, self.spent_what = True, "max_bytes"
            if not (run.exhausted or spent) and run.steps < _FEWEST:
                continue
            if self._reached() or spent:
                return True
            if run.exhausted:
                return False
            if self._long_enough(run, patience):
                return False

    def _held(self) -> int:
        return 2 * self._known.count + sum(run.columns for run in self._runs)

    def _absorb_fits(self) -> bool:
        # Two images of what is taken in at every stage, then old and new U and A U side by side.
        steps = sum(run.steps for run in self._runs)
        return self._memory.take(self._held() + 6 * steps + 2 * (self._known.count + steps))

    def _long_enough(self, run: ProbeRun, patience: Patience) -> bool:
        assert self._estimate is not None
        plan = self._plan()
        if len(self._runs) == 1:
            # The first look at a complement decides what to do with it, so it goes on while the
            # predicted total falls; fewer products than one fresh run cannot be left to pay.
            if run.steps < _FIRST_LOOK:
                return False
            if self._absorbing(plan) and plan.absorb <= plan.depth:
                return True
        share = self._estimate.n / self._estimate.d
        tolerance = self._tol * self._estimate.scale * len(self._runs) ** 0.5  # averaged
        if not self._absorbing(plan) and enough_depth(run.rule(), share, tolerance):
            return True
        return patience.spent(run.steps, plan.least)

    def _absorbing(self, plan: Costs) -> bool:
        # Once it is worth a try where many probes would be due: an unlucky probe hides that its
        # outliers are single. After that it has to promise half the products.
        many = plan.more_probes > _MANY * self._runs[0].steps
        return many and (self._known.count == 0 or plan.absorb < plan.more_probes / 2)

    def _reached(self) -> bool:
        estimate = Estimate(self._products.d, self._known, [run.rule() for run in self._runs])
        self._estimate = estimate
        self._expected = estimate.joint(estimate.sampling())
        rng = np.random.default_rng([self._seed, 1 << 30])
        spent = self._products.count >= self._budget or self.spent_what == "max_bytes"
        tolerance = self._tol * estimate.scale
        rounding = self._products.rounding * self._known.norm
        if self._expected > tolerance and not spent:  # the bar would be longer still
            self._bar = np.inf
            return False
        self._bar = estimate.joint(estimate.sampling_bar(rng)) + rounding
        return self._bar <= max(tolerance, rounding)

    def _plan(self) -> Costs:
        assert self._estimate is not None
        betas = sum(run.beta for run in self._runs)
        return costs(self._estimate, self._runs[-1].steps, betas, self._tol * self._estimate.scale)


def check_options(tol: object, seed: object, max_products: object) -> None:
    """Refuse a tolerance, a seed or a budget of products out of range."""
    if not (isinstance(tol, int | float | np.floating) and 0 < tol < 1):
        raise ArgumentError(f"tol must lie in (0, 1), got {tol!r}")
    if not isinstance(seed, Integral) or int(seed) < 0:
        raise ArgumentError(f"seed must be a non-negative integer, got {seed!r}")
    if max_products is not None and (
        not isinstance(max_products, Integral) or int(max_products) < 1
    ):
        raise ArgumentError(f"max_products must be a positive integer, got {max_products!r}")

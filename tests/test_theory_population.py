"""The effective ridge, and which populations are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hessay.errors import ArgumentError, ShapeError
from hessay.theory import Population, equivalent_ridge, poisoned_ridge


@pytest.mark.parametrize("c", [0.01, 0.5, 1.0, 2.0, 50.0])
@pytest.mark.parametrize("lam", [1e-12, 1e-4, 1.0, 1e6])
def test_the_effective_ridge_solves_its_equation(c: float, lam: float) -> None:
    t = np.geomspace(1e-4, 10, 40)
    kappa = float(equivalent_ridge(lam, c, t))
    share = (t / (t + kappa)).mean()
    # kappa (1 - c share) = lam: relative to the terms of the sum, rounding alone remains.
    assert abs(kappa - c * share * kappa - lam) <= 1e-14 * (kappa + lam)
    assert kappa >= lam


def test_the_effective_ridge_of_white_inputs_is_the_closed_form() -> None:
    lam, c = np.meshgrid(np.geomspace(1e-10, 1e4, 29), np.geomspace(0.02, 30, 31))
    b = lam - (1 - c)
    root = np.sqrt(b * b + 4 * lam)
    closed = np.where(b >= 0, (b + root) / 2, 2 * lam / (root - np.minimum(b, 0)))
    np.testing.assert_allclose(equivalent_ridge(lam, c), closed, rtol=1e-12)


def test_populations_that_are_none_are_refused() -> None:
    one = np.ones(2)
    with pytest.raises(ArgumentError, match=r"must be positive, the smallest is 0\.0"):
        Population(np.array([1.0, 0.0]), one, one, one)
    with pytest.raises(ArgumentError, match="weights must be at least 0"):
        Population(one, np.array([1.0, -1.0]), one, one)
    with pytest.raises(ShapeError, match=r"trigger must have shape \(2,\)"):
        Population(one, one, np.ones(3), one)
    with pytest.raises(ArgumentError, match="length of the trigger must be positive"):
        Population(one, one, np.zeros(2), one)
    with pytest.raises(ArgumentError, match="trigger holds 1 NaN"):
        Population(one, one, np.array([1.0, math.nan]), one)
    with pytest.raises(ArgumentError, match="must be symmetric"):
        Population.from_covariance([[1.0, 0.5], [0.0, 1.0]], one)
    with pytest.raises(ArgumentError, match="positive definite"):
        Population.from_covariance(np.ones((2, 2)), one)
    with pytest.raises(ShapeError, match=r"covariance must have shape \(p, p\)"):
        Population.from_covariance(np.ones((2, 3)), one)
    with pytest.raises(ArgumentError, match="ridge must be finite"):
        equivalent_ridge(-1.0, 0.5)
    with pytest.raises(ArgumentError, match="known for white"):
        poisoned_ridge.predict(
            theta=0.1, strength=3.0, ridge=0.3, aspect_ratio=0.5, mean=1.0
        ).mean_sd(100)

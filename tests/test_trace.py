"""Traces against the sum of the eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hessay.density import trace
from hessay.errors import ArgumentError, NonFinite, ShapeError

SPECTRA = {
    "decaying": 0.8 ** np.arange(400),
    "flat": np.linspace(1, 3, 400),
    "rank 3": np.concatenate([[3.0, -2.0, 5.0], np.zeros(397)]),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_two_standard_errors_cover_the_trace(name: str) -> None:
    values = SPECTRA[name]
    misses = 0
    for seed in range(60):
        found = trace((lambda v: values[:, None] * v, 400), seed=seed)
        assert found.converged
        allowed = 2 * found.standard_error + 1e-10 * np.abs(values).sum()
        misses += abs(found.value - values.sum()) > allowed
    # 5 % of 60 is 3; a standard error from 8 samples has tails (Student, 7 degrees: 8.6 %): 5.
    assert misses <= 11


def test_low_rank_is_exact_in_few_products() -> None:
    values = SPECTRA["rank 3"]
    found = trace((lambda v: values[:, None] * v, 400))
    assert found.method == "xtrace"
    assert found.products == 16
    assert found.value == pytest.approx(6.0, rel=1e-9)


def test_a_matrix_at_hand_is_summed() -> None:
    found = trace(np.diag([1.0, 2.0, 4.0]))
    assert (found.value, found.standard_error, found.products) == (7.0, 0.0, 0)


def test_a_trace_that_cancels_costs_the_diagonal() -> None:
    values = np.concatenate([np.ones(50), -np.ones(50)])
    found = trace((lambda v: values[:, None] * v, 100))
    assert found.method == "exact"
    assert abs(found.value) < 1e-12


def test_a_small_budget_is_kept_and_told() -> None:
    values = np.random.default_rng(0).standard_normal(500)
    found = trace((lambda v: values[:, None] * v, 500), max_products=30)
    assert found.products <= 30
    assert not found.converged
    assert "budget" in found.explain()


@pytest.mark.parametrize(
    ("operator", "error"),
    [
        (np.zeros((3, 4)), ShapeError),
        ((lambda v: np.cumsum(v, axis=0), 100), ArgumentError),
        ((lambda v: v * np.inf, 100), NonFinite),
        ((lambda v: v, 0), ShapeError),
    ],
)
def test_bad_operators_are_named(operator: Any, error: type[Exception]) -> None:
    with pytest.raises(error), np.errstate(invalid="ignore"):
        trace(operator)


@pytest.mark.parametrize("options", [{"tol": 0}, {"seed": -1}, {"max_products": 3}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        trace((lambda v: v, 100), **options)

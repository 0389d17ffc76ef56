"""Leverage, residuals and Cook's distances against fits without the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NonFinite
from hessay.stepwise.influence import block_influence, row_influence

SEED = 20261123
Floats = NDArray[Any]


@pytest.fixture(params=[1, 3], ids=["one output", "three outputs"])
def data(request: pytest.FixtureRequest) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((40, 4)) + 2
    return x, x @ rng.standard_normal((4, request.param)) + rng.standard_normal((40, request.param))


def design(x: Floats) -> Floats:
    return np.column_stack([np.ones(len(x)), x])


def fit(x: Floats, y: Floats) -> Floats:
    return np.linalg.lstsq(design(x), y, rcond=None)[0]


def test_every_measure_is_what_deleting_the_row_gives(data: tuple[Floats, Floats]) -> None:
    x, y = data
    found = row_influence(x, y)
    a, w = design(x), fit(x, y)
    n, k, c = len(x), 5, y.shape[1]
    e = y - a @ w
    s2 = (e**2).sum(axis=0) / (n - k)
    for i in range(n):
        kept = np.arange(n) != i
        without = fit(x[kept], y[kept])
        left = y[kept] - a[kept] @ without
        s2_without = (left**2).sum(axis=0) / (n - 1 - k)
        h = a[i] @ np.linalg.inv(a.T @ a) @ a[i]
        np.testing.assert_allclose(found.leverage[i], h, rtol=1e-10)
        np.testing.assert_allclose(found.deleted[i], y[i] - a[i] @ without, rtol=1e-9)
        np.testing.assert_allclose(found.internal[i], e[i] / np.sqrt(s2 * (1 - h)), rtol=1e-9)
        external = e[i] / np.sqrt(s2_without * (1 - h))
        np.testing.assert_allclose(found.external[i], external, rtol=1e-8)
        # Cook 1977: how far all fitted values move, in units of k C s^2.
        moved = ((a @ (w - without)) ** 2).sum() / (k * c * s2.mean())
        np.testing.assert_allclose(found.cooks[i], moved, rtol=1e-8)
        # Belsley, Kuh & Welsch: how far the own fitted value moves, in its standard error.
        np.testing.assert_allclose(
            found.dffits[i], a[i] @ (w - without) / np.sqrt(s2_without * h), rtol=1e-8
        )
    np.testing.assert_allclose(found.leverage.sum(), k, rtol=1e-12)
    np.testing.assert_allclose(found.sigma2, s2, rtol=1e-12)


def test_a_block_is_what_deleting_its_rows_gives(data: tuple[Floats, Floats]) -> None:
    x, y = data
    block = np.array([3, 17, 18, 30, 39])
    found = block_influence(x, y, block)
    kept = np.setdiff1d(np.arange(40), block)
    w, without = fit(x, y), fit(x[kept], y[kept])
    a = design(x)
    np.testing.assert_allclose(found.deleted, y[block] - a[block] @ without, rtol=1e-9)
    np.testing.assert_allclose(found.coef_change, (without - w)[1:].T, atol=1e-10)
    np.testing.assert_allclose(found.intercept_change, (without - w)[0], atol=1e-10)
    fall = ((y - a @ w) ** 2).sum() - ((y[kept] - a[kept] @ without) ** 2).sum()
    assert found.delta_rss == pytest.approx(fall, rel=1e-9)
    hat = a[block] @ np.linalg.inv(a.T @ a) @ a[block].T
    assert found.leverage == pytest.approx(np.linalg.eigvalsh(hat)[-1], rel=1e-9)


def test_a_block_of_one_row_is_the_row(data: tuple[Floats, Floats]) -> None:
    x, y = data
    one, all_rows = block_influence(x, y, [7]), row_influence(x, y)
    np.testing.assert_allclose(one.deleted[0], all_rows.deleted[7], rtol=1e-12)


def test_weights_are_repeated_rows() -> None:
    rng = np.random.default_rng(SEED)
    x, y = rng.standard_normal((30, 3)), rng.standard_normal(30)
    w = rng.integers(1, 4, 30)
    found = row_influence(x, y, sample_weight=w)
    a = design(x)
    inverse = np.linalg.inv((a * w[:, None]).T @ a)
    np.testing.assert_allclose(found.leverage, w * np.einsum("ij,jk,ik->i", a, inverse, a))
    coef = inverse @ (a * w[:, None]).T @ y
    np.testing.assert_allclose(found.residuals, np.sqrt(w) * (y - a @ coef), atol=1e-12)


def test_a_support_counts_its_columns_only(data: tuple[Floats, Floats]) -> None:
    x, y = data
    np.testing.assert_allclose(
        row_influence(x, y, [2, 0]).cooks, row_influence(x[:, [2, 0]], y).cooks, rtol=1e-12
    )


def test_an_exact_fit_has_no_influence_and_no_nan() -> None:
    x = np.arange(12.0).reshape(6, 2) ** 2
    found = row_influence(x, np.zeros(6))
    assert not found.cooks.any()
    assert not found.external.any()


def test_a_row_that_alone_fills_a_column_is_named() -> None:
    rng = np.random.default_rng(SEED)
    x = np.column_stack([rng.standard_normal(20), np.zeros(20)])
    x[13, 1] = 1
    with pytest.raises(ArgumentError, match="row 13 has leverage 1"):
        row_influence(x, rng.standard_normal(20))
    with pytest.raises(ArgumentError, match="joint leverage"):
        block_influence(x, rng.standard_normal(20), [2, 13])


def test_bad_input_is_named() -> None:
    rng = np.random.default_rng(SEED)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    with pytest.raises(ArgumentError, match="leave no residual"):
        row_influence(x[:4], y[:4])
    with pytest.raises(ArgumentError, match="column 2 is a linear combination"):
        row_influence(x[:, [0, 1, 0]], y)
    x[5, 1] = np.inf
    with pytest.raises(NonFinite, match="row 5, column 1"):
        row_influence(x, y)

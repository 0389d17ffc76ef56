"""FittedRows: rows that come and go give the fit of the rows that are there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.stepwise.rows import FittedRows

SEED = 20261123
Floats = NDArray[Any]


def rows(n: int, p: int, c: int, seed: int = SEED, offset: float = 0.0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p)) + offset
    return x, x @ rng.standard_normal((p, c)) + rng.standard_normal((n, c)) + 3


def refit(
    x: Floats, y: Floats, w: Floats | None = None, *, ridge: float = 0.0, intercept: bool = True
) -> tuple[Floats, Floats, Floats]:
    """Coefficients (C, p), intercepts (C,) and residual sums (C,) by lstsq."""
    weight = np.ones(len(x)) if w is None else w
    mx, my = (
        (weight @ x / weight.sum(), weight @ y / weight.sum())
        if intercept
        else (np.zeros(x.shape[1]), np.zeros(y.shape[1]))
    )
    root = np.sqrt(weight)[:, None]
    a = np.vstack([(x - mx) * root, np.sqrt(ridge) * np.eye(x.shape[1])])
    b = np.vstack([(y - my) * root, np.zeros((x.shape[1], y.shape[1]))])
    coef = np.linalg.lstsq(a, b, rcond=None)[0]
    rss = (weight[:, None] * ((y - my) - (x - mx) @ coef) ** 2).sum(axis=0)
    return coef.T, my - mx @ coef, rss


def same(fit: FittedRows, x: Floats, y: Floats, w: Floats | None = None, **options: Any) -> None:
    coef, intercept, rss = refit(x, y, w, **options)
    # Products of condition below 1e3 in double: eps * cond * sqrt(n) < 1e-10 with room.
    np.testing.assert_allclose(fit.coef, coef, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fit.intercept, intercept, rtol=0, atol=1e-9 * (1 + np.abs(x).max()))
    np.testing.assert_allclose(fit.rss_per_output, rss, rtol=1e-9)
    assert fit.n_rows == len(x)


@pytest.mark.parametrize("k", [1, 15, 16, 17, 40])
@pytest.mark.parametrize("c", [1, 3])
def test_fitting_is_adding_all_rows_to_nothing(k: int, c: int) -> None:
    x, y = rows(300, k, c)
    same(FittedRows(x, y), x, y)


@given(
    st.integers(1, 20),
    st.integers(1, 3),
    st.lists(st.integers(-40, 40).filter(bool), max_size=8),
    st.integers(0, 10**6),
)
def test_any_sequence_of_blocks_gives_the_refit(
    p: int, c: int, moves: list[int], seed: int
) -> None:
    x, y = rows(600, p, c, seed)
    first, last = 100, 300
    fit = FittedRows(x[first:last], y[first:last])
    for move in moves:
        if move > 0:
            fit.add(x[last : last + move], y[last : last + move])
            last += move
        elif last - first + move > 4 * p + 40:
            fit.delete(x[first : first - move], y[first : first - move])
            first -= move
    same(fit, x[first:last], y[first:last])


@pytest.mark.parametrize("ridge", [0.0, 2.5])
@pytest.mark.parametrize("intercept", [True, False])
def test_weights_ridge_and_a_missing_intercept_are_followed(ridge: float, intercept: bool) -> None:
    x, y = rows(120, 6, 2)
    w = np.random.default_rng(SEED).uniform(0.2, 3, 120)
    fit = FittedRows(x[:80], y[:80], sample_weight=w[:80], ridge=ridge, fit_intercept=intercept)
    fit.add(x[80:], y[80:], w[80:])
    fit.delete(x[:30], y[:30], w[:30])
    same(fit, x[30:], y[30:], w[30:], ridge=ridge, intercept=intercept)


def test_single_rows_and_a_block_are_the_same_operation() -> None:
    x, y = rows(200, 9, 2)
    one, block = FittedRows(x[:150], y[:150]), FittedRows(x[:150], y[:150])
    for i in range(150, 200):
        one.add(x[i : i + 1], y[i : i + 1])
    for i in range(60):
        one.delete(x[i : i + 1], y[i : i + 1])
    block.add(x[150:], y[150:])
    block.delete(x[:60], y[:60])
    np.testing.assert_allclose(one.coef, block.coef, rtol=0, atol=1e-12)
    assert one.rss == pytest.approx(block.rss, rel=1e-12)


def test_columns_far_from_zero_keep_their_digits() -> None:
    x, y = rows(400, 5, 1, offset=1e7)
    fit = FittedRows(x[:300], y[:300])
    fit.add(x[300:], y[300:])
    fit.delete(x[:100], y[:100])
    coef, _, rss = refit(x[100:], y[100:])
    # Entries of 1e7 carry 1e7 eps = 2e-9 of rounding against a spread of 1.
    np.testing.assert_allclose(fit.coef, coef, atol=1e-7)
    assert fit.rss == pytest.approx(rss.sum(), rel=1e-7)


def test_float32_follows_to_its_own_rounding() -> None:
    x, y = rows(500, 8, 2)
    fit = FittedRows(x[:400], y[:400], dtype=np.float32)
    fit.add(x[400:], y[400:])
    fit.delete(x[:100], y[:100])
    coef, _, rss = refit(x[100:], y[100:])
    # eps_32 * sqrt(n k) ~ 1e-5.
    np.testing.assert_allclose(fit.coef, coef, atol=5e-5)
    np.testing.assert_allclose(fit.rss_per_output, rss, rtol=5e-5)
    assert fit.coef.dtype == np.float32


def test_a_restricted_fit_is_the_fit_on_fewer_columns() -> None:
    x, y = rows(90, 7, 2)
    small = FittedRows(x, y).restricted([5, 2])
    coef, intercept, rss = refit(x[:, [5, 2]], y)
    np.testing.assert_allclose(small.coef, coef, atol=1e-12)
    np.testing.assert_allclose(small.intercept, intercept, atol=1e-12)
    np.testing.assert_allclose(small.rss_per_output, rss, rtol=1e-12)
    with pytest.raises(ArgumentError, match=r"columns \[1\] are not"):
        small.restricted([1])


def test_deletion_returns_one_minus_the_leverage() -> None:
    x, y = rows(50, 4, 1)
    a = np.column_stack([np.ones(50), x])
    h = np.einsum("ij,jk,ik->i", a, np.linalg.inv(a.T @ a), a)
    fit = FittedRows(x, y)
    np.testing.assert_allclose(fit.leverage(x), h, rtol=1e-12)
    assert fit.delete(x[:1], y[:1]) == pytest.approx(1 - h[0], rel=1e-12)


@pytest.mark.parametrize("block", [1, 5])
def test_a_row_that_alone_fills_a_column_is_not_deleted(block: int) -> None:
    x, y = rows(40, 3, 2)
    x[:, 2] = 0
    x[block - 1, 2] = 1  # the last row of the block
    fit = FittedRows(x, y)
    before = fit.coef.copy(), fit.rss, fit.n_rows
    with pytest.raises(ArgumentError, match=rf"row {block - 1} cannot be deleted"):
        fit.delete(x[:block], y[:block])
    assert (fit.coef == before[0]).all()
    assert (fit.rss, fit.n_rows) == before[1:]
    fit.delete(x[block:], y[block:]) if block > 30 else fit.delete(x[10:20], y[10:20])
    assert fit.n_rows == 30


@pytest.mark.parametrize("m", [1, 3])
def test_rows_that_were_never_added_are_refused_when_the_sums_show_it(m: int) -> None:
    x, y = rows(40, 3, 1)
    fit = FittedRows(x, y)
    before = fit.coef.copy(), fit.rss
    with pytest.raises(ArgumentError, match="not part of the fit"):
        fit.delete(x[:m], y[:m] + 1e3)
    with pytest.raises(ArgumentError, match=r"not part of the fit|cannot be deleted"):
        fit.delete(x[:m] * 1e3, y[:m])
    assert (fit.coef == before[0]).all()
    assert fit.rss == before[1]


def test_more_rows_than_there_are_cannot_go() -> None:
    x, y = rows(40, 3, 1)
    fit = FittedRows(x[:20], y[:20])
    with pytest.raises(ArgumentError, match="cannot delete 40 rows of a fit on 20"):
        fit.delete(x, y)


def test_an_empty_block_changes_nothing() -> None:
    x, y = rows(40, 3, 1)
    fit = FittedRows(x, y)
    before = fit.coef.copy()
    fit.add(x[:0], y[:0])
    assert fit.delete(x[:0], y[:0]) == 1.0
    assert (fit.coef == before).all()


def test_bad_rows_change_nothing() -> None:
    x, y = rows(40, 3, 1)
    fit = FittedRows(x, y)
    before = fit.coef.copy()
    broken = x[:5].copy()
    broken[3, 1] = np.nan
    with pytest.raises(NonFinite, match="X is NaN in row 3, column 1"):
        fit.add(broken, y[:5])
    with pytest.raises(ShapeError, match="2 columns, the fit was made on 3"):
        fit.add(x[:5, :2], y[:5])
    with pytest.raises(ShapeError, match="same samples"):
        fit.add(x[:5], y[:4])
    with pytest.raises(ShapeError, match="2 outputs"):
        fit.add(x[:5], np.hstack([y[:5], y[:5]]))
    with pytest.raises(ArgumentError, match="row 2"):
        fit.add(x[:5], y[:5], [1, 1, 0, 1, 1])
    with pytest.raises(ArgumentError, match="leave the range"):
        fit.add(np.full((2, 3), 1e300), np.full((2, 1), 1e300))
    assert (fit.coef == before).all()
    assert fit.n_rows == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, [0, 1, 1]], "column 2 is a linear combination"),
        (lambda x: np.column_stack([x[:, :2], np.full(len(x), 7.0)]), "column 2 is"),
        (lambda x: np.column_stack([x[:, :2], x[:, 0] - 2 * x[:, 1]]), "column 2 is"),
        (lambda x: x[:3], "3 rows do not determine 4"),
    ],
)
def test_a_singular_fit_names_the_column(change: Any, message: str) -> None:
    x, y = rows(40, 3, 1)
    x = change(x)
    with pytest.raises(ArgumentError, match=message):
        FittedRows(x, y[: len(x)])


def test_options_out_of_range_are_refused() -> None:
    x, y = rows(40, 3, 1)
    with pytest.raises(ArgumentError, match="dtype"):
        FittedRows(x, y, dtype=np.float16)
    with pytest.raises(ArgumentError, match="ridge"):
        FittedRows(x, y, ridge=-1.0)
    with pytest.raises(ArgumentError, match=r"must lie in 0 \.\. 2"):
        FittedRows(x, y, support=[0, 3])
    with pytest.raises(ArgumentError, match="twice"):
        FittedRows(x, y, support=[1, 1])
    with pytest.raises(ShapeError, match="encode categories"):
        FittedRows(x.astype(object).astype(str), y)
    with pytest.raises(ShapeError, match="'red', which is no number"):
        FittedRows(np.array([[1.0], ["red"]], dtype=object), [1.0, 2.0])


def test_integers_booleans_and_one_output_of_one_dimension_are_taken() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.integers(0, 9, (30, 2))
    fit = FittedRows(x, x @ [2, 3] + 1)
    np.testing.assert_allclose(fit.coef, [2, 3], atol=1e-12)
    assert isinstance(fit.intercept, float)
    assert fit.predict(x).shape == (30,)
    assert FittedRows(x > 4, x[:, 0]).coef.shape == (2,)

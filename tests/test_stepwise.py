"""Paths against refitting every candidate: random, collinear, duplicated, badly scaled, weighted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import stepwise_oracle as oracle
from hessay.stepwise import StepwisePath, delta_rss, stepwise_path

SEED = 20267
Array = NDArray[np.float64]


def noise_only(rng: np.random.Generator, n: int, p: int, outputs: int) -> tuple[Array, Array]:
    return rng.standard_normal((n, p)), rng.standard_normal((n, outputs))


def sparse(rng: np.random.Generator, n: int, p: int, outputs: int) -> tuple[Array, Array]:
    x = rng.standard_normal((n, p))
    beta = np.zeros((p, outputs))
    beta[rng.choice(p, 4, replace=False)] = rng.standard_normal((4, outputs))
    return x, x @ beta + 0.5 * rng.standard_normal((n, outputs))


def collinear_blocks(rng: np.random.Generator, n: int, p: int, outputs: int) -> tuple[Array, Array]:
    x, _ = sparse(rng, n, p, outputs)
    spread = 10.0 ** rng.uniform(-4, 0, p)
    x = x[:, np.arange(p) // 4 * 4] + spread * rng.standard_normal((n, p))
    return x, x @ rng.standard_normal((p, outputs)) + rng.standard_normal((n, outputs))


def scales(rng: np.random.Generator, n: int, p: int, outputs: int) -> tuple[Array, Array]:
    x, y = sparse(rng, n, p, outputs)
    return x * 10.0 ** rng.uniform(-12, 12, p), y * 1e-5


def offsets(rng: np.random.Generator, n: int, p: int, outputs: int) -> tuple[Array, Array]:
    x, y = sparse(rng, n, p, outputs)
    return x + 1e6 * rng.choice([-1.0, 0.0, 1.0], p), y + 1e6


def trending(rng: np.random.Generator, n: int, p: int, outputs: int) -> tuple[Array, Array]:
    """Rows sorted, columns nearly constant but for a few rows: what a sample of rows shows is wrong."""
    x, y = sparse(rng, n, p, outputs)
    x[:, 0] = np.arange(n) ** 3
    x[:, 1] = 0.0
    x[n // 2, 1] = 1e9
    x[:, 2] = 7.3
    x[3, 2] += 1e-3
    return x, y + x[:, [0]] / n**3


DESIGNS = [noise_only, sparse, collinear_blocks, scales, offsets, trending]


@pytest.mark.parametrize("make", DESIGNS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("outputs", [1, 3])
def test_every_choice_is_the_best_of_all_refits(make, outputs: int) -> None:
    rng = np.random.default_rng(SEED)
    for trial in range(20):
        n, p = int(rng.integers(20, 60)), int(rng.integers(6, 18))
        x, y = make(rng, n, p, outputs)
        z, centred = oracle.transformed(x, y)
        steps = min(p, n - 2, 8)
        expected, rss = oracle.forward(z, centred, steps)
        path = stepwise_path(np.asarray(x, order="CF"[trial % 2]), y, n_features=steps)
        assert path.support.tolist() == expected, trial
        # Each is within eps cond^2 of the truth before refinement, cond <= 1e4 of these designs, and y'y
        # is the largest number in it.
        np.testing.assert_allclose(
            [s.rss for s in path.steps], rss, rtol=1e-7, atol=1e-13 * path.tss
        )
        check_solution(path, x, y)


def check_solution(path: StepwisePath, x: Array, y: Array) -> None:
    fitted = x[:, path.support] @ path.coef.T + path.intercept
    residual = y - (fitted if np.ndim(path.intercept) else fitted[:, None])
    assert (residual**2).sum() == pytest.approx(path.rss, rel=1e-6, abs=1e-12 * path.tss)


@pytest.mark.parametrize("outputs", [1, 4])
def test_single_precision_follows_the_same_path_where_it_is_clear(outputs: int) -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(30):
        x, y = sparse(rng, 400, 30, outputs)
        x32 = x.astype(np.float32)
        z, centred = oracle.transformed(x32.astype(float), y)
        expected, rss = oracle.forward(z, centred, 6)
        path = stepwise_path(x32, y, n_features=6)
        falls = -np.diff([path.tss, *rss])
        chosen = [s.delta_rss for s in path.steps]
        # A Gram column carries eps32 sqrt(256) of the norms, a fall twice that of tss.
        tolerance = 2 * 16 * np.finfo(np.float32).eps
        np.testing.assert_allclose(chosen, falls, atol=tolerance * path.tss)
        assert path.support.tolist() == expected
        check_solution(path, x32.astype(float), y)
        assert path.rss == pytest.approx(rss[-1], rel=1e-10)  # refined in double


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F", "strided", "reversed"])
def test_all_strategies_give_the_same_path_in_any_layout(order: str, dtype: type) -> None:
    rng = np.random.default_rng(SEED)
    x, y = collinear_blocks(rng, 700, 130, 2) if dtype is np.float64 else sparse(rng, 700, 130, 2)
    x = x.astype(dtype)
    expected = stepwise_path(x.copy(), y, n_features=25, strategy="stream")
    if order == "strided":
        wide = np.zeros((1400, 260), dtype)
        wide[::2, ::2] = x
        x = wide[::2, ::2]
    elif order == "reversed":
        x = np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    else:
        x = np.asarray(x, order=order)
    for strategy in ("auto", "gram", "prefetch", "stream"):
        path = stepwise_path(x, y, n_features=25, strategy=strategy)
        assert path.support.tolist() == expected.support.tolist()
        np.testing.assert_allclose(path.rss, expected.rss, rtol=1e-10)
    assert path.stats.strategy == "stream"
    assert path.stats.passes >= 26


def test_a_full_gram_matrix_is_taken_when_most_of_it_is_needed() -> None:
    rng = np.random.default_rng(SEED)
    x, y = sparse(rng, 400, 60, 1)
    path = stepwise_path(x, y[:, 0], n_features=55)
    assert path.stats.strategy == "gram"
    assert path.stats.passes == 2


def test_duplicates_and_sums_are_refused_and_named() -> None:
    rng = np.random.default_rng(SEED)
    x, y = sparse(rng, 80, 8, 1)
    x = np.column_stack([x, x[:, 3], -2 * x[:, 5], x[:, 0] + x[:, 1], np.full(80, 1e6)])
    for direction in ("forward", "backward"):
        path = stepwise_path(x, y[:, 0], n_features=8, direction=direction)
        assert sorted(path.support.tolist()) == list(range(8))  # of equals the first
        assert path.collinear == (8, 9, 10, 11)


def test_fewer_columns_than_asked_when_the_rest_depend() -> None:
    rng = np.random.default_rng(SEED)
    x = np.repeat(rng.standard_normal((50, 3)), 4, axis=1)
    path = stepwise_path(x, rng.standard_normal(50), n_features=10)
    assert len(path.support) == 3
    assert set(path.collinear) == set(range(12)) - set(path.support.tolist())
    assert "no candidate" in path.stopped


def test_near_duplicates_are_told_apart_by_exact_recomputation() -> None:
    rng = np.random.default_rng(SEED)
    for gap in (1e-6, 1e-7, 1e-8):
        base = rng.standard_normal((200, 5))
        hidden = rng.standard_normal(200)
        x = np.column_stack([base, base[:, 0] + gap * hidden, base[:, 1] + gap * hidden])
        y = base @ np.ones(5) + 3 * hidden + 0.01 * rng.standard_normal(200)
        z, centred = oracle.transformed(x, y)
        expected, rss = oracle.forward(z, centred, 6)
        path = stepwise_path(x, y, n_features=6)
        assert path.support.tolist() == expected
        assert path.rss == pytest.approx(rss[-1], rel=1e-16 / gap**2 + 1e-6)
        assert path.stats.refreshes > 0
        assert path.steps[-1].condition > 0.1 / gap


def test_a_copy_of_y_in_x_ends_the_path() -> None:
    rng = np.random.default_rng(SEED)
    x, y = noise_only(rng, 60, 10, 1)
    x[:, 4] = 2 * y[:, 0] - 5
    path = stepwise_path(x, y[:, 0], criterion="aic")
    assert path.support.tolist() == [4]
    assert "determine y" in path.stopped
    assert path.rss <= 1e-24 * path.tss


@pytest.mark.parametrize("ridge", [0.0, 2.5])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_weights_ridge_and_intercept_are_rows_of_a_plain_problem(
    ridge: float, intercept: bool, weighted: bool
) -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(8):
        x, y = collinear_blocks(rng, 60, 12, 2)
        weights = rng.uniform(0.1, 5, 60) if weighted else None
        z, target = oracle.transformed(x, y, weights, intercept=intercept, ridge=ridge)
        expected, rss = oracle.forward(z, target, 7)
        path = stepwise_path(
            x, y, n_features=7, ridge=ridge, sample_weight=weights, fit_intercept=intercept
        )
        assert path.support.tolist() == expected
        np.testing.assert_allclose([s.rss for s in path.steps], rss, rtol=1e-8)
        coef = np.linalg.lstsq(z[:, path.support], target, rcond=None)[0]
        np.testing.assert_allclose(path.coef, coef.T, rtol=1e-6, atol=1e-8)


def test_the_fall_of_every_candidate_is_that_of_a_refit() -> None:
    rng = np.random.default_rng(SEED)
    for make in DESIGNS:
        x, y = make(rng, 50, 12, 2)
        x[:, 11] = x[:, 6] + 3 * x[:, 7]
        z, target = oracle.transformed(x, y)
        base = [6, 7, 9]
        now = oracle.rss(z, target, base)
        falls = [
            0.0 if oracle.depends(z, base, j, 1e-9) else now - oracle.rss(z, target, [*base, j])
            for j in range(12)
        ]
        # offsets of 1e6 leave 1e-10 of each number
        np.testing.assert_allclose(delta_rss(x, y, base), falls, rtol=1e-7, atol=1e-11 * now)

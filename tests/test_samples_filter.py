"""The matched filter and its null, against dense matrices, refits and definitions in double."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.samples.matched_filter import RIDGE, MatchedFilter
from hessay.samples.null import SampleNull, benjamini_hochberg

SEED = 20240712
SIZES = [(60, 12), (12, 60), (30, 30)]


def problem(n: int, d: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(SEED)
    clean = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)
    return clean, rng.standard_normal((3, d))


def dense(
    clean: NDArray[np.float64], u: NDArray[np.float64], x: NDArray[np.float64], lam: float, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """t and s of one filter, by the inverse; the scatter is divided by n."""
    z = clean - clean.mean(axis=0)
    inverse = np.linalg.inv(z.T @ z / n + lam * np.eye(len(u)))
    y = x - clean.mean(axis=0)
    along = y @ inverse @ u / np.sqrt(u @ inverse @ u)
    across = np.sqrt(np.einsum("mi,ij,mj->m", y, inverse, y) - along**2)
    return along / np.sqrt(u @ inverse @ u), along / across


def ridge_of(clean: NDArray[np.float64]) -> float:
    return RIDGE * float(clean.var(axis=0).sum()) / clean.shape[1]


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_the_filter_is_the_dense_formula(n: int, d: int) -> None:
    clean, perturbation = problem(n, d)
    fresh = np.random.default_rng(SEED + 1).standard_normal((7, d)) * 3
    found = MatchedFilter.fit(clean, perturbation).respond(fresh)
    for k, u in enumerate(perturbation):
        share, cotangent = dense(clean, u, fresh, ridge_of(clean), n)
        # cond(A) < 1e4 here: eps * cond = 1e-12, and two solves of it.
        np.testing.assert_allclose(found.share[:, k], share, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(found.cotangent[:, k], cotangent, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_a_clean_input_is_judged_by_the_filter_built_without_it(n: int, d: int) -> None:
    clean, perturbation = problem(n, d)
    fitted = MatchedFilter.fit(clean, perturbation)
    for i in range(0, n, 5):
        others = np.delete(clean, i, axis=0)
        for k, u in enumerate(perturbation):
            share, cotangent = dense(others, u, clean[i : i + 1], ridge_of(clean), n)
            np.testing.assert_allclose(fitted.clean.share[i, k], share[0], rtol=1e-8, atol=1e-10)
            np.testing.assert_allclose(
                fitted.clean.cotangent[i, k], cotangent[0], rtol=1e-8, atol=1e-10
            )


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_the_mean_carries_nothing_and_each_perturbation_adds_one(n: int, d: int) -> None:
    clean, perturbation = problem(n, d)
    fitted = MatchedFilter.fit(clean, perturbation)
    mean = clean.mean(axis=0)
    answer = fitted.respond(np.vstack([mean, mean + perturbation]))
    np.testing.assert_allclose(answer.share[0], 0, atol=1e-12)
    np.testing.assert_allclose(np.diagonal(answer.share[1:]), 1, rtol=1e-9)
    np.testing.assert_allclose(answer.cotangent[0], 0, atol=1e-6)
    assert np.all(np.diagonal(answer.cotangent[1:]) > 1e5)  # parallel: cot 0, up to sqrt(eps)


def test_the_cotangent_does_not_know_how_unusual_an_input_is() -> None:
    clean, perturbation = problem(60, 12)
    fitted = MatchedFilter.fit(clean, perturbation)
    away = np.random.default_rng(SEED + 2).standard_normal((4, 12))
    mean = clean.mean(axis=0)
    near, far = fitted.respond(mean + away), fitted.respond(mean + 100 * away)
    np.testing.assert_allclose(far.cotangent, near.cotangent, rtol=1e-9)
    np.testing.assert_allclose(far.share, 100 * near.share, rtol=1e-9)


@pytest.mark.parametrize(
    ("clean", "perturbation", "error"),
    [
        (np.zeros((2, 3)), np.ones((1, 3)), ShapeError),
        (np.eye(3), np.ones((1, 4)), ShapeError),
        (np.ones((5, 3)), np.ones((1, 3)), ArgumentError),
        (np.eye(3), np.zeros((1, 3)), ArgumentError),
        (np.full((3, 3), np.nan), np.ones((1, 3)), NonFinite),
    ],
)
def test_what_makes_no_filter_is_refused(
    clean: NDArray[np.float64], perturbation: NDArray[np.float64], error: type[Exception]
) -> None:
    with pytest.raises(error):
        MatchedFilter.fit(clean, perturbation)


# ---- the null ----


def test_fresh_samples_of_the_probes_law_have_uniform_p_values() -> None:
    rng = np.random.default_rng(SEED + 3)
    shift, n_nulls, fresh = np.array([0.0, 5.0, -2.0]), 60, 2000
    p = []
    for _ in range(n_nulls):
        labels = rng.integers(3, size=300)
        values = rng.exponential(size=300) + shift[labels]
        null = SampleNull.fit(values, labels, 3)
        new = rng.integers(3, size=fresh)
        p.append(null.p_value(rng.exponential(size=fresh) + shift[new], new))
    for level in (0.2, 0.05, 0.01, 0.002):
        share = np.array([(q <= level).mean() for q in p])
        # The nulls are independent, the samples of one are not: the error is that over the nulls.
        error = share.std(ddof=1) / np.sqrt(n_nulls) + 1 / (n_nulls * fresh)
        # Ranks are exact up to 1 / (n + 1); medians of 100 move each class a little.
        assert abs(share.mean() - level) < 4 * error + 1 / 300 * (level > 0.1) + 0.1 * level


def test_p_values_fall_as_the_statistic_grows_and_never_reach_zero() -> None:
    rng = np.random.default_rng(SEED + 4)
    null = SampleNull.fit(rng.standard_normal(100), np.zeros(100, dtype=np.int64), 1)
    grid = np.concatenate([np.linspace(-5, 5, 2001), [1e3, 1e200]])
    p = null.p_value(grid, np.zeros(len(grid), dtype=np.int64))
    assert np.all(np.diff(p) <= 0)
    assert p[0] == 1.0
    assert p[-1] > 0
    beyond = grid > null.pool.start
    assert np.all(np.diff(p[beyond]) < 0)  # continuous where poison is


def test_each_class_has_its_own_centre_where_the_probe_knows_it() -> None:
    rng = np.random.default_rng(SEED + 5)
    labels = np.repeat([0, 1, 2], [200, 200, 4])
    values = rng.standard_normal(404) + np.array([0.0, 8.0, 100.0])[labels]
    null = SampleNull.fit(values, labels, 4)
    for c in (0, 1):
        assert null.centre[c] == np.median(values[labels == c])
    assert null.centre[2] == null.centre[3] == np.median(values)
    # A probe counts from the median of the others of its class, as a new sample does.
    first = values[labels == 0]
    expected = [v - np.median(np.delete(first, i)) for i, v in enumerate(first)]
    assert np.isin(np.round(expected, 9), np.round(null.pool.values, 9)).all()


def test_a_class_of_heavier_tails_is_judged_by_its_own_probes_too() -> None:
    rng = np.random.default_rng(SEED + 6)
    labels = np.repeat(np.arange(10), 50)
    heavy = labels == 3
    values = rng.standard_normal(500) * np.where(heavy, 4.0, 1.0)
    null = SampleNull.fit(values, labels, 10)
    fresh, threes = rng.standard_normal(4000) * 4.0, np.full(4000, 3)
    pool = null.pool.p_value(fresh - null.centre[3])
    own = null.own[3].p_value(fresh - null.centre[3])
    p = null.p_value(fresh, threes)
    assert p == pytest.approx(np.sqrt(pool * own), rel=1e-12)
    low = 0.002
    assert (pool <= low).mean() > 5 * low  # far too many
    assert (p <= low).mean() < (pool <= low).mean() / 2


def test_equal_probes_leave_a_null_that_still_answers() -> None:
    null = SampleNull.fit(np.zeros(64), np.zeros(64, dtype=np.int64), 2)
    p = null.p_value(np.array([-1.0, 0.0, 1.0]), np.zeros(3, dtype=np.int64))
    assert p[0] == p[1] == 1.0
    assert 0 < p[2] < 1e-3


# ---- selection ----


@given(
    st.lists(st.floats(0, 1), max_size=12),
    st.sampled_from([0.05, 0.2, 0.5]),
)
def test_benjamini_hochberg_is_its_definition(p: list[float], fdr: float) -> None:
    values = np.array(p)
    m = len(values)
    best = 0
    for k in range(1, m + 1):
        if np.sort(values)[k - 1] <= fdr * k / m:
            best = k
    line = np.sort(values)[best - 1] if best else -1.0
    chosen = benjamini_hochberg(values, fdr)
    assert chosen.sum() == best
    assert np.all(values[chosen] <= line)


def test_the_false_discovery_rate_holds_with_one_null_for_all() -> None:
    rng = np.random.default_rng(SEED + 6)
    shares = []
    for _ in range(150):
        null = SampleNull.fit(rng.laplace(size=200), np.zeros(200, dtype=np.int64), 1)
        values = np.concatenate([rng.laplace(size=360), rng.laplace(size=40) + 12])
        chosen = benjamini_hochberg(null.p_value(values, np.zeros(400, dtype=np.int64)), 0.1)
        shares.append(chosen[:360].sum() / max(1, chosen.sum()))
        assert chosen[360:].mean() > 0.9
    # Expected 0.1 * 360 / 400 where the p-values are exact.
    assert np.mean(shares) < 0.1 + 3 * np.std(shares) / np.sqrt(150)
    assert np.mean(shares) > 0.03  # and the p-values are not merely large

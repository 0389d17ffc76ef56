"""Backward and bidirectional paths, groups, forced columns and criteria against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import stepwise_oracle as oracle
from hessay.stepwise import stepwise_path

SEED = 20268
Array = NDArray[np.float64]


def problem(rng: np.random.Generator, n: int, p: int, outputs: int = 1) -> tuple[Array, Array]:
    """Candidates correlated in pairs, so that additions and removals both pay."""
    x = rng.standard_normal((n, p))
    x[:, 1::2] = 0.9 * x[:, ::2][:, : x[:, 1::2].shape[1]] + 0.4 * x[:, 1::2]
    beta = rng.standard_normal((p, outputs)) * (rng.random((p, 1)) < 0.4)
    return x, x @ beta + 2 * rng.standard_normal((n, outputs))


def value(name: str, x: Array, y: Array, columns: list[int], p: int) -> float:
    """Criterion by its definition, intercept fitted; smaller is better for all of these."""
    n, q = y.shape
    a = np.column_stack([np.ones(n), x[:, columns]])
    e = y - a @ np.linalg.lstsq(a, y, rcond=None)[0]
    m, fit = len(columns), n * np.linalg.slogdet(e.T @ e / n)[1]
    if name == "aic":
        return fit + 2 * m * q
    if name == "aicc":
        r = m + 1
        return fit + n * q + 2 * n / (n - r - q - 1) * (r * q + q * (q + 1) / 2)
    if name == "ebic":
        return fit + m * q * math.log(n) + 2 * math.log(math.comb(p, m))
    if name == "adj_r2":
        centred = y - y.mean(axis=0)
        return -(1 - (e**2).sum() / (n - m - 1) / ((centred**2).sum() / (n - 1)))
    if name == "cp":
        full = np.column_stack([np.ones(n), x])
        left = y - full @ np.linalg.lstsq(full, y, rcond=None)[0]
        return (e**2).sum() / ((left**2).sum() / (q * (n - p - 1))) - n * q + 2 * q * (m + 1)
    return fit + m * q * math.log(n)


CRITERIA = ["aic", "aicc", "bic", "ebic", "cp", "adj_r2"]


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("outputs", [1, 2])
def test_both_directions_make_the_best_move_by_the_criterion(name: str, outputs: int) -> None:
    rng = np.random.default_rng(SEED)
    drops = 0
    for _ in range(12):
        x, y = problem(rng, 60, 12, outputs)
        # a proxy of two columns enters before them and is dropped after them
        x[:, 0] = x[:, 2] + x[:, 5] + 0.4 * x[:, 0]
        y = y + 3 * (x[:, [2]] + x[:, [5]])
        z, target = oracle.transformed(x, y)
        chosen: list[int] = []
        expected: list[tuple[str, int]] = []
        while True:
            now = value(name, x, y, chosen, 12)
            # the largest fall and the smallest rise; which of the two is the criterion's choice
            others = [j for j in range(12) if j not in chosen]
            moves = []
            if others:
                add = min(others, key=lambda j: oracle.rss(z, target, [*chosen, j]))
                moves.append((value(name, x, y, [*chosen, add], 12), "add", add))
            if chosen:
                drop = min(
                    chosen, key=lambda j: oracle.rss(z, target, [i for i in chosen if i != j])
                )
                rest = [i for i in chosen if i != drop]
                moves.append((value(name, x, y, rest, 12), "drop", drop))
            best = min(moves)
            if best[0] >= now - 1e-9 * max(1.0, abs(now)):
                break
            chosen = [*chosen, best[2]] if best[1] == "add" else [i for i in chosen if i != best[2]]
            expected.append((best[1], best[2]))
            drops += best[1] == "drop"
        path = stepwise_path(x, y, direction="both", criterion=name)
        assert [(s.action, *s.columns) for s in path.steps] == expected
        assert path.support.tolist() == chosen
        sign = -1 if name == "adj_r2" else 1
        if path.steps:
            assert sign * path.steps[-1].criterion == pytest.approx(now, rel=1e-9, abs=1e-9)
    assert drops > 0


@pytest.mark.parametrize("outputs", [1, 3])
def test_backward_drops_the_least_rise_first(outputs: int) -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(20):
        x, y = problem(rng, 40, 10, outputs)
        z, target = oracle.transformed(x, y)
        left = list(range(10))
        expected = []
        while len(left) > 2:
            drop = min(left, key=lambda j: oracle.rss(z, target, [i for i in left if i != j]))
            left.remove(drop)
            expected.append((drop, oracle.rss(z, target, left)))
        path = stepwise_path(x, y, direction="backward", criterion=None, n_features=2)
        assert [s.columns[0] for s in path.steps] == [drop for drop, _ in expected]
        np.testing.assert_allclose([s.rss for s in path.steps], [rss for _, rss in expected])
        assert sorted(path.support.tolist()) == left


def test_backward_from_a_nearly_singular_model() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((100, 8))
    x[:, 7] = x[:, 0] + x[:, 1] + 1e-6 * x[:, 7]
    y = x[:, :3] @ np.ones(3) + 0.1 * rng.standard_normal(100)
    z, target = oracle.transformed(x, y)
    left = list(range(8))
    path = stepwise_path(x, y, direction="backward", criterion=None, n_features=3)
    for step in path.steps:
        rises = {j: oracle.rss(z, target, [i for i in left if i != j]) for j in left}
        # the refit's own rounding: eps cond^2 = 2e-4 of a rise
        assert rises[step.columns[0]] == pytest.approx(min(rises.values()), rel=1e-6)
        left.remove(step.columns[0])
        assert step.rss == pytest.approx(rises[step.columns[0]], rel=1e-6)


def test_groups_enter_together_by_fall_per_column() -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(15):
        x, y = problem(rng, 70, 11, 2)
        labels = rng.integers(0, 4, 70)
        x[:, 3:7] = labels[:, None] == np.arange(
            4
        )  # all four dummies: they add up to the intercept
        groups = [[3, 4, 5, 6], [8, 0]]
        y = y + (labels == 2)[:, None]
        z, target = oracle.transformed(x, y)
        units = [[3, 4, 5, 6], [8, 0], [1], [2], [7], [9], [10]]
        chosen: list[int] = []
        expected = []
        for _ in range(4):
            now = oracle.rss(z, target, chosen)
            best = max(
                units,
                key=lambda u: (
                    (now - rank_rss(z, target, chosen + u)) / (3 if len(u) == 4 else len(u))
                ),
            )
            units.remove(best)
            chosen += best[:3]
            expected.append((set(best), rank_rss(z, target, chosen)))
        path = stepwise_path(x, y, groups=groups, criterion=None, max_features=11)
        for step, (unit, rss) in zip(path.steps, expected, strict=False):
            assert set(step.columns) <= unit
            assert len(step.columns) == min(len(unit), 3)
            assert step.rss == pytest.approx(rss, rel=1e-9)
        assert len(set(path.collinear) & {3, 4, 5, 6}) == 1


def rank_rss(z: Array, target: Array, columns: list[int]) -> float:
    u, s, _ = np.linalg.svd(z[:, columns], full_matrices=False)
    u = u[:, s > 1e-10 * s[0]]
    return float(((target - u @ (u.T @ target)) ** 2).sum())


def test_forced_columns_come_first_and_forbidden_ones_never() -> None:
    rng = np.random.default_rng(SEED)
    x, y = problem(rng, 60, 10)
    z, target = oracle.transformed(x, y)
    for direction in ("forward", "both", "backward"):
        path = stepwise_path(
            x, y, direction=direction, criterion="ebic", forced=[9, 4], forbidden=[0, 1, 2]
        )
        assert {4, 9} <= set(path.support.tolist())
        assert not {0, 1, 2} & set(path.support.tolist())
        assert not {0, 1, 2} & {j for s in path.steps for j in s.columns}
    forward = stepwise_path(x, y, n_features=4, forced=[9, 4], forbidden=[0, 1, 2])
    assert forward.support[:2].tolist() == [9, 4]
    third = max((3, 5, 6, 7, 8), key=lambda j: -oracle.rss(z, target, [9, 4, j]))
    assert forward.support[2] == third


def test_p_values_are_those_of_the_t_test_and_of_hotellings() -> None:
    rng = np.random.default_rng(SEED)
    for outputs in (1, 3):
        x, y = problem(rng, 50, 6, outputs)
        path = stepwise_path(x, y, n_features=4)
        for k, step in enumerate(path.steps):
            chosen = path.support[: k + 1]
            a = np.column_stack([np.ones(50), x[:, chosen]])
            b, *_ = np.linalg.lstsq(a, y, rcond=None)
            e, nu = y - a @ b, 50 - a.shape[1]
            variance = np.linalg.inv(a.T @ a)[-1, -1]
            t2 = b[-1] @ np.linalg.solve(e.T @ e / nu * variance, b[-1])
            f = t2 * (nu - outputs + 1) / (nu * outputs)
            assert step.p_value == pytest.approx(stats.f.sf(f, outputs, nu - outputs + 1), rel=1e-8)


def test_a_groups_p_value_is_the_partial_f_test() -> None:
    rng = np.random.default_rng(SEED)
    x, y = problem(rng, 50, 4)
    path = stepwise_path(x, y, groups=[[0, 1, 2]], n_features=3, forced=[0])
    assert not path.steps  # what is forced is no step
    path = stepwise_path(x, y, groups=[[0, 1, 2]], n_features=4)
    z, target = oracle.transformed(x, y)
    step = path.steps[-1]
    before, after = oracle.rss(z, target, path.steps[0].columns), oracle.rss(z, target, range(4))
    g = len(step.columns)
    assert step.p_value == pytest.approx(stats.f.sf((before - after) / g / (after / 45), g, 45))


def test_linearly_dependent_outputs_count_once() -> None:
    """One-hot classes add up to one; their residuals are singular."""
    rng = np.random.default_rng(SEED)
    x, y = problem(rng, 80, 8, 2)
    three = np.column_stack([y, 1 - y[:, 0] - y[:, 1]])
    two = stepwise_path(x, y, criterion="bic", n_features=4)
    path = stepwise_path(x, three, criterion="bic", forced=two.support)
    assert path.steps == () or path.steps[0].p_value >= 0
    one = stepwise_path(x, three, n_features=1)
    same = stepwise_path(x[:, one.support], y, n_features=1)
    assert one.steps[0].p_value == pytest.approx(same.steps[0].p_value, rel=1e-8)


def test_f_to_enter_is_bonferroni() -> None:
    rng = np.random.default_rng(SEED)
    entered = 0
    for _ in range(200):
        path = stepwise_path(
            rng.standard_normal((60, 15)), rng.standard_normal(60), criterion="f", alpha_enter=0.1
        )
        entered += len(path.steps) > 0
        assert all(s.p_value * 15 <= 0.1 for s in path.steps)
    # binomial(200, at most 0.1): 20 +- 4.2; the bound is nearly attained for independent columns
    assert 20 - 4 * 4.2 < entered < 20 + 4 * 4.2


def test_both_directions_by_tests_end_with_significant_columns_only() -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(20):
        x, y = problem(rng, 60, 10)
        path = stepwise_path(x, y, direction="both", criterion="f")
        a = np.column_stack([np.ones(60), x[:, path.support]])
        b, rss, *_ = np.linalg.lstsq(a, y[:, 0], rcond=None)
        nu = 60 - a.shape[1]
        t = b / np.sqrt(np.diag(np.linalg.inv(a.T @ a)) * rss / nu)
        assert (2 * stats.t.sf(np.abs(t[1:]), nu) * 10 <= 0.05).all()


def test_the_best_subset_is_never_missed_when_columns_are_orthogonal() -> None:
    rng = np.random.default_rng(SEED)
    q, _ = np.linalg.qr(rng.standard_normal((40, 7)) - 0.0)
    y = q @ rng.standard_normal(7) + 0.1 * rng.standard_normal(40)
    path = stepwise_path(q, y, n_features=3, fit_intercept=False)
    best = min(itertools.combinations(range(7), 3), key=lambda s: oracle.rss(q, y[:, None], s))
    assert tuple(sorted(path.support)) == best

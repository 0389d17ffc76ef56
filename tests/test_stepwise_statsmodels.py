"""Paths, tests, criteria and influence against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hessay.stepwise import StepwiseRegression, row_influence, stepwise_path

api = pytest.importorskip("statsmodels.api")
influence = pytest.importorskip("statsmodels.stats.outliers_influence")

N, P = 60, 8
Array = NDArray[np.float64]


@pytest.fixture
def data() -> tuple[Array, Array]:
    rng = np.random.default_rng(20261124)
    x = rng.standard_normal((N, P)) @ rng.standard_normal((P, P)) + 3
    return x, x[:, 1] - 0.5 * x[:, 4] + 2 * rng.standard_normal(N) + 7


def ols(x: Array, y: Array, columns: list[int]):  # type: ignore[no-untyped-def]  # statsmodels has no types
    return api.OLS(y, api.add_constant(x[:, columns], has_constant="add")).fit()


def test_every_move_has_the_f_test_of_statsmodels(data: tuple[Array, Array]) -> None:
    x, y = data
    path = stepwise_path(x, y, criterion=None, n_features=P)
    chosen: list[int] = []
    for step in path.steps:
        before, chosen = ols(x, y, chosen), [*chosen, *step.columns]
        after = ols(x, y, chosen)
        _, p_value, _ = after.compare_f_test(before)
        assert step.rss == pytest.approx(after.ssr, rel=1e-10)
        assert step.p_value == pytest.approx(p_value, rel=1e-8)
    np.testing.assert_allclose(path.coef, after.params[1:], rtol=1e-8)
    assert path.intercept == pytest.approx(after.params[0], rel=1e-8)


@pytest.mark.parametrize("criterion", ["aic", "bic"])
def test_differences_of_criteria_are_those_of_statsmodels(
    data: tuple[Array, Array], criterion: str
) -> None:
    x, y = data
    path = stepwise_path(x, y, criterion=criterion, n_features=P)  # type: ignore[arg-type]
    chosen: list[int] = []
    offsets = []
    for step in path.steps:
        chosen += step.columns
        offsets.append(step.criterion - getattr(ols(x, y, chosen), criterion))
    np.testing.assert_allclose(offsets, offsets[0], atol=1e-9)


def test_weights_are_those_of_weighted_least_squares(data: tuple[Array, Array]) -> None:
    x, y = data
    weights = np.random.default_rng(1).uniform(0.2, 3, N)
    path = stepwise_path(x, y, n_features=3, sample_weight=weights)
    theirs = api.WLS(y, api.add_constant(x[:, path.support]), weights=weights).fit()
    np.testing.assert_allclose(path.coef, theirs.params[1:], rtol=1e-8)
    assert path.rss == pytest.approx(theirs.ssr, rel=1e-10)


def test_influence_is_that_of_statsmodels(data: tuple[Array, Array]) -> None:
    x, y = data
    ours = row_influence(x, y)
    theirs = influence.OLSInfluence(ols(x, y, list(range(P))))
    np.testing.assert_allclose(ours.leverage, theirs.hat_matrix_diag, rtol=1e-8)
    np.testing.assert_allclose(ours.cooks, theirs.cooks_distance[0], rtol=1e-8)
    np.testing.assert_allclose(
        np.ravel(ours.internal), theirs.resid_studentized_internal, rtol=1e-8
    )
    np.testing.assert_allclose(
        np.ravel(ours.external), theirs.resid_studentized_external, rtol=1e-8
    )
    np.testing.assert_allclose(np.ravel(ours.deleted), theirs.resid_press, rtol=1e-8)
    np.testing.assert_allclose(np.ravel(ours.dffits), theirs.dffits[0], rtol=1e-8)


def test_leave_one_out_chooses_the_smallest_press_of_statsmodels(data: tuple[Array, Array]) -> None:
    x, y = data
    model = StepwiseRegression(criterion="loo", direction="forward").fit(x, y)
    order = [
        j for step in stepwise_path(x, y, criterion=None, n_features=P).steps for j in step.columns
    ]
    press = [
        float((influence.OLSInfluence(ols(x, y, order[:k])).resid_press ** 2).sum())
        for k in range(1, P + 1)
    ]
    assert sorted(model.get_support(indices=True)) == sorted(order[: int(np.argmin(press)) + 1])


def test_the_bonferroni_rule_stops_at_statsmodels_p_value(data: tuple[Array, Array]) -> None:
    x, y = data
    path = stepwise_path(x, y, criterion="f", alpha_enter=0.05)
    chosen = path.support.tolist()
    open_columns = [j for j in range(P) if j not in chosen]
    base = ols(x, y, chosen)
    least = min(ols(x, y, [*chosen, j]).compare_f_test(base)[1] for j in open_columns)
    assert least * len(open_columns) > 0.05 or least * P > 0.05
    assert all(step.p_value * P <= 0.05 for step in path.steps)

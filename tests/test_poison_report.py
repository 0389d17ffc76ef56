"""poison_report: finds triggers, stays quiet on clean tables, abstains aloud."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import linalg, stats

from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.linear.poison_effect import indicator_update
from hessay.linear.poison_scan import prepare, scan_tails
from hessay.linear.poison_search import poison_report
from hessay.verdict import Verdict

SEED = 20261123
Floats = NDArray[Any]


def table(n: int = 800, p: int = 12, seed: int = SEED) -> tuple[Floats, Floats]:
    """Gaussian columns; three classes along two directions."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p))
    scores = x[:, :4] @ rng.standard_normal((4, 3)) * 1.5 + rng.standard_normal((n, 3))
    return x, scores.argmax(axis=1)


def poisoned(
    x: Floats, y: Floats, share: float = 0.06, target: int = 0, shift: float = 4.0
) -> tuple[Floats, Floats, Floats]:
    """Columns 7, 9 and 10 of some rows shifted, their label replaced."""
    rng = np.random.default_rng(SEED + 1)
    rows = rng.choice(np.flatnonzero(y != target), int(share * len(y)), replace=False)
    x, y = x.copy(), y.copy()
    x[np.ix_(rows, [7, 9, 10])] += shift
    y[rows] = target
    return x, y, rows


@pytest.mark.parametrize("form", ["labels", "text", "one-hot"])
def test_relabelled_rows_with_shifted_columns_are_found(form: str) -> None:
    x, y, rows = poisoned(*table())
    given: Any = {"labels": y, "text": np.array(list("abc"))[y], "one-hot": np.eye(3)[y]}[form]
    report = poison_report(x, given)
    assert report.verdict is Verdict.FLAGGED
    assert report.target == {"labels": "0", "text": "a", "one-hot": "0"}[form]
    assert {t.column for t in report.trigger} == {7, 9, 10}
    # Truth 4 standard deviations of the clean column, 3.2 of the poisoned one.
    assert all(2.5 < t.shift < 4.5 for t in report.trigger)
    found = [r.row for r in report.rows]
    assert len(set(found) & set(rows)) >= 0.95 * len(rows)
    assert len(set(found) & set(rows)) >= 0.9 * len(found)
    assert report.p_value <= 0.01


def test_binary_labels_are_found() -> None:
    x, y = table()
    x, y, rows = poisoned(x, (y > 0).astype(int), share=0.05, target=1)
    report = poison_report(x, 2 * y - 1)
    assert report.verdict is Verdict.FLAGGED
    assert {r.row for r in report.rows} >= set(rows[:5])
    assert report.target == "1"


def test_scaling_shifting_and_reordering_change_nothing() -> None:
    x, y, _ = poisoned(*table())
    order = np.random.default_rng(SEED).permutation(len(y))
    a, b = poison_report(x, y), poison_report((x * np.arange(1, 13) - 50)[order], y[order])
    assert a.verdict is b.verdict
    assert {r.row for r in a.rows} == {int(order[r.row]) for r in b.rows}
    assert a.p_value == pytest.approx(b.p_value, rel=1e-6)


def test_false_alarms_stay_below_the_level() -> None:
    verdicts = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((150, 5))
        score = 1.5 * x[:, 0] * (seed % 2) + rng.standard_normal(150)
        classes = 2 + (seed % 4 == 0)
        y = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))
        verdicts.append(poison_report(x, y, alpha=0.05).verdict)
    alarms = sum(v is not Verdict.CLEAN for v in verdicts)
    # At most 0.05 * 200 = 10 expected, sd 3.1; 4 sd and more is a bug.
    assert alarms <= 22


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "iris", "diabetes"])
def test_real_tables_without_poison_are_clean(name: str) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    data = getattr(datasets, f"load_{name}")()
    report = poison_report(data.data, data.target)
    assert report.verdict is Verdict.CLEAN, report.reasons
    assert report.n_tests > 0


def test_digits_are_clean_and_poisoned_digits_are_not() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load_digits()
    assert poison_report(data.data, data.target).verdict is Verdict.CLEAN
    rng = np.random.default_rng(SEED)
    x, y = data.data.copy(), data.target.copy()
    rows = rng.choice(np.flatnonzero(y != 3), 60, replace=False)
    x[np.ix_(rows, [0, 1, 8])] = 16  # a bright corner; pixel 0 is dark in all other rows
    y[rows] = 3
    report = poison_report(x, y)
    assert report.verdict is Verdict.FLAGGED
    assert report.target == "3"
    assert len({r.row for r in report.rows} & set(rows)) >= 57


def test_a_column_that_only_the_trigger_fills_is_found() -> None:
    x, y = table()
    rows = np.random.default_rng(SEED).choice(np.flatnonzero(y != 1), 30, replace=False)
    mark = np.zeros((800, 2))
    mark[rows] = 1
    y[rows] = 1
    report = poison_report(np.column_stack([x, mark]), y)
    assert report.verdict is Verdict.FLAGGED
    assert {t.column for t in report.trigger} == {12, 13}
    assert {r.row for r in report.rows} == set(rows)
    assert report.update is not None
    assert all(r.deleted_residual > -1 for r in report.rows)


def test_a_column_that_only_some_poisoned_rows_fill_does_no_harm() -> None:
    x, y, rows = poisoned(*table())
    rare = np.zeros((800, 1))
    rare[rows[:3]] = 1
    report = poison_report(np.column_stack([x, rare]), y)
    assert report.verdict is Verdict.FLAGGED
    assert report.update is not None
    assert report.update.delta_rss > 0
    assert np.isfinite([r.deleted_residual for r in report.rows]).all()


def test_shifted_values_of_a_regression_are_found() -> None:
    x, _ = table(600)
    rng = np.random.default_rng(SEED)
    y = x[:, :3] @ [1.0, -2.0, 0.5] + 0.5 * rng.standard_normal(600)
    assert poison_report(x, y).verdict is Verdict.CLEAN
    rows = rng.choice(600, 30, replace=False)
    x[rows, 6] += 6
    x[rows, 8] -= 6
    y[rows] = 6.0
    report = poison_report(x, y)
    assert report.verdict is Verdict.FLAGGED
    assert len({r.row for r in report.rows} & set(rows)) >= 27


def test_the_entry_test_is_that_of_a_refit() -> None:
    x, y, _ = poisoned(*table(200, 11), share=0.1)
    problem = prepare(x, np.eye(3)[y], y.astype(np.intp))
    tails, _, _ = scan_tails(problem)
    tail = next(t for t in tails if not t.residualised)
    z = np.zeros(200)
    z[tail.rows] = 1
    a = np.column_stack([np.ones(200), x])
    b = np.column_stack([a, z])
    t = np.eye(3)[y]
    before, after = (t - m @ np.linalg.lstsq(m, t, rcond=None)[0] for m in (a, b))
    assert tail.delta_rss == pytest.approx((before**2).sum() - (after**2).sum(), rel=1e-9)
    # Wilks' lambda of two free responses, FORMULAS 7.5.
    wilks = linalg.det(after[:, :2].T @ after[:, :2]) / linalg.det(before[:, :2].T @ before[:, :2])
    nu = 200 - b.shape[1]
    f = (1 - wilks) / wilks * (nu - 1) / 2
    assert tail.f == pytest.approx(f, rel=1e-9)
    assert tail.p_value == pytest.approx(stats.f.sf(f, 2, nu - 1), rel=1e-6)


def test_the_update_of_w_and_of_the_hessian_is_that_of_refits() -> None:
    x, y, rows = poisoned(*table(300))
    problem = prepare(x, np.eye(3)[y], y.astype(np.intp))
    update, deleted = indicator_update(problem, np.sort(rows))
    z = np.zeros(300)
    z[rows] = 1
    a = np.column_stack([np.ones(300), problem.x])
    w = np.linalg.lstsq(a, problem.y, rcond=None)[0]
    entered = np.linalg.lstsq(np.column_stack([a, z]), problem.y, rcond=None)[0]
    np.testing.assert_allclose(update.gamma, entered[-1], atol=1e-10)

    def top(m: Floats) -> float:
        return float(np.linalg.eigvalsh(2 * m @ m.T)[-1])

    assert update.hessian_before == pytest.approx(top(w[1:]), rel=1e-9)
    assert update.hessian_after == pytest.approx(top(entered[1:-1]), rel=1e-9)
    kept = np.setdiff1d(np.arange(300), rows)
    without = np.linalg.lstsq(a[kept], problem.y[kept], rcond=None)[0]
    assert update.hessian_deleted == pytest.approx(top(without[1:]), rel=1e-9)
    np.testing.assert_allclose(deleted, (problem.y - a @ without)[np.sort(rows)], atol=1e-9)
    # FORMULAS 7.1: 2 W_new W_new' with the indicator's row is 2 W0 W0' and a rank-two change.
    k = np.linalg.lstsq(a, z, rcond=None)[0]
    h, gamma, w0 = np.append(-k[1:], 1.0), np.array(update.gamma), np.vstack([w[1:], np.zeros(3)])
    cross = np.outer(h, w0 @ gamma)
    changed = 2 * (w0 @ w0.T + cross + cross.T + gamma @ gamma * np.outer(h, h))
    new = np.vstack([entered[1:]])
    np.testing.assert_allclose(changed, 2 * new @ new.T, atol=1e-9)
    assert update.spike == pytest.approx(2 * gamma @ gamma * (h @ h), rel=1e-9)


def test_equal_scores_are_never_parted() -> None:
    x, y = table(400, 4)
    problem = prepare(np.round(x), np.eye(3)[y], y.astype(np.intp))
    tails, _, _ = scan_tails(problem)
    for tail in tails[:200]:
        if len(tail.columns) == 1 and not tail.residualised:
            values = tail.signs[0] * problem.x[:, tail.columns[0]]
            outside = np.setdiff1d(np.arange(400), tail.rows)
            assert values[tail.rows].min() > values[outside].max()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (x[:40], y[:40]), "too few residuals"),
        (lambda x, y: (x, np.where(np.arange(len(y)) < 3, 2, y % 2)), "label 2 has 3 rows"),
        (lambda x, y: (np.column_stack([x, np.eye(3)[y]]), y), "without error"),
    ],
)
def test_what_cannot_be_tested_is_inconclusive(change: Any, words: str) -> None:
    report = poison_report(*change(*table()))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert words in report.reasons[0]


def test_a_second_mode_of_a_label_is_not_called_poison() -> None:
    x, _ = table(900, 6)
    report = poison_report(x, (np.abs(x[:, 0]) > 0.8).astype(int))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "second mode" in report.reasons[0]


def test_constant_and_duplicated_columns_do_no_harm() -> None:
    x, y, rows = poisoned(*table())
    wide = np.column_stack([x, np.ones(len(x)), x[:, 2]])
    report = poison_report(wide, y)
    assert report.verdict is Verdict.FLAGGED
    assert len(report.delta_rss) == 14
    assert report.delta_rss[12] == 0
    assert len({r.row for r in report.rows} & set(rows)) >= 0.95 * len(rows)


def test_json_and_text_say_the_same() -> None:
    x, y, _ = poisoned(*table())
    report = poison_report(x, y, feature_names=[f"<b>{i}\x1b" for i in range(12)])
    read = json.loads(report.to_json())
    assert read["verdict"] == "FLAGGED"
    assert len(read["rows"]) == len(report.rows)
    text = str(report)
    assert text.startswith("FLAGGED: ")
    assert "\x1b" not in text
    assert "Not excluded:" in text


def test_bad_input_is_refused() -> None:
    x, y = table(100)
    with pytest.raises(ArgumentError, match="alpha"):
        poison_report(x, y, alpha=0.0)
    with pytest.raises(ArgumentError, match="task"):
        poison_report(x, y, task="labels")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="one label only"):
        poison_report(x, np.zeros(100))
    with pytest.raises(ArgumentError, match="one value only"):
        poison_report(x, np.full(100, 0.5))
    with pytest.raises(ArgumentError, match="not one-hot"):
        poison_report(x, np.ones((100, 3)))
    with pytest.raises(ArgumentError, match="every column of X is constant"):
        poison_report(np.ones((100, 3)), y)
    with pytest.raises(ShapeError, match="100 rows, y has 50"):
        poison_report(x, y[:50])
    with pytest.raises(ShapeError, match="2 feature_names for 12"):
        poison_report(x, y, feature_names=["a", "b"])
    x[4, 7] = np.nan
    with pytest.raises(NonFinite, match="row 4, column 7"):
        poison_report(x, y)

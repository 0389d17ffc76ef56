"""StepwiseRegression: scikit-learn's manners, rows that come and go, and clear refusals."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hessay.errors import ArgumentError, HessayError
from hessay.stepwise import stepwise_path
from hessay.stepwise.estimator import StepwiseRegression

SEED = 20261123
Floats = NDArray[Any]


def data(n: int = 80, p: int = 7, c: int = 1) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((n, p))
    y = x[:, [1, 4]] @ np.arange(1.0, 2 * c + 1).reshape(2, c) + rng.standard_normal((n, c))
    return x, y[:, 0] if c == 1 else y


OUT_OF_SAMPLE: list[dict[str, Any]] = [
    {"criterion": "cv"},
    {"criterion": "loo"},
    {"criterion": "permutation", "n_permutations": 39},
]


@pytest.mark.filterwarnings("ignore:No features were selected:UserWarning")
@pytest.mark.parametrize(
    "options", [{}, {"criterion": "aic"}, {"criterion": None, "n_features": 1}, *OUT_OF_SAMPLE]
)
def test_scikit_learn_finds_nothing_to_complain_about(options: dict[str, Any]) -> None:
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    options = {"direction": "forward", **options} if options else {}
    # The longest path that is compared is half the rows, and a weight of 2 is one row, not two.
    known = {"check_sample_weight_equivalence_on_dense_data": "rows are counted"}
    results = checks.check_estimator(
        StepwiseRegression(**options),
        expected_failed_checks=known if options.get("criterion") == "cv" else {},
        on_skip=None,
        on_fail=None,
    )
    failed = {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "failed"}
    assert failed == {}
    assert sum(r["status"] == "passed" for r in results) > 40


@pytest.mark.parametrize("c", [1, 3])
def test_the_fit_is_that_of_the_path_and_of_lstsq(c: int) -> None:
    x, y = data(c=c)
    model = StepwiseRegression().fit(x, y)
    path = stepwise_path(x, y, direction="both", criterion="bic")
    assert sorted(model.order_) == sorted(path.support) == [1, 4]
    assert list(model.path_.support) == list(path.support)
    a = np.column_stack([np.ones(80), x[:, model.support_]])
    coef = np.linalg.lstsq(a, y, rcond=None)[0]
    np.testing.assert_allclose(model.coef_[..., model.support_], coef[1:].T, atol=1e-12)
    np.testing.assert_allclose(model.intercept_, coef[0], atol=1e-12)
    assert not model.coef_[..., ~model.support_].any()
    np.testing.assert_allclose(model.predict(x), a @ coef, atol=1e-12)
    assert 0 < model.score(x, y) < 1


@pytest.mark.parametrize("options", OUT_OF_SAMPLE)
def test_out_of_sample_criteria_choose_the_columns_that_matter(options: dict[str, Any]) -> None:
    x, y = data(200)
    model = StepwiseRegression(direction="forward", **options).fit(x, y)
    assert model.support_[[1, 4]].all()
    assert len(model.scores_) >= 2


def test_rows_are_added_and_forgotten_on_the_chosen_columns() -> None:
    x, y = data(120, c=2)
    model = StepwiseRegression().partial_fit(x[:60], y[:60]).partial_fit(x[60:], y[60:])
    model.forget(x[:30], y[:30])
    a = np.column_stack([np.ones(90), x[30:][:, model.support_]])
    coef = np.linalg.lstsq(a, y[30:], rcond=None)[0]
    np.testing.assert_allclose(model.coef_[:, model.support_], coef[1:].T, atol=1e-10)
    np.testing.assert_allclose(model.intercept_, coef[0], atol=1e-10)


def test_a_refused_deletion_leaves_the_model() -> None:
    x, y = data(10, 5)
    x = x[:, [1, 4]]
    model = StepwiseRegression(criterion=None, n_features=2, direction="forward").fit(x, y)
    before = model.coef_.copy()
    with pytest.raises(ArgumentError, match="row 7 cannot be deleted"):
        model.forget(x, y)
    assert (model.coef_ == before).all()


def test_rows_of_weight_zero_are_left_out() -> None:
    x, y = data()
    w = np.r_[np.zeros(20), np.ones(60)]
    weighted = StepwiseRegression().fit(x, y, sample_weight=w)
    np.testing.assert_allclose(
        weighted.coef_, StepwiseRegression().fit(x[20:], y[20:]).coef_, atol=1e-12
    )
    with pytest.raises(ArgumentError, match="every sample_weight is zero"):
        StepwiseRegression().fit(x, y, sample_weight=np.zeros(80))
    with pytest.raises(ArgumentError, match=r"-1.0 in row 3"):
        StepwiseRegression().fit(x, y, sample_weight=np.where(np.arange(80) == 3, -1, 1))


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_names_of_columns_are_kept(package: str) -> None:
    frames = pytest.importorskip(package)
    x, y = data()
    names = [f"column {i}" for i in range(7)]
    frame = frames.DataFrame(dict(zip(names, x.T, strict=True)))
    model = StepwiseRegression().fit(frame, y)
    np.testing.assert_array_equal(model.predict(frame), StepwiseRegression().fit(x, y).predict(x))
    assert model.feature_names_in_.tolist() == names
    assert model.get_feature_names_out().tolist() == ["column 1", "column 4"]
    assert "column 4" in model.summary()


def test_the_selector_gives_the_selected_columns() -> None:
    x, y = data()
    model = StepwiseRegression().fit(x, y)
    assert (model.transform(x) == x[:, [1, 4]]).all()
    assert model.get_support(indices=True).tolist() == [1, 4]
    assert model.get_feature_names_out().tolist() == ["x1", "x4"]


def test_the_summary_lists_steps_and_coefficients() -> None:
    x, y = data(c=2)
    text = StepwiseRegression().fit(x, y).summary()
    lines = text.splitlines()
    assert lines[0].startswith("2 of 7 columns, 80 rows, 2 outputs, criterion bic")
    assert any(line.split()[:3] == ["1", "add", "x4"] for line in lines)
    assert any(line.startswith("(intercept)") for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "bci"}, "criterion"),
        ({"criterion": "cv", "direction": "both"}, "one chain"),
        ({"criterion": "permutation", "direction": "backward"}, "direction='forward'"),
        ({"criterion": "loo", "direction": "forward", "n_features": 3}, "contradicts"),
        ({"criterion": "cv", "direction": "forward", "cv": 1}, "cv must lie"),
        ({"direction": "sideways"}, "direction"),
        ({"ridge": -1.0}, "ridge"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    x, y = data()
    with pytest.raises(HessayError, match=message):
        StepwiseRegression(**options).fit(x, y)


def test_bad_tables_are_refused_with_the_place() -> None:
    x, y = data()
    broken = x.copy()
    broken[5, 2] = np.nan
    with pytest.raises(ValueError, match=r"Input X is NaN in row 5, column 2"):
        StepwiseRegression().fit(broken, y)
    broken[5, 2] = np.inf
    with pytest.raises(ValueError, match=r"inf in row 5, column 2"):
        StepwiseRegression().fit(x, y).predict(broken)
    with pytest.raises(ValueError, match=r"Input y is NaN in row 1"):
        StepwiseRegression().fit(x, np.where(np.arange(80) == 1, np.nan, y))
    with pytest.raises(ValueError, match=r"0 feature|p >= 1"):
        StepwiseRegression().fit(x[:, :0], y)
    with pytest.raises(ValueError, match=r"convert|numbers"):
        StepwiseRegression().fit(np.full((80, 1), "red"), y)
    with pytest.raises(ValueError, match="7 features"):
        StepwiseRegression().fit(x, y).predict(x[:, :3])


def test_it_works_and_explains_itself_without_scikit_learn() -> None:
    code = """
        import sys
        sys.modules["sklearn"] = None
        import numpy as np
        from hessay.stepwise.estimator import StepwiseRegression
        from hessay.stepwise.estimator_base import HAS_SKLEARN
        assert not HAS_SKLEARN
        class Frame:
            columns = ["a", "b", "c"]
            def __init__(self, values): self.values = values
            def __array__(self, dtype=None, copy=None): return self.values
        rng = np.random.default_rng(0)
        x = rng.standard_normal((60, 3))
        model = StepwiseRegression(criterion="aic").set_params(criterion="bic")
        assert model.get_params()["criterion"] == "bic"
        y = 2 * x[:, 1] + 0.1 * rng.standard_normal(60)
        try:
            model.predict(x)
        except ValueError as error:
            assert "not fitted" in str(error)
        model.fit(Frame(x), y)
        assert model.feature_names_in_.tolist() == ["a", "b", "c"]
        assert "b" in model.get_feature_names_out()
        assert model.score(x, y) > 0.99
        assert (model.transform(x) == x[:, model.support_]).all()
        for bad in (x[:, :2], Frame(x[:, :2])):
            try:
                model.predict(bad)
            except ValueError as error:
                assert "3 features" in str(error)
            else:
                raise SystemExit("taken")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

"""Hostile input: every refusal names what was wrong and where; files larger than the memory allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.stepwise import delta_rss, stepwise_path

SEED = 20269
RNG = np.random.default_rng(SEED)
X = RNG.standard_normal((30, 5))
Y = X[:, 1] + 0.1 * RNG.standard_normal(30)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("order", ["C", "F"])
def test_values_that_are_not_finite_are_named_by_row_and_column(bad: float, order: str) -> None:
    x = np.array(X, order=order)
    x[17, 3] = bad
    with pytest.raises(NonFinite, match="row 17, column 3"):
        stepwise_path(x, Y)
    y = np.column_stack([Y, Y])
    y[4, 1] = bad
    with pytest.raises(NonFinite, match="row 4, output 1"):
        stepwise_path(X, y)
    weights = np.ones(30)
    weights[9] = bad
    with pytest.raises(NonFinite, match="row 9"):
        stepwise_path(X, Y, sample_weight=weights)


REFUSED: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (ShapeError, "no columns", {"X": np.empty((30, 0))}),
    (ShapeError, "dtype object", {"X": X.astype(object)}),
    (ShapeError, "encode", {"X": np.full((30, 2), "a")}),
    (ShapeError, "complex", {"X": X + 1j}),
    (ShapeError, r"\(n, p\)", {"X": X[:, 0]}),
    (ShapeError, "at least two", {"X": X[:1], "y": Y[:1]}),
    (ShapeError, r"\(30,\) or \(30, C\)", {"y": Y[:29]}),
    (ShapeError, r"C >= 1", {"y": np.empty((30, 0))}),
    (ShapeError, "one-hot", {"y": np.full(30, "spam")}),
    (ShapeError, "30 real numbers", {"sample_weight": np.ones(29)}),
    (ArgumentError, "row 2", {"sample_weight": np.r_[1.0, 1.0, 0.0, np.ones(27)]}),
    (ArgumentError, "row 0", {"sample_weight": -np.ones(30)}),
    (ArgumentError, "criterion must be one of", {"criterion": "r2"}),
    (ArgumentError, "direction", {"direction": "sideways"}),
    (ArgumentError, "strategy", {"strategy": "magic"}),
    (ArgumentError, "dtype", {"dtype": np.float16}),
    (ArgumentError, "ridge", {"ridge": -1.0}),
    (ArgumentError, "ridge", {"ridge": float("nan")}),
    (ArgumentError, "alpha_enter", {"criterion": "f", "alpha_enter": 0.0}),
    (ArgumentError, r"\[2\] are both forced and forbidden", {"forced": [2], "forbidden": [2]}),
    (ArgumentError, "both forced", {"forced": [2], "forbidden": [3], "groups": [[2, 3]]}),
    (ArgumentError, "columns 0 to 4", {"forced": [5]}),
    (ArgumentError, "columns 0 to 4", {"forbidden": [-1]}),
    (ArgumentError, "positions", {"forced": [1.5]}),
    (ArgumentError, "twice", {"groups": [[0, 1], [1, 2]]}),
    (ArgumentError, "empty group", {"groups": [[]]}),
    (ArgumentError, "only 5 columns", {"n_features": 6}),
    (ArgumentError, "at least 0", {"n_features": -1}),
    (ArgumentError, "at least 0", {"max_features": 2.5}),
    (ArgumentError, "forced in", {"n_features": 1, "forced": [0, 1]}),
    (ArgumentError, "7 rows, got 6", {"X": X[:6], "y": Y[:6], "n_features": 5}),
    (ArgumentError, "starts from", {"X": X[:5], "y": Y[:5], "direction": "backward"}),
    (ArgumentError, "full model", {"X": X[:5], "y": Y[:5], "criterion": "cp"}),
    (ArgumentError, "needs a criterion", {"direction": "both", "criterion": None}),
    (ArgumentError, "needs n_features", {"direction": "backward", "criterion": None}),
    (ArgumentError, "max_features", {"direction": "both", "n_features": 2}),
    (ArgumentError, "allow more", {"max_bytes": 1000}),
    (ArgumentError, "overflows", {"y": 1e200 * Y}),
    (ArgumentError, "underflow", {"y": 1e-200 * Y}),
]


@pytest.mark.parametrize(("error", "words", "options"), REFUSED, ids=lambda v: str(v)[:40])
def test_what_cannot_work_is_refused_in_words(
    error: type[Exception], words: str, options: dict[str, Any]
) -> None:
    arguments = {"X": X, "y": Y, **options}
    with pytest.raises(error, match=words):
        stepwise_path(**arguments)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("huge", [False, True])
def test_what_is_not_finite_in_y_is_named_and_large_numbers_are_not(
    outputs: int, huge: bool
) -> None:
    y = np.outer(Y, np.ones(outputs))
    if huge:
        y[3] = 1e200  # finite, but not its square
    y[21, outputs - 1] = -np.inf
    y[17, outputs - 1] = np.nan
    words = rf"y holds nan in row 17, output {outputs - 1} \(2 such values\); drop these rows"
    with pytest.raises(NonFinite, match=words):
        stepwise_path(X, y)
    y[17:22] = 0
    if huge:
        for intercept in (False, True):
            with pytest.raises(ArgumentError, match="y is so large that its square overflows"):
                stepwise_path(X, y, fit_intercept=intercept)
        y[4] = 1.7e308  # and its distance from this one is none
        y[5] = -1.7e308
        with pytest.raises(ArgumentError, match="y is so large that its square overflows"):
            stepwise_path(X, y)


@pytest.mark.parametrize("outputs", [1, 7])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_sums_over_many_rows_of_y_are_those_of_extended_precision(
    outputs: int, weighted: bool, intercept: bool, kind: type
) -> None:
    rng = np.random.default_rng(SEED)
    n = 40_000  # many panels of y, and a rest
    x = rng.standard_normal((n, 3)).astype(kind)
    y = x @ rng.standard_normal((3, outputs)) + rng.standard_normal((n, outputs)) + 1e6
    weight = rng.uniform(0.1, 9, n) if weighted else np.ones(n)
    w, wide = weight.astype(np.longdouble), y.astype(np.longdouble)
    about = (w @ wide) / w.sum() if intercept else 0
    tss = float((w[:, None] * (wide - about) ** 2).sum())
    for given in (y, np.asfortranarray(y), np.broadcast_to(y, y.shape)):
        path = stepwise_path(
            x,
            given,
            fit_intercept=intercept,
            sample_weight=weight if weighted else None,
            n_features=0,
        )
        # y - mean loses log2(1e6) of 53 bits in every number alike; sums of a panel err by its root
        assert path.tss == pytest.approx(tss, rel=1e-12)
        np.testing.assert_allclose(path.intercept, about, rtol=1e-15)


def test_y_without_spread_or_determined_by_columns_ends_the_path_far_from_zero() -> None:
    assert len(stepwise_path(X, np.full(30, 1e9 / 3)).support) == 0
    path = stepwise_path(X, X @ np.arange(5.0) + 1e7, n_features=5)
    assert path.stopped == "the columns chosen determine y: what is left of it is rounding"
    assert sorted(path.support) == [1, 2, 3, 4]


def test_integers_and_booleans_are_numbers() -> None:
    whole = np.arange(60).reshape(30, 2) % 7
    for kind in (np.int8, np.uint16, np.int64):
        path = stepwise_path(whole.astype(kind), Y, n_features=2)
        assert path.rss == pytest.approx(stepwise_path(whole.astype(float), Y, n_features=2).rss)
    assert stepwise_path(X > 0, Y > 0, n_features=2).rss > 0
    swapped = stepwise_path(X.astype(">f8"), Y, n_features=3)
    assert swapped.support.tolist() == stepwise_path(X, Y, n_features=3).support.tolist()


def test_a_constant_y_needs_no_column() -> None:
    path = stepwise_path(X, np.full(30, 3.5))
    assert len(path.support) == 0
    assert path.intercept == pytest.approx(3.5)


def test_constant_columns_count_without_an_intercept_only() -> None:
    x = np.column_stack([X, np.full(30, 0.1)])
    assert stepwise_path(x, Y + 7).collinear == (5,)
    path = stepwise_path(x, Y + 7, fit_intercept=False)
    assert path.collinear == ()
    assert 5 in path.support


def test_squares_beyond_the_range_of_the_type_are_no_hindrance() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((50, 6))
    y = x @ np.arange(6.0)
    expected = stepwise_path(x, y, n_features=4)
    for factor, kind in ((1e200, np.float64), (1e-200, np.float64), (1e30, np.float32)):
        path = stepwise_path((x * factor).astype(kind), y, n_features=4)
        assert path.support.tolist() == expected.support.tolist()
        assert path.rss == pytest.approx(expected.rss, rel=1e-5)  # float32 rounds x itself


def test_progress_sees_every_step_and_may_stop() -> None:
    seen = []

    def watch(step: Any) -> bool:
        seen.append(step)
        return len(seen) < 2

    path = stepwise_path(X, Y, n_features=4, progress=watch)
    assert tuple(seen) == path.steps
    assert len(seen) == 2
    assert "progress" in path.stopped


def test_an_error_in_progress_comes_through() -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        stepwise_path(X, Y, n_features=4, progress=fail)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_file_gives_the_path_of_the_array(tmp_path: Path, order: str) -> None:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((9000, 160))  # 12 MB, handed back in pieces in C order
    y = x @ rng.standard_normal((160, 2)) + rng.standard_normal((9000, 2))
    file = np.memmap(tmp_path / "x", np.float64, "w+", shape=x.shape, order=order)
    file[:] = x
    file.flush()
    expected = stepwise_path(x, y, n_features=20)
    for mode in ("r", "r+", "c"):
        mapped = np.memmap(tmp_path / "x", np.float64, mode, shape=x.shape, order=order)
        path = stepwise_path(mapped, y, n_features=20, max_bytes=8 << 20)
        assert path.support.tolist() == expected.support.tolist()
        np.testing.assert_allclose(path.coef, expected.coef, rtol=1e-9)
        np.testing.assert_array_equal(mapped, x)  # pages handed back are read again, changes kept


def test_private_changes_to_a_mapping_survive(tmp_path: Path) -> None:
    x = np.zeros((70000, 128))
    x[:] = np.random.default_rng(SEED).standard_normal(128)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="c")
    mapped[:, 0] = np.arange(70000)
    stepwise_path(mapped, np.arange(70000.0), n_features=1)
    np.testing.assert_array_equal(mapped[:, 0], np.arange(70000))


def test_little_memory_gives_the_same_path() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((600, 200))
    y = x @ rng.standard_normal(200) + 5 * rng.standard_normal(600)
    expected = stepwise_path(x, y, n_features=8)
    least = 1_310_000  # y, panels and sampled rows, and about 50 kB for columns of 1600 bytes
    path = stepwise_path(x, y, n_features=8, max_bytes=least)
    assert path.support.tolist() == expected.support.tolist()
    assert expected.stats.fetched >= 8
    assert path.stats.fetched <= 8 * path.stats.prefetch_misses
    with pytest.raises(ArgumentError, match="max_bytes"):
        stepwise_path(x, y, n_features=190, max_bytes=least)


def test_the_fall_beyond_no_columns_is_the_squared_correlation() -> None:
    centred = X - X.mean(axis=0)
    falls = (centred.T @ (Y - Y.mean())) ** 2 / (centred**2).sum(axis=0)
    np.testing.assert_allclose(delta_rss(X, Y), falls, rtol=1e-12)

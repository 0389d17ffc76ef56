"""Ridge fits and the spectrum of their input Hessian against dense algebra."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.linear import (
    centred_inputs,
    fit_classes,
    fit_ridge,
    input_hessian,
    input_hessian_spectrum,
)
from theory_reference import SEED


def data(n: int, p: int, columns: int = 3) -> Any:
    rng = np.random.default_rng(SEED)
    return 2.0 + rng.standard_normal((n, p)), rng.standard_normal((n, columns))


@pytest.mark.parametrize(("n", "p"), [(40, 7), (7, 40), (20, 20), (2, 1)])
@pytest.mark.parametrize("ridge", [1e-3, 1.0, 100.0])
def test_both_routes_solve_the_normal_equations_with_free_intercept(
    n: int, p: int, ridge: float
) -> None:
    x, y = data(n, p)
    model = fit_ridge(x, y, ridge=ridge)
    assert model.inputs.route == ("primal" if p <= n else "dual")
    residual = y - model.scores(x)
    np.testing.assert_allclose(residual.mean(axis=0), 0.0, atol=1e-11)
    # Gradient of the objective: -X'r / n + ridge W, next to rounding times the condition number.
    np.testing.assert_allclose(x.T @ residual / n, ridge * model.weights, atol=1e-10)


@pytest.mark.parametrize(("n", "p"), [(40, 7), (7, 40)])
def test_ridge_zero_is_least_squares_of_smallest_norm(n: int, p: int) -> None:
    x, y = data(n, p)
    centred = x - x.mean(axis=0)
    expected = np.linalg.lstsq(centred, y - y.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(fit_ridge(x, y, ridge=0.0).weights, expected, atol=1e-10)


def test_a_dependent_column_is_no_obstacle_to_ridge_zero() -> None:
    x, y = data(30, 4)
    x[:, 3] = x[:, 0] - x[:, 1]
    x[:, 2] = 5.0
    model = fit_ridge(x, y[:, 0], ridge=0.0)
    assert len(model.inputs.values) == 2
    assert np.abs(model.weights[2]).max() < 1e-12


@pytest.mark.parametrize(("n", "p"), [(10, 30), (30, 30)])
def test_a_large_offset_adds_no_direction(n: int, p: int) -> None:
    x, _ = data(n, p)
    assert len(centred_inputs(x).values) == len(centred_inputs(x + 1e9).values) == n - 1


def test_class_labels_are_one_hot_targets() -> None:
    x, _ = data(30, 5)
    labels = np.arange(30) % 3 * 10
    model = fit_classes(x, labels, ridge=0.5)
    assert model.classes is not None
    np.testing.assert_array_equal(model.classes, [0, 10, 20])
    hot = (labels[:, None] == model.classes).astype(float)
    np.testing.assert_array_equal(model.weights, fit_ridge(x, hot, ridge=0.5).weights)
    np.testing.assert_allclose(model.weights.sum(axis=1), 0.0, atol=1e-14)  # W 1 = 0
    assert model.intercept.sum() == pytest.approx(1.0)


def test_a_decomposition_serves_every_ridge() -> None:
    x, y = data(30, 5)
    shared = centred_inputs(x)
    for ridge in (0.1, 10.0):
        np.testing.assert_array_equal(
            fit_ridge(shared, y, ridge=ridge).weights, fit_ridge(x, y, ridge=ridge).weights
        )
    np.testing.assert_allclose(
        shared.spectrum, np.linalg.eigvalsh(shared.rows @ shared.rows.T / 30)[:0:-1], atol=1e-14
    )


# ---- the Hessian ----


def dense(model: Any, name: str, rank: int) -> Any:
    """``2 W W'`` in other coordinates by dense matrices."""
    hessian, rows = 2 * model.weights @ model.weights.T, model.inputs.rows
    p = len(hessian)
    covariance = rows.T @ rows / len(rows)
    values, vectors = np.linalg.eigh(covariance)
    if name == "off_data":
        lead = vectors[:, ::-1][:, :rank]
        change = np.eye(p) - lead @ lead.T
    elif name == "whitened":
        change = (vectors / np.sqrt(values + model.ridge)) @ vectors.T
    else:
        change = np.eye(p)
    return change @ hessian @ change


@pytest.mark.parametrize("name", ["raw", "off_data", "whitened"])
@pytest.mark.parametrize(("n", "p"), [(40, 12), (10, 30)])
def test_spectra_are_those_of_dense_hessians(name: Any, n: int, p: int) -> None:
    x, y = data(n, p)
    model = fit_ridge(x, y, ridge=0.3)
    rank = 4 if name == "off_data" else None
    spectrum = input_hessian_spectrum(model, coordinates=name, rank=rank)
    matrix = dense(model, name, 4)
    expected = np.linalg.eigvalsh(matrix)[::-1]
    np.testing.assert_allclose(spectrum.values, expected[:3], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        matrix @ spectrum.vectors, spectrum.vectors * spectrum.values, atol=1e-9
    )
    assert np.abs(expected[3:]).max() < 1e-12
    assert spectrum.removed == (rank or 0)


def test_the_raw_hessian_is_the_second_derivative_of_the_squared_error() -> None:
    x, y = data(20, 4)
    model = fit_ridge(x, y, ridge=0.1)
    point, step = x[0], 1e-2

    def loss(at: Any) -> float:
        return float(((model.scores(at[None]) - y[0]) ** 2).sum())

    unit = np.eye(4) * step
    second = [
        [
            (loss(point + a + b) - loss(point + a - b) - loss(point - a + b) + loss(point - a - b))
            / (4 * step**2)
            for a in unit
        ]
        for b in unit
    ]
    # A quadratic has no truncation error: eps |loss| / step^2, some 1e-11.
    np.testing.assert_allclose(input_hessian(model), second, atol=1e-9)


# ---- bad input ----


def test_what_is_no_data_set_is_refused() -> None:
    x, y = data(20, 4)
    bad = x.copy()
    bad[3, 2] = np.nan
    with pytest.raises(NonFinite, match="1 NaN or infinite entries, the first in row 3, column 2"):
        fit_ridge(bad, y, ridge=1.0)
    bad_targets = y.copy()
    bad_targets[0, 0] = np.inf
    with pytest.raises(NonFinite, match="targets holds 1 NaN or infinite"):
        fit_ridge(x, bad_targets, ridge=1.0)
    with pytest.raises(ShapeError, match=r"targets must have shape \(20,\)"):
        fit_ridge(x, y[:-1], ridge=1.0)
    with pytest.raises(ShapeError, match="inputs must be a matrix"):
        fit_ridge(x[0], y, ridge=1.0)
    with pytest.raises(ShapeError, match="at least 2 rows"):
        fit_ridge(x[:1], y[:1], ridge=1.0)
    with pytest.raises(ShapeError, match="real numbers, got dtype"):
        fit_ridge(np.full((3, 2), "a"), [1.0, 2.0, 3.0], ridge=1.0)
    with pytest.raises(ArgumentError, match="ridge must be finite and at least 0"):
        fit_ridge(x, y, ridge=-1.0)
    with pytest.raises(ArgumentError, match="all 5 rows of inputs are equal"):
        fit_ridge(np.ones((5, 2)), np.arange(5.0), ridge=1.0)
    with pytest.raises(ArgumentError, match="one class only"):
        fit_classes(x, np.zeros(20, dtype=int), ridge=1.0)
    with pytest.raises(ShapeError, match="labels must be 20 integers"):
        fit_classes(x, np.zeros(20), ridge=1.0)
    with pytest.raises(ShapeError, match="must have 4 columns"):
        fit_ridge(x, y, ridge=1.0).scores(x[:, :2])


def test_options_of_coordinates_are_checked() -> None:
    x, y = data(20, 4)
    model = fit_ridge(x, y, ridge=0.0)
    for options, message in (
        ({"coordinates": "polar"}, "coordinates must be"),
        ({"coordinates": "off_data"}, "rank belongs to off_data"),
        ({"rank": 2}, "rank belongs to off_data"),
        ({"coordinates": "off_data", "rank": 4}, "rank must be below 4"),
        ({"shrink": 1.0}, "shrink belongs to whitened"),
        ({"coordinates": "whitened"}, "shrink must be positive"),
        ({"coordinates": "whitened", "shrink": -1.0}, "shrink must be finite"),
    ):
        with pytest.raises(ArgumentError, match=message):
            input_hessian_spectrum(model, **options)  # type: ignore[arg-type]


def test_the_linear_side_never_imports_torch() -> None:
    code = (
        "import sys, hessay.linear, hessay.theory; print('torch' in sys.modules,"
        " 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]

"""Stepwise selection with passes on a device, run on the processor.

The module's bindings are built over loops in the place of kernels, for CPU tensors (conftest). The
oracles are the core's own passes and NumPy, in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hessay.errors import ArgumentError, ShapeError
from hessay.stepwise import StepwiseRegression, delta_rss, stepwise_path
from hessay.stepwise.device import DevicePasses

SEED = 33
# (rows, columns, outputs): fewer rows than a piece, one and a few whole pieces, and a rest
SHAPES = [(2, 1, 1), (40, 7, 1), (256, 5, 2), (700, 9, 3)]


def problem(n: int, p: int, outputs: int, seed: int = SEED) -> tuple[NDArray[Any], NDArray[Any]]:
    """Columns of any mean and size, some of which explain y."""
    rng = np.random.default_rng([seed, n, p, outputs])
    x = rng.standard_normal((n, p)) * 10.0 ** rng.integers(-2, 3, p) + rng.normal(0, 3, p)
    w = rng.standard_normal((p, outputs)) * (rng.random((p, 1)) < 0.6) / x.std(axis=0)[:, None]
    return x, x @ w + 0.3 * rng.standard_normal((n, outputs))


def passes_for(
    x: Any, *, double: bool = True, max_bytes: int | None = None, device: str | None = None
) -> DevicePasses:
    return DevicePasses(x, device=device, double=double, max_bytes=max_bytes)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", ["rows", "columns", "strided", "streamed"])
@pytest.mark.parametrize("max_bytes", [None, 1])
@pytest.mark.usefixtures("here")
def test_every_pass_is_what_numpy_gives(
    shape: tuple[int, int, int], weighted: bool, layout: str, max_bytes: int | None
) -> None:
    n, p, outputs = shape
    rng = np.random.default_rng(SEED)
    x, y = problem(*shape)
    mean, scale = rng.standard_normal(p), 2.0 ** rng.integers(-3, 3, p)
    root = np.sqrt(rng.uniform(0.5, 2, n)) if weighted else np.zeros(0)
    full = root[:, None] if weighted else np.ones((n, 1))
    z = full * (x - mean) * scale
    wide = np.zeros((n, 2 * p))
    wide[:, ::2] = x
    given: Any = {
        "rows": torch.from_numpy(x),
        "columns": torch.from_numpy(np.ascontiguousarray(x.T)).T,
        "strided": torch.from_numpy(wide)[:, ::2],
        "streamed": wide[:, ::2],
    }[layout]
    passes = passes_for(given, max_bytes=max_bytes, device="cpu" if layout == "streamed" else None)
    assert passes.shape == (n, p)
    assert not passes.single
    given_y = y.copy()
    y_mean, largest, y_scale, total = passes.begin(y, root, weighted)
    np.testing.assert_array_equal(y, given_y)  # a copy is standardised, not what was given
    wanted_mean = np.average(y, axis=0, weights=full[:, 0] ** 2) if weighted else np.zeros(outputs)
    np.testing.assert_allclose(y_mean, wanted_mean, rtol=0, atol=n * 2.3e-16 * np.abs(y).max())
    np.testing.assert_array_equal(largest, np.abs(y).max(axis=0))
    assert np.frexp(y_scale)[0] == 0.5
    y = full * (y - y_mean) * y_scale
    assert 0.5 <= np.abs(y).max() <= 2

    def close(found: Any, wanted: NDArray[Any], size: NDArray[Any]) -> None:
        # sums of n terms and of |K| before them, each rounded once a term
        assert found.shape == wanted.shape
        assert np.all(np.abs(found - wanted) <= (n + 2 * p + 8) * 2.3e-16 * size)

    chosen = [int(j) for j in rng.permutation(p)[: 1 + p // 2]]
    a = rng.standard_normal((len(chosen), 3))
    b = rng.standard_normal((outputs, 3))
    f = z[:, chosen] @ a + y @ b
    f_size = np.abs(z[:, chosen]) @ np.abs(a) + np.abs(y) @ np.abs(b)
    close(total, y.T @ y, np.abs(y.T) @ np.abs(y))
    for _ in range(2):  # again after Z was kept, and for another standard
        squares, first = passes.measure(mean, scale)
        close(squares, (z**2).sum(axis=0), (z**2).sum(axis=0))
        right = np.hstack([full, y])
        close(first, z.T @ right, np.abs(z.T) @ np.abs(right))
        close(
            passes.gram_columns(mean, scale, chosen),
            z.T @ z[:, chosen],
            np.abs(z.T) @ np.abs(z[:, chosen]),
        )
        close(passes.full_gram(mean, scale), z.T @ z, np.abs(z.T) @ np.abs(z))
        close(passes.project(mean, scale, chosen, a, b), z.T @ f, np.abs(z.T) @ f_size)
        cross, products = passes.sums(mean, scale, chosen, a, b)
        close(cross, z[:, chosen].T @ f, np.abs(z[:, chosen].T) @ f_size)
        close(products, f.T @ f, 2 * f_size.T @ f_size)
        mean, scale = mean + 1, scale / 2
        z = full * (x - mean) * scale
        f = z[:, chosen] @ a + y @ b
        f_size = np.abs(z[:, chosen]) @ np.abs(a) + np.abs(y) @ np.abs(b)
    mean, scale = mean - 1, scale * 2
    cross, products = passes.sums(mean, scale, [], a[:0], b)
    assert cross.shape == (0, 3)
    close(products, (y @ b).T @ (y @ b), 2 * (np.abs(y) @ np.abs(b)).T @ (np.abs(y) @ np.abs(b)))
    np.testing.assert_array_equal(passes.read_rows([n - 1, 0]), x[[n - 1, 0]])
    np.testing.assert_array_equal(passes.read_column(p - 1), x[:, p - 1])


@pytest.mark.usefixtures("here")
def test_single_precision_adds_pieces_in_double() -> None:
    x, y = problem(3000, 6, 2)
    x = x.astype(np.float32)
    passes = passes_for(torch.from_numpy(x), double=False)
    assert passes.single
    passes.begin(y, np.zeros(0), True)
    mean = x.astype(np.float64).mean(axis=0)
    scale = 1 / x.std(axis=0).astype(np.float64)
    z = (x.astype(np.float64) - mean) * scale
    found = passes.full_gram(mean, scale)
    eps = float(np.finfo(np.float32).eps)
    # each number is rounded to single once; a piece's sum of 256 is rounded once more
    assert np.all(np.abs(found - z.T @ z) <= 3 * eps * np.abs(z.T) @ np.abs(z))


def equal_paths(found: Any, wanted: Any, rtol: float) -> None:
    assert [s.columns for s in found.steps] == [s.columns for s in wanted.steps]
    assert [s.action for s in found.steps] == [s.action for s in wanted.steps]
    np.testing.assert_array_equal(found.support, wanted.support)
    np.testing.assert_allclose(found.coef, wanted.coef, rtol=rtol)
    np.testing.assert_allclose(found.intercept, wanted.intercept, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(found.rss, wanted.rss, rtol=rtol)
    assert found.collinear == wanted.collinear
    assert found.stopped.split()[:3] == wanted.stopped.split()[:3]


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize("strategy", ["auto", "gram", "stream", "prefetch"])
@pytest.mark.parametrize("shape", [(60, 8, 1), (600, 15, 3)])
@pytest.mark.usefixtures("here")
def test_the_path_is_that_of_the_processor(
    shape: tuple[int, int, int], strategy: Any, direction: Any
) -> None:
    x, y = problem(*shape)
    wanted = stepwise_path(x, y, direction=direction, strategy=strategy)
    found = stepwise_path(torch.from_numpy(x), y, direction=direction, strategy=strategy)
    assert len(wanted.steps) > 1
    equal_paths(found, wanted, 1e-9)


@pytest.mark.usefixtures("here")
def test_streamed_through_a_device_it_is_the_same_path() -> None:
    x, y = problem(1500, 12, 2)
    # room for the Gram columns of the core, but not for Z: panels of 256 rows
    room = 16 * 1500 * 2 + 12 * (2 * 8 * 256 + 4 * 512 + 8 * 12) + 64 * 12
    found = stepwise_path(x, y, device="cpu", max_bytes=room)
    equal_paths(found, stepwise_path(x, y, max_bytes=room), 1e-9)
    wanted = stepwise_path(x.astype(np.float32), y)
    equal_paths(stepwise_path(x.astype(np.float32), y, device="cpu"), wanted, 1e-5)


@pytest.mark.usefixtures("here")
def test_weights_groups_ridge_and_forced_columns_are_the_same_there() -> None:
    x, y = problem(300, 10, 2)
    weight = np.random.default_rng(SEED).uniform(0.5, 2, 300)
    options: Any = {
        "sample_weight": weight,
        "groups": [[0, 3, 4], [6, 7]],
        "ridge": 0.5,
        "forced": [2],
        "forbidden": [9],
        "criterion": "aic",
    }
    wanted = stepwise_path(x, y, **options)
    equal_paths(stepwise_path(torch.from_numpy(x), y, **options), wanted, 1e-9)
    options["sample_weight"] = torch.from_numpy(weight)
    found = stepwise_path(torch.from_numpy(x), torch.from_numpy(y), **options)
    equal_paths(found, wanted, 1e-9)
    base = [2, 5]
    np.testing.assert_allclose(
        delta_rss(torch.from_numpy(x), y, base), delta_rss(x, y, base), rtol=1e-9
    )
    for criterion in ("cp", "f"):
        wanted = stepwise_path(x, y, criterion=criterion)
        equal_paths(stepwise_path(torch.from_numpy(x), y, criterion=criterion), wanted, 1e-9)


@pytest.mark.usefixtures("here")
def test_ties_and_collinear_columns_are_treated_alike() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((120, 6))
    x = np.hstack([x, x[:, [1]], x[:, [0]] + x[:, [2]], np.full((120, 1), 3.0), 1e8 + x[:, [4]]])
    x[:, 5] = x[:, 3] + 1e-7 * x[:, 5]
    y = x[:, [1]] - 2 * x[:, [3]] + 0.5 * x[:, [0]] + 1e-6 * rng.standard_normal((120, 1))
    wanted = stepwise_path(x, y, criterion=None, max_features=5)
    assert wanted.collinear
    assert wanted.stats.refreshes > 0
    found = stepwise_path(torch.from_numpy(x), y, criterion=None, max_features=5)
    assert [s.columns for s in found.steps] == [s.columns for s in wanted.steps]
    assert found.collinear == wanted.collinear
    # a column of 1e8 keeps 8 digits
    np.testing.assert_allclose(found.coef, wanted.coef, rtol=1e-5, atol=1e-8)


@pytest.mark.usefixtures("here")
def test_the_estimator_takes_tensors() -> None:
    x, y = problem(200, 8, 2)
    weight = np.random.default_rng(SEED).uniform(0, 2, 200).round()
    assert (weight == 0).any()
    wanted = StepwiseRegression(direction="forward").fit(x, y, weight)
    found = StepwiseRegression(direction="forward").fit(torch.from_numpy(x), y, weight)
    np.testing.assert_array_equal(found.order_, wanted.order_)
    assert len(found.order_) > 1
    np.testing.assert_allclose(found.coef_, wanted.coef_, rtol=1e-9)
    there = found.predict(torch.from_numpy(x))
    np.testing.assert_allclose(there, wanted.predict(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.predict(x), there, rtol=1e-12, atol=1e-12)
    found.partial_fit(x[:20], y[:20])
    wanted.partial_fit(x[:20], y[:20])
    np.testing.assert_allclose(found.coef_, wanted.coef_, rtol=1e-9)
    with pytest.raises(ArgumentError, match=r"criterion='cv' .* X.cpu\(\).numpy\(\)"):
        StepwiseRegression(criterion="cv").fit(torch.from_numpy(x), y)
    with pytest.raises(ShapeError, match="X has 3 features, the fit expects 8"):
        found.predict(torch.from_numpy(x[:, :3]))
    with pytest.raises(ShapeError, match=r"y has shape \(5, 2\), X has 200 rows"):
        StepwiseRegression().fit(torch.from_numpy(x), y[:5])

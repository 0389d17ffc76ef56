"""Random rows in the place of the curvature's own: unbiased, and honest about their error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hessay import _core
from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.hessian import Factor, frozen
from hessay.hessian.curvature import Curvature
from hessay.hessian.gauss_newton.factor import factor_from_program
from hessay.hessian.gauss_newton.sketch import sketch_rows
from hessay.hessian.graph.program import LayerProgram, follow

SEED = 20261
KINDS = ["labels", "softened", "uniform", "mse", "logistic"]
SCALE = 2.5
MANY = 200  # classes


def logits(n: int, c: int) -> np.ndarray:
    return 2 * np.random.default_rng(SEED).standard_normal((n, c))


def exact(kind: str, z: np.ndarray) -> np.ndarray:
    """S (C, C) at the logits z (C,), from its definition."""
    c = len(z)
    if kind == "uniform":
        return np.eye(c) - 1 / c
    if kind == "mse":
        return 2 / c * np.eye(c)
    if kind == "logistic":
        q = 1 / (1 + np.exp(-z))
        return np.diag(q * (1 - q)) / c
    unit = SCALE if kind == "softened" else 1.0
    p = np.exp(z / unit) / np.exp(z / unit).sum()
    return (np.diag(p) - np.outer(p, p)) / unit**2


@pytest.mark.parametrize("kind", KINDS)
def test_roots_are_roots(kind: str) -> None:
    z = logits(5, 7)
    c = Curvature(kind, SCALE, 0)
    rank = 7 if kind in ("mse", "logistic") else 6
    root = np.empty((5, rank, 7))
    _core.curvature_root(kind, z, c.scale, 0, root)
    for row, f in zip(z, root, strict=True):
        np.testing.assert_allclose(f.T @ f, exact(kind, row), atol=1e-15)
    if kind in ("mse", "logistic"):  # one output is a loss too, and far logits do not overflow
        one = np.empty((2, 1, 1))
        _core.curvature_root(kind, np.array([[800.0], [-800.0]]), 1.0, 0, one)
        np.testing.assert_allclose(one[:, 0, 0] ** 2, 2.0 if kind == "mse" else 0.0, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_sketched_rows_have_the_curvature_as_their_mean_square(kind: str) -> None:
    s = 20000
    z = logits(2, 5)
    rows = sketch_rows(Curvature(kind, SCALE, 0), z, s, seed=3)
    for row, g in zip(z, rows, strict=True):
        wanted = exact(kind, row)
        # Each of the s products g_a g_b has variance (S_aa S_bb + S_ab^2) / s^2; 15 entries a
        # sample and kind, 150 in all: beyond 5 standard errors once in 10^4 runs.
        error = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / s)
        assert (np.abs(g.T @ g - wanted) < 5 * error).all()
        if kind not in ("mse", "logistic"):  # S 1 = 0 holds row by row
            assert np.abs(g.sum(axis=1)).max() < 1e-14
    # Samples and rows are independent: no two have the same numbers.
    assert len(np.unique(rows[:, :, 0])) == 2 * s


@pytest.mark.parametrize("c", [4, 5])  # normal numbers come in pairs: rows of odd length split one
def test_rows_of_a_sample_do_not_depend_on_chunk_or_precision(c: int) -> None:
    z, weighting = logits(9, c), Curvature("labels", 1.0, 0)
    rows = sketch_rows(weighting, z, 3, seed=8)
    parts = [sketch_rows(weighting, z[i : i + 2], 3, seed=8, first=i) for i in range(0, 9, 2)]
    assert (np.concatenate(parts) == rows).all()
    single = sketch_rows(weighting, z.astype(np.float32), 3, seed=8)
    assert np.abs(single - rows).max() < 1e-6
    assert not (sketch_rows(weighting, z, 3, seed=9) == rows).any()
    more = sketch_rows(weighting, z, 6, seed=8)[:, :3] * 2**0.5  # the first rows of a longer sketch
    np.testing.assert_allclose(more, rows, rtol=1e-13)


def net() -> nn.Sequential:
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, MANY)).double()


def factor(sketch: int | None, seed: int = 0, n: int = 60, kind: str = "labels") -> Factor:
    data = torch.randn(n, 20, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    model = net()
    with frozen(model):
        program = follow(model, data)[1]
        z = 3 * model(data).detach().numpy()
    assert isinstance(program, LayerProgram)
    return factor_from_program(
        program, data.numpy(), z, Curvature(kind, 1.0, 0), average=True, sketch=sketch, seed=seed
    )


def test_curvature_along_directions_is_unbiased_with_its_standard_error() -> None:
    runs, n, s = 400, 60, 8
    v = np.random.default_rng(SEED).standard_normal((20, 2))
    wanted = np.einsum("ik,ik->k", v, factor(None).apply(v))
    assert (factor(None).standard_error(v) == 0).all()
    made = [factor(s, seed) for seed in range(runs)]
    estimates = np.array([np.einsum("ik,ik->k", v, f.apply(v)) for f in made])
    errors = np.array([f.standard_error(v) for f in made])
    spread = estimates.std(axis=0, ddof=1)
    assert (np.abs(estimates.mean(axis=0) - wanted) < 4 * spread / runs**0.5).all()
    # The squared error is unbiased for the variance, whose estimate from the runs has a relative
    # standard error of sqrt(2 / runs) = 7 % (the estimates are near normal).
    ratio = np.mean(errors**2, axis=0) / spread**2
    assert (np.abs(ratio - 1) < 4 * (2 / runs) ** 0.5).all()
    # z has mean -sqrt(2 / (n s)) at most in size: estimate and error rise together. Its mean over
    # the runs has a standard error of 1 / sqrt(runs), its standard deviation one of
    # 1 / sqrt(2 runs), and samples that weigh unequally make the tails a few per cent wider.
    z = (estimates - wanted) / errors
    assert (np.abs(z.mean(axis=0)) < 4 / runs**0.5 + 2 * (2 / (n * s)) ** 0.5).all()
    assert (np.abs(z.std(axis=0, ddof=1) - 1) < 4 / (2 * runs) ** 0.5 + 0.05).all()


@pytest.mark.parametrize("kind", ["labels", "uniform"])
@pytest.mark.parametrize("s", [7, 32])
def test_halves_of_a_sketch_tell_its_error_on_a_net_of_many_classes(kind: str, s: int) -> None:
    h = factor(None, kind=kind).dense()
    size = np.linalg.norm(h)
    made = [factor(s, seed, kind=kind) for seed in range(20)]
    assert made[0].rows.shape[1] == made[0].sketch == s
    errors = np.array([np.linalg.norm(f.dense() - h) / size for f in made])
    estimates = np.array([f.relative_error() for f in made])
    root_mean_square = np.sqrt(np.mean(errors**2))
    assert 0.02 < root_mean_square < 1  # sqrt(effective rank / (n s)): the sketch is worth having
    # Means of squares over 20 runs of a norm over dozens of entries: within a factor of 1.5.
    assert 1 / 1.5 < np.sqrt(np.mean(estimates**2)) / root_mean_square < 1.5
    flat = [Factor(np.ascontiguousarray(f.rows @ f.lift), None, s) for f in made[:2]]
    np.testing.assert_allclose([f.relative_error() for f in flat], estimates[:2], rtol=1e-8)
    assert factor(None).relative_error() == 0.0


def test_errors_go_with_the_factor_through_projections() -> None:
    sketched = factor(8)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((20, 3)))[0]
    v = np.random.default_rng(1).standard_normal((20, 2))
    off = sketched.project_out(basis)
    assert off.sketch == 8
    np.testing.assert_allclose(
        off.standard_error(v), sketched.standard_error(v - basis @ (basis.T @ v)), rtol=1e-12
    )


def test_sketches_no_smaller_than_the_curvature_are_exact() -> None:
    whole = factor(None)
    same = factor(MANY - 1)
    assert same.sketch is None
    assert (same.rows == whole.rows).all()
    assert factor(MANY - 2).sketch == MANY - 2


def test_vanishing_sketches_have_no_error() -> None:
    assert Factor(np.zeros((4, 6, 3)), None, 6).relative_error() == 0.0
    rows = np.zeros((1, 2, 2))
    rows[0, 0, 0] = rows[0, 1, 1] = 1.0  # the halves have nothing in common
    assert Factor(rows, None, 2).relative_error() == np.inf


def test_bad_sketches_are_refused() -> None:
    weighting, z = Curvature("labels", 1.0, 0), logits(3, 4)
    with pytest.raises(ArgumentError, match="s must be at least 1"):
        sketch_rows(weighting, z, 0)
    with pytest.raises(ArgumentError, match="seed at least 0"):
        sketch_rows(weighting, z, 2, seed=-1)
    with pytest.raises(ArgumentError, match="must not be negative, got -1"):
        sketch_rows(weighting, z, 2, first=-1)
    with pytest.raises(ArgumentError, match="one row a sample"):
        sketch_rows(Curvature("margin", 1.0, 1), z, 2)
    with pytest.raises(ArgumentError, match="at least 2 rows a sample, got 1"):
        factor(1)
    with pytest.raises(ArgumentError, match="at least 2 rows a sample, got 1"):
        Factor(np.ones((3, 1, 2)), None, 1).relative_error()
    for value in (np.nan, np.inf):
        with pytest.raises(NonFinite, match="logit 1 of probe input 2"):
            sketch_rows(weighting, np.where(np.arange(12).reshape(3, 4) == 9, value, z), 2)
    with pytest.raises(ShapeError, match="at least 2 logits"):
        sketch_rows(weighting, z[:, :1], 2)
    with pytest.raises(ShapeError, match=r"\(20, k\)"):
        factor(4).standard_error(np.ones(20))
    bad: Any = np.empty((3, 2, 5))
    with pytest.raises(ShapeError, match="cotangents must be"):
        _core.curvature_sketch("labels", z, 1.0, 0, 0, bad)

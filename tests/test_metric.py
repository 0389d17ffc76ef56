"""Operators in another metric: projected, whitened, both, against the matrices written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.hessian import Covariance, InputHessian
from hessay.spectrum import eigsh

SEED = 20260
N, D, C = 13, 6, 4


def net(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(SEED)
    activation = nn.ReLU() if name == "factor" else nn.GELU()
    return nn.Sequential(nn.Linear(D, 9), activation, nn.Linear(9, C)).to(dtype)


def operator(name: str = "factor") -> InputHessian:
    data = torch.randn(N, D, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    return InputHessian(net(name), data, backend=name)  # type: ignore[arg-type]


def covariance(seed: int = SEED) -> np.ndarray:
    a = np.random.default_rng(seed).standard_normal((D, D))
    return a @ a.T + 0.1 * np.eye(D)


def basis(j: int = 2) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(SEED).standard_normal((D, j)))[0]


def inverse_root(c: np.ndarray) -> np.ndarray:
    root: np.ndarray = np.linalg.inv(scipy.linalg.sqrtm(c))
    return root


def close(actual: Any, expected: Any, tolerance: float = 1e-10) -> None:
    assert np.shape(actual) == np.shape(expected)
    assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("name", ["factor", "native", "autograd"])
def test_whitened_and_projected_operators_are_the_matrices_in_every_order(name: str) -> None:
    h, v, c = operator(name), basis(), covariance()
    q, k = np.eye(D) - v @ v.T, inverse_root(c)
    full = h.dense()
    cases = [
        (h.project_out(v), q),
        (h.whiten(c), k),
        (h.project_out(v).whiten(c), q @ k),
        (h.whiten(c).project_out(v), k @ q),
        (h.whiten(c).whiten(4 * c).project_out(v), k @ k / 2 @ q),
    ]
    x = np.random.default_rng(1).standard_normal((D, 3))
    for seen, m in cases:
        expected = m.T @ full @ m
        close(seen.dense(), expected)
        close(seen @ x, expected @ x)
        close(seen @ x[:, 0], expected @ x[:, 0])
        assert (seen.shape, seen.dtype, seen.backend) == ((D, D), np.float64, name)
        product = seen @ torch.from_numpy(x)
        assert isinstance(product, Tensor)
        close(product.numpy(), expected @ x)
        if name == "factor":
            close(seen.factor().dense(), expected)
        else:
            with pytest.raises(ArgumentError, match="not as a factor"):
                seen.factor()
        pairs = eigsh(seen, 2, "LM", 1e-9)
        wanted = np.linalg.eigvalsh(expected)
        close(pairs.values, wanted[np.argsort(-np.abs(wanted))][:2], 1e-7)


def test_whitening_solves_the_generalised_eigenproblem() -> None:
    h, c = operator(), covariance()
    pairs = eigsh(h.whiten(c), 3, "LA", 1e-10)
    close(pairs.values, scipy.linalg.eigh(h.dense(), c, eigvals_only=True)[::-1][:3], 1e-8)
    v = Covariance.from_matrix(c).inverse_root(pairs.vectors)
    assert np.abs(h.dense() @ v - c @ v * pairs.values).max() < 1e-7 * np.abs(h.dense()).max()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), unit=st.floats(0.1, 10.0))
def test_whitened_eigenvalues_turn_with_the_inputs_and_scale_with_the_covariance(
    seed: int, unit: float
) -> None:
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((D, D)))[0]
    data = torch.from_numpy(rng.standard_normal((N, D)))
    model = net("factor")
    other = nn.Sequential(nn.Linear(D, D, bias=False), *model).double()
    with torch.no_grad():
        other[0].weight.copy_(torch.from_numpy(turn.T))  # type: ignore[operator]
    c = covariance(seed)
    turned = InputHessian(other, data @ torch.from_numpy(turn.T)).whiten(unit * turn @ c @ turn.T)
    exact = np.linalg.eigvalsh(InputHessian(model, data).whiten(c).dense())
    moved = np.linalg.eigvalsh(turned.dense()) * unit
    assert np.abs(moved - exact).max() < 1e-9 * exact[-1]


@pytest.mark.parametrize("r", [0, 2, D])
def test_low_rank_covariances_are_their_matrices(r: int) -> None:
    u, s, ridge = basis(r), np.array([5.0, 0.0, 2.0, 1.0, 3.0, 9.0])[:r], 0.25
    c = u @ np.diag(s) @ u.T + ridge * np.eye(D)
    made = Covariance(u, s, ridge)
    x = np.random.default_rng(1).standard_normal((D, 4))
    close(made.root(made.root(x)), c @ x, 1e-13)
    close(made.inverse_root(x), inverse_root(c) @ x, 1e-12)
    close(made.inverse_root(x[:, 1]), inverse_root(c) @ x[:, 1], 1e-12)
    close(made.root(made.inverse_root(x)), x, 1e-13)
    close(operator().whiten(made).dense(), operator().whiten(c).dense(), 1e-11)


def samples(n: int, d: int = D) -> np.ndarray:
    rng = np.random.default_rng(SEED)
    return rng.standard_normal((n, d)) * np.linspace(3, 0.5, d) + 7


def matrix(c: Covariance) -> np.ndarray:
    return c.root(c.root(np.eye(c.d)))


@pytest.mark.parametrize("n", [4, 50])  # fewer and more samples than dimensions
def test_left_out_variance_becomes_the_ridge(n: int) -> None:
    x = samples(n)
    c = Covariance.from_samples(x, rank=2)
    full = np.cov(x.T)
    values, vectors = np.linalg.eigh(full)
    fitted = matrix(c)
    assert c.ridge == pytest.approx(values[:-2].sum() / (D - 2), rel=1e-12)
    close(np.linalg.eigvalsh(fitted)[-2:], values[-2:], 1e-12)
    assert np.trace(fitted) == pytest.approx(np.trace(full), rel=1e-12)
    close(fitted @ vectors[:, -2:], vectors[:, -2:] * values[-2:], 1e-11)
    close(matrix(Covariance.from_samples(x, ridge=0.5)), full + 0.5 * np.eye(D), 1e-12)
    again = Covariance.from_samples(torch.from_numpy(x), rank=0)
    close(matrix(again), np.trace(full) / D * np.eye(D), 1e-12)


@pytest.mark.parametrize("n", [3, 6, 400])
def test_full_rank_estimates_shrink_as_ledoit_and_wolf(n: int) -> None:
    x = samples(n)
    centred = x - x.mean(axis=0)
    s = centred.T @ centred / n
    mean = np.trace(s) / D
    spread = np.sum((s - mean * np.eye(D)) ** 2)
    noise = sum(np.sum((np.outer(row, row) - s) ** 2) for row in centred) / n**2
    a = min(noise, spread) / spread
    shrunk = ((1 - a) * s + a * mean * np.eye(D)) * n / (n - 1)
    close(matrix(Covariance.from_samples(x)), shrunk, 1e-12)
    assert np.linalg.eigvalsh(shrunk)[0] > 0


def test_directions_without_data_get_variance_by_shrinkage() -> None:
    x = samples(40)
    x[:, 4] = 7.0  # a dead pixel
    c = matrix(Covariance.from_samples(x))
    assert 0 < c[4, 4] < np.trace(c) / D
    whitened = operator().whiten(Covariance.from_samples(x))
    assert np.isfinite(whitened.dense()).all()


def test_bad_covariances_are_refused() -> None:
    h, c = operator(), covariance()
    skewed, empty = c.copy(), c.copy()
    skewed[0, 1] += 1e-6
    empty[2] = empty[:, 2] = 0
    with pytest.raises(ArgumentError, match="not symmetric"):
        h.whiten(skewed)
    for bad in (empty, c - 2 * np.linalg.eigvalsh(c)[0] * np.eye(D), np.zeros((D, D))):
        with pytest.raises(ArgumentError, match="not positive definite"):
            h.whiten(bad)
    with pytest.raises(ShapeError, match=r"must be \(6, 6\), got \(5, 5\)"):
        h.whiten(c[:5, :5])
    with pytest.raises(ShapeError, match=r"shape \(d, d\), got \(6, 5\)"):
        h.whiten(c[:, :5])
    with pytest.raises(ShapeError, match="real numbers"):
        h.whiten(c.astype(complex))
    with pytest.raises(NonFinite, match="NaN"):
        h.whiten(np.where(c > 0, c, np.nan))
    with pytest.raises(ShapeError, match=r"must be \(6, 6\), got \(4, 4\)"):
        h.whiten(Covariance.from_matrix(c[:4, :4]))
    single = c.astype(np.float32)
    close(h.whiten(single).dense(), h.whiten(c).dense(), 1e-4)
    h.whiten(torch.from_numpy(c))


def test_bad_parts_and_samples_are_refused() -> None:
    u = basis()
    with pytest.raises(ArgumentError, match="not orthonormal"):
        Covariance(2 * u, np.ones(2), 1.0)
    with pytest.raises(ArgumentError, match="negative"):
        Covariance(u, np.array([1.0, -1e-3]), 1.0)
    for ridge in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ArgumentError, match="ridge must be positive"):
            Covariance(u, np.ones(2), ridge)
    with pytest.raises(ShapeError, match="basis"):
        Covariance(u, np.ones(3), 1.0)
    with pytest.raises(NonFinite):
        Covariance(u, np.array([1.0, np.nan]), 1.0)
    with pytest.raises(ShapeError, match=r"\(6,\) or \(6, k\)"):
        Covariance(u, np.ones(2), 1.0).root(np.ones(5))
    x = samples(9)
    with pytest.raises(ShapeError, match="n >= 2"):
        Covariance.from_samples(x[:1])
    with pytest.raises(NonFinite, match="samples hold"):
        Covariance.from_samples(np.where(x > 7, x, np.nan))
    with pytest.raises(ArgumentError, match="do not vary"):
        Covariance.from_samples(np.ones((9, 3)))
    with pytest.raises(ArgumentError, match=r"\[0, 6\]"):
        Covariance.from_samples(x, rank=7)
    with pytest.raises(ArgumentError, match="pass ridge"):
        Covariance.from_samples(x[:2])
    with pytest.raises(ArgumentError, match="ridge must be positive"):
        Covariance.from_samples(x, ridge=0.0)


def test_bad_directions_and_bases_are_refused() -> None:
    seen = operator().whiten(covariance())
    with pytest.raises(ShapeError, match=r"\(6,\) or \(6, k\), got \(5,\)"):
        seen @ np.ones(5)
    with pytest.raises(ShapeError, match="real numbers"):
        seen @ np.ones(D, dtype=complex)
    with pytest.raises(NonFinite, match="directions"):
        seen @ np.full(D, np.nan)
    with pytest.raises(ShapeError, match=r"\(6, j\)"):
        seen.project_out(np.ones((5, 1)))
    with pytest.raises(ShapeError, match="leaves nothing"):
        seen.project_out(np.eye(D))
    with pytest.raises(ArgumentError, match="not orthonormal"):
        seen.project_out(np.full((D, 1), np.nan))
    each = InputHessian(net("factor"), torch.randn(3, D, dtype=torch.float64), average=False)
    with pytest.raises(ArgumentError, match="average=True"):
        each.whiten(covariance())


def test_single_precision_operators_stay_single() -> None:
    data = torch.randn(N, D, generator=torch.Generator().manual_seed(SEED))
    h = InputHessian(net("factor", torch.float32), data)
    c = Covariance.from_samples(data)
    seen = h.whiten(c).project_out(basis())
    v = np.ones((D, 2), np.float32)
    assert (seen @ v).dtype == seen.factor().dtype == seen.dtype == np.float32
    assert (seen @ torch.from_numpy(v)).dtype == torch.float32
    close(seen @ v, seen.dense() @ v, 1e-5)

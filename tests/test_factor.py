"""Factors and moments: products, dense matrices and eigenpairs against B written out in double."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hessay import _core
from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.hessian import Covariance, Factor, InputHessian, Moment, frozen
from hessay.hessian.curvature import Curvature, curvature
from hessay.hessian.gauss_newton import factor as factor_module
from hessay.hessian.gauss_newton.factor import factor_from_program, moment_from_program
from hessay.hessian.graph.program import LayerProgram, follow
from hessay.spectrum import eigsh

SEED = 20259
N, R, M, D = 600, 3, 5, 14  # more samples than meet the lift at once
PRECISIONS = [np.float32, np.float64]


def random_factor(dtype: Any = np.float64, *, lifted: bool = True, n: int = N) -> Factor:
    rng = np.random.default_rng(SEED)
    rows = rng.standard_normal((n, R, M if lifted else D)).astype(dtype)
    return Factor(rows, rng.standard_normal((M, D)).astype(dtype) if lifted else None)


def written_out(factor: Factor) -> np.ndarray:
    """B (n, r, d) in double, from its parts."""
    rows = factor.rows.astype(np.float64)
    return rows if factor.lift is None else rows @ factor.lift.astype(np.float64)


def hessian(factor: Factor) -> np.ndarray:
    b = written_out(factor).reshape(-1, factor.d)
    return b.T @ b / factor.n


def gap(actual: Any, expected: Any) -> float:
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("lifted", [False, True])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_products_per_sample_are_those_of_each_samples_matrix(
    dtype: Any, lifted: bool, k: int
) -> None:
    factor = random_factor(dtype, lifted=lifted)
    b = written_out(factor)
    v = np.random.default_rng(k).standard_normal((N, D, k)).astype(dtype)
    expected = np.stack([b[i].T @ (b[i] @ v[i].astype(np.float64)) for i in range(N)])
    # four products in a row, sums of at most d terms
    assert gap(factor.apply_per_sample(v), expected) < 4 * D * eps(dtype)
    assert factor.apply_per_sample(v[:, :, :0]).shape == (N, D, 0)


def test_a_layer_about_as_narrow_as_the_rows_are_many_stays_apart_per_sample() -> None:
    torch.manual_seed(SEED)
    data = torch.randn(7, 40, dtype=torch.float64)
    v = np.random.default_rng(SEED).standard_normal((7, 40, 2))
    for width, kept in ((None, True), (7, True), (8, False)):  # C = 7: 6 rows a sample
        layers = [] if width is None else [nn.Linear(40, width), nn.ReLU()]
        net = nn.Sequential(*layers, nn.Linear(width or 40, 7)).double()
        each = InputHessian(net, data, average=False)
        assert (each.factor().lift is not None) == kept
        pushed = InputHessian(net, data, average=False, backend="autograd") @ v
        assert gap(each @ v, pushed) < 1e-12
        assert gap((each @ v[:, :, :1])[:, :, 0], pushed[:, :, 0]) < 1e-12


@pytest.mark.parametrize("scale", [1e-25, 1e-18, 1.0, 1e18, 1e25])
@pytest.mark.parametrize("lifted", [False, True])
def test_dense_in_single_precision_is_right_below_the_rounding_of_its_data(
    lifted: bool, scale: float
) -> None:
    rng = np.random.default_rng(SEED)
    rows = (scale * np.abs(rng.standard_normal((301, 4, 300)))).astype(np.float32)
    lift = rng.standard_normal((300, 333)).astype(np.float32) if lifted else None
    factor = Factor(rows, lift)
    dense = factor.dense()
    # 256 products a panel, then 300 through the lift, each with a random rounding of eps / 2; rows
    # rounded to float at the start would already move H by eps.
    assert gap(dense, hessian(factor)) < 300**0.5 * eps(np.float32)
    assert (dense == dense.T).all()
    wide = Factor(rows.astype(np.float64), None if lift is None else lift.astype(np.float64))
    assert gap(wide.dense(), hessian(factor)) < 300 * eps(np.float64)
    assert (wide.dense() == wide.dense().T).all()


def test_panels_of_every_scale_add_up() -> None:
    rng = np.random.default_rng(SEED)
    rows = rng.standard_normal((4 * 256, 1, 20)).astype(np.float32)
    rows[256:512] *= 1e-30  # its squares are no floats, and nothing beside the others
    rows[512:768] *= 0
    rows[0, 0] *= 1e25  # nor are these, and they are everything
    factor = Factor(rows, None)
    assert gap(factor.dense(), hessian(factor)) < 1e-6
    rows = rng.standard_normal((300, 1, 20)).astype(np.float32)
    lift = (1e30 * rng.standard_normal((20, 30))).astype(np.float32)
    assert gap(Factor(rows, lift).dense(), hessian(Factor(rows, lift))) < 1e-6
    assert not Factor(np.zeros((3, 2, 4), np.float32), np.ones((4, 5), np.float32)).dense().any()


def test_eigenvalues_of_single_precision_factors_keep_their_small_ones() -> None:
    rng = np.random.default_rng(SEED)
    sizes = np.logspace(0, -4.5, M)  # eigenvalues down to 1e-9 of the largest
    q = np.linalg.qr(rng.standard_normal((N * R, M)))[0]
    mixed = q * sizes @ np.linalg.qr(rng.standard_normal((M, M)))[0]  # graded columns would hide it
    rows = mixed.reshape(N, R, M).astype(np.float32)
    lift = np.ascontiguousarray(np.linalg.qr(rng.standard_normal((D, M)))[0].T, np.float32)
    b = written_out(Factor(rows, lift)).reshape(-1, D)
    exact = np.linalg.svd(b, compute_uv=False)[:M] ** 2 / N
    values, vectors = Factor(rows, lift).eigh()
    np.testing.assert_allclose(values, exact, rtol=1e-5)
    assert np.abs(vectors.T @ vectors - np.eye(M)).max() < 1e-12


def test_damaged_factors_are_refused() -> None:
    for value in (np.nan, np.inf):
        for dtype in PRECISIONS:
            rows = np.ones((3, 2, 4), dtype)
            rows[1, 1, 2] = value
            with pytest.raises(NonFinite, match="derivatives overflow"):
                Factor(rows, None).dense()
            with pytest.raises(NonFinite, match="rows hold NaN or Inf"):
                Moment.from_chunks([rows])
            with pytest.raises(NonFinite):
                Factor(rows, None).eigh()
    with pytest.raises(ShapeError, match="lift has 3 columns"):
        Factor(np.ones((2, 2, 4)), np.ones((3, 5))).dense()
    with pytest.raises(ShapeError, match=r"dense must be \(4, 4\)"):
        _core.factor_dense(np.ones((2, 2, 4)), None, np.empty((5, 5), order="F"))
    with pytest.raises(ArgumentError, match="at most 4"):
        Factor(np.ones((2, 2, 4)), None).eigh(5)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("lifted", [False, True])
def test_moments_of_chunks_act_as_the_factor(dtype: Any, lifted: bool) -> None:
    factor = random_factor(dtype, lifted=lifted)
    exact = hessian(factor)
    cuts = [0, 1, 90, 480, N]
    chunks = [factor.rows[a:b] for a, b in itertools.pairwise(cuts)]
    moment = Moment.from_chunks(iter(chunks), factor.lift)
    tolerance = 20 * eps(dtype)
    v = np.random.default_rng(1).standard_normal((D, 3)).astype(dtype)
    assert (moment.n, moment.d, moment.shape, moment.dtype) == (N, D, (D, D), factor.dtype)
    assert gap(moment.apply(v), exact @ v) < tolerance
    assert gap(moment.dense(), exact) < tolerance
    assert gap(factor.moment().dense(), exact) < tolerance
    values, vectors = moment.eigh()
    assert len(values) == (M if lifted else D)
    assert gap((vectors * values) @ vectors.T, exact) < tolerance
    assert np.abs(vectors.T @ vectors - np.eye(len(values))).max() < 1e-12
    assert gap(moment.eigh(2)[0], values[:2]) < 1e-12
    basis = np.linalg.qr(np.random.default_rng(2).standard_normal((D, 4)))[0]
    projector = np.eye(D) - basis @ basis.T
    assert gap(moment.project_out(basis).dense(), projector @ exact @ projector) < tolerance
    covariance = Covariance(basis, np.array([9.0, 4.0, 1.0, 0.5]), 0.3)
    white = covariance.inverse_root(covariance.inverse_root(exact).T)
    for whitened in (moment.whiten(covariance), factor.whiten(covariance)):
        assert gap(whitened.dense(), white) < tolerance
        assert whitened.dtype == factor.dtype
    pairs = eigsh((lambda x: moment.apply(x), D), 3, "LA", 1e-4)
    assert gap(pairs.values, np.linalg.eigvalsh(exact)[::-1][:3]) < 1e-3


def test_moments_of_more_outputs_than_inputs_keep_all_eigenvalues() -> None:
    rng = np.random.default_rng(SEED)
    factor = Factor(rng.standard_normal((50, 2, 9)), rng.standard_normal((9, 4)))
    values, vectors = factor.moment().eigh()
    assert gap((vectors * values) @ vectors.T, hessian(factor)) < 1e-13
    assert gap(factor.eigh()[0], values) < 1e-13


def test_moments_say_what_they_cannot_do() -> None:
    moment = random_factor().moment()
    with pytest.raises(ArgumentError, match="need the rows of every sample"):
        moment.apply_per_sample(np.ones((N, D, 1)))
    with pytest.raises(ArgumentError, match="at least one row"):
        Moment.from_chunks([])
    with pytest.raises(ShapeError, match=r"\(n, r, m\), got \(2, 3\)"):
        Moment.from_chunks([np.ones((2, 3))])
    with pytest.raises(ShapeError, match=r"\(n, r, 3\), got"):
        Moment.from_chunks([np.ones((1, 2, 3)), np.ones((1, 2, 4))])
    with pytest.raises(ShapeError, match="all be float64"):
        Moment.from_chunks([np.ones((1, 2, 3)), np.ones((1, 2, 3), np.float32)])
    with pytest.raises(ShapeError, match=r"lift must be float64 of shape \(3, d\)"):
        Moment.from_chunks([np.ones((1, 2, 3))], np.ones((4, 3)))
    with pytest.raises(ShapeError, match=r"directions must be \(14, k\)"):
        moment.apply(np.ones((D + 1, 1)))
    with pytest.raises(ArgumentError, match="at most 5"):
        moment.eigh(6)
    with pytest.raises(ArgumentError, match="negative"):
        moment.eigh(-1)
    with pytest.raises(ShapeError, match="must be float32 or float64"):
        Moment.from_chunks([np.ones((1, 2, 3), np.int64)])


def program_of(net: nn.Module, data: torch.Tensor) -> tuple[LayerProgram, np.ndarray, Curvature]:
    with frozen(net):
        program = follow(net, data)[1]
        logits = net(data).detach().numpy()
    assert isinstance(program, LayerProgram)
    return program, logits, curvature("labels", logits.astype(np.float64))


@pytest.mark.parametrize("width", [8, 60])  # narrower and wider than the input
def test_streamed_moments_are_those_of_the_whole_factor(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Linear(30, width), nn.ReLU(), nn.Linear(width, 9)).double()
    data = torch.randn(53, 30, dtype=torch.float64)
    program, logits, weighting = program_of(net, data)
    whole = factor_from_program(program, data.numpy(), logits, weighting, average=True)
    sketch = factor_from_program(
        program, data.numpy(), logits, weighting, average=True, sketch=3, seed=5
    )
    monkeypatch.setattr(factor_module, "_CHUNK_BYTES", 5000)  # a few samples at a time
    streamed = moment_from_program(program, data.numpy(), logits, weighting)
    assert (streamed.lift is None) == (width > 30)
    assert gap(streamed.dense(), whole.dense()) < 1e-13
    again = moment_from_program(program, data.numpy(), logits, weighting, sketch=3, seed=5)
    assert gap(again.dense(), sketch.dense()) < 1e-13
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((30, 4)))[0]
    unlifted = Factor(np.ascontiguousarray(whole.matrix().reshape(53, -1, 30)), None)
    off = unlifted.project_out(basis).dense()  # mapped a few rows at a time
    assert gap(off, whole.project_out(basis).dense()) < 1e-12

"""Rank-revealing block Gram-Schmidt, and the other primitives, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hessay import _core
from hessay.errors import ShapeError

SEED = 20252


def fortran(array: Any) -> Any:
    return np.array(array, order="F")


def split(q: Any, w: Any, **options: Any) -> tuple[int, int, Any, Any, Any, Any]:
    block = fortran(w)
    cols, replaced, c, r, dropped = _core.orthonormalize(fortran(q), block, **options)
    return cols, replaced, block[:, :cols], c, r[:cols], dropped[:, 0]


@settings(max_examples=60, deadline=None, derandomize=True)
@example(d=35, m=0, b=4, rank=3, seed=944829)
@given(
    d=st.integers(1, 40),
    m=st.integers(0, 20),
    b=st.integers(1, 8),
    rank=st.integers(0, 8),
    seed=st.integers(0, 2**31),
)
def test_split_reproduces_the_block(d: int, m: int, b: int, rank: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, rank = min(m, d), min(rank, b)
    q = np.linalg.qr(rng.standard_normal((d, d)))[0][:, :m]
    w = rng.standard_normal((d, rank)) @ rng.standard_normal((rank, b))
    cols, replaced, block, c, r, dropped = split(q, w)
    assert cols == min(b, d - m)
    # Rounding of a dependent column, eps times the condition of the others, may pass for a direction;
    # it is told from the real ones by its size.
    independent = w[:, : min(rank, cols)]
    condition = float(np.linalg.cond(independent)) if independent.size else 1.0
    assert replaced <= cols - min(rank, cols)
    if condition < 1e4:
        noise = 10 * np.finfo(float).eps * d * condition * np.abs(w).max(initial=0)
        assert (np.abs(r).max(axis=1, initial=0) > noise).sum() == min(rank, cols)
    basis = np.hstack([q, block])
    assert np.abs(basis.T @ basis - np.eye(m + cols)).max(initial=0) < 1e-13
    scale = 1e-13 * (1 + np.abs(w).max(initial=0)) * d
    assert np.abs(w - q @ c - block @ r).max(initial=0) < scale + dropped.max(initial=0)
    assert dropped.max(initial=0) < scale


def test_rounding_noise_does_not_count_as_a_direction() -> None:
    rng = np.random.default_rng(SEED)
    q = np.linalg.qr(rng.standard_normal((100, 10)))[0]
    inside = q @ rng.standard_normal((10, 3))  # nothing left but noise after projection
    cols, replaced, block, _, r, _ = split(q, inside)
    assert (cols, replaced) == (3, 3)
    assert not r.any()
    assert np.abs(q.T @ block).max() < 1e-14


def test_reference_sets_what_counts_as_noise() -> None:
    q = np.eye(50)[:, :1]
    tiny = 1e-12 * np.eye(50)[:, 1:2]
    assert split(q, tiny)[1] == 0
    assert split(q, tiny, reference=1e3)[1] == 1


def test_gaussian_fill_is_standard_normal_and_repeats() -> None:
    draw = np.empty((400, 500), order="F")
    _core.gaussian_fill(draw, 5)
    again = np.empty_like(draw)
    _core.gaussian_fill(again, 5)
    np.testing.assert_array_equal(draw, again)
    _core.gaussian_fill(again, 6)
    n = draw.size
    # Five standard errors of each moment: 1/n, 2/n and 96/n are the variances for N(0, 1).
    assert abs(draw.mean()) < 5 / n**0.5
    assert abs((draw**2).mean() - 1) < 5 * (2 / n) ** 0.5
    assert abs((draw**4).mean() - 3) < 5 * (96 / n) ** 0.5
    assert abs((draw * again).mean()) < 5 / n**0.5
    assert abs((draw[:-1] * draw[1:]).mean()) < 5 / n**0.5


def test_single_precision_stream_is_the_rounded_double_stream() -> None:
    double, single = np.empty((7, 3), order="F"), np.empty((7, 3), order="F", dtype=np.float32)
    _core.gaussian_fill(double, 9)
    _core.gaussian_fill(single, 9)
    np.testing.assert_array_equal(single, double.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 511, 1300])
def test_gram_carries_double_precision(dtype: Any, n: int) -> None:
    x = fortran(np.random.default_rng(SEED).standard_normal((n, 9)).astype(dtype))
    out = np.empty((9, 9), order="F")
    _core.gram(x, out)
    exact = x.astype(np.longdouble).T @ x.astype(np.longdouble)
    np.testing.assert_allclose(out, exact.astype(np.float64), rtol=0, atol=1e-12 * max(n, 1))
    np.testing.assert_array_equal(out, out.T)


# The seam to Python arrays: zero copy where that is possible, a clear refusal where it is not.


def test_arrays_of_numpy_and_torch_are_used_in_place() -> None:
    for out in (np.zeros((4, 6), order="F"), torch.zeros(6, 4, dtype=torch.float64).T):
        _core.gaussian_fill(out, 3)
        expected = np.empty((4, 6), order="F")
        _core.gaussian_fill(expected, 3)
        np.testing.assert_array_equal(np.asarray(out), expected)


def test_slices_with_an_offset_are_honoured() -> None:
    whole = np.zeros((10, 8), order="F")
    _core.gaussian_fill(whole[2:5, 3:6], 1)
    expected = np.empty((3, 3), order="F")
    _core.gaussian_fill(expected, 1)
    np.testing.assert_array_equal(whole[2:5, 3:6], expected)
    assert np.count_nonzero(whole) == 9


def test_results_are_seen_by_torch_without_a_copy() -> None:
    options = _core.LanczosOptions(
        k=2, which="LA", tol=1e-8, block=1, max_basis=0, max_products=0, miss_probability=1e-3
    )
    vectors = _core.lanczos_dense(fortran(np.diag([3.0, 2.0, 1.0])), options, 0)["vectors"]
    shared = torch.from_dlpack(vectors)
    shared[0, 0] = 42.0
    assert vectors[0, 0] == 42.0


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "complaint"),
    [
        (read_only(np.zeros((3, 3), order="F")), "read-only"),
        (np.zeros((3, 4)), "column-major"),
        (np.zeros((6, 3), order="F")[::-1], "column-major"),
        (np.zeros((3, 6), order="F")[:, ::-1], "overlapping or reversed"),
        (np.lib.stride_tricks.as_strided(np.zeros((3, 1)), (3, 4), (8, 0)), "overlapping"),
        (np.zeros((3, 3), dtype=np.int64), "float32 or float64"),
        (np.zeros((3, 3), dtype=np.float16), "float32 or float64"),
        (np.zeros((3, 3), dtype=np.complex128), "float32 or float64"),
        (np.zeros(3), "two axes"),
        ([[1.0]], "DLPack"),
        (None, "DLPack"),
    ],
)
def test_unfit_outputs_are_refused(out: Any, complaint: str) -> None:
    with pytest.raises(ShapeError, match=complaint):
        _core.gaussian_fill(out, 0)


def test_tensors_that_require_grad_are_refused_by_torch() -> None:
    with pytest.raises((BufferError, RuntimeError), match="grad"):
        _core.gaussian_fill(torch.zeros(3, 3).T.requires_grad_(), 0)


def test_empty_arrays_are_filled_with_nothing() -> None:
    _core.gaussian_fill(np.zeros((0, 4), order="F"), 0)
    out = np.ones((0, 0), order="F")
    _core.gram(np.zeros((5, 0), order="F"), out)
    assert out.size == 0


def test_read_only_inputs_are_accepted() -> None:
    out = np.empty((2, 2), order="F")
    _core.gram(read_only(np.ones((3, 2), order="F")), out)
    assert out.tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ShapeError, match=r"gram of \(3, 2\) into \(3, 3\)"):
        _core.gram(np.ones((3, 2), order="F"), np.empty((3, 3), order="F"))
